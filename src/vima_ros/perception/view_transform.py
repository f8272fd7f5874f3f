"""Transform of a camera's image to the policy frame, 256 px wide and 128 px high."""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np

from vima_ros.errors import VimaError
from vima_ros.perception.calibration.calibration import (
    Calibration,
    project,
    workspace_corners,
)
from vima_ros.perception.calibration.camera_model import CameraModel
from vima_ros.policy_frame import VIMA_WORKSPACE, table_to_policy
from vima_ros.specs import POLICY_FRAME_HEIGHT, POLICY_FRAME_WIDTH

ASPECT_TOLERANCE = 1  # [px] of height by which a region may differ from 2:1
MAX_SAMPLES = 8  # taken along each side of a policy pixel
MAX_OUTSIDE = 0.03  # part of a view that may come from outside the image


def to_policy_frame(
    image: np.ndarray, region: Sequence[int] | None = None, *, is_mask: bool = False
) -> np.ndarray:
    """Resize ``region`` of ``image`` to the policy frame: (128, 256, 3), a mask (128, 256).

    ``image`` is uint8 (h, w, 3), or with ``is_mask`` uint8 or uint16 (h, w). ``region`` is x, y,
    width, height [px] of a 2:1 area; None is the largest one in the middle. Images are averaged
    over the area of each new pixel, masks take the nearest pixel, so ids stay ids. The result is
    a copy, identical to the input where that is the policy frame already.

    Raises VimaError: INVALID_VALUE for another kind of array, INVALID_REGION for a region that
    is not 2:1 or leaves the image, or an image too small to hold one.
    """
    _check(image, is_mask)
    x, y, columns, rows = _checked_region(image.shape[1::-1], region)
    patch = image[y : y + rows, x : x + columns]
    size = (POLICY_FRAME_WIDTH, POLICY_FRAME_HEIGHT)
    if (columns, rows) == size:
        return patch.copy()
    how = cv2.INTER_NEAREST_EXACT if is_mask else cv2.INTER_AREA
    return cv2.resize(np.ascontiguousarray(patch), size, interpolation=how)


class ViewTransform:
    """Transform of one camera's images of ``size`` (width, height [px]) to the policy frame.

    Without ``calibration`` and ``camera_model`` it is ``to_policy_frame``. With ``camera_model``
    (of camera_info) the image is undistorted first. ``calibration`` undistorts by its own model
    and applies its homography. Nothing is kept between images, so threads may share one.

    Raises VimaError: INVALID_REGION as ``to_policy_frame``, INVALID_VALUE for both a region and a
    calibration, CALIBRATION_MISMATCH when the calibration is for another size or lens.
    """

    def __init__(
        self,
        size: tuple[int, int],
        *,
        region: Sequence[int] | None = None,
        calibration: Calibration | None = None,
        camera_model: CameraModel | None = None,
    ) -> None:
        self._size = (int(size[0]), int(size[1]))
        self._plain = calibration is None and camera_model is None
        self.coverage = 1.0  # part of the policy frame that the camera sees
        if calibration is not None and region is not None:
            raise VimaError(
                "INVALID_VALUE", "a region and a calibration are given; valid: one of them"
            )
        self._region = _checked_region(self._size, region)
        if calibration is not None:
            _check_same_camera(calibration, self._size, camera_model)
            camera_model = calibration.camera_model
        if not self._plain:
            self._make_maps(calibration, camera_model)

    @property
    def warning(self) -> str:
        """Warning if much of the view lies outside the image; empty: little."""
        outside = 1.0 - self.coverage
        if outside <= MAX_OUTSIDE:
            return ""
        return (
            f"{outside:.0%} of the policy's view lie outside the camera's image and repeat its "
            "rim: move the camera back or aim it, or check camera_info and calibration"
        )

    def apply(self, image: np.ndarray, is_mask: bool = False) -> np.ndarray:
        """Transform ``image`` uint8 (h, w, 3), or a mask uint8 or uint16 (h, w).

        Images are averaged over about the area of each new pixel; what the camera does not see
        continues the image's rim. Masks take the nearest pixel, 0 where the camera does not see.
        Raises VimaError: INVALID_VALUE for another kind of array, BAD_IMAGE for another size.
        """
        _check(image, is_mask)
        if image.shape[1::-1] != self._size:
            raise VimaError(
                "BAD_IMAGE",
                f"image of {image.shape[1]} x {image.shape[0]} px; valid: "
                f"{self._size[0]} x {self._size[1]} px, as when it was set up",
            )
        if self._plain:
            return to_policy_frame(image, self._region, is_mask=is_mask)
        if is_mask:
            columns, rows = self._nearest
            return cv2.remap(image, columns, rows, cv2.INTER_NEAREST, borderValue=(0,))
        x0, y0, x1, y1 = self._used
        image = np.ascontiguousarray(image[y0:y1, x0:x1])
        if self._shrink > 1:
            size = ((x1 - x0) // self._shrink, (y1 - y0) // self._shrink)
            image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        image = cv2.remap(image, *self._maps, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        size = (POLICY_FRAME_WIDTH, POLICY_FRAME_HEIGHT)
        return (
            image
            if self._samples == (1, 1)
            else cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        )

    def _make_maps(
        self, calibration: Calibration | None, camera_model: CameraModel | None
    ) -> None:
        """Precompute the position in the image of each sample of each policy pixel.

        A policy pixel that covers several camera pixels is the mean of a grid of samples, a sample
        for each; where it covers very many, the image is shrunk by area first.
        """
        places = self._sample_positions(calibration, camera_model, (1, 1))  # (128, 256, 2)
        inside = np.asarray(((places >= -0.5) & (places <= np.array(self._size) - 0.5)).all(-1))
        self.coverage = float(inside.mean())
        self._nearest = cv2.split(np.nan_to_num(places, nan=-9.0).astype(np.float32))
        if not inside.any():
            raise VimaError("CALIBRATION_MISMATCH", "the camera sees nothing of the policy frame")
        scale = [_spacing(places, inside, axis) for axis in (1, 0)]  # camera px per policy px
        self._shrink = max(1, int(min(scale) / 2))
        across, down = (
            min(MAX_SAMPLES, max(1, math.ceil(value / self._shrink - 0.05))) for value in scale
        )
        self._samples = (across, down)
        places = self._sample_positions(calibration, camera_model, self._samples)
        self._used = _used_region(places, self._size, self._shrink)
        first = np.array(self._used[:2]) + (self._shrink - 1) / 2  # centre of the first pixel
        places = (places - first) / self._shrink
        last = (np.array(self._used[2:]) - self._used[:2]) / self._shrink
        places = np.clip(np.nan_to_num(places, nan=-1.0), -1.0, last)
        columns, rows = cv2.split(places.astype(np.float32))
        self._maps = cv2.convertMaps(columns, rows, cv2.CV_16SC2)

    def _sample_positions(
        self,
        calibration: Calibration | None,
        camera_model: CameraModel | None,
        samples: tuple[int, int],
    ) -> np.ndarray:
        """Return camera px (h, w, 2) of ``samples`` in each policy pixel; NaN: not visible."""
        columns, rows = (
            (np.arange(size * count) + 0.5) / count - 0.5
            for size, count in zip((POLICY_FRAME_WIDTH, POLICY_FRAME_HEIGHT), samples, strict=True)
        )
        points = np.stack(np.meshgrid(columns, rows), -1).reshape(-1, 2)
        if calibration is None:
            x, y, width, height = self._region
            scale = np.array([width / POLICY_FRAME_WIDTH, height / POLICY_FRAME_HEIGHT])
            flat = (points + 0.5) * scale - 0.5 + [x, y]
        else:
            flat = _apply_inverse(calibration.homography, points)
        places = flat if camera_model is None else camera_model.distort(flat)
        return places.reshape(len(rows), len(columns), 2)


def draw_workspace(frame_rgb: np.ndarray, view: str, scale: int = 3) -> np.ndarray:
    """Draw the workspace on the policy frame, uint8 (128 scale, 256 scale, 3)."""
    size = (scale * frame_rgb.shape[1], scale * frame_rgb.shape[0])
    image = cv2.resize(frame_rgb, size, interpolation=cv2.INTER_NEAREST)
    corners = workspace_corners(VIMA_WORKSPACE)  # any workspace has the same outline
    outline = project(table_to_policy(view, VIMA_WORKSPACE), corners)
    points = np.rint((outline + 0.5) * scale - 0.5).astype(np.int32)
    cv2.polylines(image, [points], True, (255, 220, 0), 1, cv2.LINE_AA)
    cv2.circle(image, tuple(int(value) for value in points[0]), 2 * scale, (255, 60, 60), 1)
    return image


def _check_same_camera(
    calibration: Calibration, size: tuple[int, int], camera_model: CameraModel | None
) -> None:
    if calibration.size != size:
        raise VimaError(
            "CALIBRATION_MISMATCH",
            f"the {calibration.view} view is calibrated for {calibration.size[0]} x "
            f"{calibration.size[1]} px and the image has {size[0]} x {size[1]}; valid: the same "
            "size, or calibrate again",
        )
    if camera_model is not None and not camera_model.equals(calibration.camera_model):
        raise VimaError(
            "CALIBRATION_MISMATCH",
            f"camera_info of the {calibration.view} view is not what it was calibrated with; "
            "valid: the same, or calibrate again",
        )


def _apply_inverse(homography: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Map policy frame px (n, 2) to undistorted px (n, 2); NaN beyond the horizon."""
    inverse = np.linalg.inv(homography)
    moved = np.column_stack([points, np.ones(len(points))]) @ inverse.T
    middle = inverse[2] @ [(POLICY_FRAME_WIDTH - 1) / 2, (POLICY_FRAME_HEIGHT - 1) / 2, 1.0]
    ahead = moved[:, 2] * middle > 0
    moved[~ahead] = np.nan
    return moved[:, :2] / moved[:, 2:]


def _spacing(places: np.ndarray, inside: np.ndarray, axis: int) -> float:
    """Return the camera pixels per policy pixel along ``axis``, where there are many."""
    steps: np.ndarray = np.linalg.norm(np.diff(places, axis=axis), axis=-1)
    both = np.take(inside, range(1, inside.shape[axis]), axis)
    visible = steps[both & np.isfinite(steps)]
    return float(np.quantile(visible, 0.9)) if visible.size else 1.0


def _used_region(
    places: np.ndarray, size: tuple[int, int], shrink: int
) -> tuple[int, int, int, int]:
    """Return x, y from and x, y to [px] of the region used, in multiples of ``shrink``."""
    limits = []
    for axis, length in enumerate(size):
        values = np.clip(np.nan_to_num(places[..., axis], nan=0.0), 0, length - 1)
        first = max(0, math.floor(values.min()) - 2 * shrink)
        last = min(length, math.ceil(values.max()) + 2 * shrink + 1)
        limits.append((first, first + max(1, (last - first) // shrink) * shrink))
    return limits[0][0], limits[1][0], limits[0][1], limits[1][1]


def _check(image: np.ndarray, is_mask: bool) -> None:
    dtype, shape = getattr(image, "dtype", type(image).__name__), np.shape(image)
    if is_mask:
        fits, valid = dtype in (np.uint8, np.uint16) and len(shape) == 2, "uint8 or uint16 (h, w)"
    else:
        fits, valid = dtype == np.uint8 and len(shape) == 3 and shape[2] == 3, "uint8 (h, w, 3)"
    if not fits:
        kind = "mask" if is_mask else "image"
        raise VimaError("INVALID_VALUE", f"{kind} is {dtype} {shape}; valid: {valid}")


def _checked_region(
    size: tuple[int, int], region: Sequence[int] | None
) -> tuple[int, int, int, int]:
    """Return ``region``, or the largest centred one, checked against an image of ``size``."""
    width, height = size
    x, y, columns, rows = _centered_region(width, height) if region is None else _region(region)
    if rows < 1 or x < 0 or y < 0 or x + columns > width or y + rows > height:
        raise VimaError(
            "INVALID_REGION",
            f"region x, y, width, height {[x, y, columns, rows]}; valid: at least 2 x 1 px and "
            f"inside the image of {width} x {height} px",
        )
    return x, y, columns, rows


def _centered_region(width: int, height: int) -> tuple[int, int, int, int]:
    """Return the largest centred 2:1 region of an image, x, y, width, height [px]."""
    rows = min(height, width // 2)
    return (width - 2 * rows) // 2, (height - rows) // 2, 2 * rows, rows


def _region(region: Sequence[int]) -> tuple[int, int, int, int]:
    values = np.asarray(region)
    if values.shape != (4,) or not np.issubdtype(values.dtype, np.integer):
        raise VimaError(
            "INVALID_REGION", f"region {region!r}; valid: four integers x, y, width, height [px]"
        )
    x, y, columns, rows = (int(value) for value in values)
    if abs(columns - 2 * rows) > 2 * ASPECT_TOLERANCE:
        raise VimaError(
            "INVALID_REGION",
            f"region of {columns} x {rows} px; valid: twice as wide as high, within "
            f"{ASPECT_TOLERANCE} px of height",
        )
    return x, y, columns, rows
