"""The VIMA-Bench node, by a stand-in of the package (test/vima_bench_stand_in)."""

import numpy as np
import pytest
from sensor_msgs.msg import Image
from vima_bench_installation import write_python

from vima_msgs.msg import ArmCommand, ArmState, Prompt, TaskStatus
from vima_msgs.srv import LoadTask
from vima_ros.arm.primitives import plan_waypoints
from vima_ros.client.client import Client
from vima_ros.client.node_processes import NodeProcesses
from vima_ros.geometry import Pose, quaternion_from_yaw
from vima_ros.nodes.common import action_conversions, image_conversion, qos
from vima_ros.policy_frame import VIMA_WORKSPACE
from vima_ros.specs import Primitive

NODES = ["vima_bench"]
TASK = {"task": "visual_manipulation", "level": "placement_generalization"}


def command(name, start, end):
    poses = [Pose(np.array([*xy, 0.0]), quaternion_from_yaw(0.0)) for xy in (start, end)]
    waypoints = plan_waypoints(Primitive.PICK_PLACE, *poses, VIMA_WORKSPACE)
    message = ArmCommand(command_id=name)
    message.header.frame_id = "base_link"
    message.waypoints = action_conversions.waypoints_to_message(waypoints)
    return message


@pytest.fixture
def client(tmp_path, monkeypatch):
    monkeypatch.setenv("VIMA_BENCH_PYTHON", write_python(tmp_path))
    with NodeProcesses(tmp_path, params_file="vima_bench") as processes, Client("test") as client:
        processes.start([*NODES, "manager"], {"nodes": NODES})
        client.wait_for_active(NODES, 120, processes.check_starting)
        yield client


@pytest.mark.slow
def test_the_simulator_is_cameras_robot_prompt_and_judge(client):
    images = client.subscribe(Image, "top/mask", qos.SENSOR_DATA)
    prompts = client.subscribe(Prompt, "prompt", qos.LATCHED)
    states = client.subscribe(ArmState, "arm_state", qos.RELIABLE)
    statuses = client.subscribe(TaskStatus, "task_status", qos.LATCHED)
    commands = client.create_publisher(ArmCommand, "arm_command", qos.RELIABLE)
    client.wait_until(lambda: commands.get_subscription_count(), "the node's subscription")
    assert client.call(LoadTask, "load_task", LoadTask.Request(seed=3, **TASK)).success
    mask = image_conversion.decode_mask(images.wait(lambda _: True, 15, "mask"))
    assert set(np.unique(mask)) == {0, 1, 2}
    prompt = prompts.wait(lambda m: m.text.endswith("of 3."), 15, "prompt")
    assert all(asset.front_mask.data for asset in prompt.assets)
    for name, start, state, code, outcome in (
        ("a", (0.7, -0.4), ArmState.ABORTED, "NOT_PICKED", TaskStatus.RUNNING),
        ("b", (0.4, -0.2), ArmState.SUCCEEDED, "OK", TaskStatus.SUCCESS),
    ):
        commands.publish(command(name, start, (0.6, 0.2)))
        ended = states.wait(
            lambda m, n=name: m.command_id == n and m.state != ArmState.EXECUTING, 15, "end"
        )
        assert (ended.state, ended.code) == (state, code)
        status = statuses.wait(lambda m, n=name: m.command_id == n, 15, "task_status")
        assert status.outcome == outcome
    assert (status.steps, status.step_limit) == (2, 5)


@pytest.mark.slow
def test_a_dead_simulator_aborts_the_motion_and_the_next_task_starts_another(client):
    states = client.subscribe(ArmState, "arm_state", qos.RELIABLE)
    commands = client.create_publisher(ArmCommand, "arm_command", qos.RELIABLE)
    client.wait_until(lambda: commands.get_subscription_count(), "the node's subscription")
    assert client.call(LoadTask, "load_task", LoadTask.Request(seed=13, **TASK)).success
    commands.publish(command("a", (0.4, -0.2), (0.6, 0.2)))
    ended = states.wait(lambda m: m.state == ArmState.ABORTED, 15, "end")
    assert (ended.command_id, ended.code) == ("a", "SIMULATOR_DIED")
    answer = client.call(LoadTask, "load_task", LoadTask.Request(seed=700_000, **TASK))
    assert answer.message.startswith("INVALID_VALUE")
    assert client.call(LoadTask, "load_task", LoadTask.Request(seed=3, **TASK)).success
    commands.publish(command("b", (0.4, -0.2), (0.6, 0.2)))
    states.wait(lambda m: (m.command_id, m.state) == ("b", ArmState.SUCCEEDED), 15, "end")
