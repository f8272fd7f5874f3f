"""The two cameras of VIMA-Bench, whose images are the policy's input frames: the one statement.

Both are orthographic, 256 px wide and 128 px high, image up = -x, image right = +y of the table
frame. Measured on VIMA-Bench's own images; the index of a pixel is that of its centre:

top:   row = 63 + 251.0 (x - 0.5),             column = 128 + 251.0 y
front: row = 63 + 177.8 (x - 0.41) - 177.8 z,  column = 128 + 251.4 y   (45 degrees down)

A workspace other than VIMA-Bench's takes its place in the images.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from vima_ros.errors import VimaError
from vima_ros.geometry import Workspace
from vima_ros.specs import POLICY_FRAME_HEIGHT, VIEWS

ORIGIN_ROW, ORIGIN_COLUMN = 63.0, 128.0  # pixel that shows the camera's centre at z = 0
VIMA_WORKSPACE = Workspace()


@dataclass(frozen=True)
class PolicyCamera:
    """An orthographic camera, looking ``tilt`` [rad] away from straight down, towards -x.

    ``scale``: pixels per metre across the line of sight. ``center_x``, ``center_y``: the point of
    the table [m] that appears in ``ORIGIN_ROW`` and ``ORIGIN_COLUMN``.
    """

    scale: float
    center_x: float
    tilt: float
    center_y: float = 0.0

    @property
    def height(self) -> float:
        """Height of the visible area across the line of sight [m]."""
        return POLICY_FRAME_HEIGHT / self.scale

    @property
    def rows_per_metre(self) -> float:
        """Rows per metre along x on the table [px/m]."""
        return self.scale * math.cos(self.tilt)

    @property
    def elevation(self) -> float:
        """Angle by which the camera looks down [degrees]."""
        return 90.0 - math.degrees(self.tilt)

    def over(self, workspace: Workspace) -> PolicyCamera:
        """Return the camera that shows ``workspace`` where this one shows VIMA-Bench's.

        Without stretching the image: of a workspace that is not 1 : 2, the whole is shown.
        """
        zoom = float(np.min(np.divide(VIMA_WORKSPACE.size, workspace.size)))
        (x, y), (vima_x, vima_y) = workspace.center, VIMA_WORKSPACE.center
        return replace(
            self,
            scale=self.scale * zoom,
            center_x=x + (self.center_x - vima_x) / zoom,
            center_y=y + (self.center_y - vima_y) / zoom,
        )


CAMERAS = {
    "front": PolicyCamera(scale=251.4, center_x=0.41, tilt=math.radians(45.0)),
    "top": PolicyCamera(scale=251.0, center_x=0.5, tilt=0.0),
}


def project_to_view(view: str, points: Any, workspace: Workspace = VIMA_WORKSPACE) -> np.ndarray:
    """Project points (..., 3) [m] of the table frame into a view: (..., 2) float64 row, column.

    ``workspace``: what the camera is ``over``.
    Rows and columns in px; integers are pixel centres. Points outside the image have rows and
    columns outside it. Raises VimaError (INVALID_VALUE) for an unknown view.
    """
    camera = CAMERAS[check_view(view)].over(workspace)
    x, y, z = np.moveaxis(np.asarray(points, dtype=np.float64), -1, 0)
    along, up = math.cos(camera.tilt), math.sin(camera.tilt)
    row = ORIGIN_ROW + camera.scale * (along * (x - camera.center_x) - up * z)
    return np.stack([row, ORIGIN_COLUMN + camera.scale * (y - camera.center_y)], axis=-1)


def table_to_policy(view: str, workspace: Workspace) -> np.ndarray:
    """Return the matrix (3, 3) from (x, y, 1) on the table [m] to (column, row, 1) [px].

    A workspace that is not 1 : 2 is stretched to VIMA-Bench's, as the policy's positions are
    fractions. Raises VimaError (INVALID_VALUE) for an unknown view.
    """
    origin, x, y = project_to_view(view, [(0, 0, 0), (1, 0, 0), (0, 1, 0)])[:, ::-1]
    to_policy = np.eye(3)
    to_policy[:2] = np.column_stack([x - origin, y - origin, origin])
    scale = np.divide(VIMA_WORKSPACE.size, workspace.size)
    to_vima = np.diag([*scale, 1.0])
    to_vima[:2, 2] = VIMA_WORKSPACE.low - scale * workspace.low
    return to_policy @ to_vima


def check_view(view: str) -> str:
    """Return ``view`` itself. Raises VimaError (INVALID_VALUE) for an unknown view."""
    if view not in VIEWS:
        raise VimaError("INVALID_VALUE", f"view {view!r}; valid: {', '.join(VIEWS)}")
    return view
