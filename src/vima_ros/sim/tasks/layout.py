"""Sampling of initial layouts: random objects at free poses on the table."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TypeVar

import numpy as np

from vima_ros.errors import NoRoomError
from vima_ros.geometry import Workspace
from vima_ros.sim.model.shapes import find_shape
from vima_ros.sim.scene import SceneObject

_ATTEMPTS = 200
_GAP = 0.015  # minimum distance of the circles around two objects [m]
# An object at a goal position must not be within the tolerance (at most 0.125 m) of another.
_MIN_DISTANCE = 0.15  # between two centres [m]
_EDGE = 0.015  # margin at the edge of the workspace: positions have bins of 1 cm [m]

XY = tuple[float, float]
Kind = TypeVar("Kind")


def choose(random: np.random.Generator, options: Sequence[Kind]) -> Kind:
    """Draw one option uniformly; unlike numpy's choice it keeps the Python type."""
    return options[int(random.integers(len(options)))]


def choose_different(
    random: np.random.Generator, options: Sequence[Kind], count: int
) -> tuple[Kind, ...]:
    """Draw ``count`` different options in random order."""
    return tuple(options[int(k)] for k in random.permutation(len(options))[:count])


def random_yaw(random: np.random.Generator) -> float:
    """Draw a yaw [rad] uniformly."""
    return float(random.uniform(-math.pi, math.pi))


def random_scale(random: np.random.Generator, shape: str) -> float:
    """Draw a scale of an object of this shape."""
    return float(random.uniform(*find_shape(shape).scale_range))


class LayoutSampler:
    """Sampler of free poses inside ``workspace``, apart from each other, at any yaw."""

    def __init__(self, random: np.random.Generator, workspace: Workspace) -> None:
        self._random, self.workspace = random, workspace
        self._taken: list[tuple[XY, float]] = []  # centre and radius [m]

    def empty(self) -> LayoutSampler:
        """Return a sampler for the same workspace with nothing on it."""
        return LayoutSampler(self._random, self.workspace)

    def from_center(self, places: Iterable[XY]) -> list[XY]:
        """Return the positions of ``places``, given from the workspace's center [m]."""
        x, y = self.workspace.center
        return [(x + dx, y + dy) for dx, dy in places]

    def occupy(self, shape: str, position_xy: XY) -> None:
        """Reserve the place of an object."""
        self._taken.append((position_xy, find_shape(shape).radius))

    def free_pose(self, shape: str) -> tuple[XY, float]:
        """Sample and reserve a position and yaw for an object of that shape.

        Raises NoRoomError.
        """
        radius = find_shape(shape).radius
        low = np.array(self.workspace.low) + radius + _EDGE
        high = np.array(self.workspace.high) - radius - _EDGE
        for _ in range(_ATTEMPTS if (low < high).all() else 0):
            x, y = self._random.uniform(low, high)
            if all(self._is_clear((x, y), radius, *other) for other in self._taken):
                self._taken.append(((float(x), float(y)), radius))
                return (float(x), float(y)), random_yaw(self._random)
        raise NoRoomError(
            f"no room for {shape} beside {len(self._taken)} others; valid: fewer or smaller ones"
        )

    def place(self, name: str, shape: str, texture: str, **more: float) -> SceneObject:
        """Return an object at a free pose; ``more``: other fields of SceneObject."""
        position, yaw = self.free_pose(shape)
        scale = random_scale(self._random, shape)
        return SceneObject(name, shape, texture, position, yaw, scale, **more)

    @staticmethod
    def _is_clear(place: XY, radius: float, other: XY, other_radius: float) -> bool:
        min_distance = max(radius + other_radius + _GAP, _MIN_DISTANCE)
        return math.dist(place, other) > min_distance
