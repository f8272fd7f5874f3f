"""Cameras played by a test, and the messages of the perception node."""

import time

import cv2
import numpy as np
from by_hand import bring_up
from sensor_msgs.msg import CompressedImage, Image

from vima_msgs.msg import Observation, PerceptionStatus
from vima_ros.client.client import Client
from vima_ros.client.node_processes import NodeProcesses
from vima_ros.nodes.common import conversions, image_conversion, qos

MILLISECOND = 1_000_000  # [ns]
# The cameras' clock runs by itself, and what they show has no noise.
# Drawn rectangles: what our network makes of them is not what is tested here.
PLAIN = {"detector": "plain_background"}
UNHURRIED = {"max_age": 0.0, "frozen_timeout": 0.0}


def table(width=640, height=480, blocks=2) -> np.ndarray:
    """A dark table with red blocks, in the middle as every region shows it."""
    rgb = np.full((height, width, 3), 50, np.uint8)
    for i in range(blocks):
        left = width * (3 + 2 * i) // 10
        rgb[height * 4 // 10 : height * 5 // 10, left : left + width // 12] = (200, 40, 30)
    return rgb


def table_ids(width=640, height=480, first=1) -> np.ndarray:
    """The instance mask uint16 of the same, ids from ``first`` on."""
    ids = np.zeros((height, width), np.uint16)
    red = table(width, height)[..., 0] == 200
    ids[red] = first + (np.indices((height, width))[1][red] > width * 4 // 10)
    return ids


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
    return image_conversion.encode(rgb if code is None else cv2.cvtColor(rgb, code), encoding)


def compressed(suffix, **size) -> CompressedImage:
    _, data = cv2.imencode(suffix, cv2.cvtColor(table(**size), cv2.COLOR_RGB2BGR))
    return CompressedImage(format=f"rgb8; {suffix[1:]} compressed bgr8", data=data.tobytes())


class PlayedCameras:
    """Two best-effort cameras, as drivers are, with masks if asked for."""

    def __init__(self, client, kind=Image, with_masks=False):
        self.client, self.with_masks = client, with_masks
        suffix = "/compressed" if kind is CompressedImage else ""
        self.publishers = {
            view: client.create_publisher(kind, f"{view}/image_raw{suffix}", qos.SENSOR_DATA)
            for view in ("front", "top")
        }
        self.mask_publishers = {
            view: client.create_publisher(Image, f"{view}/mask", qos.SENSOR_DATA)
            for view in self.publishers
            if with_masks
        }
        self.observations = client.subscribe(Observation, "observation")
        self.statuses = client.subscribe(PerceptionStatus, "perception_status", qos.LATCHED)
        self.clock = time.time_ns()

    def wait_for_perception(self, *pair):
        """Best effort: what is sent before perception knows the cameras is lost."""
        everyone = [*self.publishers.values(), *self.mask_publishers.values()]
        self.client.wait_until(
            lambda: all(p.get_subscription_count() for p in everyone), "perception's subscriptions"
        )
        before = self.observations.count

        def are_seen():
            self.show(*pair)
            return self.observations.count > before

        self.client.wait_until(are_seen, "perception to see the cameras")

    def show(self, front, top, skew=0, masks=None, stamps=None):
        """Publish a pair, ``skew`` ns apart, or with ``stamps`` [ns] by view; its stamp."""
        self.clock += 100 * MILLISECOND
        stamps = stamps or {"front": self.clock, "top": self.clock + skew}
        masks = masks or {view: image_conversion.encode(table_ids(), "mono16") for view in stamps}
        for view, image in (("front", front), ("top", top)):
            send = [(self.publishers[view], image)]
            if self.with_masks:
                send.append((self.mask_publishers[view], masks[view]))
            for publisher, message in send:
                message.header.stamp = conversions.ns_to_stamp(stamps[view])
                message.header.frame_id = f"{view}_optical"
                publisher.publish(message)
        return conversions.ns_to_stamp(self.clock)

    def observation_of(self, front, top, **options) -> Observation:
        stamp = self.show(front, top, **options)
        return self.observations.wait(lambda m: m.header.stamp == stamp, 15, "observation")

    def status_of(self, front, top, **options) -> PerceptionStatus:
        stamp = self.show(front, top, **options)
        return self.statuses.wait(lambda m: m.header.stamp == stamp, 15, "perception_status")


class Perception:
    """The node in a process of its own and a client of it; a context manager."""

    def __init__(self, folder, namespace, **parameters):
        self.nodes = NodeProcesses(folder, params_file="example", namespace=namespace)
        self.nodes.start(["perception"], {**PLAIN, **UNHURRIED, **parameters})
        self.client = Client("camera", namespace)
        bring_up(self.client, "perception")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.client.close()
        self.nodes.stop()
