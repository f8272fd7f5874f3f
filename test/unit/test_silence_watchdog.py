import pytest

from vima_ros.liveness_silence import Watchdog


def watched(**limits):
    dog = Watchdog(limits or {"arm_state": 1.0, "joint_states": 1.0})
    dog.begin(100.0)
    return dog


def silent_at(dog, until, hear=()):
    """When ``dog`` first complains, looking ten times a second, hearing from ``hear``."""
    for tenth in range(round((until - 100) * 10)):
        now = 100 + tenth / 10
        for source in hear:
            dog.heard(source, now)
        said = dog.silent(now)
        if said:
            return now, said
    return None


def test_silence_counts_from_the_beginning_of_the_motion():
    dog = Watchdog({"arm_state": 1.0})
    dog.heard("arm_state", 1.0)
    dog.begin(100.0)
    when, said = silent_at(dog, 110)
    assert when == pytest.approx(101.1, abs=0.11)
    assert "arm_state" in said


def test_each_source_is_watched_for_itself():
    assert silent_at(watched(), 110, ("arm_state", "joint_states")) is None
    _, said = silent_at(watched(), 110, ("arm_state",))
    assert "joint_states" in said


def test_a_limit_of_nothing_watches_nothing():
    assert silent_at(watched(arm_state=0.0), 200) is None


def test_time_slept_through_does_not_count():
    dog = watched()
    assert not dog.silent(100.1)
    assert not dog.silent(160.0), "we were held up, not the robot"
    said = [bool(dog.silent(160 + tenth / 10)) for tenth in range(1, 10)]
    assert (said[0], said[-1]) == (False, True)
