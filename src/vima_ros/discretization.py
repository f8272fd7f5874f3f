"""Actions as two poses, as fractions of their ranges, and as bins; specs.py has the bins' numbers.

docs/vima_architecture.md, "Action discretization".
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np

from vima_ros.errors import VimaError
from vima_ros.geometry import Pose, Workspace


@cache
def bin_edges(count: int) -> np.ndarray:
    """Return ``count`` float32 points from 0 to 1, rounded as torch.linspace does.

    A fraction's bin is the first whose edge is not below it (``fractions_to_bins``).
    """
    step = np.float64(np.float32(1.0 / (count - 1)))
    index = np.arange(count)
    points = np.where(index < count // 2, step * index, 1.0 - step * (count - 1 - index))
    edges = points.astype(np.float32)
    edges.setflags(write=False)
    return edges


def fractions_to_bins(fractions: np.ndarray, counts: Sequence[int] | np.ndarray) -> np.ndarray:
    """Return the bins (..., n) int64 of fractions (..., n) in [0, 1] of ``counts`` (n,) bins."""
    values = np.asarray(fractions, np.float32)
    bins = [np.searchsorted(bin_edges(n), values[..., i]) for i, n in enumerate(counts)]
    return np.stack(bins, axis=-1)


def poses_to_fractions(pose0: Pose, pose1: Pose, workspace: Workspace) -> np.ndarray:
    """Return two poses as fractions (12,) float64: x, y of the workspace, quaternions of [-1, 1].

    Their z is not part of it.
    """
    parts = []
    for pose in (pose0, pose1):
        parts.append((pose.position[:2] - workspace.low) / workspace.size)
        parts.append((pose.quaternion + 1.0) / 2.0)
    return np.concatenate(parts)


def fractions_to_poses(fractions: np.ndarray, workspace: Workspace) -> tuple[Pose, Pose]:
    """Return pose0 and pose1 of fractions (12,) in [0, 1], with z = 0.

    Raises VimaError (INVALID_VALUE).
    """
    values = np.asarray(fractions, np.float64)
    if values.shape != (12,) or not ((values >= 0.0) & (values <= 1.0)).all():
        raise VimaError(
            "INVALID_VALUE", f"action {values.tolist()}; valid: 12 numbers from 0 to 1"
        )
    pairs = values.reshape(2, 6)
    position = pairs[:, :2] * workspace.size + workspace.low  # (2, 2) [m]
    position = np.clip(position, workspace.low, workspace.high)
    quaternion = np.clip(2.0 * pairs[:, 2:] - 1.0, -1.0, 1.0)  # (2, 4)
    pose0, pose1 = (
        Pose(np.append(xy, 0.0), q) for xy, q in zip(position, quaternion, strict=True)
    )
    return pose0, pose1
