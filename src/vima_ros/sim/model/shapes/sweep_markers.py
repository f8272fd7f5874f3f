"""Blocks of the sweep tasks, and the rectangles and lines marked on the table."""

from __future__ import annotations

import math

from vima_ros.sim.model.meshes import box
from vima_ros.sim.model.shapes.movable import block
from vima_ros.sim.model.shapes.shape import Shape, rectangle

_BAR = 0.04  # width of the marks [m]


def _three_sided(width: float, depth: float, height: float = 0.001) -> Shape:
    """Bars on three sides of a rectangle of ``width`` in x, open towards +y, visual only."""
    x, y, b = width / 2, depth / 2, _BAR / 2
    mesh = box((width, _BAR, 0.9 * height), (0.0, -y, 0.45 * height))
    for sign in (-1, 1):
        mesh += box((_BAR, depth, height), (sign * x, 0.0, height / 2))
    outline = (
        (-x, -y - b), (x, -y - b), (x, -y), (x + b, -y), (x + b, y), (x - b, y), (x - b, -y + b),
        (-x + b, -y + b), (-x + b, y), (-x - b, y), (-x - b, -y), (-x, -y),
    )  # fmt: skip
    return Shape((), mesh, (outline,), height, "sweep", movable=False)


def _line(length: float, height: float = 0.002) -> Shape:
    """Line along x, drawn over the bars of a rectangle."""
    mesh = box((length, _BAR, height), (0.0, 0.0, height / 2))
    outline = (rectangle(length, _BAR),)
    return Shape((), mesh, outline, height, "sweep", movable=False, symmetry=math.pi)


SWEEP_SHAPES: dict[str, Shape] = {
    "small_block": block(0.03, 0.03, "sweep", prompt_scale=7.0),
    "three_sided_rectangle": _three_sided(0.27, 0.27),
    "wide_three_sided_rectangle": _three_sided(0.30, 0.172),
    "line": _line(0.3375),
    "short_line": _line(0.1875),
}
