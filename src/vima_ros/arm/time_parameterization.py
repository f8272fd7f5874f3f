"""Time parameterization of joint-space paths under velocity and acceleration limits."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

_PIECES_PER_SPAN = (
    4  # of the path between two knots: acceleration along the path is constant in each
)
_MIN_PIECES = 24  # of a whole path
_LIMIT_FRACTION = (
    0.98  # of each limit that is used: a controller interpolates between the points it gets
)
_CENTRIPETAL_FRACTION = 0.5  # of the acceleration limit that is left to the curvature of the path
_MIN_DURATION = 0.05  # even of a path without motion [s]
_MIN_PATH_LENGTH = 1e-9  # a path on which no joint moves further has no motion [rad]


@dataclass(frozen=True)
class JointLimits:
    """Limits of the joints besides those of position and velocity, which are in the URDF.

    ``max_acceleration`` of each joint [rad/s²]. Universal Robots publishes none for the UR5e; this
    default is about three times that of its moveJ (1.4), and no joint of the UR5e needs half of
    its torque for it.
    """

    max_acceleration: float = 4.0


@dataclass(frozen=True, eq=False)
class JointPath:
    """Cubic Hermite spline in joint space over s in [0, 1], with evenly spaced knots.

    ``knots``, ``slopes`` (k, n) [rad, rad per unit of s]; ``max_tip_rate``: maximum speed of the
    tip along it [m per unit of s].
    """

    knots: np.ndarray
    slopes: np.ndarray
    max_tip_rate: float

    def sample(self, pieces: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return joints and their first and second derivatives by s at the ends of ``pieces``.

        ``pieces``: number between two knots. Each result is (k - 1, pieces + 1, n); the second
        derivative differs on both sides of a knot.
        """
        spans = len(self.knots) - 1
        u = np.linspace(0.0, 1.0, pieces + 1)[:, None]
        p0, rise = self.knots[:-1, None], np.diff(self.knots, axis=0)[:, None]
        m0, m1 = self.slopes[:-1, None] / spans, self.slopes[1:, None] / spans
        c2, c3 = 3 * rise - 2 * m0 - m1, m0 + m1 - 2 * rise
        first, second = m0 + u * (2 * c2 + 3 * u * c3), 2 * c2 + 6 * u * c3
        return p0 + u * (m0 + u * (c2 + u * c3)), first * spans, second * spans**2


def time_parameterize(
    path: JointPath, max_velocity: np.ndarray, max_acceleration: float, max_tip_speed: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return times (m,) [s], joint positions (m, n) and velocities (m, n), from rest to rest.

    The path is followed as fast as ``max_velocity`` (n,), ``max_acceleration`` of each joint and
    ``max_tip_speed`` [m/s] allow: a speed limit for each piece of the path, then a forward pass
    that limits the acceleration and a backward pass that limits the deceleration (Bobrow et al.,
    "Time-optimal control of robotic manipulators along specified paths", IJRR 4(3), 1985, with a
    fixed fraction of the acceleration left to the curvature, which keeps it simple). Between the
    times, the cubic through positions and velocities stays within the limits too.
    """
    spans, width = len(path.knots) - 1, path.knots.shape[1]
    if max(np.abs(path.slopes).max(), np.ptp(path.knots, axis=0).max()) < _MIN_PATH_LENGTH:
        return np.array([0.0, _MIN_DURATION]), path.knots[[0, -1]], np.zeros((2, width))
    pieces = max(_PIECES_PER_SPAN, math.ceil(_MIN_PIECES / spans))
    joints, first, second = path.sample(pieces)
    step = 1.0 / (spans * pieces)
    # The maximum derivatives in each piece, (spans * pieces, n), are those at its ends: the second
    # is linear in s, and the first deviates so little that _LIMIT_FRACTION covers it.
    curvature = np.maximum(np.abs(second[:, :-1]), np.abs(second[:, 1:])).reshape(-1, width)
    slope = np.maximum(np.abs(first[:, :-1]), np.abs(first[:, 1:])).reshape(-1, width)
    limit = _LIMIT_FRACTION * max_acceleration
    with np.errstate(
        divide="ignore", over="ignore"
    ):  # a joint that does not move allows any speed
        squares = np.minimum(
            (1 / _MIN_DURATION) ** 2,
            np.square(_LIMIT_FRACTION * max_tip_speed / np.float64(path.max_tip_rate)),
        )
        squares = np.minimum(
            squares, np.min((_LIMIT_FRACTION * max_velocity / slope) ** 2, axis=1)
        )
        squares = np.minimum(squares, np.min(_CENTRIPETAL_FRACTION * limit / curvature, axis=1))
        max_change = 2 * step * np.min((limit - curvature * squares[:, None]) / slope, axis=1)
    rate = np.sqrt(_limit_changes(squares, max_change))
    times = np.concatenate([[0.0], np.cumsum(2 * step / (rate[:-1] + rate[1:]))])
    positions = np.concatenate([joints[:, :-1].reshape(-1, width), path.knots[-1:]])
    slopes = np.concatenate([first[:, :-1].reshape(-1, width), path.slopes[-1:]])
    return times, positions, slopes * rate[:, None]


def _limit_changes(max_squares: np.ndarray, max_changes: np.ndarray) -> np.ndarray:
    """Return squared speeds (m + 1,) at the ends of m pieces, zero at both ends of the path.

    ``max_squares``: their maximum in each piece; ``max_changes``: the maximum change in each.
    """
    squares = [0.0, *np.minimum(max_squares[:-1], max_squares[1:]).tolist(), 0.0]
    changes = max_changes.tolist()
    for i, change in enumerate(changes):
        squares[i + 1] = min(squares[i + 1], squares[i] + change)
    for i in range(len(changes) - 1, -1, -1):
        squares[i] = min(squares[i], squares[i + 1] + changes[i])
    return np.array(squares)
