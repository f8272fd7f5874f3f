"""What of a scene's look may vary: light, colours, camera poses, clutter; one setting for all."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from vima_ros.errors import VimaError
from vima_ros.geometry import Workspace

Colour = tuple[float, float, float]


@dataclass(frozen=True)
class CameraError:
    """How far a camera is from where it is believed to be.

    ``shift``: x, y of what it looks at [m]; ``roll``: about the optical axis, ``tilt``: about the
    image's horizontal axis [rad]; ``zoom``: how much larger things are.
    """

    shift: tuple[float, float] = (0.0, 0.0)
    roll: float = 0.0
    tilt: float = 0.0
    zoom: float = 1.0


@dataclass(frozen=True)
class ClutterPatch:
    """Clutter: a small flat patch on the table that no one names.

    It is drawn, never touched, and background in the masks. ``size``: x, y [m].
    """

    position_xy: tuple[float, float]
    size: tuple[float, float]
    yaw: float
    colour: Colour


@dataclass(frozen=True)
class VisualAppearance:
    """How a scene looks; the default is VIMA-Bench's. Colours are RGB from 0 to 1.

    ``light_direction``: where the light goes. ``ambient``: how bright a texture is where no light
    falls; ``diffuse``: how much brighter where it falls straight on. ``shadows``: whether the two
    views have them.
    """

    light_direction: tuple[float, float, float] = (0.25, 0.15, -1.0)
    ambient: float = 0.6
    diffuse: float = 0.351  # with the ambient light 15/16 on what faces up
    sheet: Colour = (0.197, 0.197, 0.197)
    ground: Colour = (1.0, 1.0, 1.0)
    front: CameraError = field(default_factory=CameraError)
    top: CameraError = field(default_factory=CameraError)
    clutter: tuple[ClutterPatch, ...] = ()
    shadows: bool = False

    def __post_init__(self) -> None:
        numbers = (*self.light_direction, self.ambient, self.diffuse, *self.sheet, *self.ground)
        if not all(map(math.isfinite, numbers)) or self.light_direction[2] >= 0.0:
            raise VimaError(
                "INVALID_VALUE",
                f"look with light direction {self.light_direction}, ambient {self.ambient}, "
                f"diffuse {self.diffuse}, sheet {self.sheet}, ground {self.ground}; "
                "valid: finite numbers, a light that goes down",
            )


def random_appearance(rng: np.random.Generator, strength: float = 1.0) -> VisualAppearance:
    """A look that differs from VIMA-Bench's by up to as much as ``strength`` (0 to 1) allows.

    Raises VimaError (INVALID_VALUE) for another strength.
    """
    if not 0.0 <= strength <= 1.0:
        raise VimaError("INVALID_VALUE", f"strength {strength} of a look; valid: 0 to 1")
    plain = VisualAppearance()

    def near(value: float, low: float, high: float) -> float:
        """Between the value itself (strength 0) and anything from low to high (strength 1)."""
        return value + strength * (float(rng.uniform(low, high)) - value)

    def tinted(colour: Colour, low: float, high: float) -> Colour:
        grey = rng.uniform(low, high)
        wanted = np.clip(grey + rng.uniform(-0.12, 0.12, 3), 0.0, 1.0)
        return _colour(np.array(colour) + strength * (wanted - np.array(colour)))

    direction = (near(0.25, -0.8, 0.8), near(0.15, -0.8, 0.8), -1.0)
    ambient = near(plain.ambient, 0.35, 0.75)
    diffuse = near(plain.diffuse, 0.2, 0.6)
    sheet, ground = tinted(plain.sheet, 0.05, 0.55), tinted(plain.ground, 0.4, 1.0)
    front, top = (
        CameraError(
            shift=(near(0.0, -0.01, 0.01), near(0.0, -0.01, 0.01)),
            roll=near(0.0, -0.03, 0.03),
            tilt=near(0.0, -0.03, 0.03),
            zoom=near(1.0, 0.97, 1.03),
        )
        for _ in range(2)
    )
    clutter = tuple(_sticker(rng, sheet) for _ in range(rng.integers(round(5 * strength) + 1)))
    shadows = bool(rng.random() < 0.5 * strength)
    return VisualAppearance(
        direction, ambient, diffuse, sheet, ground, front, top, clutter, shadows
    )


def _sticker(rng: np.random.Generator, sheet: Colour) -> ClutterPatch:
    """Anywhere in the workspace, at most 4 cm long, not far in colour from the sheet."""
    x, y = rng.uniform(Workspace().low, Workspace().high)
    width, depth = rng.uniform([0.01, 0.005], [0.04, 0.02])
    colour = _colour(np.array(sheet) + rng.uniform(-0.2, 0.2, 3))
    return ClutterPatch(
        (float(x), float(y)), (float(width), float(depth)), float(rng.uniform(0, math.pi)), colour
    )


def _colour(values: Sequence[float] | np.ndarray) -> Colour:
    red, green, blue = (float(value) for value in np.clip(values, 0.0, 1.0))
    return red, green, blue
