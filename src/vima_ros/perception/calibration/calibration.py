"""Mapping of a camera's image to the policy frame, from points at known places.

The table is the plane z = 0 of the table frame. Objects above it appear as the camera sees
it; only the table itself is where VIMA's cameras would show it. Points in images are x, y [px];
integers are pixel centres.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from vima_ros.errors import VimaError
from vima_ros.geometry import Workspace
from vima_ros.perception.calibration.camera_model import CameraModel
from vima_ros.perception.calibration.charuco import PlacedBoard
from vima_ros.policy_frame import VIMA_WORKSPACE, table_to_policy
from vima_ros.specs import VIEWS

METHODS = ("corners", "charuco")
MAX_PATCH = 257  # [px]


def workspace_corners(workspace: Workspace) -> np.ndarray:
    """Return the corners [m] (4, 2) clockwise from the upper left of the policy frame.

    They are (low x, low y), (low x, high y), (high x, high y), (high x, low y): the nearest to
    the robot on its right, nearest left, farthest left, farthest right.
    """
    (x0, y0), (x1, y1) = workspace.low, workspace.high
    return np.array([[x0, y0], [x0, y1], [x1, y1], [x1, y0]])


def project(matrix: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Map ``points`` (n, 2) by a homography (3, 3); infinite on the horizon."""
    points = np.asarray(points, dtype=np.float64).reshape(-1, 2)
    moved = np.column_stack([points, np.ones(len(points))]) @ np.asarray(matrix).T
    with np.errstate(divide="ignore", invalid="ignore"):
        return moved[:, :2] / moved[:, 2:]


@dataclass(frozen=True)
class CalibrationFit:
    """Residuals of a calibration, root mean squares.

    ``camera_px``, ``camera_max_px``: between where the points are in the image and where the
    homography puts them. ``policy_px`` the same in the policy frame, ``table_mm`` on the table.
    Four points always fit exactly. ``rigid_px``: what is left when the camera may only be moved,
    not distorted: it reveals swapped corners, a wrong size or model; None without a model.
    ``corners_mm``: expected error at the workspace's corners, which the points may be far from.
    """

    points: int
    camera_px: float
    camera_max_px: float
    policy_px: float
    table_mm: float
    rigid_px: float | None
    corners_mm: float


@dataclass(frozen=True, eq=False)
class Calibration:
    """Mapping of one camera's image to the policy frame. Raises VimaError (BAD_CALIBRATION).

    ``homography`` (3, 3): undistorted camera px to policy frame px. ``size``: width, height of the
    camera's images [px]. ``corners`` (4, 2): where the reference corners are in the image
    [px]; ``patches`` (4, n, n) uint8: how they look, grey, all 0 where the image ends.
    ``board``: the board it was made from, at its place on the table.
    """

    view: str
    size: tuple[int, int]
    homography: np.ndarray
    corners: np.ndarray
    patches: np.ndarray
    fit: CalibrationFit
    method: str = "corners"
    camera_model: CameraModel | None = None
    workspace: Workspace = VIMA_WORKSPACE
    board: PlacedBoard | None = None
    created: str = ""

    def __post_init__(self) -> None:
        size = tuple(int(value) for value in self.size)
        homography = np.array(self.homography, dtype=np.float64)
        corners = np.array(self.corners, dtype=np.float64)
        patches = np.array(self.patches)
        problems = {
            f"view {self.view!r}; valid: {', '.join(VIEWS)}": self.view not in VIEWS,
            f"method {self.method!r}; valid: {', '.join(METHODS)}": self.method not in METHODS,
            f"size {size}; valid: width, height of 16 to 65535 px": len(size) != 2
            or not all(16 <= value <= 65535 for value in size),
            f"homography {homography.tolist()}; valid: 3 x 3 finite numbers with an inverse": (
                homography.shape != (3, 3)
                or not np.isfinite(homography).all()
                or not abs(np.linalg.det(homography)) > 1e-15 * np.linalg.norm(homography) ** 3
            ),
            f"corners {corners.tolist()}; valid: four finite x, y": corners.shape != (4, 2)
            or not np.isfinite(corners).all(),
            f"patches {patches.dtype} {patches.shape}; valid: uint8 (4, n, n), n odd": (
                patches.dtype != np.uint8
                or patches.ndim != 3
                or patches.shape != (4, patches.shape[1], patches.shape[1])
                or patches.shape[1] % 2 != 1
                or patches.shape[1] > MAX_PATCH
            ),
        }
        for message, wrong in problems.items():
            if wrong:
                raise VimaError("BAD_CALIBRATION", message)
        arrays = {"homography": homography, "corners": corners, "patches": patches}
        for name, value in arrays.items():
            value.setflags(write=False)
            object.__setattr__(self, name, value)
        object.__setattr__(self, "size", size)

    def camera_to_table(self, points: np.ndarray) -> np.ndarray:
        """Map camera px (n, 2) to table x, y [m] (n, 2)."""
        matrix = np.linalg.inv(table_to_policy(self.view, self.workspace)) @ self.homography
        return project(matrix, self._undistort(points))

    def table_to_camera(self, points: np.ndarray) -> np.ndarray:
        """Map table x, y [m] (n, 2) to camera px (n, 2); NaN where the lens cannot show it."""
        matrix = np.linalg.inv(self.homography) @ table_to_policy(self.view, self.workspace)
        shown = project(matrix, points)
        return shown if self.camera_model is None else self.camera_model.distort(shown)

    def _undistort(self, points: np.ndarray) -> np.ndarray:
        return (
            np.asarray(points)
            if self.camera_model is None
            else self.camera_model.undistort(points)
        )

    def describe(self) -> dict[str, Any]:
        """Describe the calibration for /diagnostics."""
        numbers = {k: v if v is None else round(v, 3) for k, v in asdict(self.fit).items()}
        return {"view": self.view, "method": self.method, "created": self.created} | numbers
