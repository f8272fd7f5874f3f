"""Random outlines by family, of any size and place.

Corners of an outer polygon run counter-clockwise, of a hole clockwise; no edges cross.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from vima_ros.sim.model.polygons import Corner, Outline, Polygon
from vima_ros.sim.model.shapes.shape import arc

_TURN = 2.0 * math.pi
Draw = Callable[[np.random.Generator], Outline]


def _polygon(random: np.random.Generator) -> Outline:
    """Irregular polygon with 4 to 9 corners at random distances, star-shaped about its middle."""
    count = int(random.integers(4, 10))
    return (_around(random.uniform(0.45, 1.0, count), _uneven(random, count)),)


def _tile(random: np.random.Generator) -> Outline:
    """Regular polygon with 3 to 8 corners, stretched."""
    count = int(random.integers(3, 9))
    return (_stretched(random, arc((0.0, 0.0), 1.0, _angle(random), _TURN, count), 1.4, 2.2),)


def _star(random: np.random.Generator) -> Outline:
    """Star with 3 to 8 tips."""
    count = int(random.choice([3, 4, 5, 6, 8]))
    radii = np.tile([1.0, random.uniform(0.4, 0.72)], count)
    return (_around(radii, np.arange(2 * count) * _TURN / (2 * count)),)


def _letter(random: np.random.Generator) -> Outline:
    """Union of bars along the lines of an uneven grid of 3 × 4 cells."""
    while True:
        filled = np.zeros((3, 4), bool)
        x, y = int(random.integers(3)), int(random.integers(4))
        filled[x, y] = True
        for _ in range(int(random.integers(3, 6))):  # bars, each from the end of another
            cells = np.argwhere(filled)
            x, y = (int(value) for value in cells[random.integers(len(cells))])
            if random.random() < 0.5:
                end = int(random.integers(3))
                filled[min(x, end) : max(x, end) + 1, y] = True
            else:
                end = int(random.integers(4))
                filled[x, min(y, end) : max(y, end) + 1] = True
        loop = _boundary(filled)
        if 4 <= filled.sum() <= 9 and loop is not None:
            break
    columns = np.concatenate([[0.0], random.uniform(0.8, 1.2, 3).cumsum()])
    rows = np.concatenate([[0.0], random.uniform(0.8, 1.2, 4).cumsum()])
    return (tuple((float(columns[x]), float(rows[y])) for x, y in loop),)


def _ring(random: np.random.Generator) -> Outline:
    """Stretched polygon or ellipse with a hole of the same or another form."""
    outer, inner = (int(count) for count in random.choice([3, 4, 5, 6, 24], 2))
    outside = arc((0.0, 0.0), 1.0, _angle(random), _TURN, outer)
    # Not beyond half of what is inside the outer polygon in every direction.
    radius = math.cos(math.pi / outer) * float(random.uniform(0.4, 0.55))
    hole = arc((0.0, 0.0), radius, _angle(random), _TURN, inner)
    both = _stretched(random, (*outside, *hole), 1.0, 1.7)
    return both[:outer], both[: outer - 1 : -1]


def _cross(random: np.random.Generator) -> Outline:
    """Three to six arms of different lengths and one width, evenly around the middle."""
    count = int(random.integers(3, 7))
    half = float(random.uniform(0.2, 0.34)) * (4 / count) ** 0.5
    notch = half / math.sin(math.pi / count)
    lengths = random.uniform(max(0.6, 1.15 * notch), 1.0, count)
    if random.random() < 0.3:
        lengths[:] = 1.0
    corners: list[Corner] = []
    for k, length in enumerate(lengths):
        angle = k * _TURN / count
        along, across = (math.cos(angle), math.sin(angle)), (-math.sin(angle), math.cos(angle))
        for side in (-half, half):
            corners.append(
                (
                    float(length * along[0] + side * across[0]),
                    float(length * along[1] + side * across[1]),
                )
            )
        between = angle + math.pi / count
        corners.append((notch * math.cos(between), notch * math.sin(between)))
    return (tuple(corners),)


def _wedge(random: np.random.Generator) -> Outline:
    """Sector of a disc or of a thick ring, a quarter to six sevenths of the turn."""
    turn = float(random.uniform(0.25, 0.86)) * _TURN
    inner = float(random.choice([0.0, random.uniform(0.25, 0.45)]))
    start, count = _angle(random), 6 + int(18 * turn / _TURN)
    outside = arc((0.0, 0.0), 1.0, start, turn * count / (count - 1), count)
    if inner == 0.0:
        return ((*outside, (0.0, 0.0)),)
    inside = arc((0.0, 0.0), inner, start, turn * count / (count - 1), count)
    return ((*outside, *inside[::-1]),)


def _gear(random: np.random.Generator) -> Outline:
    """Round outline with 2 to 8 waves."""
    waves, depth = int(random.choice([2, 3, 4, 5, 6, 8])), float(random.uniform(0.12, 0.3))
    count = 6 * waves
    angles = np.arange(count) * _TURN / count
    return (_around(1.0 + depth * np.cos(waves * angles), angles),)


def _board(random: np.random.Generator) -> Outline:
    """Convex polygon with 3 to 6 corners on a stretched circle, at uneven angles."""
    count = int(random.integers(3, 7))
    while True:
        angles = np.sort(random.uniform(0.0, _TURN, count))
        gaps = np.diff(angles, append=angles[0] + _TURN)
        if gaps.min() > 0.6 and gaps.max() < 0.8 * math.pi:
            break
    return (_stretched(random, _around(np.ones(count), angles), 1.0, 1.3),)


def _frame(random: np.random.Generator) -> Outline:
    """Ring between a board's outline and a smaller one."""
    (outer,) = _board(random)
    middle = np.array(outer).mean(axis=0)
    scale = float(random.uniform(0.7, 0.85))
    inner = tuple((float(x), float(y)) for x, y in middle + scale * (np.array(outer) - middle))
    return outer, inner[::-1]


OUTLINES: dict[str, Draw] = {
    "polygon": _polygon,
    "tile": _tile,
    "star": _star,
    "letter": _letter,
    "ring": _ring,
    "cross": _cross,
    "wedge": _wedge,
    "gear": _gear,
}
BASE_OUTLINES: dict[str, Draw] = {"board": _board, "frame": _frame}


def _angle(random: np.random.Generator) -> float:
    return float(random.uniform(0.0, _TURN))


def _uneven(random: np.random.Generator, count: int) -> np.ndarray:
    """Return ``count`` increasing angles of a turn, none far from even ones."""
    return (np.arange(count) + random.uniform(-0.3, 0.3, count)) * _TURN / count


def _around(radii: np.ndarray, angles: np.ndarray) -> Polygon:
    """Return the polygon of corners at ``radii`` and increasing ``angles`` about the origin."""
    corners = np.stack([radii * np.cos(angles), radii * np.sin(angles)], axis=1)
    return tuple((float(x), float(y)) for x, y in corners)


def _stretched(random: np.random.Generator, polygon: Polygon, low: float, high: float) -> Polygon:
    """Stretch corners along a random direction by a factor from ``low`` to ``high``."""
    angle, factor = _angle(random), float(random.uniform(low, high))
    axis = np.array([math.cos(angle), math.sin(angle)])
    corners = np.array(polygon)
    corners = corners + (factor - 1.0) * (corners @ axis)[:, None] * axis
    return tuple((float(x), float(y)) for x, y in corners)


def _boundary(filled: np.ndarray) -> list[tuple[int, int]] | None:
    """Return the corners of the one loop around the filled cells, or None if there are more."""
    following: dict[tuple[int, int], tuple[int, int]] = {}
    for x, y in (tuple(map(int, cell)) for cell in np.argwhere(filled)):
        square = [(x, y), (x + 1, y), (x + 1, y + 1), (x, y + 1)]
        beside = [(x, y - 1), (x + 1, y), (x, y + 1), (x - 1, y)]
        for k, (a, b) in enumerate(beside):
            if 0 <= a < filled.shape[0] and 0 <= b < filled.shape[1] and filled[a, b]:
                continue
            if square[k] in following:  # two cells touch at a corner only
                return None
            following[square[k]] = square[(k + 1) % 4]
    loop = [next(iter(following))]
    while following[loop[-1]] != loop[0]:
        loop.append(following[loop[-1]])
    if len(loop) != len(following):
        return None
    ring = zip((loop[-1], *loop[:-1]), loop, (*loop[1:], loop[0]), strict=True)
    return [at for a, at, b in ring if a[0] != b[0] and a[1] != b[1]]
