"""The frame_ids of a pair's images, and results that wait for the executor."""

from types import SimpleNamespace

import pytest

pytest.importorskip("rclpy", reason="no ROS 2: run `make test`, which prepares it")

from sensor_msgs.msg import Image

from vima_ros.errors import VimaError
from vima_ros.nodes.perception.image_pair import CameraFrameCheck, ImagePair
from vima_ros.nodes.perception.pending_results import MAX_PENDING, PendingResults


def pair(front, top, epoch=0):
    messages = {}
    for view, frame_id in (("front", front), ("top", top)):
        messages[f"{view}/image"] = Image()
        messages[f"{view}/image"].header.frame_id = frame_id
    return ImagePair(messages, {}, epoch, 0.0, {})


def code(check, *frames, **epoch):
    try:
        check.check(pair(*frames, **epoch))
    except VimaError as error:
        return error.code
    return ""


def test_the_first_cameras_of_an_epoch_are_those_until_the_next():
    check = CameraFrameCheck({"front": "", "top": ""})
    assert [code(check, "", ""), code(check, "a", "b"), code(check, "a", "b")] == [""] * 3
    assert code(check, "b", "a") == "WRONG_CAMERA"
    assert code(check, "", "b") == "WRONG_CAMERA"
    assert code(check, "b", "a", epoch=1) == ""
    assert code(check, "a", "b", epoch=1) == "WRONG_CAMERA"


def test_configured_cameras_are_the_same_in_every_epoch():
    check = CameraFrameCheck({"front": "f", "top": ""})
    assert code(check, "g", "t", epoch=1) == "WRONG_CAMERA"
    assert code(check, "g", "t", epoch=2) == "WRONG_CAMERA"
    assert code(check, "f", "u", epoch=3) == ""


def test_results_beyond_the_bound_drop_the_oldest_and_are_counted():
    results = PendingResults()
    for number in range(MAX_PENDING + 3):
        results.put(number, SimpleNamespace(times={}))
    assert results.dropped == 3
    taken = list(results.take())
    assert [number for number, _ in taken] == list(range(3, MAX_PENDING + 3))
    assert all(result.times["handover"] >= 0 for _, result in taken)
    assert list(results.take()) == []
