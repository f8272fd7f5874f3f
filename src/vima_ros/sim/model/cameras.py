"""Poses of the simulated cameras, which are those of VIMA-Bench (``policy_frame``)."""

from __future__ import annotations

import math

import numpy as np

from vima_ros.policy_frame import ORIGIN_COLUMN, ORIGIN_ROW, PolicyCamera
from vima_ros.sim.domain_randomization import CameraError
from vima_ros.specs import POLICY_FRAME_HEIGHT, POLICY_FRAME_WIDTH

_DISTANCE = 3.0  # camera to table [m]; an orthographic image does not depend on it


def camera_pose(camera: PolicyCamera, error: CameraError) -> tuple[np.ndarray, np.ndarray]:
    """Return position (3,) [m] and axes (3, 3) in the table frame of a camera off by ``error``.

    The columns are the image's right, its up, and the direction back from the target.
    """
    sine, cosine = math.sin(camera.tilt), math.cos(camera.tilt)
    axes = np.array([[0.0, -cosine, sine], [1.0, 0.0, 0.0], [0.0, sine, cosine]])
    # The optical axis meets the image half a pixel from the centre of the origin's pixel.
    row, column = (POLICY_FRAME_HEIGHT - 1) / 2, (POLICY_FRAME_WIDTH - 1) / 2
    x = camera.center_x + (row - ORIGIN_ROW) / camera.rows_per_metre + error.shift[0]
    y = camera.center_y + (column - ORIGIN_COLUMN) / camera.scale + error.shift[1]
    target = np.array([x, y, 0.0])
    axes = axes @ _rotation(0, error.tilt) @ _rotation(2, error.roll)
    return target + _DISTANCE * axes[:, 2], axes


def _rotation(axis: int, angle: float) -> np.ndarray:
    """Return the matrix (3, 3) of a rotation by ``angle`` [rad] about axis 0 or 2."""
    sine, cosine = math.sin(angle), math.cos(angle)
    first, second = (1, 2) if axis == 0 else (0, 1)
    matrix = np.eye(3)
    matrix[[first, second], [first, second]] = cosine
    matrix[first, second], matrix[second, first] = -sine, sine
    return matrix
