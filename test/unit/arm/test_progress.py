"""A robot that makes progress is given time; one that makes none is not, and is described."""

import numpy as np
import pytest
import ur5e
from controller import at
from hypothesis import given
from hypothesis import strategies as st

from vima_ros.arm.plan_execution import MeasuredState, PlanExecution
from vima_ros.arm.primitives import Waypoint, plan_waypoints
from vima_ros.arm.progress import (
    ProgressMonitor,
    planned_duration,
    tool_points,
    total_timeout,
)
from vima_ros.arm.time_parameterization import JointLimits
from vima_ros.arm.trajectory_planning import plan_trajectory
from vima_ros.geometry import Pose, Workspace, quaternion_from_yaw

LIMITS = JointLimits()
PERIOD = 0.02  # of reports [s]


def execute(scale=1.0, error=0.0, flicker=0.0, seconds=600.0):
    """A pick and place by a robot of ``scale`` times the planned velocity.

    It ends ``error`` [rad] from where it should in joint 2, and reports positions that are off by
    up to ``flicker``. Returns the execution, the longest idle time and the time it took [s].
    """
    model, rng = ur5e.load(), np.random.default_rng(0)
    pose0 = Pose((0.5, -0.1, 0), quaternion_from_yaw(0))
    pose1 = Pose((0.45, 0.2, 0), quaternion_from_yaw(0.5))
    plan = plan_trajectory(plan_waypoints(0, pose0, pose1, Workspace()), model.home, model)
    execution, monitor = PlanExecution(plan, model, LIMITS), ProgressMonitor()
    joints, speeds, move, began, holding, longest = model.home, np.zeros(6), None, 0.0, False, 0.0
    for tick in range(round(seconds / PERIOD)):
        now = tick * PERIOD
        if move is not None:
            time = (now - began) * scale
            joints, speeds = at(time, move.times, move.positions, move.velocities)
            speeds = speeds * scale
        reported = joints + [0, error, 0, 0, 0, 0] + flicker * rng.integers(0, 2, 6)
        state = MeasuredState(reported, speeds, holding=holding)
        monitor.update(reported, now)
        command = execution.update(now, state)
        if command is not None:
            holding = command.suction
            if command.segment is not None:
                move, began = command.segment, now
                monitor.begin()
        if execution.result is not None:
            break
        if execution.goal is not None:
            longest = max(longest, monitor.idle_time)
        if monitor.idle_time > 5.0:
            break
    return execution, state, longest, now, total_timeout(planned_duration((), plan))


@pytest.mark.slow
def test_a_robot_at_a_tenth_of_the_velocity_is_given_time():
    execution, _, longest, took, limit = execute(scale=0.1)
    assert execution.result is not None
    assert execution.result.code == "OK"
    assert longest < 2.0
    assert 60 < took < limit


def test_dwells_do_not_count_for_a_robot_in_time():
    execution, _, longest, took, _ = execute()
    assert execution.result.code == "OK"
    assert longest < 0.5
    assert took < 15


@pytest.mark.parametrize("flicker", [0.0, 0.0015])
def test_a_steady_error_is_named_by_joint_and_distance(flicker):
    """Encoders of 4096 steps per turn flicker by 1.5 mrad."""
    execution, state, _, took, _ = execute(error=0.012, flicker=flicker)
    assert execution.result is None
    assert took < 15
    told = execution.describe(state)
    assert told.startswith("shoulder_lift_joint is 1")
    assert "move 1 of 6" in told
    if not flicker:
        assert "12.0 mrad" in told


def test_a_joint_that_does_not_come_to_rest_is_named():
    execution, state, _, _, _ = execute(seconds=0.5)
    near = MeasuredState(execution.goal, np.array([0, 0, 0, 0, -0.3, 0]))
    assert "wrist_2_joint still moves at 0.300 rad/s in move 1 of 6" in execution.describe(near)
    assert "mrad from the goal" in execution.describe(state)


def test_silence_counts_up_to_a_limit():
    monitor = ProgressMonitor()
    for now in (0.0, 8.0, 16.0):
        monitor.update(np.zeros(6), now)
    assert monitor.idle_time == 1.0
    assert not monitor.has_moved


def test_a_move_begins_at_rest():
    monitor = ProgressMonitor()
    for tick in range(100):
        monitor.update(np.full(6, tick * 0.001), tick * PERIOD)
    assert monitor.has_moved
    monitor.begin()
    for tick in range(100, 200):
        monitor.update(np.full(6, 0.1), tick * PERIOD)
    assert not monitor.has_moved
    assert monitor.idle_time == pytest.approx(99 * PERIOD)


@pytest.mark.parametrize("sign", [1, -1])
def test_a_tool_that_rotates_on_the_spot_makes_progress(sign):
    def tool(yaw):
        return tool_points(Pose((0.5, 0, 0.3), sign * quaternion_from_yaw(yaw)))

    assert np.abs(tool(0.02) - tool(0.0)).max() > 1e-3
    assert np.abs(tool_points(Pose((0.5, 0, 0.3), -quaternion_from_yaw(0))) - tool(0)).max() < 1e-9
    np.testing.assert_allclose(tool(np.pi / 2)[3:6] - tool(0)[:3], [0, 0.1, 0], atol=1e-9)


@given(st.tuples(*[st.floats(-1, 1)] * 4).filter(lambda q: np.linalg.norm(q) > 0.1))
def test_the_points_of_a_tool_lie_at_right_angles_a_tenth_of_a_metre_from_its_tip(quaternion):
    points = tool_points(Pose((0.5, 0.1, 0.3), quaternion)).reshape(3, 3)
    np.testing.assert_allclose(points[0], [0.5, 0.1, 0.3])
    arms = points[1:] - points[0]
    np.testing.assert_allclose(arms @ arms.T, 0.01 * np.eye(2), atol=1e-12)


def test_a_motion_may_take_twenty_times_its_planned_duration():
    down = quaternion_from_yaw(0)
    waypoints = [
        Waypoint(Pose((0.5, 0, 0.3), down), False, 0.5),
        Waypoint(Pose((0.5, 0, 0.0), down), True, 0.15, dwell=0.2),
        Waypoint(Pose((0.5, 0.5, 0.0), down), True, 0.5, dwell=0.3),
    ]
    assert planned_duration(waypoints) == pytest.approx(2.0 + 1.0 + 0.5)
    assert total_timeout(3.5) == pytest.approx(70)
    assert total_timeout(0.0) == 10.0


@pytest.mark.parametrize(
    ("needs_motion", "start", "progress", "code", "when"),
    [
        (True, 2.0, 5.0, "NOT_STARTED", 2.0),
        (True, 8.0, 5.0, "NOT_STARTED", 8.0),
        (True, 0.0, 5.0, "TIMEOUT", 5.0),
        (False, 2.0, 5.0, "TIMEOUT", 5.0),
        (True, 0.0, 0.0, "", 10.0),
        (False, 2.0, 0.0, "", 10.0),
    ],
)
def test_a_robot_that_does_not_move_is_overdue(needs_motion, start, progress, code, when):
    monitor = ProgressMonitor()
    monitor.begin(needs_motion)
    for tick in range(500):
        monitor.update(np.zeros(6), tick * PERIOD)
        if monitor.overdue(start, progress):
            break
    assert monitor.overdue(start, progress) == code
    assert tick * PERIOD == pytest.approx(when, abs=2 * PERIOD)
