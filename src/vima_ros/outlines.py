"""Outlines: objects as polygons in the policy frame.

An outline is a row of OUTLINE_POINTS points, uint8 (64, 3): x, y [px], ring. The points are
centres of the object's outermost pixels. Those of ring 1 go around the object, those of each ring
from 2 on around a hole in it; a ring is closed, and its points follow one another. Unused points
are zero, behind the others. An outline without points: unknown.
"""

from __future__ import annotations

import numpy as np

OUTLINE_POINTS = 64  # of all rings together
OUTLINE_SHAPE = (OUTLINE_POINTS, 3)


def outline_fault(outlines: np.ndarray, height: int) -> str:
    """Return what is wrong with ``outlines`` uint8 (n, 64, 3), or an empty text.

    ``height`` [px] of the image.
    """
    rings = outlines[..., 2].astype(np.int64)
    used = rings > 0
    if (used[:, 1:] & ~used[:, :-1]).any() or outlines[~used].any():
        return "has points behind an unused one; valid: unused points last, all zero"
    steps = np.diff(rings, axis=1, prepend=0)
    if (used & ~np.isin(steps, (0, 1))).any() or (used[:, 0] & (rings[:, 0] != 1)).any():
        return f"has rings {rings.max(0).tolist()}; valid: 1, then 2 and so on, points together"
    if (outlines[..., 1] >= height).any():
        return f"has y up to {outlines[..., 1].max()}; valid: below {height} px"
    return ""


def clearances(outline: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Return the distance of ``points`` (k, 2) x, y [px] to the edge of an outline, (k,) [px].

    ``outline`` uint8 (64, 3), known. Negative outside the object and in its holes.
    """
    count = int(np.count_nonzero(outline[:, 2]))
    start, ring = outline[:count, :2].astype(np.float64), outline[:count, 2]
    first = np.searchsorted(ring, ring)  # of each point's ring
    last = np.append(ring[1:] != ring[:-1], True)
    end = start[np.where(last, first, np.arange(count) + 1)]
    along_x, along_y = (end - start).T  # (m,)
    x, y = points[:, :1] - start[:, 0], points[:, 1:] - start[:, 1]  # (k, m)
    length = np.maximum(along_x**2 + along_y**2, 1e-9)  # of a ring of one point: 0
    share = np.clip((x * along_x + y * along_y) / length, 0.0, 1.0)
    distance = np.sqrt(((x - share * along_x) ** 2 + (y - share * along_y) ** 2).min(1))
    # A ray to the right crosses the rings an odd number of times from inside the object.
    between = (start[:, 1] > points[:, 1:]) != (end[:, 1] > points[:, 1:])
    rise = np.where(along_y == 0, 1.0, along_y)  # where it is 0, never between
    inside = (between & (x < along_x * y / rise)).sum(1) % 2 == 1
    return np.where(inside, distance, -distance)
