"""Actions through gate and arm into MuJoCo; refusals with a code; stop and resume."""

import math

import pytest
from geometry_msgs.msg import Pose
from rcl_interfaces.srv import SetParameters
from rclpy.parameter import Parameter
from std_srvs.srv import Trigger
from visualization_msgs.msg import MarkerArray

from vima_msgs.msg import ArmCommand, ArmState, Observation, PolicyAction
from vima_ros.nodes.common import action_conversions

ENDED = (ArmState.SUCCEEDED, ArmState.REFUSED, ArmState.ABORTED, ArmState.STOPPED)


@pytest.fixture
def robot(suite):
    return Robot(suite)


class Robot:
    """Sends actions as the policy would, and follows what becomes of them."""

    def __init__(self, suite):
        self.client = suite.client
        self.states = self.client.subscribe(ArmState, "arm_state")
        self.commands = self.client.subscribe(ArmCommand, "arm_command")
        self.observations = self.client.subscribe(Observation, "observation")
        self.markers = self.client.subscribe(MarkerArray, "markers")
        self.actions = self.client.create_publisher(PolicyAction, "action")
        self.last_seen = None
        self.client.wait_until(lambda: self.actions.get_subscription_count() >= 1, "the arm node")
        self.reset(1)
        self.reset(0)

    def reset(self, seed):
        request = SetParameters.Request()
        request.parameters = [
            Parameter("scene", value="put").to_parameter_msg(),
            Parameter("seed", value=seed).to_parameter_msg(),
        ]
        before = self.states.count
        self.client.call(SetParameters, "tabletop/set_parameters", request)
        text = f"scene put, seed {seed}"
        self.states.wait(lambda m: m.message == text, 15, text, before)

    def where(self, name):
        markers = self.markers.wait(
            lambda m: any(k.ns == name for k in m.markers), 15, name, self.markers.count
        )
        return next(k.pose for k in markers.markers if k.ns == name)

    def action(self, pose0, pose1, **fields):
        """An action on an observation of now."""
        seen = self.observations.wait(
            lambda m: m.header.stamp != self.last_seen, 15, "observation", self.observations.count
        )
        self.last_seen = seen.header.stamp  # an action is known by it
        action = PolicyAction(prompt_id="test", observation_stamp=seen.header.stamp, **fields)
        action.pose0, action.pose1 = at(*pose0), at(*pose1)
        return action

    def send(self, action):
        before = self.states.count
        self.actions.publish(action)
        return self.ended(action, before)

    def ended(self, action, before=0):
        wanted = action_conversions.action_id(action)
        return self.states.wait(
            lambda m: m.judged and m.command_id == wanted and m.state in ENDED,
            60,
            "the motion's end",
            before,
        )

    def waypoints_sent(self, action):
        wanted = action_conversions.action_id(action)
        return [w for c in self.commands.messages if c.command_id == wanted for w in c.waypoints]


def at(x, y, yaw=0.0) -> Pose:
    pose = Pose()
    pose.position.x, pose.position.y = x, y
    pose.orientation.z, pose.orientation.w = math.sin(yaw / 2), math.cos(yaw / 2)
    return pose


def yaw_of(pose):
    return 2 * math.atan2(pose.orientation.z, pose.orientation.w)


def test_the_object_under_the_tool_is_carried_and_turned(robot):
    before = robot.where("red_block")
    start = (before.position.x, before.position.y)
    action, began = robot.action(start, (0.35, 0.0 - 0.35, math.pi / 3)), robot.states.count
    state = robot.send(action)
    assert state.state == ArmState.SUCCEEDED, state.message
    after = robot.where("red_block")
    assert math.dist((after.position.x, after.position.y), (0.35, -0.35)) < 0.01
    turned = math.remainder(yaw_of(after) - yaw_of(before), 2 * math.pi)
    assert turned == pytest.approx(math.pi / 3, abs=0.05)
    sent = robot.waypoints_sent(action)
    assert [w.pose.position.z for w in sent] == [0.32, 0.002, 0.32] * 2  # base_link is the table
    assert robot.commands.messages[-1].header.frame_id == "base_link"
    tool = robot.states.wait(
        lambda m: m.state == ArmState.SUCCEEDED and not m.judged, 15, "the robot's word", began
    )
    assert tool.header.frame_id == "base_link"
    assert tool.tool_pose.position.z == pytest.approx(0.32, abs=0.002)


def test_a_failed_pick_is_reported_and_changes_nothing(robot):
    before = robot.where("red_block")
    state = robot.send(robot.action((0.7, 0.45), (0.35, 0.0)))
    assert (state.state, state.code) == (ArmState.ABORTED, ArmState.NOT_PICKED)
    after = robot.where("red_block")
    assert (
        math.dist((before.position.x, before.position.y), (after.position.x, after.position.y))
        < 0.001
    )


@pytest.mark.parametrize(
    ("pose0", "pose1", "code"),
    [
        ((0.20, 0.0), (0.5, 0.0), "OUTSIDE_WORKSPACE"),
        ((0.5, 0.0), (0.5, 0.51), "OUTSIDE_WORKSPACE"),
        ((math.nan, 0.0), (0.5, 0.0), "NOT_FINITE"),
        ((0.5, 0.0), (0.5, math.inf), "NOT_FINITE"),
    ],
)
def test_a_bad_action_is_refused_with_a_code_and_nothing_is_sent(robot, pose0, pose1, code):
    action = robot.action(pose0, pose1)
    state = robot.send(action)
    assert (state.state, state.code) == (ArmState.REFUSED, code)
    assert len(state.message) > 15
    assert robot.waypoints_sent(action) == []


def test_a_quaternion_without_direction_is_refused(robot):
    action = robot.action((0.5, 0.0), (0.4, 0.0))
    action.pose1.orientation.w = action.pose1.orientation.z = 0.0
    assert robot.send(action).code == "NOT_FINITE"


def test_a_decision_is_used_once(robot):
    action = robot.action((0.7, 0.45), (0.35, 0.0))
    assert robot.send(action).state == ArmState.ABORTED
    assert robot.send(action).code == "DUPLICATE"


def test_an_observation_from_before_the_motion_is_stale(robot):
    first = robot.action((0.7, 0.45), (0.35, 0.0))
    second = robot.action((0.7, 0.45), (0.36, 0.0))
    robot.send(first)
    assert robot.send(second).code == "STALE"


def test_stop_ends_a_motion_and_nothing_moves_until_resume(robot):
    robot.client.wait_for_service(Trigger, "stop")
    action = robot.action((0.58, -0.25), (0.35, 0.35))
    before = robot.states.count
    robot.actions.publish(action)
    robot.states.wait(lambda m: m.state == ArmState.EXECUTING, 15, "EXECUTING", before)
    assert robot.client.call(Trigger, "stop", Trigger.Request()).success
    assert robot.ended(action, before).state == ArmState.STOPPED
    refused = robot.send(robot.action((0.5, 0.0), (0.4, 0.0)))
    assert (refused.state, refused.code) == (ArmState.REFUSED, "STOPPED")
    assert "stop was called" in refused.message
    assert robot.client.call(Trigger, "resume", Trigger.Request()).success
    assert robot.send(robot.action((0.7, 0.45), (0.35, 0.0))).code == ArmState.NOT_PICKED


def test_only_one_motion_at_a_time(robot):
    first, second = (robot.action((0.58, -0.25), (0.35, y)) for y in (0.3, 0.31))
    before = robot.states.count
    robot.actions.publish(first)
    assert robot.send(second).code == "BUSY"
    assert robot.ended(first, before).state == ArmState.SUCCEEDED
