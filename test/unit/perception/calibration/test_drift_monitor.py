"""Period and warnings of the drift monitor."""

from dataclasses import dataclass, fields

import pytest

from vima_ros.perception.calibration import drift
from vima_ros.perception.calibration.drift import DriftMonitor, DriftResult


@dataclass
class FakeResult:
    """Of a monitor."""

    moved: bool = False
    moved_px: float = 0.1
    reference: str = "corners"
    message: str = "as calibrated"


@pytest.fixture
def monitors(monkeypatch):
    """Monitors by calibration, that answer as told and remember what they were shown."""
    made = {}

    class Monitor:
        def __init__(self, calibration, limit_px):
            self.limit, self.shown, self.answer = limit_px, [], FakeResult()
            made[calibration] = self

        def check(self, image):
            self.shown.append(image)
            return self.answer

    monkeypatch.setattr(drift, "DriftDetector", Monitor)
    return made


def monitor_with(period=2.0):
    return DriftMonitor({"front": "f", "top": "t"}, period, 1.5)


IMAGES = {"front": "front image", "top": "top image"}


def test_each_camera_is_checked_once_per_period(monitors):
    monitor = monitor_with()
    for now in (10.0, 10.5, 11.9, 12.0, 13.9, 14.1):
        monitor.check(IMAGES, now)
    assert monitors["f"].shown == ["front image"] * 3
    assert monitors["t"].shown == ["top image"] * 3
    assert monitors["t"].limit == 1.5
    assert monitor.warnings == {}
    assert monitor.moved == {"front": 0.1, "top": 0.1}


def test_a_moved_camera_gives_a_warning_after_three_checks_until_it_is_back(monitors):
    monitor = monitor_with()
    told = []
    for look, moved in enumerate([1, 1, 0, 1, 1, 1, 1, 0, 1]):
        monitors["t"].answer = FakeResult(moved=bool(moved), message="4 px to the left")
        monitor.check(IMAGES, 2.0 * look)
        told.append(len(monitor.warnings))
        assert set(monitor.warnings.values()) <= {"CALIBRATION_MOVED: top view: 4 px to the left"}
    assert told == [0, 0, 0, 0, 0, 1, 1, 0, 0]


def test_a_hidden_reference_gives_a_warning_only_after_a_timeout(monitors):
    monitor = monitor_with()
    monitors["f"].answer = FakeResult(
        moved_px=float("nan"), reference="nothing", message="0 of 4 corners"
    )
    monitor.check(IMAGES, 0.0)
    monitor.check(IMAGES, 30.0)
    assert monitor.warnings == {}
    monitor.check(IMAGES, 32.0)
    assert monitor.warnings == {"front": "CALIBRATION_UNVERIFIED: front view: 0 of 4 corners"}


def test_it_can_be_switched_off(monitors):
    monitor = monitor_with(period=0.0)
    monitor.check(IMAGES, 100.0)
    assert monitors == {}
    DriftMonitor({}, 2.0, 1.5).check(IMAGES, 100.0)


def test_the_monitor_answers_with_what_is_asked_of_it():
    assert set(vars(FakeResult())) <= {field.name for field in fields(DriftResult)}
