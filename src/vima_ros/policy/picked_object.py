"""The object that a pick chooses."""

from __future__ import annotations

from functools import cache

import numpy as np

from vima_ros.boxes import box_edges
from vima_ros.policy_frame import VIMA_WORKSPACE, project_to_view
from vima_ros.specs import POSITION_BINS, ViewObjects


@cache
def bin_pixels() -> np.ndarray:
    """Return the place of each position bin in the top view, (50, 100, 2) float64 column, row.

    Integers are pixel centres. The same for every workspace: the policy frame shows each where it
    shows VIMA-Bench's.
    """
    fractions = np.stack(np.indices(POSITION_BINS), axis=-1) / POSITION_BINS  # (50, 100, 2)
    points = np.zeros((*POSITION_BINS, 3))  # [m]
    points[..., :2] = VIMA_WORKSPACE.low + fractions * VIMA_WORKSPACE.size
    pixels = project_to_view("top", points)[..., ::-1].copy()
    pixels.setflags(write=False)
    return pixels


def picked_object(top: ViewObjects, bins: np.ndarray) -> int | None:
    """Return the index in ``top`` of the object that a pick at ``bins`` x, y lies on, or None.

    On an object is within its box, the edges of its outermost pixels included; of several, the
    smallest: what lies in a bowl comes before the bowl. The first of equally small ones.
    """
    x, y = bin_pixels()[tuple(bins[:2])] + 0.5  # edges of pixels are integers
    left, upper, right, lower = box_edges(top.boxes).T
    on = (left <= x) & (x <= right) & (upper <= y) & (y <= lower)
    if not on.any():
        return None
    return int(np.where(on, (right - left) * (lower - upper), np.inf).argmin())
