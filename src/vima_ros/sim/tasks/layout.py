"""Where things stand when an episode starts: free places on the table, and objects as drawn."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeVar

import numpy as np

from vima_ros.errors import VimaError
from vima_ros.geometry import Workspace
from vima_ros.sim.model.shapes import SHAPES
from vima_ros.sim.scene import SceneObject

_ATTEMPTS = 200
_GAP = 0.015  # between the circles around two objects [m]
# Whoever is put on a place shall not be within the tolerance (at most 0.125 m) of another.
_LEAST_DISTANCE = 0.15  # between two centres [m]
_EDGE = 0.015  # free at the edge of the workspace: positions have bins of 1 cm [m]

XY = tuple[float, float]
Kind = TypeVar("Kind")


def choose(random: np.random.Generator, options: Sequence[Kind]) -> Kind:
    """One of them, each as likely; unlike numpy's own it keeps the Python type."""
    return options[int(random.integers(len(options)))]


def choose_different(
    random: np.random.Generator, options: Sequence[Kind], count: int
) -> tuple[Kind, ...]:
    """``count`` different ones in random order."""
    return tuple(options[int(k)] for k in random.permutation(len(options))[:count])


def random_yaw(random: np.random.Generator) -> float:
    """Any [rad]."""
    return float(random.uniform(-math.pi, math.pi))


def random_scale(random: np.random.Generator, shape: str) -> float:
    """One of those that objects of this shape have."""
    return float(random.uniform(*SHAPES[shape].scale_range))


class LayoutSampler:
    """Finds free places: apart from each other, inside the workspace, at any yaw."""

    def __init__(self, random: np.random.Generator) -> None:
        self._random, self._workspace = random, Workspace()
        self._taken: list[tuple[XY, float]] = []  # centre and radius [m]

    def occupy(self, shape: str, position_xy: XY) -> None:
        """Keep others off what stands there."""
        self._taken.append((position_xy, SHAPES[shape].radius))

    def free_place(self, shape: str) -> tuple[XY, float]:
        """Position and yaw for an object of that shape, occupied from now on.

        Raises VimaError (NO_ROOM).
        """
        radius = SHAPES[shape].radius
        low = np.array(self._workspace.low) + radius + _EDGE
        high = np.array(self._workspace.high) - radius - _EDGE
        for _ in range(_ATTEMPTS):
            x, y = self._random.uniform(low, high)
            if all(self._apart((x, y), radius, *other) for other in self._taken):
                self._taken.append(((float(x), float(y)), radius))
                return (float(x), float(y)), random_yaw(self._random)
        raise VimaError(
            "NO_ROOM",
            f"no room for {shape} beside {len(self._taken)} others; valid: fewer or smaller ones",
        )

    def place(self, name: str, shape: str, texture: str, **more: float) -> SceneObject:
        """An object at a free place; ``more``: other fields of SceneObject."""
        position, yaw = self.free_place(shape)
        scale = random_scale(self._random, shape)
        return SceneObject(name, shape, texture, position, yaw, scale, **more)

    @staticmethod
    def _apart(place: XY, radius: float, other: XY, other_radius: float) -> bool:
        least = max(radius + other_radius + _GAP, _LEAST_DISTANCE)
        return math.dist(place, other) > least
