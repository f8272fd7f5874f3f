"""A bag played by any player, as `ros2 bag play --clock` does: no robot answers, nothing moves."""

import time

import pytest
from helpers import write_bag
from rclpy.serialization import deserialize_message
from rosbags.rosbag2 import StoragePlugin
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import Image

from vima_msgs.msg import ArmCommand, ArmState, PolicyAction, Prompt, PromptAsset
from vima_msgs.srv import SetPrompt
from vima_ros.client.client import Client
from vima_ros.client.node_processes import NodeProcesses
from vima_ros.nodes.common import action_conversions, conversions, image_conversion
from vima_ros.replay.bag import Bag

NODES = ["perception", "prompt", "policy", "arm", "manager"]


@pytest.mark.slow
def test_cameras_alone_lead_to_decisions_that_stay_dry(tmp_path):
    with Bag(write_bag(tmp_path / "bag", StoragePlugin.SQLITE3, steps=8)) as bag:
        frames = [frame for step in bag.steps() for frame in step.frames]
    with (
        NodeProcesses(tmp_path / "logs", params_file="example", use_sim_time=True) as processes,
        Client("player") as client,
    ):
        processes.start(NODES)
        clock = client.create_publisher(Clock, "/clock")
        cameras = {v: client.create_publisher(Image, f"{v}/image_raw") for v in ("front", "top")}
        actions = client.subscribe(PolicyAction, "action")
        answers = client.subscribe(ArmState, "arm_state")
        commands = client.subscribe(ArmCommand, "arm_command")
        client.wait_for_active(NODES, 120, processes.check_alive)
        client.wait_until(
            lambda: all(c.get_subscription_count() for c in [clock, *cameras.values()]), "links"
        )
        rgb = image_conversion.decode_colour(deserialize_message(frames[0].data, Image))
        asset = PromptAsset(name="block", kind=PromptAsset.KIND_SCENE)
        asset.front = image_conversion.encode(rgb, "rgb8")
        prompt = Prompt(text="Put the {block} aside.", assets=[asset])
        request = SetPrompt.Request(prompt=prompt)
        assert client.call(SetPrompt, "set_prompt", request).success

        began, first = time.monotonic(), frames[0].stamp
        for frame in frames:  # at the recorded pace: what a player does, not a wait for a result
            client.wait_until(
                lambda f=frame: time.monotonic() - began >= (f.stamp - first) / 1e9, "its time"
            )
            clock.publish(Clock(clock=conversions.ns_to_stamp(frame.stamp)))
            cameras[frame.view].publish(frame.data)

        action = actions.wait(lambda m: True, 15, "action")
        answer = answers.wait(
            lambda m: m.command_id == action_conversions.action_id(action), 15, "the gate's answer"
        )
        assert (answer.state, answer.code) == (ArmState.REFUSED, "DRY_RUN")
        assert commands.messages == []
