"""Geometry of the two cameras of VIMA-Bench, whose images are the policy's input frames.

Both are orthographic, 256 px wide and 128 px high, image up = -x, image right = +y of the table
frame. Measured on VIMA-Bench's own images; the index of a pixel is that of its centre:

top:   row = 63 + 251.0 (x - 0.5),             column = 128 + 251.0 y
front: row = 63 + 177.8 (x - 0.41) - 177.8 z,  column = 128 + 251.4 y   (45 degrees down)
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from vima_ros.errors import VimaError
from vima_ros.specs import POLICY_FRAME_HEIGHT, VIEWS

ORIGIN_ROW, ORIGIN_COLUMN = 63.0, 128.0  # pixel that shows x = center_x, y = 0, z = 0


@dataclass(frozen=True)
class PolicyCamera:
    """An orthographic camera, looking ``tilt`` [rad] away from straight down, towards -x.

    ``scale``: pixels per metre across the line of sight. ``center_x``: the x [m] at z = 0 that
    appears in ``ORIGIN_ROW``; y = 0 appears in ``ORIGIN_COLUMN``.
    """

    scale: float
    center_x: float
    tilt: float

    @property
    def height(self) -> float:
        """Height of the visible area across the line of sight [m]."""
        return POLICY_FRAME_HEIGHT / self.scale

    @property
    def rows_per_metre(self) -> float:
        """Rows per metre along x on the table [px/m]."""
        return self.scale * math.cos(self.tilt)


CAMERAS = {
    "front": PolicyCamera(scale=251.4, center_x=0.41, tilt=math.radians(45.0)),
    "top": PolicyCamera(scale=251.0, center_x=0.5, tilt=0.0),
}


def project_to_view(view: str, points: Any) -> np.ndarray:
    """Project points (..., 3) [m] of the table frame into a view: (..., 2) float64 row, column.

    Rows and columns in px; integers are pixel centres. Points outside the image have rows and
    columns outside it. Raises VimaError (INVALID_VALUE) for an unknown view.
    """
    camera = CAMERAS[check_view(view)]
    x, y, z = np.moveaxis(np.asarray(points, dtype=np.float64), -1, 0)
    along, up = math.cos(camera.tilt), math.sin(camera.tilt)
    row = ORIGIN_ROW + camera.scale * (along * (x - camera.center_x) - up * z)
    return np.stack([row, ORIGIN_COLUMN + camera.scale * y], axis=-1)


def check_view(view: str) -> str:
    """Return ``view`` itself. Raises VimaError (INVALID_VALUE) for an unknown view."""
    if view not in VIEWS:
        raise VimaError("INVALID_VALUE", f"view {view!r}; valid: {', '.join(VIEWS)}")
    return view
