"""Stops at random moments of a UR5e's motions: nothing that moves leaves after the answer."""

import random

import pytest
from conftest import ALL_NODES, STALL_TOLERANT
from std_srvs.srv import Trigger
from trajectory_msgs.msg import JointTrajectory

from vima_msgs.msg import ArmCommand, ArmState, Prompt, PromptAsset, ToolCommand
from vima_msgs.srv import CaptureAsset
from vima_ros.client.client import Client
from vima_ros.client.execute_prompt import ExecutePromptGoal
from vima_ros.client.node_processes import NodeProcesses


@pytest.fixture
def robot(tmp_path):
    with (
        NodeProcesses(tmp_path, params_file="tabletop", namespace="/ur") as processes,
        Client("operator", "/ur") as client,
    ):
        parameters = {"real_time_factor": 10.0, "max_failures": 500, "camera_rate": 10.0}
        parameters |= STALL_TOLERANT
        processes.start(ALL_NODES, {**parameters, "library": str(tmp_path / "assets")})
        client.wait_for_active(ALL_NODES, 120, processes.check_alive)
        yield client


@pytest.mark.slow
def test_after_the_response_nothing_moves_until_resume(robot):
    pick, order = random.Random(1), []
    for kind, topic in (
        (ArmCommand, "arm_command"),
        (JointTrajectory, "joint_trajectory"),
        (ToolCommand, "tool_command"),
        (ArmState, "arm_state"),
    ):
        robot.node.create_subscription(kind, topic, lambda m, t=topic: order.append((t, m)), 50)
    states = robot.subscribe(ArmState, "arm_state")
    request = CaptureAsset.Request(name="all", kind=PromptAsset.KIND_SCENE)
    robot.wait_until(lambda: robot.call(CaptureAsset, "capture_asset", request).success, "it", 60)
    goal = ExecutePromptGoal(robot, Prompt(text="Put the {all} aside."), 500)
    for _ in range(12):
        begun = states.count
        states.wait(lambda m: m.judged and m.state == ArmState.EXECUTING, 60, "motion", begun)
        moment, seen = pick.randint(0, 25), len(order)
        robot.wait_until(lambda n=seen + moment: len(order) >= n, "a moment", 60)
        before = states.count
        assert robot.call(Trigger, "stop", Trigger.Request()).success
        stopped = states.wait(
            lambda m: m.judged and m.state == ArmState.STOPPED, 15, "STOPPED", before
        )
        moved = [
            m for topic, m in order if topic == "arm_command" and m.waypoints and later(m, stopped)
        ]
        assert moved == []
        assert robot.call(Trigger, "resume", Trigger.Request()).success
    goal.cancel()
    goal.wait(60)
    # In the order in which the arm node sent them: a stop, then nothing but holding.
    stops = [i for i, (t, m) in enumerate(order) if t == "arm_state" and is_stop(m)]
    assert len(stops) >= 12


def later(one, other):
    stamps = [(m.header.stamp.sec, m.header.stamp.nanosec) for m in (one, other)]
    return stamps[0] > stamps[1]


def is_stop(message):
    return message.judged and message.state == ArmState.STOPPED
