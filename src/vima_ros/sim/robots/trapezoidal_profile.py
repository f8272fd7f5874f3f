"""One straight move of the tool, with limited speed and acceleration."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

ACCELERATION = 4.0  # of the tip [m/s²]
TURN_RADIUS = 0.15  # turning by 1 rad counts as this many metres of way [m]


@dataclass(frozen=True, eq=False)
class StraightMove:
    """From ``start`` to ``end``, both (4,) x, y, z [m] and yaw [rad], never above ``speed`` [m/s].

    Speed goes up, stays and goes down (a trapezoid); the tool turns by the shorter way meanwhile.
    """

    start: np.ndarray
    end: np.ndarray
    speed: float

    @cached_property
    def change(self) -> np.ndarray:
        """(4,) [m, m, m, rad]; the turn is in [-pi, pi)."""
        change = self.end - self.start
        change[3] = (change[3] + math.pi) % (2.0 * math.pi) - math.pi
        return change

    @cached_property
    def length(self) -> float:
        """The way of the tip, or of the turn if that is longer [m]."""
        change = self.change
        return max(float(np.linalg.norm(change[:3])), abs(change[3]) * TURN_RADIUS)

    @cached_property
    def _peak(self) -> float:
        return min(self.speed, math.sqrt(self.length * ACCELERATION))

    @cached_property
    def duration(self) -> float:
        """[s]."""
        peak = self._peak
        return self.length / peak + peak / ACCELERATION if peak > 0.0 else 0.0

    def at(self, time: float) -> tuple[np.ndarray, np.ndarray]:
        """Position (4,) and velocity (4,) ``time`` [s] after the start; it stays at the end."""
        length, peak, duration = self.length, self._peak, self.duration
        if time >= duration:
            return self.start + self.change, np.zeros(4)
        ramp = peak / ACCELERATION
        if time < ramp:
            way, speed = ACCELERATION * time**2 / 2, ACCELERATION * time
        elif time < duration - ramp:
            way, speed = peak * (time - ramp / 2), peak
        else:
            left = duration - time
            way, speed = length - ACCELERATION * left**2 / 2, ACCELERATION * left
        direction = self.change / length
        return self.start + way * direction, speed * direction
