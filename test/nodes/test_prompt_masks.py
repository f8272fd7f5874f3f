"""Images of a task's prompt, read by their true masks or by the prompt node's detectors."""

import pytest
from rcl_interfaces.srv import SetParameters
from rclpy.parameter import Parameter

from vima_msgs.msg import Prompt
from vima_msgs.srv import LoadTask, SetPrompt
from vima_ros.client.client import Client
from vima_ros.client.node_processes import NodeProcesses
from vima_ros.nodes.common import image_conversion, qos

NODES = ["prompt", "tabletop"]


@pytest.mark.slow
def test_a_tasks_prompt_is_read_by_its_masks_or_by_the_prompt_nodes_detectors(tmp_path):
    with (
        NodeProcesses(tmp_path, params_file="free_gripper") as processes,
        Client("test") as client,
    ):
        processes.start([*NODES, "manager"], {"nodes": NODES, "send_prompt": False})
        client.wait_for_active(NODES, 120, processes.check_alive)
        prompts = client.subscribe(Prompt, "task_prompt", qos.LATCHED)
        previews = {}
        for masks in (True, False):
            parameter = Parameter("prompt_masks", value=masks).to_parameter_msg()
            request = SetParameters.Request(parameters=[parameter])
            assert client.call(SetParameters, "tabletop/set_parameters", request).results[0]
            since = prompts.count
            request = LoadTask.Request(task="rearrange", seed=2_000_001)  # a scene: by onnx
            assert client.call(LoadTask, "load_task", request).success
            prompt = prompts.wait(lambda m: m.assets, 60, "task_prompt", since)
            assert {bool(asset.front_mask.data) for asset in prompt.assets} == {masks}
            request = SetPrompt.Request(prompt=prompt, check_only=True, preview=True)
            answer = client.call(SetPrompt, "set_prompt", request)
            assert answer.success, answer.message
            previews[masks] = image_conversion.decode_colour(answer.preview)
        same = previews[True].shape == previews[False].shape
        assert not (same and (previews[True] == previews[False]).all())  # boxes differ
