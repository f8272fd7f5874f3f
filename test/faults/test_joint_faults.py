"""The arm node with a UR5e that the test plays: what if the joints cannot be believed."""

import math

import numpy as np
import pytest
from by_hand import bring_up
from sensor_msgs.msg import JointState
from trajectory_msgs.msg import JointTrajectory

from vima_msgs.msg import ArmState, PolicyAction
from vima_ros.client.client import Client
from vima_ros.client.node_processes import NodeProcesses
from vima_ros.nodes.common.parameter_defaults import default_values

JOINTS = ["shoulder_pan", "shoulder_lift", "elbow", "wrist_1", "wrist_2", "wrist_3"]
NAMES = [f"{name}_joint" for name in JOINTS]


class PlayedArm:
    """Stands where it is and reports so, or reports what it is told."""

    def __init__(self, client):
        self.client = client
        self.home = [float(angle) for angle in default_values("arm")["home_joint_positions"]]
        self.positions = list(self.home)
        self.joints = client.create_publisher(JointState, "joint_states")
        self.says = client.create_publisher(ArmState, "arm_state")
        self.states = client.subscribe(ArmState, "arm_state")
        self.trajectories = client.subscribe(JointTrajectory, "joint_trajectory")
        self.act = client.create_publisher(PolicyAction, "action")
        client.node.create_timer(0.02, self.report_joints)
        client.node.create_timer(0.2, self.report_state)

    def report_joints(self):
        message = JointState(name=NAMES, position=self.positions, velocity=[0.0] * len(NAMES))
        message.header.stamp = self.client.node.get_clock().now().to_msg()
        self.joints.publish(message)

    def report_state(self):
        message = ArmState(state=ArmState.IDLE, code=ArmState.OK)
        message.header.stamp = self.client.node.get_clock().now().to_msg()
        self.says.publish(message)

    def send(self, prompt_id):
        action = PolicyAction(prompt_id=prompt_id)
        action.observation_stamp = self.client.node.get_clock().now().to_msg()
        action.pose0.position.x, action.pose1.position.x = 0.45, 0.55
        self.act.publish(action)
        return self.states.wait(
            lambda m: m.judged and m.command_id.startswith(f"{prompt_id}/"), 15, "an answer"
        )


@pytest.fixture
def arm(tmp_path):
    with (
        NodeProcesses(tmp_path, params_file="example", namespace="/played") as processes,
        Client("robot", "/played") as client,
    ):
        values = {"urdf": "ur5e.urdf", "dry_run": False, "manager_timeout": 0.0}
        processes.start(["arm"], values)
        played = PlayedArm(client)
        bring_up(client, "arm")
        client.wait_until(
            lambda: played.act.get_subscription_count() and played.joints.get_subscription_count(),
            "the arm node",
        )
        yield played


def test_joints_that_are_no_numbers_stop_the_motion(arm):
    assert arm.send("good").state == ArmState.EXECUTING
    move = arm.trajectories.wait(lambda m: len(m.points) > 1, 15, "a move")
    before, sent = arm.states.count, arm.trajectories.count
    arm.positions = [math.nan] * len(NAMES)
    told = arm.states.wait(
        lambda m: m.judged and m.state == ArmState.STOPPED, 15, "STOPPED", before
    )
    assert "joint_states" in told.message
    assert "state_timeout" in told.message
    assert "shoulder_lift_joint" in told.message
    assert "position is nan" in told.message
    hold = arm.trajectories.wait(lambda m: len(m.points) == 1, 15, "hold", sent)
    (point,) = hold.points  # where the plan has the arm by then, in no hurry
    way = [np.abs(np.subtract(p.positions, point.positions)).max() for p in move.points]
    assert min(way) == pytest.approx(0.0, abs=1e-9)
    assert point.time_from_start.sec >= 1
    assert not any(point.velocities)


def test_with_joints_that_are_no_numbers_no_motion_begins(arm):
    arm.positions = [math.inf] * len(NAMES)
    before = arm.states.count
    arm.states.wait(lambda m: not m.judged, 15, "time to pass", before + 12)
    refused = arm.send("blind")
    assert (refused.state, refused.code) == (ArmState.REFUSED, "NOT_ACTIVE")
    assert "joint_states" in refused.message
    assert "elbow_joint" in refused.message
    assert "position is inf" in refused.message
    assert arm.trajectories.messages == []
