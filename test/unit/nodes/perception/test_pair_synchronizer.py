"""Reasons without a pair: silence, bad stamps, or stamps too far apart."""

from types import SimpleNamespace

import pytest
from sensor_msgs.msg import Image

from vima_ros.nodes.common.conversions import ns_to_stamp
from vima_ros.nodes.perception.pair_synchronizer import PairSynchronizer

TOPICS = {f"{view}/image": f"/vima/{view}/image_raw" for view in ("front", "top")}
SECOND = 1_000_000_000


class ScriptedCameras:
    """Two cameras at 10 Hz by a clock that the test moves on."""

    def __init__(self, monkeypatch):
        self.now = 100.0
        clock = SimpleNamespace(monotonic=lambda: self.now)
        monkeypatch.setattr("vima_ros.nodes.perception.pair_synchronizer.time", clock)
        self.pairs = PairSynchronizer(TOPICS, 0.02)
        self.made = 0

    def run(self, seconds, front=lambda now: now, top=lambda now: now):
        """Frames for so long, stamped as said [s]; None: no frame."""
        for _ in range(round(10 * seconds)):
            self.now += 0.1
            for view, stamped in (("front", front), ("top", top)):
                stamp = stamped(self.now)
                if stamp is not None:
                    message = Image()
                    message.header.stamp = ns_to_stamp(round(stamp * SECOND))
                    self.made += self.pairs.add(f"{view}/image", message, 0) is not None

    def why(self):
        """Code and message."""
        why = self.pairs.unpaired_reason()
        return ("", "") if why is None else (why.code, str(why))


def silent(now):
    return None


@pytest.fixture
def cameras(monkeypatch):
    return ScriptedCameras(monkeypatch)


def test_frames_that_pair_leave_nothing_to_report(cameras):
    cameras.run(3)
    assert cameras.made == 30
    assert cameras.why() == ("", "")


def test_silence_is_no_frames_and_names_the_topics(cameras):
    cameras.run(3)
    cameras.run(2, top=silent)
    assert cameras.why() == ("NO_FRAMES", "top view: no frame for 2 s on /vima/top/image_raw")
    cameras.run(2, silent, silent)
    code, message = cameras.why()
    assert code == "NO_FRAMES"
    assert "front view: no frame for 2 s on /vima/front/image_raw" in message
    assert "top view: no frame for 4 s" in message


def test_cameras_that_have_not_come_up_are_waited_for_some_seconds(cameras):
    cameras.run(2, top=silent)
    assert cameras.why()[0] == "NO_FRAMES"
    assert cameras.pairs.starting
    cameras.run(4, top=silent)
    assert cameras.why()[0] == "NO_FRAMES"
    assert not cameras.pairs.starting
    cameras.pairs.restart()
    assert cameras.pairs.starting


def test_a_camera_that_fell_silent_is_not_starting(cameras):
    cameras.run(1)
    cameras.run(2, top=silent)
    assert not cameras.pairs.starting


@pytest.mark.parametrize("top", [lambda now: 0.0, lambda now: now], ids=["both", "one"])
def test_a_stamp_of_zero_is_reported_and_makes_no_pair(cameras, top):
    cameras.run(3, lambda now: 0.0, top)
    code, message = cameras.why()
    assert (code, cameras.made) == ("BAD_STAMPS", 0)
    assert "front view: stamp 0 on /vima/front/image_raw" in message
    assert ("top view: stamp 0" in message) == (top(1.0) == 0.0)


def test_a_stamp_that_does_not_advance_is_reported_with_its_value(cameras):
    cameras.run(1)
    cameras.run(2, top=lambda now: 12.5)
    code, message = cameras.why()
    assert code == "BAD_STAMPS"
    assert "top view: stamp stays at 12.500 s on /vima/top/image_raw" in message
    assert "front view" not in message


def test_stamps_that_run_apart_are_unmatched_views(cameras):
    cameras.run(3, top=lambda now: now - 1.5)
    code, message = cameras.why()
    assert code == "UNMATCHED_VIEWS"
    assert "within 0.02 s of each other for 3 s" in message
    assert "front/image at 103.000 s, top/image at 101.500 s" in message


def test_a_clock_that_was_set_back_is_no_bad_stamp(cameras):
    cameras.run(3)
    cameras.run(3, lambda now: now - 60, lambda now: now - 60)
    assert cameras.why() == ("", "")
    assert cameras.made >= 58
