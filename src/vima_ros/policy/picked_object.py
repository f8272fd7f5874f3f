"""The object that a pick chooses, and the bins of a pick that lie on it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from vima_ros.boxes import box_edges
from vima_ros.outlines import clearances
from vima_ros.policy_frame import VIMA_WORKSPACE, project_to_view
from vima_ros.specs import POSITION_BINS, EndEffector, Observation, ViewObjects

CLEARANCES = (2.0, 1.0, 0.0)  # [px] of a pick from the object's edge, the first that a bin has


@dataclass(frozen=True)
class Pick:
    """Bins (x, y) to pick at.

    ``object``, ``track_id``: index in the top view and id of the object that it is grounded in.
    """

    bins: tuple[int, int]
    object: int | None = None
    track_id: int | None = None


@cache
def bin_pixels() -> np.ndarray:
    """Return the place of each position bin in the top view, (50, 100, 2) float64 x, y [px].

    Integers are pixel centres. The same for every workspace: the policy frame shows each where it
    shows VIMA-Bench's.
    """
    fractions = np.moveaxis(np.indices(POSITION_BINS), 0, -1) / POSITION_BINS  # (50, 100, 2)
    points = np.zeros((*POSITION_BINS, 3))  # [m]
    points[..., :2] = VIMA_WORKSPACE.low + fractions * VIMA_WORKSPACE.size
    pixels = project_to_view("top", points)[..., ::-1].copy()
    pixels.setflags(write=False)
    return pixels


def picked_object(top: ViewObjects, bins: Sequence[int] | np.ndarray) -> int | None:
    """Return the index in ``top`` of the object that a pick at ``bins`` x, y lies on, or None.

    The object in whose outline it lies, furthest from the edge of those; where no outline is known
    or it lies in none, the object with the smallest box around it, the edges of its outermost
    pixels included.
    """
    point = bin_pixels()[bins[0], bins[1]]
    inside = {i: clearances(top.outlines[i], point[None])[0] for i in known_outlines(top)}
    if inside and max(inside.values()) >= 0:
        return max(inside, key=inside.__getitem__)
    x, y = point + 0.5  # edges of pixels are integers
    left, upper, right, lower = box_edges(top.boxes).T
    on = (left <= x) & (x <= right) & (upper <= y) & (y <= lower)
    if not on.any():
        return None
    return int(np.where(on, (right - left) * (lower - upper), np.inf).argmin())


def picked_in_views(observation: Observation, pick: Pick) -> tuple[int, int]:
    """Return the indices in front and top of the object that is picked; -1: not seen there.

    The one that the pick is grounded in, or else lies on. The spatula picks none.
    """
    if observation.end_effector is EndEffector.SPATULA:
        return -1, -1
    top = pick.object if pick.object is not None else picked_object(observation.top, pick.bins)
    if top is None:
        return -1, -1
    front = np.flatnonzero(observation.front.track_ids == observation.top.track_ids[top])
    return int(front[0]) if len(front) else -1, top


def known_outlines(top: ViewObjects) -> list[int]:
    """Return the indices of objects with a known outline."""
    return np.flatnonzero(top.outlines[:, 0, 2]).tolist()


def candidate_bins(outlines: np.ndarray) -> list[tuple[slice, slice]]:
    """Return the ranges of bins x, y in the box of each known outline, and one more at each side.

    ``outlines`` uint8 (n, 64, 3).
    """
    used = outlines[..., 2:] > 0
    low = np.where(used, outlines[..., :2], 255).min(1)  # (n, 2) x, y [px]
    high = np.where(used, outlines[..., :2], 0).max(1)
    ranges = []
    for axis, places in ((1, bin_pixels()[:, 0, 1]), (0, bin_pixels()[0, :, 0])):
        first = np.searchsorted(places, low[:, axis]) - 1
        last = np.searchsorted(places, high[:, axis], side="right") + 1
        ranges.append(list(map(slice, np.maximum(first, 0).tolist(), last.tolist())))
    return list(zip(*ranges, strict=True))


def bins_on_object(outline: np.ndarray, near: tuple[slice, slice], free: np.ndarray) -> np.ndarray:
    """Return the bins of ``near`` at which the object of an outline may be picked, bool.

    ``near``: its ``candidate_bins``, n by m of them, of which the ``free`` ones, bool (n, m), may
    be used. Those bins that are CLEARANCES[0] or more inside the edge; where there is none, the
    next of CLEARANCES; where none is inside at all, the bin that is nearest.
    """
    allowed = np.zeros(free.shape, bool)
    clear = clearances(outline, bin_pixels()[near][free])
    if len(clear):
        best = clear.max()
        allowed[free] = clear >= next((each for each in CLEARANCES if best >= each), best)
    return allowed
