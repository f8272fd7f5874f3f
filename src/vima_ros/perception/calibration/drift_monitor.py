"""Looks now and then whether a camera has moved since it was calibrated."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from vima_ros.perception.calibration.calibration import Calibration
from vima_ros.perception.calibration.drift import DriftMonitor
from vima_ros.perception.pipeline import naming

MOVED_IN_A_ROW = 3  # looks: an arm that crosses the reference moves on, a knocked camera does not
UNSEEN_AFTER = 30.0  # [s] of seeing nothing to go by, until that is said


class DriftWatch:
    """``warnings``: what to tell, "CODE: sentence" each, by the latest look; may be read anywhere.

    ``calibrations`` by view; ``period`` [s], 0 = never; ``limit`` [px of the camera].
    """

    def __init__(
        self, calibrations: Mapping[str, Calibration], period: float, limit: float
    ) -> None:
        self.warnings: tuple[str, ...] = ()
        self.moved: dict[str, float] = {}  # [px], by view; nan: nothing seen
        self._monitors = {
            view: DriftMonitor(calibration, limit_px=limit)
            for view, calibration in calibrations.items()
            if period
        }
        self._period, self._due = period, -math.inf
        self._last_seen: dict[str, float] = {}
        self._in_a_row: dict[str, int] = {}  # looks that found it moved

    def check(self, pictures: Mapping[str, np.ndarray], now: float) -> None:
        """Look at the cameras' pictures if it is time; ``now`` [s], steady. Tens of ms."""
        if not self._monitors or now < self._due:
            return
        self._due = now + self._period
        said = []
        for view, monitor in self._monitors.items():
            with naming(view):
                drift = monitor.check(pictures[view])
            self.moved[view] = round(drift.moved_px, 2)
            if drift.by != "nothing":
                self._last_seen[view] = now
            self._in_a_row[view] = self._in_a_row.get(view, 0) + 1 if drift.moved else 0
            if self._in_a_row[view] >= MOVED_IN_A_ROW:
                said.append(f"CALIBRATION_MOVED: {view} view: {drift.message}")
            elif now - self._last_seen.setdefault(view, now) > UNSEEN_AFTER:
                said.append(f"CALIBRATION_UNVERIFIED: {view} view: {drift.message}")
        self.warnings = tuple(said)
