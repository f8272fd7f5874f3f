"""Poses, quaternions and the workspace. Metres and radians, base frame, xyzw (REP 103)."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from vima_ros.errors import VimaError


def yaw_from_quaternion(quaternion_xyzw: np.ndarray) -> float:
    """Rotation about +z that is nearest to a quaternion (swing-twist) [rad], in (-pi, pi].

    The quaternion (4,) need not be of unit length.

    Raises VimaError (NOT_FINITE) for a quaternion without a yaw: not finite, of zero length, or a
    half turn about a horizontal axis.
    """
    q = np.asarray(quaternion_xyzw, dtype=np.float64)
    if q.shape != (4,) or not np.isfinite(q).all() or math.hypot(q[2], q[3]) < 1e-6:
        raise VimaError(
            "NOT_FINITE",
            f"quaternion xyzw {q.tolist()} has no yaw; "
            "valid: four finite numbers, z and w not both 0",
        )
    return _wrap(2.0 * math.atan2(q[2], q[3]))


def quaternion_from_yaw(yaw: float) -> np.ndarray:
    """Unit quaternion xyzw (4,) float64 of a rotation by ``yaw`` [rad] about +z."""
    return np.array([0.0, 0.0, math.sin(yaw / 2.0), math.cos(yaw / 2.0)])


def _wrap(angle: float) -> float:
    """The same angle in (-pi, pi] [rad]."""
    wrapped = math.remainder(angle, 2.0 * math.pi)
    return math.pi if wrapped == -math.pi else wrapped


@dataclass(frozen=True, eq=False)
class Pose:
    """``position`` (3,) float64 [m] and ``quaternion`` (4,) float64 xyzw, in the base frame.

    The quaternion is kept as it is given: the policy's is neither exact nor of unit length.
    """

    position: np.ndarray
    quaternion: np.ndarray

    def __post_init__(self) -> None:
        for name, size in (("position", 3), ("quaternion", 4)):
            value = np.array(getattr(self, name), dtype=np.float64)
            if value.shape != (size,):
                raise VimaError(
                    "INVALID_VALUE", f"Pose.{name} has shape {value.shape}; valid: ({size},)"
                )
            value.setflags(write=False)
            object.__setattr__(self, name, value)

    @property
    def is_finite(self) -> bool:
        """Whether all seven numbers are finite."""
        return bool(np.isfinite(self.position).all() and np.isfinite(self.quaternion).all())


@dataclass(frozen=True)
class Workspace:
    """The rectangle on the table that the policy's fractions span [m], base frame.

    The default is VIMA-Bench's: x in [0.25, 0.75], y in [-0.5, 0.5].
    """

    low: tuple[float, float] = field(default=(0.25, -0.5))
    high: tuple[float, float] = field(default=(0.75, 0.5))

    def __post_init__(self) -> None:
        low, high = np.asarray(self.low, float), np.asarray(self.high, float)
        if low.shape != (2,) or high.shape != (2,) or not (low < high).all():
            raise VimaError(
                "INVALID_VALUE",
                f"workspace low {self.low}, high {self.high}; "
                "valid: two numbers each [m], low < high",
            )
        object.__setattr__(self, "low", (float(low[0]), float(low[1])))
        object.__setattr__(self, "high", (float(high[0]), float(high[1])))

    def contains(self, x: float, y: float, tolerance: float = 1e-6) -> bool:
        """Whether the point (x, y) [m] lies inside, the edge (and ``tolerance`` [m]) included."""
        inside_x = self.low[0] - tolerance <= x <= self.high[0] + tolerance
        return inside_x and self.low[1] - tolerance <= y <= self.high[1] + tolerance

    def clamp(self, x: float, y: float) -> tuple[float, float]:
        """The point of the workspace nearest to (x, y) [m]."""
        return (
            min(max(x, self.low[0]), self.high[0]),
            min(max(y, self.low[1]), self.high[1]),
        )
