"""The arm node between two frames: actions come in `table`, the robot speaks base_link.

The table is turned and leans, and the test plays a robot that is moved by its tool tip.
"""

import numpy as np
import pytest
from by_hand import bring_up
from std_srvs.srv import Trigger

from vima_msgs.msg import ArmCommand, ArmState, PolicyAction
from vima_ros.arm.primitives import plan_waypoints
from vima_ros.client.client import Client
from vima_ros.client.command_ends import ends_command
from vima_ros.client.node_processes import NodeProcesses
from vima_ros.geometry import Pose, Transform, Workspace, quaternion_from_yaw
from vima_ros.nodes.common import action_conversions, conversions

XYZ, RPY = [0.1, -0.2, -0.3], [0.1, -0.15, 1.2]
TABLE = Transform.from_xyz_rpy(XYZ, RPY)  # in base_link
POSES = Pose((0.4, -0.2, 0.0), quaternion_from_yaw(0.3)), Pose((0.6, 0.2, 0.0), (0, 0, 0, 1))


class PlayedRobot:
    """Says done at once, with its tool at ``tool`` (a pose) in the frame named ``frame``."""

    def __init__(self, client):
        self.client, self.sent = client, 0
        self.tool, self.frame, self.commands = None, "", []
        self.states = client.subscribe(ArmState, "arm_state")
        self.actions = client.create_publisher(PolicyAction, "action")
        self.says = client.create_publisher(ArmState, "arm_state")
        client.node.create_subscription(ArmCommand, "arm_command", self.obey, 10)
        client.node.create_timer(0.2, lambda: self.report(ArmState.IDLE, ""))

    def obey(self, command):
        if command.waypoints:
            self.commands.append(command)
            self.report(ArmState.EXECUTING, command.command_id)
            self.report(ArmState.SUCCEEDED, command.command_id)

    def report(self, state, command_id):
        message = ArmState(state=state, code=ArmState.OK, command_id=command_id)
        message.header.stamp = self.client.node.get_clock().now().to_msg()
        message.header.frame_id = self.frame
        message.tool_pose.orientation.w = 0.0
        if self.tool is not None:
            message.tool_pose = conversions.pose_to_message(self.tool)
        self.says.publish(message)

    def act(self, frame, poses):
        """What became of an action, and the command for it (None: none was sent)."""
        self.sent += 1
        action = PolicyAction(prompt_id="test", step=self.sent)
        action.observation_stamp = self.client.node.get_clock().now().to_msg()
        action.header.frame_id = frame
        action.pose0, action.pose1 = (conversions.pose_to_message(pose) for pose in poses)
        command_id = action_conversions.action_id(action)
        self.actions.publish(action)
        end = self.states.wait(lambda m: ends_command(m, command_id), 15, "an end")
        return end, next((m for m in self.commands if m.command_id == command_id), None)


@pytest.fixture(scope="module")
def robot(tmp_path_factory):
    folder = tmp_path_factory.mktemp("logs")
    with (
        NodeProcesses(folder, params_file="example") as processes,
        Client("robot") as client,
    ):
        values = {"dry_run": False, "manager_timeout": 0.0, "table_xyz": XYZ, "table_rpy": RPY}
        processes.start(["arm"], values)
        played = PlayedRobot(client)
        played.log = lambda: processes.log("arm")
        bring_up(client, "arm")
        client.wait_until(
            lambda: (
                played.actions.get_subscription_count()
                and played.says.get_subscription_count() > 1  # our own is one
                and client.node.count_publishers("arm_command")
            ),
            "the arm node",
        )
        yield played


def in_base(pose):
    return TABLE.apply_to_pose(pose)


@pytest.mark.parametrize(
    ("frame", "poses"),
    [("table", POSES), ("", POSES), ("base_link", tuple(in_base(pose) for pose in POSES))],
    ids=["table", "empty", "base_link"],
)
def test_an_action_of_either_frame_becomes_waypoints_in_base_link(robot, frame, poses):
    robot.tool = None
    end, command = robot.act(frame, poses)
    assert (end.state, end.code) == (ArmState.SUCCEEDED, ArmState.OK)
    assert command.header.frame_id == "base_link"
    wanted = plan_waypoints(0, *POSES, Workspace())
    for got, want in zip(command.waypoints, wanted, strict=True):
        pose, moved = conversions.pose_from_message(got.pose), in_base(want.pose)
        np.testing.assert_allclose(pose.position, moved.position, atol=1e-9)
        np.testing.assert_allclose(pose.quaternion, moved.quaternion, atol=1e-9)


def test_an_action_of_another_frame_is_refused_naming_the_valid_ones(robot):
    end, command = robot.act("moon", POSES)
    assert (end.state, end.code) == (ArmState.REFUSED, "WRONG_FRAME")
    assert command is None
    for name in ("'moon'", "'table'", "'base_link'"):
        assert name in end.message


GOAL = plan_waypoints(0, *POSES, Workspace())[-1].pose
WARNING = "tool_pose in frame 'tool0'"


@pytest.mark.parametrize(
    ("tool", "frame", "code"),
    [
        (in_base(GOAL), "base_link", ArmState.OK),
        (in_base(GOAL), "", ArmState.OK),
        (GOAL, "base_link", ArmState.NOT_MOVED),
        (GOAL, "tool0", ArmState.OK),
    ],
    ids=["there", "frame left empty", "elsewhere", "another frame"],
)
def test_where_the_robot_says_its_tool_is_counts_in_base_link(robot, tool, frame, code):
    """A pose in another frame is not used, and that is said once."""
    robot.client.wait_for_service(Trigger, "resume")
    robot.tool, robot.frame = tool, frame
    try:
        end, _ = robot.act("table", POSES)
        if frame == "tool0":
            end, _ = robot.act("table", POSES)
    finally:
        robot.tool, robot.frame = None, ""
    assert end.code == code
    if code == ArmState.NOT_MOVED:
        assert "in base_link" in end.message
        assert robot.client.call(Trigger, "resume", Trigger.Request()).success
    if frame == "tool0":
        robot.client.wait_until(lambda: WARNING in robot.log(), "the warning")
        assert robot.log().count(WARNING) == 1
        assert "valid: 'base_link'" in robot.log()
