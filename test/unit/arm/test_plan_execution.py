import math
from dataclasses import replace

import numpy as np
import pytest
import ur5e
from controller import at
from hypothesis import given, settings
from hypothesis import strategies as st

from vima_ros.arm.plan_execution import MeasuredState, PlanExecution
from vima_ros.arm.primitives import plan_waypoints
from vima_ros.arm.time_parameterization import JointLimits
from vima_ros.arm.trajectory_planning import plan_trajectory
from vima_ros.geometry import Pose, Workspace, quaternion_from_yaw

MODEL = ur5e.load()
LIMITS = JointLimits()
PERIOD = 0.01  # of the robot's reports [s]


def down(x, y, yaw=0.0):
    return Pose((x, y, 0), quaternion_from_yaw(yaw))


class Robot:
    """Follows trajectories exactly and knows nothing of plans, as a real one.

    Everything on its table is ``height`` [m] high; suction holds it, or only ``thing`` at (x, y).
    ``lag``: reports it makes before it obeys.
    """

    def __init__(self, joints, height=0.0, thing=None, lag=0):
        self.joints, self.speeds = np.array(joints), np.zeros(6)
        self.height, self.thing, self.lag = height, thing, lag
        self.now, self.began = 100.0, 0.0
        self.trajectory, self.guarded, self.suction = None, False, False
        self.contact = self.holding = False
        self.commands, self.tips, self.let_go = [], [], []

    @property
    def tip(self):
        return ur5e.tip(self.joints)[:3, 3]

    def apply(self, command):
        self.commands.append(command)
        if self.suction and not command.suction and self.holding:
            self.let_go.append(self.tip)
        self.suction = command.suction
        if self.thing is not None and math.dist(self.thing, self.tip[:2]) > 0.02:
            self.holding = self.holding and self.suction
        else:
            self.holding = self.suction
        if command.segment is not None:
            segment = command.segment
            assert np.abs(segment.positions[0] - self.joints).max() < 1e-3, "a jump"
            self.trajectory = segment.times, segment.positions, segment.velocities
            self.guarded, self.contact, self.began = command.stop_on_contact, False, self.now

    def report(self):
        self.now += PERIOD
        if self.trajectory is not None:
            self.joints, self.speeds = at(self.now - self.began, *self.trajectory)
            if self.guarded and self.tip[2] < self.height:
                self.trajectory, self.contact, self.speeds = None, True, np.zeros(6)
        self.tips.append(self.tip)
        return MeasuredState(self.joints, self.speeds, self.contact, self.holding)

    def execute(self, primitive, pose0, pose1):
        waypoints = plan_waypoints(primitive, pose0, pose1, Workspace())
        plan = plan_trajectory(waypoints, self.joints, MODEL)
        execution, waiting = PlanExecution(plan, MODEL, LIMITS), []
        for _ in range(10_000):
            waiting.append(execution.update(self.now, self.report()))
            if len(waiting) > self.lag and (command := waiting.pop(0)) is not None:
                self.apply(command)
            if execution.result is not None:
                return execution.result
        raise AssertionError(f"never ends: {execution.progress}")


@pytest.mark.slow
@given(st.integers(0, 5))
@settings(max_examples=5)
def test_pick_and_place_in_order_for_any_delay_of_the_robot(lag):
    robot = Robot(MODEL.home, lag=lag)
    assert robot.execute(0, down(0.4, 0.2, 0.5), down(0.6, -0.2, 2.0)).code == "OK"
    moves = [command for command in robot.commands if command.segment is not None]
    assert [command.suction for command in moves] == [False, False, True, True, True, False]
    assert [command.stop_on_contact for command in moves] == [False, True, False] * 2
    np.testing.assert_allclose(robot.tip, [0.6, -0.2, 0.32], atol=1e-6)
    assert len(robot.let_go) == 1
    np.testing.assert_allclose(robot.let_go[0], [0.6, -0.2, 0.002], atol=1e-6)


@pytest.mark.slow
@given(st.floats(0.003, 0.2))
@settings(max_examples=10)
def test_a_contact_ends_the_move_and_the_next_starts_from_there(height):
    """No jump (Robot.obey), and straight up again."""
    robot = Robot(MODEL.home, height)
    assert robot.execute(0, down(0.4, 0.2), down(0.6, -0.2)).code == "OK"
    assert min(tip[2] for tip in robot.tips) > height - 0.15 * PERIOD - 1e-6
    low = np.array([tip for tip in robot.tips if tip[2] < 0.31])
    beside = [min(math.dist(t[:2], p) for p in ((0.4, 0.2), (0.6, -0.2))) for t in low]
    assert max(beside) < 1e-3
    assert robot.let_go[0][2] < height
    np.testing.assert_allclose(robot.tip, [0.6, -0.2, 0.32], atol=1e-6)


def test_a_pick_that_finds_nothing_rises_and_is_reported():
    robot = Robot(MODEL.home, height=0.03, thing=(0.3, 0.3))
    outcome = robot.execute(0, down(0.4, 0.2), down(0.6, -0.2))
    assert outcome.code == "NOT_PICKED"
    assert "x 0.400, y 0.200, z 0.0" in outcome.message
    np.testing.assert_allclose(robot.tip, [0.4, 0.2, 0.32], atol=1e-6)
    assert not robot.suction
    assert len([command for command in robot.commands if command.segment is not None]) == 3


def test_a_sweep_uses_no_suction_and_no_contact_stop():
    robot = Robot(MODEL.home, height=0.2)
    assert robot.execute(1, down(0.4, 0.2), down(0.6, -0.2)).code == "OK"
    assert not any(command.suction or command.stop_on_contact for command in robot.commands)
    assert min(tip[2] for tip in robot.tips) == pytest.approx(0.005, abs=1e-6)


def test_the_tool_stays_on_the_spot_while_suction_builds_up():
    robot = Robot(MODEL.home)
    robot.execute(0, down(0.4, 0.2), down(0.6, -0.2))
    low = np.array([tip[2] < 0.0021 for tip in robot.tips])
    assert low.sum() * PERIOD >= 2 * 0.2


def test_an_object_carried_at_the_start_is_kept_until_the_first_move_is_done():
    """As after a stop: the waypoint says the tool is off from the end of the move on."""
    robot = Robot(MODEL.home)
    robot.suction = robot.holding = True
    robot.execute(0, down(0.4, 0.2), down(0.6, -0.2))
    assert robot.commands[0].suction
    np.testing.assert_allclose(robot.let_go[0], [0.4, 0.2, 0.32], atol=1e-6)


def test_a_contact_of_the_previous_move_does_not_end_this_one():
    """The robot's report of it may still be on its way."""
    plan = plan_trajectory(
        plan_waypoints(0, down(0.4, 0.2), down(0.6, -0.2), Workspace()), MODEL.home, MODEL
    )
    execution, now = PlanExecution(plan, MODEL, LIMITS), 0.0
    assert execution.update(now, MeasuredState(MODEL.home, np.zeros(6))).segment is not None
    above = plan.segments[0].positions[-1]
    assert execution.update(1.0, MeasuredState(above, np.zeros(6), contact=True)).segment is None
    guarded = execution.update(1.1, MeasuredState(above, np.zeros(6), contact=True))
    assert guarded.stop_on_contact
    assert execution.update(1.2, MeasuredState(above, np.zeros(6), contact=True)) is None
    assert execution.update(1.3, MeasuredState(above, np.zeros(6), contact=False)) is None
    assert execution.update(1.4, MeasuredState(above, np.zeros(6), contact=True)).suction


def test_no_command_is_returned_after_the_end():
    robot = Robot(MODEL.home)
    waypoints = plan_waypoints(1, down(0.4, 0.2), down(0.6, -0.2), Workspace())
    execution = PlanExecution(plan_trajectory(waypoints, MODEL.home, MODEL), MODEL, LIMITS)
    while execution.result is None:
        if (command := execution.update(robot.now, robot.report())) is not None:
            robot.apply(command)
    assert execution.update(robot.now + 1, robot.report()) is None


def test_an_arm_that_does_not_arrive_is_waited_for():
    """Whoever started it has a clock and decides when it is too long."""
    waypoints = plan_waypoints(1, down(0.4, 0.2), down(0.6, -0.2), Workspace())
    plan = plan_trajectory(waypoints, MODEL.home, MODEL)
    execution = PlanExecution(plan, MODEL, LIMITS)
    assert execution.update(0.0, MeasuredState(MODEL.home, np.zeros(6))) is not None
    short = plan.segments[0].positions[-1] + 0.02
    moving = np.full(6, 0.1)
    for now in range(1, 100):
        assert execution.update(float(now), MeasuredState(short, np.zeros(6))) is None
        arrived = plan.segments[0].positions[-1]
        assert execution.update(float(now), MeasuredState(arrived, moving)) is None
    assert execution.result is None


def test_joint_positions_are_extrapolated_after_the_last_report():
    """On their way, at most at its end; where a touch may have ended the move, as reported."""
    waypoints = plan_waypoints(0, down(0.4, 0.2), down(0.6, -0.2), Workspace())
    plan = plan_trajectory(waypoints, MODEL.home, MODEL)
    execution, segment = PlanExecution(plan, MODEL, LIMITS), plan.segments[0]
    half = len(segment.times) // 2
    robot = MeasuredState(segment.positions[half], segment.velocities[half])
    execution.update(0.0, MeasuredState(MODEL.home, np.zeros(6)))
    later = execution.extrapolate(robot, 0.1)
    truth = at(segment.times[half] + 0.1, segment.times, segment.positions, segment.velocities)[0]
    assert np.abs(later - truth).max() < 0.2 * np.abs(robot.positions - truth).max()
    way = np.abs(segment.positions[-1] - robot.positions)
    fast = MeasuredState(robot.positions, 10 * robot.velocities)
    assert (np.abs(execution.extrapolate(fast, 0.5) - robot.positions) <= way + 1e-9).all()
    blocked = MeasuredState(robot.positions, np.zeros(6))
    assert (execution.extrapolate(blocked, 0.5) == robot.positions).all()
    start = MeasuredState(MODEL.home, np.zeros(6))  # silent from the beginning on
    assert (execution.extrapolate(start, 100.0) == segment.positions[-1]).all()
    truth = at(0.6, segment.times, segment.positions, segment.velocities)[0]
    assert np.abs(execution.extrapolate(start, 0.6) - truth).max() < 0.1
    execution.update(1.0, MeasuredState(segment.positions[-1], np.zeros(6)))
    execution.update(2.0, MeasuredState(segment.positions[-1], np.zeros(6)))  # down, until contact
    assert execution.extrapolate(robot, 0.1) is robot.positions


def test_the_robot_may_arrive_while_its_position_is_extrapolated():
    """A stop has a thread of its own."""
    waypoints = plan_waypoints(0, down(0.4, 0.2), down(0.6, -0.2), Workspace())
    plan = plan_trajectory(waypoints, MODEL.home, MODEL)
    segment = plan.segments[0]
    half = len(segment.times) // 2
    report = MeasuredState(segment.positions[half], segment.velocities[half])

    class ArrivingWaypoint:
        """The robot arrives there as soon as this is read."""

        dwell, tool_on, due = 0.2, False, False

        @property
        def until_contact(self):
            if self.due:
                self.due = False
                execution.update(1.0, MeasuredState(segment.positions[-1], np.zeros(6)))
            return False

    first = replace(segment, waypoint=ArrivingWaypoint())
    execution = PlanExecution(replace(plan, segments=(first, *plan.segments[1:])), MODEL, LIMITS)
    execution.update(0.0, MeasuredState(MODEL.home, np.zeros(6)))
    first.waypoint.due = True
    held = execution.extrapolate(report, 0.1)
    assert execution.goal is None
    way = np.abs(segment.positions[-1] - report.positions)
    assert (np.abs(held - report.positions) <= way + 1e-9).all()
