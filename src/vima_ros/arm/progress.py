"""Whether a motion makes progress, and how long it may take."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from vima_ros.arm.primitives import Waypoint
from vima_ros.arm.trajectory_planning import JointPlan
from vima_ros.geometry import Pose

MIN_PROGRESS = 1e-3  # less is none: of a joint [rad], of the tool [m]
MAX_REPORT_GAP = 0.5  # longer silence counts as this long: it is the watchdog's affair [s]
SMOOTHING_TIME = 0.3  # an encoder that flickers between two steps makes no progress [s]
TOTAL_FACTOR = 20.0  # a motion may take this many times its planned duration
MIN_TOTAL_TIMEOUT = 10.0  # even of a motion that is planned to take no time [s]
_LEVER = 0.1  # a turn of the tool counts as motion of points this far from its tip [m]


class ProgressMonitor:
    """Time without progress of what reports where it is. Times [s] on one steady clock.

    ``idle_time``: since the last progress of ``MIN_PROGRESS`` in any component, or the beginning.
    ``has_moved``: there was some since the beginning.
    """

    def __init__(self) -> None:
        self.begin()

    def begin(self, needs_motion: bool = True) -> None:
        """Count anew: a move begins; without ``needs_motion`` it ends where it begins."""
        self.idle_time, self.has_moved = 0.0, not needs_motion
        self._last: float | None = None
        self._mark = self._smooth = np.zeros(0)

    def update(self, place: np.ndarray, now: float) -> None:
        """Take in a report: ``place`` (k,) [rad or m]."""
        if self._last is None:
            self._last, self._mark, self._smooth = now, place, place
            return
        gap, self._last = now - self._last, now
        self.idle_time += min(gap, MAX_REPORT_GAP)
        self._smooth = self._smooth + min(gap / SMOOTHING_TIME, 1.0) * (place - self._smooth)
        if np.abs(self._smooth - self._mark).max() >= MIN_PROGRESS:
            self._mark, self.idle_time, self.has_moved = self._smooth, 0.0, True

    def overdue(self, start_timeout: float, progress_timeout: float) -> str:
        """Return NOT_STARTED or TIMEOUT where the move did not begin or go on in time, else "".

        A timeout of 0 [s] is none; without one for the start, that for progress counts.
        """
        starting = not self.has_moved and start_timeout > 0
        timeout = start_timeout if starting else progress_timeout
        if not 0 < timeout < self.idle_time:
            return ""
        return "NOT_STARTED" if starting else "TIMEOUT"


def tool_points(pose: Pose) -> np.ndarray:
    """Three points of the tool (9,) [m]: two poses are as far apart as these."""
    x, y, z, w = pose.quaternion / np.linalg.norm(pose.quaternion)
    forward = np.array([1 - 2 * (y * y + z * z), 2 * (x * y + z * w), 2 * (x * z - y * w)])
    left = np.array([2 * (x * y - z * w), 1 - 2 * (x * x + z * z), 2 * (y * z + x * w)])
    tip = pose.position
    return np.concatenate([tip, tip + _LEVER * forward, tip + _LEVER * left])


def planned_duration(waypoints: Sequence[Waypoint], plan: JointPlan | None = None) -> float:
    """Of ``plan``, else of straight lines at max_speed from the first waypoint on; dwells too [s].

    Without a plan, the way to the first waypoint is left out: where the tool comes from may not
    be known.
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
    """How long a motion planned to take ``duration`` may take in all [s]."""
    return max(TOTAL_FACTOR * duration, MIN_TOTAL_TIMEOUT)
