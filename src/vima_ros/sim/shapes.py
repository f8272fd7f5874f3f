"""The shapes: each a few primitives, in the sizes VIMA-Bench's objects have in its images.

A shape's own frame is where VIMA-Bench has it: amid the blocks and the container, at the bottom
of everything else. Yaw 0 is its yaw 0, so that prompt pictures (yaw +90 degrees) come out alike.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

Vector = tuple[float, float, float]

# Plain colours, RGB 0..255 (VIMA-Bench's); grey is its "only the shape counts".
COLOURS = {
    "blue": (78, 121, 167),
    "red": (255, 87, 89),
    "green": (89, 169, 79),
    "orange": (242, 142, 43),
    "yellow": (237, 201, 72),
    "purple": (176, 122, 161),
    "pink": (255, 157, 167),
    "cyan": (118, 183, 178),
    "olive": (128, 128, 0),
    "grey": (186, 176, 172),
}


@dataclass(frozen=True)
class Part:
    """One primitive. ``size`` [m]: box, half its x, y, z; cylinder, radius and half its height.

    A prism instead has ``corners``, the (x, y) of its convex outline, and stands on z = 0 with
    height ``size[0]``. ``euler``: roll, pitch, yaw [rad] about the fixed axes. ``solid``: others
    touch it; else it is only drawn.
    """

    kind: Literal["box", "cylinder", "prism"]
    size: tuple[float, ...]
    position: Vector = (0.0, 0.0, 0.0)
    euler: Vector = (0.0, 0.0, 0.0)
    corners: tuple[tuple[float, float], ...] = ()
    solid: bool = True

    def scaled(self, factor: float) -> Part:
        """The same part ``factor`` times larger."""
        x0, y0, z0 = self.position
        return replace(
            self,
            size=tuple(factor * value for value in self.size),
            position=(factor * x0, factor * y0, factor * z0),
            corners=tuple((factor * x, factor * y) for x, y in self.corners),
        )


@dataclass(frozen=True)
class Shape:
    """What an object is made of.

    ``movable``: can be carried and pushed; else fixed to the table. ``size``: bounding box x, y, z
    [m]. ``rest_height``: z of the shape's frame when it stands on the table [m]. ``prompt_scale``:
    how much larger its prompt picture shows it.
    """

    parts: tuple[Part, ...]
    movable: bool
    size: Vector
    rest_height: float = 0.0
    prompt_scale: float = 1.0

    @property
    def radius(self) -> float:
        """Half the diagonal of its outline seen from above [m]."""
        return math.hypot(*self.size[:2]) / 2


def _bar(size: Vector, x: float, y: float, z: float, solid: bool = True) -> Part:
    return Part("box", tuple(value / 2 for value in size), (x, y, z), solid=solid)


def _block(side: float, height: float, prompt_scale: float = 1.0) -> Shape:
    size = (side, side, height)
    return Shape((_bar(size, 0, 0, 0),), True, size, height / 2, prompt_scale=prompt_scale)


_KIT = 0.10  # the flat toys are this wide [m] ...
_KIT_HEIGHT = 0.028  # ... and this high


def _kit(*parts: Part) -> Shape:
    return Shape(parts, True, (_KIT, _KIT, _KIT_HEIGHT))


def _round() -> Shape:
    half = _KIT_HEIGHT / 2
    return _kit(Part("cylinder", (_KIT / 2, half), (0.0, 0.0, half)))


def _l_block(arm: float = 0.033) -> Shape:
    z, side = _KIT_HEIGHT / 2, -(_KIT - arm) / 2
    return _kit(
        _bar((arm, _KIT, _KIT_HEIGHT), side, 0, z),
        _bar((_KIT - arm, arm, _KIT_HEIGHT), arm / 2, side, z),
    )


def _cross(arm: float = 0.05) -> Shape:
    z, tip = _KIT_HEIGHT / 2, (_KIT - arm) / 2
    return _kit(
        _bar((_KIT, arm, _KIT_HEIGHT), 0, 0, z),
        _bar((arm, tip, _KIT_HEIGHT), 0, (arm + tip) / 2, z),
        _bar((arm, tip, _KIT_HEIGHT), 0, -(arm + tip) / 2, z),
    )


def _triangle() -> Shape:
    half = _KIT / 2
    return _kit(Part("prism", (_KIT_HEIGHT,), corners=((-half, half), (0, -half), (half, half))))


def _bowl(radius: float = 0.1, foot: float = 0.07, height: float = 0.07, count: int = 24) -> Shape:
    """A ring of ``count`` boards leaning outwards.

    Its bottom is only drawn and what is in it stands on the table: MuJoCo's contacts with a flat
    cylinder are too noisy to rest on.
    """
    wall = 0.005
    lean = math.atan2(radius - foot, height)
    middle = (radius + foot - wall) / 2
    half_width = radius * math.tan(math.pi / count)
    half_height = math.hypot(radius - foot, height) / 2
    parts = [Part("cylinder", (foot, 0.0005), (0.0, 0.0, 0.0005), solid=False)]
    for k in range(count):
        angle = 2 * math.pi * k / count
        place = (middle * math.cos(angle), middle * math.sin(angle), height / 2)
        parts.append(Part("box", (wall / 2, half_width, half_height), place, (0.0, lean, angle)))
    return Shape(tuple(parts), False, (2 * radius, 2 * radius, height))


def _container(side: float = 0.15, height: float = 0.05, wall: float = 0.006) -> Shape:
    edge = (side - wall) / 2
    parts = [_bar((side, side, wall), 0, 0, (wall - height) / 2)]
    for sign in (-1, 1):
        parts.append(_bar((wall, side, height), sign * edge, 0, 0))
        parts.append(_bar((side - 2 * wall, wall, height), 0, sign * edge, 0))
    return Shape(tuple(parts), False, (side, side, height), height / 2)


def _flat(bars: list[tuple[float, float, float, float]], height: float = 0.001) -> Shape:
    """Bars of (length x, length y, centre x, centre y) drawn on the table."""
    parts = tuple(_bar((dx, dy, height), x, y, height / 2, False) for dx, dy, x, y in bars)
    width = 2 * max(abs(x) + dx / 2 for dx, _, x, _ in bars)
    depth = 2 * max(abs(y) + dy / 2 for _, dy, _, y in bars)
    return Shape(parts, False, (width, depth, height))


_SQUARE = [(0.2, 0.04, 0, 0.1), (0.2, 0.04, 0, -0.1), (0.04, 0.2, 0.1, 0), (0.04, 0.2, -0.1, 0)]
_THREE_SIDED = [(0.27, 0.04, 0, -0.135), (0.04, 0.27, 0.135, 0), (0.04, 0.27, -0.135, 0)]

SHAPES: dict[str, Shape] = {
    "block": _block(0.07, 0.07),
    "shorter_block": _block(0.07, 0.03),
    "small_block": _block(0.03, 0.03, prompt_scale=7.0),
    "round": _round(),
    "l_block": _l_block(),
    "cross": _cross(),
    "triangle": _triangle(),
    "bowl": _bowl(),
    "container": _container(),
    "square": _flat(_SQUARE),
    "three_sided_rectangle": _flat(_THREE_SIDED),
    "line": _flat([(0.3375, 0.04, 0, 0)], height=0.002),  # over a rectangle's bars
}
