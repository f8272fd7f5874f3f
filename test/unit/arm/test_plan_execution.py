import math

import numpy as np
import pytest
import ur5e
from controller import at
from hypothesis import given, settings
from hypothesis import strategies as st

from vima_ros.arm.plan_execution import Execution, RobotState
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
        self.told, self.tips, self.let_go = [], [], []

    @property
    def tip(self):
        return ur5e.tip(self.joints)[:3, 3]

    def obey(self, order):
        self.told.append(order)
        if self.suction and not order.suction and self.holding:
            self.let_go.append(self.tip)
        self.suction = order.suction
        if self.thing is not None and math.dist(self.thing, self.tip[:2]) > 0.02:
            self.holding = self.holding and self.suction
        else:
            self.holding = self.suction
        if order.segment is not None:
            segment = order.segment
            assert np.abs(segment.positions[0] - self.joints).max() < 1e-3, "a jump"
            self.trajectory = segment.times, segment.positions, segment.velocities
            self.guarded, self.contact, self.began = order.stop_on_contact, False, self.now

    def report(self):
        self.now += PERIOD
        if self.trajectory is not None:
            self.joints, self.speeds = at(self.now - self.began, *self.trajectory)
            if self.guarded and self.tip[2] < self.height:
                self.trajectory, self.contact, self.speeds = None, True, np.zeros(6)
        self.tips.append(self.tip)
        return RobotState(self.joints, self.speeds, self.contact, self.holding)

    def carry_out(self, primitive, pose0, pose1):
        waypoints = plan_waypoints(primitive, pose0, pose1, Workspace())
        plan = plan_trajectory(waypoints, self.joints, MODEL)
        execution, waiting = Execution(plan, MODEL, LIMITS), []
        for _ in range(10_000):
            waiting.append(execution.update(self.now, self.report()))
            if len(waiting) > self.lag and (order := waiting.pop(0)) is not None:
                self.obey(order)
            if execution.outcome is not None:
                return execution.outcome
        raise AssertionError(f"never ends: {execution.progress}")


@given(st.integers(0, 5))
@settings(max_examples=5)
def test_pick_and_place_in_order_however_late_the_robot_obeys(lag):
    robot = Robot(MODEL.home, lag=lag)
    assert robot.carry_out(0, down(0.4, 0.2, 0.5), down(0.6, -0.2, 2.0)).code == "OK"
    moves = [order for order in robot.told if order.segment is not None]
    assert [order.suction for order in moves] == [False, False, True, True, True, False]
    assert [order.stop_on_contact for order in moves] == [False, True, False] * 2
    np.testing.assert_allclose(robot.tip, [0.6, -0.2, 0.32], atol=1e-6)
    assert len(robot.let_go) == 1
    np.testing.assert_allclose(robot.let_go[0], [0.6, -0.2, 0.002], atol=1e-6)


@given(st.floats(0.003, 0.2))
@settings(max_examples=10)
def test_a_touch_ends_the_move_and_the_next_starts_from_there(height):
    """No jump (Robot.obey), and straight up again."""
    robot = Robot(MODEL.home, height)
    assert robot.carry_out(0, down(0.4, 0.2), down(0.6, -0.2)).code == "OK"
    assert min(tip[2] for tip in robot.tips) > height - 0.15 * PERIOD - 1e-6
    low = np.array([tip for tip in robot.tips if tip[2] < 0.31])
    beside = [min(math.dist(t[:2], p) for p in ((0.4, 0.2), (0.6, -0.2))) for t in low]
    assert max(beside) < 1e-3
    assert robot.let_go[0][2] < height
    np.testing.assert_allclose(robot.tip, [0.6, -0.2, 0.32], atol=1e-6)


def test_a_pick_that_finds_nothing_rises_and_says_so():
    robot = Robot(MODEL.home, height=0.03, thing=(0.3, 0.3))
    outcome = robot.carry_out(0, down(0.4, 0.2), down(0.6, -0.2))
    assert outcome.code == "NOT_PICKED"
    assert "x 0.400, y 0.200, z 0.0" in outcome.message
    np.testing.assert_allclose(robot.tip, [0.4, 0.2, 0.32], atol=1e-6)
    assert not robot.suction
    assert len([order for order in robot.told if order.segment is not None]) == 3


def test_a_sweep_neither_sucks_nor_stops():
    robot = Robot(MODEL.home, height=0.2)
    assert robot.carry_out(1, down(0.4, 0.2), down(0.6, -0.2)).code == "OK"
    assert not any(order.suction or order.stop_on_contact for order in robot.told)
    assert min(tip[2] for tip in robot.tips) == pytest.approx(0.005, abs=1e-6)


def test_the_tool_stays_on_the_spot_while_suction_builds_up():
    robot = Robot(MODEL.home)
    robot.carry_out(0, down(0.4, 0.2), down(0.6, -0.2))
    low = np.array([tip[2] < 0.0021 for tip in robot.tips])
    assert low.sum() * PERIOD >= 2 * 0.2


def test_what_is_carried_at_the_start_is_kept_until_the_first_move_is_done():
    """As after a stop: the waypoint says the tool is off from the end of the move on."""
    robot = Robot(MODEL.home)
    robot.suction = robot.holding = True
    robot.carry_out(0, down(0.4, 0.2), down(0.6, -0.2))
    assert robot.told[0].suction
    np.testing.assert_allclose(robot.let_go[0], [0.4, 0.2, 0.32], atol=1e-6)


def test_a_touch_of_the_move_before_is_not_one_of_this():
    """The robot's report of it may still be on its way."""
    plan = plan_trajectory(
        plan_waypoints(0, down(0.4, 0.2), down(0.6, -0.2), Workspace()), MODEL.home, MODEL
    )
    execution, now = Execution(plan, MODEL, LIMITS), 0.0
    assert execution.update(now, RobotState(MODEL.home, np.zeros(6))).segment is not None
    above = plan.segments[0].positions[-1]
    assert execution.update(1.0, RobotState(above, np.zeros(6), contact=True)).segment is None
    guarded = execution.update(1.1, RobotState(above, np.zeros(6), contact=True))
    assert guarded.stop_on_contact
    assert execution.update(1.2, RobotState(above, np.zeros(6), contact=True)) is None
    assert execution.update(1.3, RobotState(above, np.zeros(6), contact=False)) is None
    assert execution.update(1.4, RobotState(above, np.zeros(6), contact=True)).suction


def test_nothing_more_is_ordered_after_the_end():
    robot = Robot(MODEL.home)
    waypoints = plan_waypoints(1, down(0.4, 0.2), down(0.6, -0.2), Workspace())
    execution = Execution(plan_trajectory(waypoints, MODEL.home, MODEL), MODEL, LIMITS)
    while execution.outcome is None:
        if (order := execution.update(robot.now, robot.report())) is not None:
            robot.obey(order)
    assert execution.update(robot.now + 1, robot.report()) is None


def test_an_arm_that_does_not_arrive_is_waited_for():
    """Whoever started it has a clock and decides when it is too long."""
    waypoints = plan_waypoints(1, down(0.4, 0.2), down(0.6, -0.2), Workspace())
    plan = plan_trajectory(waypoints, MODEL.home, MODEL)
    execution = Execution(plan, MODEL, LIMITS)
    assert execution.update(0.0, RobotState(MODEL.home, np.zeros(6))) is not None
    short = plan.segments[0].positions[-1] + 0.02
    moving = np.full(6, 0.1)
    for now in range(1, 100):
        assert execution.update(float(now), RobotState(short, np.zeros(6))) is None
        arrived = plan.segments[0].positions[-1]
        assert execution.update(float(now), RobotState(arrived, moving)) is None
    assert execution.outcome is None


def test_where_the_joints_are_some_time_after_their_last_report():
    """On their way, at most at its end; where a touch may have ended the move, as reported."""
    waypoints = plan_waypoints(0, down(0.4, 0.2), down(0.6, -0.2), Workspace())
    plan = plan_trajectory(waypoints, MODEL.home, MODEL)
    execution, segment = Execution(plan, MODEL, LIMITS), plan.segments[0]
    half = len(segment.times) // 2
    robot = RobotState(segment.positions[half], segment.velocities[half])
    execution.update(0.0, RobotState(MODEL.home, np.zeros(6)))
    later = execution.joints_after(robot, 0.1)
    truth = at(segment.times[half] + 0.1, segment.times, segment.positions, segment.velocities)[0]
    assert np.abs(later - truth).max() < 0.2 * np.abs(robot.joints - truth).max()
    way = np.abs(segment.positions[-1] - robot.joints)
    fast = RobotState(robot.joints, 10 * robot.speeds)
    assert (np.abs(execution.joints_after(fast, 0.5) - robot.joints) <= way + 1e-9).all()
    blocked = RobotState(robot.joints, np.zeros(6))
    assert (execution.joints_after(blocked, 0.5) == robot.joints).all()
    start = RobotState(MODEL.home, np.zeros(6))  # silent from the beginning on
    assert (execution.joints_after(start, 100.0) == segment.positions[-1]).all()
    truth = at(0.6, segment.times, segment.positions, segment.velocities)[0]
    assert np.abs(execution.joints_after(start, 0.6) - truth).max() < 0.1
    execution.update(1.0, RobotState(segment.positions[-1], np.zeros(6)))
    execution.update(2.0, RobotState(segment.positions[-1], np.zeros(6)))  # down, until contact
    assert execution.joints_after(robot, 0.1) is robot.joints
