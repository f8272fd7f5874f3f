"""Transform of each camera's image to the policy frame, by parameters and calibration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from vima_ros.errors import VimaError
from vima_ros.geometry import Workspace
from vima_ros.perception.calibration.calibration import Calibration
from vima_ros.perception.calibration.camera_model import CameraModel
from vima_ros.perception.calibration.io import load_calibration
from vima_ros.perception.view_transform import ViewTransform
from vima_ros.specs import VIEWS

MAX_MAPS = 4  # image and mask of the same size need one; a camera may be reconfigured


class CameraView:
    """Transforms the images of one camera, by a ViewTransform for each image size.

    ``undistort``: by ``camera_info``; images are refused until it arrives, unless the driver
    ``rectified`` them. It may arrive in another thread than the images.
    ``warning``: of the newest map, empty: none. Raises VimaError (BAD_PARAMETER) for both a region
    and a calibration.
    """

    def __init__(
        self,
        region: Sequence[int] | None,
        calibration: Calibration | None,
        undistort: bool,
        *,
        rectified: bool = False,
    ) -> None:
        if region is not None and calibration is not None:
            raise VimaError(
                "BAD_PARAMETER",
                f"region {list(region)} and a calibration of the {calibration.view} view; valid: "
                "one of them",
            )
        self._region, self._calibration = region, calibration
        self._undistort, self._rectified = undistort, rectified
        self.warning = ""
        self._info: Any = None
        self._maps: dict[Any, ViewTransform] = {}

    def on_camera_info(self, message: Any) -> None:
        """Keep the camera_info; a changed one applies from the next image on."""
        self._info = message

    def apply(self, image: np.ndarray, is_mask: bool = False) -> np.ndarray:
        """Transform an image. Raises VimaError (NO_CAMERA_INFO), and as ViewTransform does."""
        info, size = self._info, (image.shape[1], image.shape[0])
        key = (size, _content(info)) if self._undistort else size
        if key not in self._maps:
            if len(self._maps) >= MAX_MAPS:
                self._maps.clear()
            self._maps[key] = ViewTransform(
                size,
                region=self._region,
                calibration=self._calibration,
                camera_model=self._camera_model(info, size),
            )
        self.warning = self._maps[key].warning
        return self._maps[key].apply(image, is_mask)

    def _camera_model(self, info: Any, size: tuple[int, int]) -> CameraModel | None:
        if not self._undistort:
            return None
        camera_model = (
            None
            if info is None
            else CameraModel.from_camera_info(info, size, rectified=self._rectified)
        )
        if camera_model is None and not self._rectified:
            got = "none came" if info is None else "it is uncalibrated (k is zero)"
            raise VimaError(
                "NO_CAMERA_INFO",
                f"camera_info: {got}; valid: calibrate the lens (camera_calibration), or set "
                "undistort false",
            )
        return camera_model


def _content(info: Any) -> tuple | None:
    """Return the relevant content of a CameraInfo."""
    if info is None:
        return None
    roi = info.roi
    return (
        (info.width, info.height, info.binning_x, info.binning_y),
        (roi.x_offset, roi.y_offset, roi.width, roi.height),
        (info.distortion_model, tuple(info.k), tuple(info.d), tuple(getattr(info, "p", ()))),
    )


def is_rectified(topic: str) -> bool:
    """Return True if the images on ``topic`` are rectified, by image_proc's naming."""
    name = topic.removesuffix("/compressed").rpartition("/")[2]
    return name.startswith("image_rect")


def camera_views(
    parameters: Any, calibrations: Mapping[str, Calibration], topics: Mapping[str, str]
) -> dict[str, CameraView]:
    """Make the views of PerceptionParameters; ``topics`` {"front/image": resolved name}.

    Raises VimaError (BAD_PARAMETER) as CameraView does.
    """
    return {
        view: CameraView(
            parameters.region(view),
            calibrations.get(view),
            parameters.undistort,
            rectified=is_rectified(topics[f"{view}/image"]),
        )
        for view in VIEWS
    }


def view_warnings(views: Mapping[str, CameraView]) -> list[str]:
    """Return warnings as in PerceptionStatus, "CODE: sentence" each."""
    return [
        f"OUTSIDE_IMAGE: {name} view: {view.warning}"
        for name, view in views.items()
        if view.warning
    ]


def _corners(workspace: Workspace) -> str:
    return f"{list(workspace.low)}, {list(workspace.high)}"


def load_calibrations(parameters: Any) -> dict[str, Calibration]:
    """Load the calibrations named by PerceptionParameters, by view.

    Raises VimaError as ``load_calibration`` does, BAD_CALIBRATION for another view's file, and
    CONFIG_MISMATCH for one of another workspace than the parameters'.
    """
    found = {}
    for view in VIEWS:
        path = parameters.calibration(view)
        if not path:
            continue
        calibration = load_calibration(path)
        if calibration.view != view:
            raise VimaError(
                "BAD_CALIBRATION",
                f"{view}_calibration is {path}, of the {calibration.view} view; valid: one of the "
                f"{view} view",
            )
        made_for, workspace = calibration.workspace, parameters.workspace
        if not np.allclose((*made_for.low, *made_for.high), (*workspace.low, *workspace.high)):
            raise VimaError(
                "CONFIG_MISMATCH",
                f"{view}_calibration is {path}, made for the workspace {_corners(made_for)}, and "
                f"the parameters workspace_min, workspace_max are {_corners(workspace)}; valid: a "
                "calibration of the same workspace (calibrate --workspace)",
            )
        found[view] = calibration
    return found
