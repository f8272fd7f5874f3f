"""The perception node alone, with cameras that the test plays: pairs, encodings, hostile data."""

import time

import cv2
import numpy as np
import pytest
from builtin_interfaces.msg import Time
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from sensor_msgs.msg import Image

from vima_msgs.msg import Observation, PerceptionStatus
from vima_ros.nodes import conversions, images, qos
from vima_ros.nodes.client import Client
from vima_ros.nodes.processes import NodeProcesses

MILLISECOND = 1_000_000  # [ns]


class Cameras:
    """Two best-effort cameras, as drivers are, and what perception makes of them."""

    def __init__(self, client):
        self.client = client
        self.publishers = {
            view: client.publisher(Image, f"{view}/image_raw", qos.CAMERA)
            for view in ("front", "top")
        }
        self.observations = client.listen(Observation, "observation")
        self.statuses = client.listen(PerceptionStatus, "perception_status", qos.LATCHED)
        client.wait_until(
            lambda: all(p.get_subscription_count() for p in self.publishers.values()),
            "perception's subscriptions",
        )
        self.clock = time.time_ns()

    def show(self, front, top, skew=0):
        """Publish a pair, ``skew`` ns apart; its stamp."""
        self.clock += 100 * MILLISECOND
        for image, stamp, view in ((front, self.clock, "front"), (top, self.clock + skew, "top")):
            image.header.stamp = conversions.ns_to_stamp(stamp)
            image.header.frame_id = f"{view}_optical"
            self.publishers[view].publish(image)
        return conversions.ns_to_stamp(self.clock)

    def are_seen(self) -> bool:
        """Show a small pair; whether any has been perceived so far."""
        self.show(image(width=256, height=128), image(width=256, height=128))
        return self.observations.count > 0

    def status_of(self, front, top) -> PerceptionStatus:
        stamp = self.show(front, top)
        return self.statuses.wait(lambda m: m.header.stamp == stamp, 15, "perception_status")


@pytest.fixture(scope="module")
def cameras(tmp_path_factory):
    folder = tmp_path_factory.mktemp("logs")
    with (
        NodeProcesses(folder, robot="example", namespace="/eyes") as nodes,
        Client("camera", "/eyes") as client,
    ):
        nodes.start(["perception"])
        for change in (Transition.TRANSITION_CONFIGURE, Transition.TRANSITION_ACTIVATE):
            request = ChangeState.Request(transition=Transition(id=change))
            assert client.call(ChangeState, "perception/change_state", request).success
        playing = Cameras(client)
        # Best effort: what is sent before perception knows the cameras is lost.
        client.wait_until(playing.are_seen, "perception to see the cameras")
        yield playing
        nodes.check_alive()


def table(width=640, height=480, blocks=2) -> np.ndarray:
    """A dark table with red blocks, in the middle as every region shows it."""
    rgb = np.full((height, width, 3), 50, np.uint8)
    for i in range(blocks):
        left = width * (3 + 2 * i) // 10
        rgb[height * 4 // 10 : height * 5 // 10, left : left + width // 12] = (200, 40, 30)
    return rgb


def image(encoding="rgb8", **size) -> Image:
    codes = {
        "rgb8": None,
        "bgr8": cv2.COLOR_RGB2BGR,
        "rgba8": cv2.COLOR_RGB2RGBA,
        "bgra8": cv2.COLOR_RGB2BGRA,
        "mono8": cv2.COLOR_RGB2GRAY,
    }
    rgb = table(**size)
    code = codes[encoding]
    return images.encode(rgb if code is None else cv2.cvtColor(rgb, code), encoding)


@pytest.mark.parametrize("encoding", ["rgb8", "bgr8", "rgba8", "bgra8", "mono8"])
def test_large_best_effort_images_arrive_in_any_encoding(cameras, encoding):
    stamp = cameras.show(image(encoding), image(encoding, blocks=1))
    seen = cameras.observations.wait(lambda m: m.header.stamp == stamp, 15, "observation")
    assert [len(seen.front.objects), len(seen.top.objects)] == [2, 1]
    assert seen.front.header.frame_id == "front_optical"
    crop = np.array(seen.front.objects[0].crop).reshape(3, 32, 32)
    red, green, blue = crop[:, 10:22, 10:22].mean(axis=(1, 2))
    assert (red == green == blue) if encoding == "mono8" else (red > 150 and blue < 60)


def test_padded_rows_are_cut_off(cameras):
    rgb = table()
    padded = np.pad(rgb, ((0, 0), (0, 4), (0, 0)), constant_values=255)
    message = images.encode(padded, "rgb8")
    message.width = rgb.shape[1]
    stamp = cameras.show(message, image())
    seen = cameras.observations.wait(lambda m: m.header.stamp == stamp, 15, "observation")
    assert len(seen.front.objects) == 2


def test_views_too_far_apart_are_no_pair(cameras):
    before = cameras.statuses.count
    late = cameras.show(image(), image(), skew=30 * MILLISECOND)
    status = cameras.statuses.wait(
        lambda m: m.code == PerceptionStatus.UNMATCHED_VIEWS, 15, "UNMATCHED_VIEWS", before
    )
    assert "0.02 s" in status.message
    # Frames of one topic arrive in order: once a later pair is through, the first never will be.
    good = cameras.show(image(), image())
    cameras.observations.wait(lambda m: m.header.stamp == good, 15, "observation")
    assert all(m.header.stamp != late for m in cameras.observations.messages)


def test_an_empty_table_is_a_refusal_with_a_reason(cameras):
    status = cameras.status_of(image(blocks=0), image(blocks=0))
    assert (status.code, status.front_count) == (PerceptionStatus.NO_OBJECT, 0)
    assert status.message


def altered(**fields) -> Image:
    message = image()
    for name, value in fields.items():
        setattr(message, name, value)
    return message


@pytest.mark.parametrize(
    "bad",
    [
        altered(encoding="16UC1"),
        altered(encoding=""),
        altered(data=b"\x00" * 100),
        altered(width=0),
        altered(width=10_000, height=10_000),
        altered(step=3),
        altered(height=4_000_000_000),
    ],
    ids=["depth", "no encoding", "truncated", "no width", "100 MP", "short rows", "huge"],
)
def test_hostile_images_are_refused_and_the_node_lives_on(cameras, bad):
    status = cameras.status_of(bad, image())
    assert status.code == PerceptionStatus.BAD_IMAGE
    assert status.message.startswith("front view: ")
    assert "valid:" in status.message
    assert cameras.status_of(image(), image()).code == PerceptionStatus.OK


def test_a_clock_that_jumps_back_is_followed(cameras):
    cameras.clock -= 3600 * 1000 * MILLISECOND
    for _ in range(2):
        stamp = cameras.show(image(), image())
    cameras.observations.wait(lambda m: m.header.stamp == stamp, 15, "observation")


def test_stamps_convert_both_ways():
    for nanoseconds in (0, 1, 10**9, 1_700_001_000_800_000_000):
        assert conversions.stamp_to_ns(conversions.ns_to_stamp(nanoseconds)) == nanoseconds
    assert conversions.ns_to_stamp(1_500_000_000) == Time(sec=1, nanosec=500_000_000)
