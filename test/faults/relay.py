"""Between the simulated robot and the suite: hands everything on, or lies as it is told."""

import copy
import math
from collections import deque

import numpy as np
from sensor_msgs.msg import Image

from vima_msgs.msg import ArmCommand, ArmState
from vima_ros.nodes.common import conversions, qos
from vima_ros.specs import VIEWS

HOUR = 3600 * 10**9  # [ns]
OUT_OF_STEP = 10**9 // 20  # of one view [ns]
# What the simulated robot says and hears, under other names.
TABLETOP = {f"{v}/{kind}": f"true/{v}/{kind}" for v in VIEWS for kind in ("image_raw", "mask")}
TABLETOP |= {name: f"true/{name}" for name in ("arm_state", "arm_command")}


class Relay:
    """``cameras`` and ``robot`` name the fault; empty: none."""

    def __init__(self, client):
        self.cameras = self.robot = ""
        self._noise = np.random.default_rng(0)
        self._kept = {}
        self._front_stamps = deque(maxlen=20)
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
        stamp = conversions.stamp_to_ns(message.header.stamp)
        if view == "front":
            self._front_stamps.append(stamp)
        elif fault == "out of step":
            _shift(message, -OUT_OF_STEP)
            # On a busy machine, images may come this much apart: one would match another.
            if any(
                abs(stamp - OUT_OF_STEP - front) < OUT_OF_STEP / 2 for front in self._front_stamps
            ):
                return
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
