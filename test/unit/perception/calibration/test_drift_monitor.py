"""When to look for a camera that has moved, and what to tell."""

from dataclasses import dataclass, fields

import pytest

from vima_ros.perception.calibration import drift
from vima_ros.perception.calibration.drift import DriftMonitor, DriftResult


@dataclass
class Answer:
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
            self.limit, self.shown, self.answer = limit_px, [], Answer()
            made[calibration] = self

        def check(self, image):
            self.shown.append(image)
            return self.answer

    monkeypatch.setattr(drift, "DriftDetector", Monitor)
    return made


def watch_of(period=2.0):
    return DriftMonitor({"front": "f", "top": "t"}, period, 1.5)


IMAGES = {"front": "front image", "top": "top image"}


def test_it_looks_at_each_camera_once_a_period(monitors):
    watch = watch_of()
    for now in (10.0, 10.5, 11.9, 12.0, 13.9, 14.1):
        watch.check(IMAGES, now)
    assert monitors["f"].shown == ["front image"] * 3
    assert monitors["t"].shown == ["top image"] * 3
    assert monitors["t"].limit == 1.5
    assert watch.warnings == ()
    assert watch.moved == {"front": 0.1, "top": 0.1}


def test_a_moved_camera_is_warned_of_once_sure_and_until_it_is_back(monitors):
    watch = watch_of()
    told = []
    for look, moved in enumerate([1, 1, 0, 1, 1, 1, 1, 0, 1]):
        monitors["t"].answer = Answer(moved=bool(moved), message="4 px to the left")
        watch.check(IMAGES, 2.0 * look)
        told.append(len(watch.warnings))
        assert set(watch.warnings) <= {"CALIBRATION_MOVED: top view: 4 px to the left"}
    assert told == [0, 0, 0, 0, 0, 1, 1, 0, 0]


def test_a_reference_out_of_sight_is_told_only_when_it_lasts(monitors):
    watch = watch_of()
    monitors["f"].answer = Answer(
        moved_px=float("nan"), reference="nothing", message="0 of 4 corners"
    )
    watch.check(IMAGES, 0.0)
    watch.check(IMAGES, 29.0)
    assert watch.warnings == ()
    watch.check(IMAGES, 31.0)
    assert watch.warnings == ("CALIBRATION_UNVERIFIED: front view: 0 of 4 corners",)


def test_it_can_be_switched_off(monitors):
    watch = watch_of(period=0.0)
    watch.check(IMAGES, 100.0)
    assert monitors == {}
    DriftMonitor({}, 2.0, 1.5).check(IMAGES, 100.0)


def test_the_monitor_answers_with_what_is_asked_of_it():
    assert set(vars(Answer())) <= {field.name for field in fields(DriftResult)}
