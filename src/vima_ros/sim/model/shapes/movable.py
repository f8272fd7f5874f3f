"""Movable shapes: blocks, letters and flat shapes.

The outlines were measured on many of VIMA-Bench's images, to about 1 mm; at yaw
+90 degrees, as in prompts, +x is right and +y is up in the image.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from vima_ros.sim.model import polygons
from vima_ros.sim.model.meshes import box, extrude
from vima_ros.sim.model.polygons import Corner, Outline, Polygon
from vima_ros.sim.model.shapes.shape import Part, Role, Shape, arc, bar, circle, rectangle

_TURN = 2 * math.pi
_LOW, _MIDDLE, _HIGH = 0.028, 0.029, 0.030  # of letters and flat shapes [m]
_FOOT_RADIUS = 0.002  # of the feet of these [m]
_CLEARANCE = 0.0003  # of their bodies above the ground [m]


def block(side: float, height: float, role: Role = "movable", prompt_scale: float = 1.0) -> Shape:
    """Return a cuboid with its frame at the centre."""
    size = (side, side, height)
    return Shape(
        (bar(size, 0.0, 0.0, 0.0),),
        box(size, (0.0, 0.0, 0.0)),
        (rectangle(side, side),),
        height,
        role=role,
        rest_height=height / 2,
        prompt_scale=prompt_scale,
        symmetry=_TURN / 4,
        profile="square" if role == "movable" else None,
    )


def flat(
    outline: Outline, height: float, tile: float = 0.07, turn: float = 0.0, **attributes: Any
) -> Shape:
    """Return an extruded outline on four feet.

    Without feet a letter has dozens of contacts with the table, which makes the physics slow.
    """
    solid = tuple(
        Part("prism", (height - _CLEARANCE,), (0.0, 0.0, _CLEARANCE), corners=polygon)
        for polygon in polygons.convex_parts(outline)
    )
    feet = tuple(
        Part("sphere", (_FOOT_RADIUS,), (x, y, _FOOT_RADIUS), has_mass=False)
        for x, y in _feet(outline)
    )
    mesh = extrude(outline, height, tile, turn)
    return Shape((*solid, *feet), mesh, outline, height, **attributes)


def _feet(outline: Outline) -> list[tuple[float, float]]:
    """Return four points inside the outline, far from each other."""
    corners = np.array(outline[0])
    low, high = corners.min(axis=0), corners.max(axis=0)
    grid = np.stack(np.meshgrid(*np.linspace(low, high, 40).T), axis=-1).reshape(-1, 2)
    inside = grid[polygons.depth(grid, outline) > _FOOT_RADIUS]
    chosen = [inside[np.argmax(np.linalg.norm(inside, axis=1))]]
    for _ in range(3):
        apart = np.linalg.norm(inside[:, None] - np.array(chosen), axis=2).min(axis=1)
        chosen.append(inside[np.argmax(apart)])
    return [(float(x), float(y)) for x, y in chosen]


def _mm(*corners: Corner) -> Polygon:
    return tuple((x / 1000, y / 1000) for x, y in corners)


def _regular(count: int, radius: float, start: float, y: float = 0.0) -> Polygon:
    return arc((0.0, y), radius, start, _TURN, count)


def _star() -> Polygon:
    tips, notches = _regular(5, 0.0545, 0.0), _regular(5, 0.029, _TURN / 10)
    return tuple(corner for pair in zip(tips, notches, strict=True) for corner in pair)


def _flower() -> Polygon:
    """Four half circles that meet on the diagonals."""
    lobes: list[Corner] = []
    for k in range(4):
        angle = k * _TURN / 4
        centre = 0.0271 * math.cos(angle), 0.0271 * math.sin(angle)
        lobes += arc(centre, 0.0275, angle - _TURN / 4, _TURN / 2, 10)
    return tuple(lobes)


def _hole(polygon: Polygon) -> Polygon:
    return polygon[::-1]


_A = (
    _mm(
        (-44, -51),
        (-24, -51),
        (-15, -23.5),
        (15, -23.5),
        (24, -51),
        (44.5, -51),
        (9.5, 51),
        (-9.5, 51),
    ),
    _hole(_mm((-7.5, -4), (7.5, -4), (0, 16))),
)
_E = _mm(
    (-29, -51), (29, -51), (29, -31), (-7, -31), (-7, -8.5), (26.5, -8.5),
    (26.5, 12.5), (-7, 12.5), (-7, 31), (29, 31), (29, 51), (-29, 51),
)  # fmt: skip
_G = _mm(
    (41, 7.5), (1, 7.5), (1, -13), (19, -13), (19, -31.5), (10, -32.3), (0, -31.5), (-10, -26.5),
    (-17, -16), (-19, -1), (-17, 15), (-10, 26.5), (-3, 31), (5, 32.5), (16, 32), (32.5, 26.5),
    (40.5, 43), (29, 50), (17, 52.5), (1, 52.5), (-12, 49.3), (-21, 44.5), (-33.5, 31.5),
    (-41, 9), (-41, -10), (-34, -32), (-22, -45), (-12, -50.5), (1, -52.7), (25, -51.2), (41, -47),
)  # fmt: skip
_M = _mm(
    (-46.5, -49), (-25.7, -49), (-25.7, 0), (-8, -49), (8, -49), (25.7, 0), (25.7, -49),
    (46.5, -49), (46.5, 49), (21.5, 49), (0, -12), (-21.5, 49), (-46.5, 49),
)  # fmt: skip
_R = (
    _mm(
        (-38, -50.5), (-15, -50.5), (-15, -14.5), (-7, -14.5), (15, -50.5), (36.5, -50.5),
        (14, -9.5), (25.5, 3), (30, 20), (25.5, 36), (17, 45), (6, 50.5), (-38, 50.5),
    ),
    _hole(_mm((-15, 6.5), (-4, 6.5), (4.5, 11), (7, 20), (4.5, 27), (-2, 31), (-15, 31))),
)  # fmt: skip
_T = _mm(
    (-54.5, -16.7), (21.8, -16.7), (21.8, -54.5), (54.5, -54.5), (54.5, 54.5), (21.8, 54.5),
    (21.8, 16.7), (-54.5, 16.7),
)  # fmt: skip
_V = _mm((-41.8, 51), (-10, -51), (10, -51), (41.8, 51), (21.2, 51), (0, -14.5), (-21.2, 51))
_CROSS = _mm(
    (-48.8, -24.8), (-24.8, -24.8), (-24.8, -48.8), (24.8, -48.8), (24.8, -24.8), (48.8, -24.8),
    (48.8, 24.8), (24.8, 24.8), (24.8, 48.8), (-24.8, 48.8), (-24.8, 24.8), (-48.8, 24.8),
)  # fmt: skip
_TRIANGLE = _mm((0, -49.5), (48.8, 48.8), (-48.8, 48.8))
_L_BLOCK = _mm(
    (-48.8, -48.8), (48.8, -48.8), (48.8, -18.6), (-18.6, -18.6), (-18.6, 48.8), (-48.8, 48.8)
)
_DIAMOND = _mm((0, -48.8), (42, 0), (0, 48.8), (-42, 0))
_HEART = _mm(
    (0, -47.5), (22, -31), (41, -11.8), (50, 2), (52, 18), (50.7, 29), (47.5, 36), (42, 42),
    (34, 46.3), (24, 47.8), (14, 46.2), (6, 41.5), (0, 36), (-6, 41.5), (-14, 46.2), (-24, 47.8),
    (-34, 46.3), (-42, 42), (-47.5, 36), (-50.7, 29), (-52, 18), (-50, 2), (-41, -11.8),
    (-22, -31),
)  # fmt: skip
_RING = (circle(0.048, 32), _hole(circle(0.0205, 16)))

MOVABLE_SHAPES: dict[str, Shape] = {
    "block": block(0.07, 0.07),
    "shorter_block": block(0.07, 0.03),
    "letter_a": flat(_A, _HIGH, 0.1),
    "letter_e": flat((_E,), _HIGH, 0.1),
    "letter_g": flat((_G,), _HIGH, 0.12),
    "letter_m": flat((_M,), _MIDDLE, 0.1),
    "letter_r": flat(_R, _HIGH, 0.1),
    "letter_t": flat((_T,), _HIGH, 0.07, _TURN / 4),
    "letter_v": flat((_V,), _HIGH, 0.085),
    "cross": flat((_CROSS,), _LOW, symmetry=_TURN / 4),
    "triangle": flat((_TRIANGLE,), _LOW, 0.065, _TURN / 18),
    "l_block": flat((_L_BLOCK,), _LOW, 0.075, _TURN / 4),
    "ring": flat(_RING, _LOW, 0.08, symmetry=0.0, profile="circle"),
    "round": flat((circle(0.048, 32),), _LOW, symmetry=0.0, profile="circle"),
    "diamond": flat((_DIAMOND,), _LOW, symmetry=_TURN / 2),
    "flower": flat((_flower(),), _HIGH, 0.056, _TURN / 8, symmetry=_TURN / 4),
    "heart": flat((_HEART,), _HIGH, 0.11, _TURN / 4),
    "hexagon": flat((_regular(6, 0.0545, _TURN / 4),), _MIDDLE, symmetry=_TURN / 6),
    "pentagon": flat(
        (_regular(5, 0.0543, -_TURN / 4, 0.0056),), _MIDDLE, 0.065, _TURN / 6, symmetry=_TURN / 5
    ),
    "star": flat((_star(),), _MIDDLE, symmetry=_TURN / 5),
}
