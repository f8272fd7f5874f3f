"""The demo and the evaluation through the nodes: a task is loaded, executed and evaluated."""

import cv2
import pytest
from conftest import STALL_TOLERANT
from sensor_msgs.msg import Image
from small_policies import write_policy

from vima_ros.cli.demo.html_report import write_page
from vima_ros.cli.demo.main import DemoRunner
from vima_ros.cli.demo.video import VideoRecorder
from vima_ros.cli.evaluate_robot import attempt
from vima_ros.client.client import Client
from vima_ros.client.node_processes import NodeProcesses
from vima_ros.client.task_runner import TaskRunner, start_nodes
from vima_ros.nodes.common import qos
from vima_ros.specs import VIEWS
from vima_ros.training.evaluation.policy_rollouts import Job


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    values = {
        "real_time_factor": 10.0,
        "max_steps": 3,
        "publish_attention": True,
        **STALL_TOLERANT,
    }
    with (
        NodeProcesses(tmp_path_factory.mktemp("logs"), params_file="tabletop") as processes,
        Client("test") as client,
    ):
        start_nodes(processes, client, "ground_truth_masks", values)
        yield client


@pytest.mark.slow
def test_the_demo_reports_a_task(client, tmp_path, capsys):
    with VideoRecorder(client, tmp_path / "demo.mp4", 5.0) as video:
        report = DemoRunner(client, tmp_path, video).run("visual_manipulation", 2_000_000)
    assert report.success == (report.result == "SUCCESS")
    assert 1 <= len(report.steps) <= 3
    printed = capsys.readouterr().out
    assert f"prompt: {report.text}" in printed
    assert f"result: {report.result}" in printed
    page = write_page([report], "ground_truth_masks", tmp_path).read_text()
    assert page.count("data:image/jpeg;base64,") == 2 * len(report.steps)  # action, attention
    drawn = [cv2.imread(str(path)) for step in report.steps for path in step.images]
    assert all(image.std() > 10 for image in drawn)
    assert "http" not in page  # nothing is fetched
    assert report.text in page
    assert (tmp_path / "demo.mp4").stat().st_size > 1000


def test_the_evaluation_reports_the_result_of_the_task(client):
    frames = {
        view: client.subscribe(Image, f"{view}/image_raw", qos.SENSOR_DATA) for view in VIEWS
    }
    job = Job("rotate", "train", 2_000_001, "", "ground_truth_masks")
    done = attempt(job, TaskRunner(client), frames)
    assert 1 <= done.steps <= 3
    assert done.success == (done.image is None)
    assert done.success or done.reason


@pytest.mark.slow
def test_the_demo_of_a_policy_that_reads_whole_images(tmp_path, capsys):
    checkpoint = write_policy(tmp_path / "gpt.safetensors", "gpt")
    values = {
        "real_time_factor": 10.0,
        "max_steps": 1,
        "checkpoint": str(checkpoint),
        "publish_attention": True,
        **STALL_TOLERANT,
    }
    with (
        NodeProcesses(tmp_path / "logs", params_file="tabletop", namespace="/other") as processes,
        Client("test", "/other") as other,
        VideoRecorder(other, tmp_path / "demo.mp4", 5.0) as video,
    ):
        start_nodes(processes, other, "ground_truth_masks", values)
        runner = DemoRunner(other, tmp_path, video)
        report = runner.run("rotate", 2_000_000)
        assert runner.whole_images
    assert report.result.startswith(("SUCCESS", "STEP_LIMIT", "TASK_FAILED")), report.result
    assert len(report.steps) == 1
    assert "step 0: both views whole" in capsys.readouterr().out
    assert "read whole by the policy" in write_page([report], "", tmp_path).read_text()
