"""A path through the joints, and how fast it can be followed."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

_PIECES = 4  # of the path between two knots: speed changes evenly in each
_FEWEST_PIECES = 24  # of a whole path
_MARGIN = 0.98  # of each limit is used: a controller interpolates between the points it is given
_BEND_SHARE = 0.5  # of the acceleration may go into the bends of the path
_SHORTEST = 0.05  # even a path that leads nowhere takes this long [s]
_NOWHERE = 1e-9  # a path on which no joint moves further leads nowhere [rad]


@dataclass(frozen=True)
class JointLimits:
    """What the joints may do; positions and velocities are limited by the robot's URDF.

    ``acceleration`` of each joint [rad/s²]. The maker publishes none for the UR5e; ours is about
    three times the default of its own joint move (1.4), at which no joint of the UR5e needs half
    of its torque.
    """

    acceleration: float = 4.0


@dataclass(frozen=True, eq=False)
class JointPath:
    """A cubic Hermite spline over s in [0, 1], knots evenly spaced.

    ``knots``, ``slopes`` (k, n) [rad, rad per unit of s]; ``tip_rate``: the fastest the tip moves
    along it [m per unit of s].
    """

    knots: np.ndarray
    slopes: np.ndarray
    tip_rate: float

    def sample(self, pieces: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Joints, first and second derivative by s at the ends of ``pieces`` between two knots.

        Each (k - 1, pieces + 1, n); the second derivative differs on both sides of a knot.
        """
        spans = len(self.knots) - 1
        u = np.linspace(0.0, 1.0, pieces + 1)[:, None]
        p0, rise = self.knots[:-1, None], np.diff(self.knots, axis=0)[:, None]
        m0, m1 = self.slopes[:-1, None] / spans, self.slopes[1:, None] / spans
        c2, c3 = 3 * rise - 2 * m0 - m1, m0 + m1 - 2 * rise
        first, second = m0 + u * (2 * c2 + 3 * u * c3), 2 * c2 + 6 * u * c3
        return p0 + u * (m0 + u * (c2 + u * c3)), first * spans, second * spans**2


def time_path(
    path: JointPath, max_velocity: np.ndarray, acceleration: float, speed: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Times (m,) [s], joints (m, n) and their velocities (m, n), from rest to rest.

    Everywhere as fast as ``max_velocity`` (n,), ``acceleration`` of each joint and ``speed`` [m/s]
    of the tip allow: a speed limit for each piece of the path, then one pass forward that limits
    how fast it is gained and one backward that limits how fast it is lost (Bobrow et al., "Time-
    optimal control of robotic manipulators along specified paths", IJRR 4(3), 1985; ours leaves
    a fixed share of the acceleration to the bends, which keeps it simple). Between the times, the
    cubic through positions and velocities stays within the limits too.
    """
    spans, width = len(path.knots) - 1, path.knots.shape[1]
    if max(np.abs(path.slopes).max(), np.ptp(path.knots, axis=0).max()) < _NOWHERE:
        return np.array([0.0, _SHORTEST]), path.knots[[0, -1]], np.zeros((2, width))
    pieces = max(_PIECES, math.ceil(_FEWEST_PIECES / spans))
    joints, first, second = path.sample(pieces)
    step = 1.0 / (spans * pieces)
    # The largest derivatives in each piece, (spans * pieces, n), are those at its ends: the second
    # is a straight line, and the first bends so little that the margin covers it.
    bend = np.maximum(np.abs(second[:, :-1]), np.abs(second[:, 1:])).reshape(-1, width)
    slope = np.maximum(np.abs(first[:, :-1]), np.abs(first[:, 1:])).reshape(-1, width)
    limit = _MARGIN * acceleration
    with np.errstate(divide="ignore", over="ignore"):  # a joint at rest allows any speed
        squares = np.minimum(
            (1 / _SHORTEST) ** 2, np.square(_MARGIN * speed / np.float64(path.tip_rate))
        )
        squares = np.minimum(squares, np.min((_MARGIN * max_velocity / slope) ** 2, axis=1))
        squares = np.minimum(squares, np.min(_BEND_SHARE * limit / bend, axis=1))
        gain = 2 * step * np.min((limit - bend * squares[:, None]) / slope, axis=1)
    rate = np.sqrt(_limit_changes(squares, gain))
    times = np.concatenate([[0.0], np.cumsum(2 * step / (rate[:-1] + rate[1:]))])
    positions = np.concatenate([joints[:, :-1].reshape(-1, width), path.knots[-1:]])
    slopes = np.concatenate([first[:, :-1].reshape(-1, width), path.slopes[-1:]])
    return times, positions, slopes * rate[:, None]


def _limit_changes(squares: np.ndarray, gain: np.ndarray) -> np.ndarray:
    """Squared speeds (m + 1,) at the ends of m pieces, zero at both ends of the path.

    ``squares``: the most in each piece; ``gain``: the most that it may change in each.
    """
    speeds = [0.0, *np.minimum(squares[:-1], squares[1:]).tolist(), 0.0]
    gains = gain.tolist()
    for i, more in enumerate(gains):
        speeds[i + 1] = min(speeds[i + 1], speeds[i] + more)
    for i in range(len(gains) - 1, -1, -1):
        speeds[i] = min(speeds[i], speeds[i + 1] + gains[i])
    return np.array(speeds)
