"""Between the simulated robot and the suite: hands everything on, or lies as it is told."""

import copy
import math

import numpy as np
from sensor_msgs.msg import Image

from vima_msgs.msg import ArmCommand, ArmState
from vima_ros.nodes.common import conversions, qos
from vima_ros.specs import VIEWS

HOUR = 3600 * 10**9
# What the simulated robot says and hears, under other names.
TABLETOP = {f"{v}/{kind}": f"true/{v}/{kind}" for v in VIEWS for kind in ("image_raw", "mask")}
TABLETOP |= {name: f"true/{name}" for name in ("arm_state", "arm_command")}


class Relay:
    """``cameras`` and ``robot`` name the fault; empty: none."""

    def __init__(self, client):
        self.cameras = self.robot = ""
        self._noise = np.random.default_rng(0)
        self._kept = {}
        self._publishers = {}
        for view in VIEWS:
            for kind in ("image_raw", "mask"):
                topic = f"{view}/{kind}"
                self._publishers[topic] = client.create_publisher(Image, topic, qos.SENSOR_DATA)
                client.node.create_subscription(
                    Image,
                    f"true/{topic}",
                    lambda m, view=view, kind=kind: self._image(view, kind, m),
                    qos.SENSOR_DATA,
                )
        self._states = client.create_publisher(ArmState, "arm_state")
        self._to_robot = client.create_publisher(ArmCommand, "true/arm_command")
        client.node.create_subscription(ArmCommand, "arm_command", self._command, qos.RELIABLE)
        client.node.create_subscription(ArmState, "true/arm_state", self._state, qos.RELIABLE)

    def _image(self, view, kind, message):
        fault, topic = self.cameras, f"{view}/{kind}"
        if kind == "image_raw":
            pixels = np.frombuffer(message.data, np.uint8)
            noise = self._noise.integers(0, 2, len(pixels), np.uint8)  # as of a real sensor
            message.data = (pixels ^ noise).tobytes()
        if fault == "frozen" and kind == "image_raw":
            message.data = self._kept.setdefault(topic, message.data)
        else:
            self._kept.pop(topic, None)
        if fault == "dark" or (fault == "one dead" and view == "top"):
            return
        if fault == "an hour behind":
            _shift(message, -HOUR)
        if fault == "an hour ahead":
            _shift(message, HOUR)
        if fault == "out of step" and view == "top":
            _shift(message, -(10**9) // 20)
        if fault == "truncated" and kind == "image_raw":
            message.data = message.data[:100]
        if fault == "swapped":
            topic = f"{'top' if view == 'front' else 'front'}/{kind}"
        self._publishers[topic].publish(message)

    def _command(self, message):
        if self.robot != "deaf":
            self._to_robot.publish(message)

    def _state(self, message):
        if self.robot == "silent":
            return
        if self.robot == "lies" and message.state == ArmState.EXECUTING:
            message = copy.copy(message)
            message.state = ArmState.SUCCEEDED  # and its tool is still where it was
        if self.robot == "nowhere":
            message.tool_pose.position.x = math.nan
        self._states.publish(message)


def _shift(message, nanoseconds):
    stamp = conversions.stamp_to_ns(message.header.stamp) + nanoseconds
    message.header.stamp = conversions.ns_to_stamp(stamp)
