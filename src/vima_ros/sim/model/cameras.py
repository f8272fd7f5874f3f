"""The two cameras of VIMA-Bench: orthographic, 256 wide and 128 high, image up = -x, right = +y.

Numbers measured on VIMA-Bench's own images; the index of a pixel is that of its centre:
top:   row = 63 + 251.0 (x - 0.5),             column = 128 + 251.0 y
front: row = 63 + 177.8 (x - 0.41) - 177.8 z,  column = 128 + 251.4 y   (45 degrees down)
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from vima_ros.errors import VimaError
from vima_ros.sim.domain_randomization import CameraError
from vima_ros.specs import POLICY_FRAME_HEIGHT, POLICY_FRAME_WIDTH, VIEWS

_DISTANCE = 3.0  # camera to table [m]; an orthographic picture does not depend on it


@dataclass(frozen=True)
class Camera:
    """An orthographic camera, looking ``tilt`` [rad] away from straight down, towards -x.

    ``scale``: pixels per metre across the line of sight. ``centre_x``: the x [m] at z = 0 whose
    row is 63; y = 0 has column 128.
    """

    scale: float
    centre_x: float
    tilt: float

    @property
    def height(self) -> float:
        """Of what the picture shows, across the line of sight [m]."""
        return POLICY_FRAME_HEIGHT / self.scale

    def pose(self, error: CameraError) -> tuple[np.ndarray, np.ndarray]:
        """Position (3,) [m] and axes (3, 3) in the table frame, when it is off by ``error``.

        The columns are the image's right, its up, and the way back from what is looked at.
        """
        sine, cosine = math.sin(self.tilt), math.cos(self.tilt)
        axes = np.array([[0.0, -cosine, sine], [1.0, 0.0, 0.0], [0.0, sine, cosine]])
        # The optical axis meets the image half a pixel from the centre of pixel (63, 128).
        row, column = (POLICY_FRAME_HEIGHT - 1) / 2, (POLICY_FRAME_WIDTH - 1) / 2
        x = self.centre_x + (row - 63.0) / (self.scale * cosine) + error.shift[0]
        target = np.array([x, (column - 128.0) / self.scale + error.shift[1], 0.0])
        axes = axes @ _rotation(0, error.tilt) @ _rotation(2, error.roll)
        return target + _DISTANCE * axes[:, 2], axes


def _rotation(axis: int, angle: float) -> np.ndarray:
    """Matrix (3, 3) of a turn by ``angle`` [rad] about axis 0 or 2."""
    sine, cosine = math.sin(angle), math.cos(angle)
    first, second = (1, 2) if axis == 0 else (0, 1)
    matrix = np.eye(3)
    matrix[[first, second], [first, second]] = cosine
    matrix[first, second], matrix[second, first] = -sine, sine
    return matrix


CAMERAS = {
    "front": Camera(scale=251.4, centre_x=0.41, tilt=math.radians(45.0)),
    "top": Camera(scale=251.0, centre_x=0.5, tilt=0.0),
}


def project(view: str, points: Any) -> np.ndarray:
    """Where world points (..., 3) [m] appear in a view: (..., 2) float64 row, column [px].

    Integers are pixel centres. Points outside the picture give rows and columns outside it.
    Raises VimaError (INVALID_VALUE) for a view that does not exist.
    """
    camera = CAMERAS[check_view(view)]
    x, y, z = np.moveaxis(np.asarray(points, dtype=np.float64), -1, 0)
    along, up = math.cos(camera.tilt), math.sin(camera.tilt)
    row = 63.0 + camera.scale * (along * (x - camera.centre_x) - up * z)
    return np.stack([row, 128.0 + camera.scale * y], axis=-1)


def check_view(view: str) -> str:
    """``view`` itself; VimaError (INVALID_VALUE) when there is no such view."""
    if view not in VIEWS:
        raise VimaError("INVALID_VALUE", f"view {view!r}; valid: {', '.join(VIEWS)}")
    return view
