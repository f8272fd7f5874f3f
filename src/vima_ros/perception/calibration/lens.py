"""A camera's lens, as sensor_msgs/CameraInfo describes it: points with and without distortion."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import yaml

from vima_ros.errors import VimaError

# Number of coefficients by model (sensor_msgs/distortion_models.hpp and OpenCV's calib3d).
MODELS = {"plumb_bob": (4, 5), "rational_polynomial": (8, 12, 14), "equidistant": (4,)}
MAX_RAY = 20.0  # tangent of 87 degrees from the optical axis: no pinhole view reaches further
MAX_RESIDUAL = 0.01  # [px] of an undone distortion
MAX_FILE = 1 << 20  # [bytes] of a camera_info file


def _bad(message: str) -> VimaError:
    return VimaError("BAD_CAMERA_INFO", message)


@dataclass(frozen=True, eq=False)
class Lens:
    """Camera matrix ``k`` (3, 3) [px], distortion ``d`` (n,) and its ``model``.

    Undistorted pixels are those of a pinhole camera with the same ``k``. Points are x, y; integers
    are pixel centres. Raises VimaError (BAD_CAMERA_INFO) for what is no lens.
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
        if self.model not in MODELS:
            raise _bad(f"distortion model {self.model!r}; valid: {', '.join(MODELS)}")
        if not d.size:  # drivers leave it empty where there is no distortion
            d = np.zeros(MODELS[self.model][0])
        if len(d) not in MODELS[self.model]:
            raise _bad(f"{len(d)} coefficients for {self.model}; valid: {MODELS[self.model]}")
        if not (np.isfinite(k).all() and np.isfinite(d).all() and k[0, 0] > 0 and k[1, 1] > 0):
            raise _bad(f"k {k.tolist()}, d {d.tolist()}; valid: finite, focal lengths above 0")
        if k[1, 0] != 0 or k[2].tolist() != [0, 0, 1]:
            raise _bad(f"k {k.tolist()}; valid: [fx, s, cx, 0, fy, cy, 0, 0, 1]")
        for name, value in (("k", k), ("d", d)):
            value.setflags(write=False)
            object.__setattr__(self, name, value)

    @staticmethod
    def from_camera_info(info: Any, size: tuple[int, int]) -> Lens | None:
        """The lens of a CameraInfo (any object with its fields) for pictures of ``size``.

        ``size``: width, height [px]. Binning and region of interest are taken into account, as
        ROS's image_geometry does. None where the camera is not calibrated (``k`` is 0). Raises
        VimaError (BAD_CAMERA_INFO), also where the picture's size is another.
        """
        k = np.array(info.k, dtype=np.float64)
        if k.size != 9 or not np.isfinite(k).all():
            raise _bad(f"k is {k.tolist()}; valid: nine finite numbers")
        if k[0] == 0:
            return None
        roi, bins = info.roi, (max(info.binning_x, 1), max(info.binning_y, 1))
        full = (roi.width or info.width, roi.height or info.height)
        told = (full[0] // bins[0], full[1] // bins[1])
        if told != tuple(size):
            raise _bad(
                f"camera_info is for {told[0]} x {told[1]} px and the picture has "
                f"{size[0]} x {size[1]}; valid: the same size"
            )
        k = k.reshape(3, 3)
        k[:2, 2] -= roi.x_offset, roi.y_offset
        k[:2] /= np.array(bins)[:, None]
        return Lens(k, np.array(info.d), info.distortion_model or "plumb_bob")

    @functools.cached_property
    def reach(self) -> float:
        """Largest tangent of the angle to the optical axis at which the model still makes sense.

        Beyond, the polynomial folds back and would show the same place twice.
        """
        radius = np.linspace(0.0, MAX_RAY, 4001)
        d = self.d.copy()
        if self.model != "equidistant":
            d[2:4] = 0.0  # tangential
            d[8:] = 0.0  # thin prism and tilt
        rays = np.stack([radius, np.zeros_like(radius)], -1)
        shown = Lens(np.eye(3), d, self.model)._project(rays)[:, 0]
        folded = np.flatnonzero(~(np.diff(shown) > 0))
        return float(radius[folded[0]]) if folded.size else MAX_RAY

    def _project(self, rays: np.ndarray) -> np.ndarray:
        """Camera px (n, 2) of rays x/z, y/z (n, 2)."""
        if self.model == "equidistant":
            return cv2.fisheye.distortPoints(rays[:, None], self.k, self.d)[:, 0]
        points = np.column_stack([rays, np.ones(len(rays))])
        zero = np.zeros(3)
        return cv2.projectPoints(points, zero, zero, self.k, self.d)[0].reshape(-1, 2)

    def distort(self, points: np.ndarray) -> np.ndarray:
        """Camera px (n, 2) of undistorted px (n, 2); NaN where the lens cannot show it."""
        points = np.asarray(points, dtype=np.float64).reshape(-1, 2)
        inverse = np.linalg.inv(self.k)
        rays = points @ inverse[:2, :2].T + inverse[:2, 2]
        shown = np.full_like(rays, np.nan)
        inside = np.hypot(*rays.T) < self.reach
        if inside.any():
            shown[inside] = self._project(np.ascontiguousarray(rays[inside]))
        return shown

    def undistort(self, points: np.ndarray) -> np.ndarray:
        """Undistorted px (n, 2) of camera px (n, 2): ``distort`` undone by Newton's method.

        Raises VimaError (BAD_CAMERA_INFO) where that has no solution: the coefficients do not
        describe the picture there.
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
                f"{worst.round(1).tolist()}; valid: a calibration that covers the whole picture"
            )
        return found

    def _slope(self, points: np.ndarray, axis: int) -> np.ndarray:
        """How fast the distorted points (n, 2) move when ``points`` do along ``axis``."""
        step = np.zeros(2)
        step[axis] = 1e-3
        return (self.distort(points + step) - self.distort(points - step)) / 2e-3

    def equals(self, other: Lens | None) -> bool:
        """Whether ``other`` shows the same, to rounding."""
        return (
            other is not None
            and self.model == other.model
            and np.allclose(self.k, other.k, rtol=1e-6, atol=1e-6)
            and self.d.size <= other.d.size
            and np.allclose(np.pad(self.d, (0, other.d.size - self.d.size)), other.d, atol=1e-9)
        )


def _cross(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]


def read_camera_info(path: Path) -> SimpleNamespace:
    """A camera_info YAML file (ROS's camera_calibration_parsers) with CameraInfo's fields.

    Raises VimaError (BAD_CAMERA_INFO) where there is no such file or it is something else.
    """
    try:
        with path.open("rb") as file:
            content = yaml.safe_load(file.read(MAX_FILE))
        return SimpleNamespace(
            width=int(content["image_width"]),
            height=int(content["image_height"]),
            k=[float(value) for value in content["camera_matrix"]["data"]],
            d=[float(value) for value in content["distortion_coefficients"]["data"]],
            distortion_model=str(content["distortion_model"]),
            binning_x=0,
            binning_y=0,
            roi=SimpleNamespace(x_offset=0, y_offset=0, width=0, height=0),
        )
    except (OSError, yaml.YAMLError, ValueError, KeyError, TypeError) as error:
        reason = f"{type(error).__name__}: {error}".split("\n")[0]
        raise _bad(f"{path}: {reason}; valid: a camera_info YAML file") from error


def camera_info_text(lens: Lens, size: tuple[int, int], name: str) -> str:
    """The YAML text that ``read_camera_info`` and ROS's camera drivers read."""
    projection = np.column_stack([lens.k, np.zeros(3)])

    def matrix(values: np.ndarray) -> dict[str, Any]:
        rows, columns = np.atleast_2d(values).shape
        return {"rows": rows, "cols": columns, "data": [float(value) for value in values.flat]}

    content = {
        "image_width": int(size[0]),
        "image_height": int(size[1]),
        "camera_name": name,
        "camera_matrix": matrix(lens.k),
        "distortion_model": lens.model,
        "distortion_coefficients": matrix(lens.d),
        "rectification_matrix": matrix(np.eye(3)),
        "projection_matrix": matrix(projection),
    }
    return yaml.safe_dump(content, sort_keys=False, default_flow_style=None)
