"""Camera model of sensor_msgs/CameraInfo: camera matrix and lens distortion."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from vima_ros.errors import VimaError
from vima_ros.perception.calibration.distortion_models import NONE, model_and_coefficients

MAX_RAY = 20.0  # tangent of 87 degrees from the optical axis: no pinhole view reaches further
MAX_RESIDUAL = 0.01  # [px] of an undone distortion


def _bad(message: str) -> VimaError:
    return VimaError("BAD_CAMERA_INFO", message)


@dataclass(frozen=True, eq=False)
class CameraModel:
    """Camera matrix ``k`` (3, 3) [px], distortion ``d`` (n,) and ROS's name of its ``model``.

    The model may be given by another name, and with another number of coefficients, as
    ``model_and_coefficients`` reads them. Undistorted pixels are those of a pinhole camera with
    the same ``k``. Points are x, y; integers are pixel centres. Raises VimaError (BAD_CAMERA_INFO)
    for what is no lens.
    """

    k: np.ndarray
    d: np.ndarray
    model: str = "plumb_bob"

    def __post_init__(self) -> None:
        try:
            k = np.array(self.k, dtype=np.float64).reshape(3, 3)
            d = np.array(self.d, dtype=np.float64).reshape(-1)
        except (TypeError, ValueError) as error:
            raise _bad(f"k or d is no list of numbers: {error}; valid: 9, and d") from None
        model, d = model_and_coefficients(self.model, d)
        object.__setattr__(self, "model", model)
        if not (np.isfinite(k).all() and k[0, 0] > 0 and k[1, 1] > 0):
            raise _bad(f"k {k.tolist()}; valid: finite, focal lengths above 0")
        if k[1, 0] != 0 or k[2].tolist() != [0, 0, 1]:
            raise _bad(f"k {k.tolist()}; valid: [fx, s, cx, 0, fy, cy, 0, 0, 1]")
        for name, value in (("k", k), ("d", d)):
            value.setflags(write=False)
            object.__setattr__(self, name, value)

    @staticmethod
    def from_camera_info(
        info: Any, size: tuple[int, int], *, rectified: bool = False
    ) -> CameraModel | None:
        """Make the model of a CameraInfo (any object with its fields) for images of ``size``.

        ``size``: width, height [px]. Binning and region of interest are taken into account, as
        ROS's image_geometry does. ``rectified``: the images are, so that ``p`` holds their camera
        matrix and nothing is left to undistort. None where the camera is not calibrated (``k`` is
        0). Raises VimaError (BAD_CAMERA_INFO) naming the field, also where the image's size is
        another.
        """
        k = _finite("k", info.k, 9)
        d = np.asarray(info.d, dtype=np.float64)
        p = np.asarray(getattr(info, "p", ()), dtype=np.float64)
        from_p = p.size == 12 and p[0] > 0
        if k[0] == 0 and d.any():
            raise _bad(f"k is 0 and d is {d.tolist()}; valid: both of a calibration, or both 0")
        if from_p and (rectified or k[0] == 0):
            k = _finite("p", p, 12).reshape(3, 4)[:, :3].ravel()
        if k[0] == 0:
            return None
        offset, bins = _crop_and_binning(info, size)
        k = k.reshape(3, 3).copy()
        k[:2, 2] -= offset
        k[:2] /= np.array(bins)[:, None]
        return (
            CameraModel(k, np.zeros(0), NONE)
            if rectified
            else CameraModel(k, d, info.distortion_model)
        )

    @functools.cached_property
    def reach(self) -> float:
        """Maximum tangent of the angle to the optical axis at which the model is valid.

        Beyond, the polynomial folds back and would show the same place twice.
        """
        radius = np.linspace(0.0, MAX_RAY, 4001)
        d = self.d.copy()
        if self.model != "equidistant":
            d[2:4] = 0.0  # tangential
            d[8:] = 0.0  # thin prism and tilt
        rays = np.stack([radius, np.zeros_like(radius)], -1)
        shown = CameraModel(np.eye(3), d, self.model)._project(rays)[:, 0]
        folded = np.flatnonzero(~(np.diff(shown) > 0))
        return float(radius[folded[0]]) if folded.size else MAX_RAY

    def _project(self, rays: np.ndarray) -> np.ndarray:
        """Project rays x/z, y/z (n, 2) to camera px (n, 2)."""
        if self.model == "equidistant":
            return cv2.fisheye.distortPoints(rays[:, None], self.k, self.d)[:, 0]
        points = np.column_stack([rays, np.ones(len(rays))])
        zero = np.zeros(3)
        return cv2.projectPoints(points, zero, zero, self.k, self.d)[0].reshape(-1, 2)

    def distort(self, points: np.ndarray) -> np.ndarray:
        """Map undistorted px (n, 2) to camera px (n, 2); NaN where the lens cannot show it."""
        points = np.asarray(points, dtype=np.float64).reshape(-1, 2)
        inverse = np.linalg.inv(self.k)
        rays = points @ inverse[:2, :2].T + inverse[:2, 2]
        shown = np.full_like(rays, np.nan)
        inside = np.hypot(*rays.T) < self.reach
        if inside.any():
            shown[inside] = self._project(np.ascontiguousarray(rays[inside]))
        return shown

    def undistort(self, points: np.ndarray) -> np.ndarray:
        """Map camera px (n, 2) to undistorted px (n, 2): ``distort`` inverted by Newton's method.

        Raises VimaError (BAD_CAMERA_INFO) where that has no solution: the coefficients do not
        describe the image there.
        """
        wanted = np.asarray(points, dtype=np.float64).reshape(-1, 2)
        found = wanted.copy()
        for _ in range(30):
            residual = wanted - self.distort(found)
            if not np.abs(residual).max(initial=0.0) > 1e-9:  # NaN ends it, too
                break
            along_x, along_y = (self._slope(found, axis) for axis in (0, 1))  # (n, 2) each
            determinant = _cross(along_x, along_y)
            found[:, 0] += _cross(residual, along_y) / determinant
            found[:, 1] += _cross(along_x, residual) / determinant
        residual = np.abs(wanted - self.distort(found)).max(axis=1, initial=0.0)
        if not (residual < MAX_RESIDUAL).all():
            worst = wanted[np.nan_to_num(residual, nan=np.inf).argmax()]
            raise _bad(
                f"the {self.model} coefficients {self.d.tolist()} cannot be undone at pixel "
                f"{worst.round(1).tolist()}; valid: a calibration that covers the whole image"
            )
        return found

    def _slope(self, points: np.ndarray, axis: int) -> np.ndarray:
        """Return the derivative of the distorted ``points`` (n, 2) along ``axis``."""
        step = np.zeros(2)
        step[axis] = 1e-3
        return (self.distort(points + step) - self.distort(points - step)) / 2e-3

    def equals(self, other: CameraModel | None) -> bool:
        """Return True if ``other`` is the same model, up to rounding."""
        if other is None or self.model != other.model:
            return False
        length = max(self.d.size, other.d.size)
        own, others = (
            np.pad(camera_model.d, (0, length - camera_model.d.size))
            for camera_model in (self, other)
        )
        return bool(
            np.allclose(self.k, other.k, rtol=1e-6, atol=1e-6)
            and np.allclose(own, others, atol=1e-9)
        )


def _finite(name: str, values: Any, count: int) -> np.ndarray:
    """Return field ``name`` as float64 (count,)."""
    array = np.array(values, dtype=np.float64).ravel()
    if array.size != count or not np.isfinite(array).all():
        raise _bad(f"{name} is {array.tolist()}; valid: {count} finite numbers")
    return array


def _crop_and_binning(info: Any, size: tuple[int, int]) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return the offset of an image of ``size`` on the full one [px], and its binning.

    Raises VimaError (BAD_CAMERA_INFO) where the image cannot be that part.
    """
    roi, bins = info.roi, (max(info.binning_x, 1), max(info.binning_y, 1))
    whole, offset = (info.width, info.height), (roi.x_offset, roi.y_offset)
    part = (roi.width or info.width, roi.height or info.height)
    expected = (part[0] // bins[0], part[1] // bins[1])
    if expected != tuple(size):
        raise _bad(
            f"camera_info (width, height, roi, binning) is for {expected[0]} x {expected[1]} px "
            f"and the image has {size[0]} x {size[1]}; valid: the same size"
        )
    if any(o + p > w for o, p, w in zip(offset, part, whole, strict=True)):
        raise _bad(
            f"roi begins at {offset} and has {part[0]} x {part[1]} px; valid: within width and "
            f"height, {whole[0]} x {whole[1]} px"
        )
    return offset, bins


def _cross(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]
