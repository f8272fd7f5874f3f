"""Intrinsics of simulated cameras."""

from __future__ import annotations

import math

from builtin_interfaces.msg import Time
from sensor_msgs.msg import CameraInfo

from vima_ros.policy_frame import ORIGIN_COLUMN, ORIGIN_ROW, PolicyCamera
from vima_ros.specs import POLICY_FRAME_HEIGHT, POLICY_FRAME_WIDTH

DISTANCE = 1000.0  # above the table, from which a pinhole camera shows what these show [m]


def camera_info(camera: PolicyCamera, stamp: Time, frame_id: str) -> CameraInfo:
    """Return the intrinsics of a pinhole camera that shows what a simulated one shows."""
    focal = camera.scale * DISTANCE / math.cos(camera.tilt)
    x, y = ORIGIN_COLUMN, ORIGIN_ROW
    info = CameraInfo(width=POLICY_FRAME_WIDTH, height=POLICY_FRAME_HEIGHT)
    info.header.stamp, info.header.frame_id = stamp, frame_id
    info.distortion_model, info.d = "plumb_bob", [0.0] * 5
    info.k = [focal, 0.0, x, 0.0, focal, y, 0.0, 0.0, 1.0]
    info.r = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]
    info.p = [focal, 0.0, x, 0.0, 0.0, focal, y, 0.0, 0.0, 0.0, 1.0, 0.0]
    return info
