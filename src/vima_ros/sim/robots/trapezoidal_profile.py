"""Straight motion of the tool with a trapezoidal velocity profile."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

ACCELERATION = 4.0  # of the tool tip [m/s²]
TURN_RADIUS = 0.15  # a rotation by 1 rad takes as long as this distance [m]


@dataclass(frozen=True, eq=False)
class TrapezoidalProfile:
    """Motion from ``start`` to ``end`` with at most ``speed`` [m/s].

    Both are (4,) x, y, z [m] and yaw [rad]; the tool rotates the shorter way.
    """

    start: np.ndarray
    end: np.ndarray
    speed: float

    @cached_property
    def change(self) -> np.ndarray:
        """Displacement (4,) [m, m, m, rad]; the rotation is in [-pi, pi)."""
        change = self.end - self.start
        change[3] = (change[3] + math.pi) % (2.0 * math.pi) - math.pi
        return change

    @cached_property
    def length(self) -> float:
        """Distance of the tool tip, or that of the rotation if longer [m]."""
        change = self.change
        return max(float(np.linalg.norm(change[:3])), abs(change[3]) * TURN_RADIUS)

    @cached_property
    def _peak(self) -> float:
        return min(self.speed, math.sqrt(self.length * ACCELERATION))

    @cached_property
    def duration(self) -> float:
        """Duration of the motion [s]."""
        peak = self._peak
        return self.length / peak + peak / ACCELERATION if peak > 0.0 else 0.0

    def at(self, time: float) -> tuple[np.ndarray, np.ndarray]:
        """Return position (4,) and velocity (4,) at ``time`` [s] after the start.

        After the end they are the end position and zero.
        """
        length, peak, duration = self.length, self._peak, self.duration
        if time >= duration:
            return self.start + self.change, np.zeros(4)
        ramp = peak / ACCELERATION
        if time < ramp:
            distance, speed = ACCELERATION * time**2 / 2, ACCELERATION * time
        elif time < duration - ramp:
            distance, speed = peak * (time - ramp / 2), peak
        else:
            left = duration - time
            distance, speed = length - ACCELERATION * left**2 / 2, ACCELERATION * left
        direction = self.change / length
        return self.start + distance * direction, speed * direction
