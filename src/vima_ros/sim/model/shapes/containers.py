"""Containers and other bases, fixed to the table, on or into which objects are placed."""

from __future__ import annotations

import math

from vima_ros.sim.model.meshes import Mesh, box, extrude, revolve
from vima_ros.sim.model.polygons import Polygon
from vima_ros.sim.model.shapes.shape import Part, Shape, arc, bar, circle, rectangle

_TURN = 2 * math.pi
_TILE = 0.14  # width of a texture tile on round shapes [m]


def _dish(radius: float, foot: float, height: float, count: int) -> tuple[tuple[Part, ...], Mesh]:
    """Return a round wall of ``count`` boards leaning outwards, with a thin bottom.

    The bottom is visual only: an object inside stands on the table.
    """
    wall = 0.005
    lean = math.atan2(radius - foot, height)
    middle = (radius + foot - wall) / 2
    half = wall / 2, radius * math.tan(math.pi / count), math.hypot(radius - foot, height) / 2
    parts = []
    for k in range(count):
        angle = _TURN * k / count
        place = (middle * math.cos(angle), middle * math.sin(angle), height / 2)
        parts.append(Part("box", half, place, (0.0, lean, angle)))
    profile = [
        (foot, 0.0),
        (radius, height),
        (radius - wall, height),
        (foot - wall, 0.001),
        (0.0, 0.001),
    ]
    return tuple(parts), revolve(profile, 2 * count, _TILE)


def _bowl(radius: float = 0.1) -> Shape:
    height = 0.07
    parts, mesh = _dish(radius, 0.07, height, 24)
    outline = (circle(radius),)
    return Shape(
        parts, mesh, outline, height, "container", movable=False, symmetry=0.0, profile="circle"
    )


def _pan(radius: float = 0.1015, reach: float = 0.159, grip: float = 0.03) -> Shape:
    """Flat dish with a handle towards +y; its frame is at the centre of the dish."""
    height = 0.03
    parts, mesh = _dish(radius, 0.085, height, 24)
    start = math.asin(grip / 2 / radius)
    inner = radius * math.cos(start)
    middle = (inner + reach) / 2
    size = (grip, reach - inner, 0.012)
    handle = bar(size, 0.0, middle, height - 0.008)
    rim = arc((0.0, 0.0), radius, _TURN / 4 + start, _TURN - 2 * start, 46)
    corner = (grip / 2, inner)
    outline: Polygon = (*rim, corner, (grip / 2, reach), (-grip / 2, reach))
    mesh += box(size, handle.position)
    return Shape(
        (*parts, handle), mesh, (outline,), height, "container", movable=False, profile="circle"
    )


def _container(side: float = 0.16, height: float = 0.05, wall: float = 0.006) -> Shape:
    edge = (side - wall) / 2
    bars = [((side, side, wall), 0.0, 0.0, (wall - height) / 2)]
    for sign in (-1, 1):
        bars.append(((wall, side, height), sign * edge, 0.0, 0.0))
        bars.append(((side - 2 * wall, wall, height), 0.0, sign * edge, 0.0))
    return Shape(
        tuple(bar(*values) for values in bars),
        _boxes(bars),
        (rectangle(side, side),),
        height,
        "container",
        movable=False,
        rest_height=height / 2,
        symmetry=_TURN / 4,
        profile="square",
        scale_range=(0.15 / 0.16, 0.17 / 0.16),
    )


def _pallet(width: float = 0.2115, depth: float = 0.177, height: float = 0.035) -> Shape:
    """Seven slats along y on three beams along x; for collisions it is one board."""
    pitch, slat, beam = 0.0295, 0.0145, 0.007
    bars = [((slat, depth, 0.007), pitch * k, 0.0, height - 0.0035) for k in range(-3, 4)]
    bars[0] = ((0.0255, depth, 0.007), -width / 2 + 0.01275, 0.0, height - 0.0035)
    bars[-1] = ((0.0255, depth, 0.007), width / 2 - 0.01275, 0.0, height - 0.0035)
    for y in (-(depth - beam) / 2, 0.0, (depth - beam) / 2):
        bars.append(((width, beam, height - 0.004), 0.0, y, (height - 0.004) / 2))
    return Shape(
        (bar((width, depth, height), 0.0, 0.0, height / 2),),
        _boxes(bars),
        (rectangle(width, depth),),
        height,
        "container",
        movable=False,
        symmetry=_TURN / 2,
        profile="square",
    )


def _frame(inner: float = 0.16, edge: float = 0.0095, height: float = 0.002) -> Shape:
    """Thin square ring, visual only."""
    outer = inner + 2 * edge
    outline = (rectangle(outer, outer), rectangle(inner, inner)[::-1])
    mesh = extrude(outline, height, outer)
    return Shape(
        (),
        mesh,
        outline,
        height,
        "container",
        movable=False,
        symmetry=_TURN / 4,
        profile="square",
    )


def _square(side: float = 0.2, edge: float = 0.04, height: float = 0.001) -> Shape:
    """Four bars that do not fill the corners, visual only."""
    h = side / 2
    bars = []
    for sign in (-1, 1):
        bars.append(((edge, side, height), sign * h, 0.0, height / 2))
        bars.append(((side, edge, height * 0.9), 0.0, sign * h, height * 0.45))
    near, far = h, h + edge / 2
    outer = (
        (-near, -far), (near, -far), (near, -near), (far, -near), (far, near), (near, near),
        (near, far), (-near, far), (-near, near), (-far, near), (-far, -near), (-near, -near),
    )  # fmt: skip
    inner = side - edge
    return Shape(
        (),
        _boxes(bars),
        (outer, rectangle(inner, inner)[::-1]),
        height,
        "container",
        movable=False,
        symmetry=_TURN / 4,
        profile="square",
    )


def _boxes(bars: list[tuple[tuple[float, float, float], float, float, float]]) -> Mesh:
    meshes = [box(size, centre) for size, *centre in bars]
    return sum(meshes[1:], meshes[0])


CONTAINER_SHAPES: dict[str, Shape] = {
    "bowl": _bowl(),
    "pan": _pan(),
    "pallet": _pallet(),
    "container": _container(),
    "frame": _frame(),
    "square": _square(),
}
