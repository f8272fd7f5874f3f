"""Domain randomization of the visual appearance: light, colours, camera poses and clutter."""

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
    """Error of the pose and scale of a camera.

    ``shift``: of its target in x, y [m]. ``roll``: about the optical axis, ``tilt``: about the
    image's horizontal axis [rad]. ``zoom``: factor of its scale.
    """

    shift: tuple[float, float] = (0.0, 0.0)
    roll: float = 0.0
    tilt: float = 0.0
    zoom: float = 1.0


@dataclass(frozen=True)
class ClutterPatch:
    """Small flat patch on the table, visual only and background in the masks.

    ``size``: x, y [m].
    """

    position_xy: tuple[float, float]
    size: tuple[float, float]
    yaw: float
    colour: Colour


@dataclass(frozen=True)
class VisualAppearance:
    """Visual appearance of a scene, by default VIMA-Bench's. Colours are RGB from 0 to 1.

    ``light_direction``: direction of the light. ``ambient``, ``diffuse``: intensities of the
    light. ``sheet``, ``ground``: colours of the workspace and of its surroundings. ``front``,
    ``top``: errors of the cameras. ``shadows``: shadows in the two views.
    """

    light_direction: tuple[float, float, float] = (0.25, 0.15, -1.0)
    ambient: float = 0.6
    diffuse: float = 0.351  # with the ambient light 15/16 on surfaces that face up
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
                f"appearance with light direction {self.light_direction}, ambient {self.ambient}, "
                f"diffuse {self.diffuse}, sheet {self.sheet}, ground {self.ground}; "
                "valid: finite numbers, a light from above",
            )


def random_appearance(
    rng: np.random.Generator, strength: float, workspace: Workspace
) -> VisualAppearance:
    """Return a random appearance whose deviation from VIMA-Bench's scales with ``strength``.

    Clutter lies in ``workspace``.
    Raises VimaError (INVALID_VALUE) for a strength outside 0 to 1.
    """
    if not 0.0 <= strength <= 1.0:
        raise VimaError("INVALID_VALUE", f"visual randomization {strength}; valid: 0 to 1")
    plain = VisualAppearance()

    def blend(value: float, low: float, high: float) -> float:
        """Blend ``value`` (strength 0) with a random value from low to high (strength 1)."""
        return value + strength * (float(rng.uniform(low, high)) - value)

    def random_colour(colour: Colour, low: float, high: float) -> Colour:
        grey = rng.uniform(low, high)
        target = np.clip(grey + rng.uniform(-0.12, 0.12, 3), 0.0, 1.0)
        return _colour(np.array(colour) + strength * (target - np.array(colour)))

    direction = (blend(0.25, -0.8, 0.8), blend(0.15, -0.8, 0.8), -1.0)
    ambient = blend(plain.ambient, 0.35, 0.75)
    diffuse = blend(plain.diffuse, 0.2, 0.6)
    sheet, ground = random_colour(plain.sheet, 0.05, 0.55), random_colour(plain.ground, 0.4, 1.0)
    front, top = (
        CameraError(
            shift=(blend(0.0, -0.01, 0.01), blend(0.0, -0.01, 0.01)),
            roll=blend(0.0, -0.03, 0.03),
            tilt=blend(0.0, -0.03, 0.03),
            zoom=blend(1.0, 0.97, 1.03),
        )
        for _ in range(2)
    )
    clutter = tuple(
        _clutter_patch(rng, sheet, workspace) for _ in range(rng.integers(round(5 * strength) + 1))
    )
    shadows = bool(rng.random() < 0.5 * strength)
    return VisualAppearance(
        direction, ambient, diffuse, sheet, ground, front, top, clutter, shadows
    )


def _clutter_patch(rng: np.random.Generator, sheet: Colour, workspace: Workspace) -> ClutterPatch:
    """Return a random patch in the workspace, at most 4 cm long, in a colour like the sheet's."""
    x, y = rng.uniform(workspace.low, workspace.high)
    width, depth = rng.uniform([0.01, 0.005], [0.04, 0.02])
    colour = _colour(np.array(sheet) + rng.uniform(-0.2, 0.2, 3))
    return ClutterPatch(
        (float(x), float(y)), (float(width), float(depth)), float(rng.uniform(0, math.pi)), colour
    )


def _colour(values: Sequence[float] | np.ndarray) -> Colour:
    red, green, blue = (float(value) for value in np.clip(values, 0.0, 1.0))
    return red, green, blue
