"""Progress of a motion, and the time it may take."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from vima_ros.arm.primitives import Waypoint
from vima_ros.arm.trajectory_planning import JointPlan
from vima_ros.geometry import Pose

MIN_PROGRESS = 1e-3  # of a joint [rad] or of the tool [m]
MAX_REPORT_GAP = 0.5  # a longer silence counts as this long: SilenceDetector handles it [s]
SMOOTHING_TIME = 0.3  # so that an encoder that flickers between two steps shows no progress [s]
TOTAL_TIMEOUT_FACTOR = 20.0  # a motion may take this many times its planned duration
MIN_TOTAL_TIMEOUT = 10.0  # even of a motion with a planned duration of 0 [s]
_LEVER = 0.1  # a rotation of the tool counts as motion of points this far from its tip [m]


class ProgressMonitor:
    """Monitor of the time without progress of reported positions [s, steady clock].

    ``idle_time``: since any component last progressed by ``MIN_PROGRESS``, or since the beginning.
    ``has_moved``: True after the first progress.
    """

    def __init__(self) -> None:
        self.begin()

    def begin(self, needs_motion: bool = True) -> None:
        """Restart when a move begins; without ``needs_motion`` it ends where it begins."""
        self.idle_time, self.has_moved = 0.0, not needs_motion
        self._last: float | None = None
        self._reference: np.ndarray = np.zeros(0)
        self._smoothed: np.ndarray = np.zeros(0)

    def update(self, position: np.ndarray, now: float) -> None:
        """Process a report: ``position`` (k,) [rad or m]."""
        if self._last is None:
            self._last, self._reference, self._smoothed = now, position, position
            return
        gap, self._last = now - self._last, now
        self.idle_time += min(gap, MAX_REPORT_GAP)
        self._smoothed = self._smoothed + min(gap / SMOOTHING_TIME, 1.0) * (
            position - self._smoothed
        )
        if np.abs(self._smoothed - self._reference).max() >= MIN_PROGRESS:
            self._reference, self.idle_time, self.has_moved = self._smoothed, 0.0, True

    def overdue(self, start_timeout: float, progress_timeout: float) -> str:
        """Return NOT_STARTED or TIMEOUT if the move did not begin or progress in time, else "".

        A timeout of 0 [s] never expires; without one for the start, that for progress counts.
        """
        starting = not self.has_moved and start_timeout > 0
        timeout = start_timeout if starting else progress_timeout
        if not 0 < timeout < self.idle_time:
            return ""
        return "NOT_STARTED" if starting else "TIMEOUT"


def tool_points(pose: Pose) -> np.ndarray:
    """Return three points of the tool (9,) [m], whose distances measure those of two poses."""
    x, y, z, w = pose.quaternion / np.linalg.norm(pose.quaternion)
    forward = np.array([1 - 2 * (y * y + z * z), 2 * (x * y + z * w), 2 * (x * z - y * w)])
    left = np.array([2 * (x * y - z * w), 1 - 2 * (x * x + z * z), 2 * (y * z + x * w)])
    tip = pose.position
    return np.concatenate([tip, tip + _LEVER * forward, tip + _LEVER * left])


def planned_duration(waypoints: Sequence[Waypoint], plan: JointPlan | None = None) -> float:
    """Return the duration of a motion with its dwells [s].

    It is that of ``plan``, else that of straight lines at max_speed from the first waypoint on:
    the position of the tool before may not be known.
    """
    dwells = sum(waypoint.dwell for waypoint in waypoints)
    if plan is not None:
        return plan.duration + dwells
    lengths = (
        float(np.linalg.norm(after.pose.position - before.pose.position)) / after.max_speed
        for before, after in pairwise(waypoints)
    )
    return sum(lengths) + dwells


def total_timeout(duration: float) -> float:
    """Return the timeout of a motion whose planned duration is ``duration`` [s]."""
    return max(TOTAL_TIMEOUT_FACTOR * duration, MIN_TOTAL_TIMEOUT)
