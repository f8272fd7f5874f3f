"""Plane polygons. An outline is an outer polygon and its holes; no edges cross.

Corners are (x, y) [m]. Outer polygons run counter-clockwise, holes clockwise.

Not by shapely: its distances, other by 1e-16 m, order the grasp points of 11 of 21 shapes another
way, and its triangles make other collision parts of 11 of 31 shapes: other episodes for each seed.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

Corner = tuple[float, float]
Polygon = tuple[Corner, ...]
Outline = tuple[Polygon, ...]
_MIN_DOUBLE_AREA = 1e-9  # of a triangle that is not degenerate [m²]


def depth(points: np.ndarray, outline: Outline) -> np.ndarray:
    """Return the distance of points (n, 2) to the nearest edge, (n,), negative outside.

    Inside means inside the outer polygon and in none of the holes.
    """
    starts = np.concatenate([np.array(polygon) for polygon in outline])
    ends = np.concatenate([np.roll(np.array(polygon), -1, axis=0) for polygon in outline])
    along = ends - starts  # (edges, 2)
    offset = np.asarray(points)[:, None] - starts  # (n, edges, 2)
    part = (offset * along).sum(-1) / np.maximum((along**2).sum(-1), 1e-18)
    nearest = np.linalg.norm(offset - part.clip(0, 1)[..., None] * along, axis=-1).min(axis=1)
    # A ray towards +x crosses edges that begin and end on different sides of it.
    y = np.asarray(points)[:, 1:]
    crosses = (y < starts[:, 1]) != (y < ends[:, 1])
    slope = along[:, 0] / np.where(along[:, 1] == 0, 1.0, along[:, 1])
    crossed = crosses & (offset[..., 0] < slope * offset[..., 1])
    return np.where(crossed.sum(axis=1) % 2 == 1, nearest, -nearest)


def triangulate(outline: Outline) -> np.ndarray:
    """Triangulate an outline by ear clipping: (n, 3, 2), counter-clockwise."""
    loop = _without_holes(outline)
    triangles = []
    while len(loop) > 3:
        for index in range(len(loop)):
            ear = loop[index - 1], loop[index], loop[(index + 1) % len(loop)]
            if _turn(*ear) > _MIN_DOUBLE_AREA and _is_ear(np.array(ear), np.array(loop)):
                triangles.append(ear)
                del loop[index]
                break
        else:
            raise AssertionError("an outline whose edges cross")
    return np.array([*triangles, tuple(loop)])


def convex_parts(outline: Outline) -> list[Polygon]:
    """Decompose an outline into convex polygons: triangles, merged while convex."""
    parts: list[Polygon] = [
        tuple((float(x), float(y)) for x, y in triangle) for triangle in triangulate(outline)
    ]
    i = 0
    while i < len(parts):
        for j in range(i + 1, len(parts)):
            union = _union(parts[i], parts[j])
            if union is not None:
                parts[i] = union
                del parts[j]
                break
        else:
            i += 1
    return parts


def _without_holes(outline: Outline) -> list[Corner]:
    """Return one loop of corners, each hole connected to the loop by a seam of no width."""
    loop = list(outline[0])
    for hole in sorted(outline[1:], key=lambda polygon: -max(x for x, _ in polygon)):
        right = max(range(len(hole)), key=lambda k: hole[k][0])
        rest = [*outline[1:], tuple(loop)]
        order = sorted(
            range(len(loop)), key=lambda k: np.hypot(*np.subtract(loop[k], hole[right]))
        )
        at = next(k for k in order if _is_visible(hole[right], loop[k], rest))
        loop[at : at + 1] = [loop[at], *hole[right:], *hole[: right + 1], loop[at]]
    return loop


def _is_visible(a: Corner, b: Corner, polygons: list[Polygon]) -> bool:
    """Return True if no edge lies between two corners."""
    for polygon in polygons:
        for c, d in _edges(polygon):
            if {a, b} & {c, d}:
                continue
            if _turn(a, b, c) * _turn(a, b, d) <= 0 and _turn(c, d, a) * _turn(c, d, b) <= 0:
                return False
    return True


def _turn(a: Corner, b: Corner, c: Corner) -> float:
    """Return twice the signed area of a triangle, positive if counter-clockwise."""
    return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])


def _is_ear(ear: np.ndarray, loop: np.ndarray) -> bool:
    """Return True if a convex corner (3, 2) of a loop (n, 2) can be clipped."""
    others = loop[~(loop[:, None] == ear).all(-1).any(1)]
    within = np.ones(len(others), bool)
    for start, end in zip(ear, np.roll(ear, -1, axis=0), strict=True):
        along, offset = end - start, others - start
        within &= along[0] * offset[:, 1] - along[1] * offset[:, 0] >= 0
    return not within.any()


def _union(first: Polygon, second: Polygon) -> Polygon | None:
    """Join two counter-clockwise polygons at a common edge, if the result is convex."""
    edges = {edge: j for j, edge in enumerate(_edges(second))}
    for i, (a, b) in enumerate(_edges(first)):
        j = edges.get((b, a))
        if j is None:
            continue
        # From b around the first back to a, then around the second from after a to before b.
        loop = [*first[i + 1 :], *first[: i + 1]]
        loop += [second[(j + 2 + k) % len(second)] for k in range(len(second) - 2)]
        ring = zip(loop, (*loop[1:], loop[0]), (*loop[2:], *loop[:2]), strict=True)
        if all(_turn(*corner) >= -_MIN_DOUBLE_AREA for corner in ring):
            return tuple(loop)
    return None


def _edges(polygon: Polygon) -> Iterator[tuple[Corner, Corner]]:
    return zip(polygon, (*polygon[1:], polygon[0]), strict=True)
