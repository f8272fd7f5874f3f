"""What the arm node makes of joint_states, whatever a driver leaves out."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vima_ros.arm.joint_feedback import JointFeedback, ReportClock

NAMES = ("pan", "lift", "elbow")
NOTHING = math.nan
SPEED = 0.3  # of all joints [rad/s]


def drive(stamp, arrival=lambda t: t, velocities=(), period=0.02, speed=SPEED, feedback=None):
    """Feedback after a second's reports at ``arrival(t)``, stamped ``stamp(t)``."""
    feedback, begin = (feedback, 1) if feedback else (JointFeedback(NAMES), 0)
    for tick in range(round(1 / period)):
        t = begin + tick * period
        feedback.add(NAMES, [speed * t] * 3, velocities, stamp(t), arrival(t))
    return feedback


STAMPS = {
    "of now": lambda t: 1000 + t,
    "an hour old": lambda t: t - 3600,
    "zero": lambda t: 0.0,
    "frozen": lambda t: 77.0,
    "in whole seconds": lambda t: math.floor(1000.7 + t),
    "two of each": lambda t: 1000 + round(t / 0.04) * 0.04,
    "set back in between": lambda t: 1000 + t - (3600 if t > 1.5 else 0),
    "set ahead in between": lambda t: 1000 + t + (3600 if t > 1.5 else 0),
}


@pytest.mark.parametrize("stamp", STAMPS.values(), ids=STAMPS.keys())
@pytest.mark.parametrize("velocities", [(), [NOTHING] * 3, [math.inf] * 3, [0.1]])
def test_time_advances_and_velocities_are_derived_for_any_stamps(stamp, velocities):
    feedback = drive(stamp, velocities=velocities)
    before = feedback.time
    drive(stamp, velocities=velocities, feedback=feedback)
    assert feedback.time - before == pytest.approx(1.0, abs=0.05)
    derived = feedback.velocities[len(velocities) :]
    np.testing.assert_allclose(derived, SPEED, rtol=0.25)
    assert feedback.derives_velocities
    assert feedback.describe_missing(1.98) == ""


def test_stamps_of_a_slow_simulation_count():
    assert drive(lambda t: 5 + t / 10).time == pytest.approx(0.098, abs=1e-6)


@given(st.lists(st.floats(-1e4, 1e4) | st.sampled_from([0.0, 1.0, 1.5]), min_size=2))
def test_the_clock_never_goes_back(stamps):
    clock, last = ReportClock(), 0.0
    for index, stamp in enumerate(stamps):
        now = clock.advance(stamp, index * 0.02)
        assert now >= last
        last = now


def test_jitter_and_bursts_of_arrival_leave_the_derived_velocity():
    """Two messages at a time, as an executor that was busy delivers them."""
    feedback = drive(lambda t: 0.0, arrival=lambda t: round(t / 0.04) * 0.04 + t * 1e-3)
    np.testing.assert_allclose(feedback.velocities, SPEED, rtol=0.25)


@pytest.mark.parametrize("rate", [5, 500])
def test_velocities_are_derived_exactly_at_any_rate_of_the_driver(rate):
    feedback = drive(lambda t: 0.0, period=1 / rate)
    np.testing.assert_allclose(feedback.velocities, SPEED, rtol=1e-6)


def test_reported_velocities_are_used_unchanged():
    feedback = drive(lambda t: t, velocities=[0.1, -0.2, 0.3])
    assert feedback.velocities.tolist() == [0.1, -0.2, 0.3]
    assert not feedback.derives_velocities


def test_noise_of_a_joint_at_rest_is_no_motion():
    resting = drive(lambda t: t, velocities=[0.0, 0.05, 0.0], speed=0.0)
    assert resting.fastest_joint[1] == pytest.approx(0.0, abs=1e-9)
    assert drive(lambda t: t, velocities=[0.0, 0.05, 0.0]).fastest_joint == ("lift", 0.05)


def test_joints_may_arrive_in_several_messages_in_any_order():
    feedback = JointFeedback(NAMES)
    for tick in range(3):
        now = tick * 0.02
        assert not feedback.add(["elbow"], [0.3 + now], [0.0], now, now)
        assert not feedback.add(["finger"], [NOTHING], [NOTHING], 0.0, now)
        assert feedback.add(["lift", "pan"], [0.2, 0.1], [0.0, 0.0], now - 60, now + 1e-3)
    np.testing.assert_allclose(feedback.positions, [0.1, 0.2, 0.34])


def test_a_stale_joint_makes_no_complete_report():
    feedback = JointFeedback(NAMES)
    assert not feedback.add(["pan", "lift"], [0.1, 0.2], [0.0, 0.0], 0.0, 0.0)
    assert not feedback.add(["elbow"], [0.3], [0.0], 5.0, 5.0)
    told = "pan, lift: not reported for 5.0 s (the last message has elbow)"
    assert told in feedback.describe_missing(5.0)
    assert feedback.add(["lift", "pan"], [0.2, 0.1], [0.0, 0.0], 5.1, 5.1)
    assert feedback.describe_missing(5.1) == ""


@pytest.mark.parametrize(
    ("names", "positions", "words"),
    [
        ([], [], "pan, lift, elbow: not reported (no message was received)"),
        (["ur_pan", "ur_lift"], [0, 0], "not reported (the last message has ur_pan, ur_lift)"),
        (["pan", "lift"], [0, 0], "elbow: not reported (the last message has pan, lift)"),
        (NAMES, [0, 0], "elbow: no position"),
        (NAMES, [0, math.nan, 0], "lift: position is nan"),
        (NAMES, [math.inf, 0, 0], "pan: position is inf"),
    ],
)
def test_missing_joints_are_described_joint_by_joint(names, positions, words):
    feedback = JointFeedback(NAMES)
    for tick in range(5 if names else 0):
        complete = feedback.add(names, positions, [0.0] * 3, tick * 0.1, tick * 0.1)
        assert not complete
    assert words in feedback.describe_missing(0.4)


def test_a_position_that_is_no_number_counts_from_its_message_on():
    feedback = drive(lambda t: t, velocities=[0.0] * 3)
    assert not feedback.add(NAMES, [0.0, math.nan, 0.0], [0.0] * 3, 1.0, 1.0)
    assert feedback.describe_missing(1.0) == "lift: position is nan"


def test_one_message_without_velocities_shows_no_motion():
    feedback = JointFeedback(NAMES)
    assert not feedback.add(NAMES, [0.0] * 3, [], 1.0, 1.0)
    assert "pan, lift, elbow: no velocity yet" in feedback.describe_missing(1.0)
