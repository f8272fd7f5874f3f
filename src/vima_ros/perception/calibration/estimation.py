"""Estimation of a camera's calibration from points at known places on the table."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime, timezone

import cv2
import numpy as np

from vima_ros.errors import VimaError
from vima_ros.geometry import Workspace
from vima_ros.perception.calibration.calibration import (
    MAX_PATCH,
    METHODS,
    Calibration,
    CalibrationFit,
    project,
    workspace_corners,
)
from vima_ros.perception.calibration.camera_model import CameraModel
from vima_ros.perception.calibration.charuco import PlacedBoard
from vima_ros.policy_frame import VIMA_WORKSPACE, table_to_policy

CLICK_SIGMA = 0.5  # [px] how well a person hits a corner; four points leave nothing to measure it
MIN_TRIANGLE_HEIGHT = 0.05  # of a triangle of three corners, in parts of its longest side
CORNER_ORDER = "clockwise as the image shows them, from the upper left one of the policy's view"
NOISE_TRIALS = 64  # random errors of the points, for the expected error of the corners


def calibrate(
    view: str,
    image_rgb: np.ndarray,
    points_px: np.ndarray,
    points_m: np.ndarray | None = None,
    *,
    camera_model: CameraModel | None = None,
    workspace: Workspace = VIMA_WORKSPACE,
    board: PlacedBoard | None = None,
) -> Calibration:
    """Calibrate the camera that took ``image_rgb`` (h, w, 3) uint8.

    ``points_px`` (n, 2), n >= 4, are where the image shows the points ``points_m`` (n, 2) of the
    table [m]; None: the workspace's corners, in the order of ``workspace_corners``. Four points
    become the reference corners; else the workspace's corners are. ``board``: the board they were
    found on. Raises VimaError: TOO_FEW_POINTS, POINT_OUTSIDE_IMAGE, TOO_SMALL, COLLINEAR,
    WRONG_ORDER, MIRRORED, BEYOND_HORIZON, INVALID_VALUE.
    """
    to_policy = table_to_policy(view, workspace)
    height, width = image_rgb.shape[:2]
    points_m = workspace_corners(workspace) if points_m is None else np.asarray(points_m, float)
    points_px = np.asarray(points_px, dtype=np.float64)
    _check_points(points_px, points_m, (width, height), to_policy)
    flat = points_px if camera_model is None else camera_model.undistort(points_px)
    to_camera = _homography(points_m, flat, camera_model)
    _check_horizon(to_camera, points_m, workspace)
    homography = to_policy @ np.linalg.inv(to_camera)
    homography /= homography[2, 2] if abs(homography[2, 2]) > 1e-9 else 1.0
    corners = (
        points_px if len(points_px) == 4 else _project_corners(to_camera, workspace, camera_model)
    )
    return Calibration(
        view,
        (width, height),
        homography,
        corners,
        cut_patches(image_rgb, corners),
        _fit(points_px, points_m, to_camera, to_policy, camera_model, workspace),
        METHODS[board is not None],
        camera_model,
        workspace,
        board,
        datetime.now(timezone.utc).isoformat(timespec="seconds"),
    )


def cut_patches(image_rgb: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """Cut grey squares (4, n, n) uint8 around ``corners`` (4, 2) [px]; 0 where outside."""
    grey = cv2.cvtColor(image_rgb, cv2.COLOR_RGB2GRAY)
    half = min(max(8, grey.shape[1] // 40), MAX_PATCH // 2)
    patches = np.zeros((4, 2 * half + 1, 2 * half + 1), np.uint8)
    for patch, corner in zip(patches, corners, strict=True):
        if not np.isfinite(corner).all():
            continue
        x, y = (int(value) - half for value in np.rint(corner))
        if 0 <= x < grey.shape[1] - 2 * half and 0 <= y < grey.shape[0] - 2 * half:
            patch[:] = grey[y : y + len(patch), x : x + len(patch)]
    return patches


@dataclass(frozen=True)
class CameraPose:
    """Pose of a camera: ``position`` (3,) [m], ``rotation`` (3, 3) table to camera frame.

    The camera frame is x right, y down, z forward. ``error_px``: root mean square of what does
    not fit [undistorted px].
    """

    position: np.ndarray
    rotation: np.ndarray
    error_px: float

    def homography(self, k: np.ndarray) -> np.ndarray:
        """Return the matrix (3, 3) from the table [m] to undistorted px of a camera with ``k``."""
        shift = -self.rotation @ self.position
        return k @ np.column_stack([self.rotation[:, :2], shift])


def camera_pose(
    points_m: np.ndarray, flat_px: np.ndarray, camera_model: CameraModel
) -> CameraPose:
    """Estimate the pose from table points (n, 2) [m] at undistorted ``flat_px`` (n, 2)."""
    points = np.column_stack([points_m, np.zeros(len(points_m))])
    flat, none = np.ascontiguousarray(flat_px).reshape(-1, 1, 2), np.zeros(5)
    # Not SOLVEPNP_IPPE, which is made for planes but gives NaN for some poses.
    _, turn, shift = cv2.solvePnP(points, flat, camera_model.k, none, flags=cv2.SOLVEPNP_ITERATIVE)
    shown = cv2.projectPoints(points, turn, shift, camera_model.k, none)[0].reshape(-1, 2)
    rotation = cv2.Rodrigues(turn)[0]
    return CameraPose(-rotation.T @ shift.ravel(), rotation, _rms(shown - flat_px))


def _rms(difference: np.ndarray) -> float:
    return float(np.sqrt((difference**2).sum(-1).mean()))


def _homography(
    points_m: np.ndarray, flat_px: np.ndarray, camera_model: CameraModel | None
) -> np.ndarray:
    """Fit the homography from the table to undistorted px by least squares.

    With a camera model, many points determine the camera's pose, six numbers instead of eight: a
    board covers a part of the table only, and a free homography is poor beyond it. Four points are
    fitted exactly, as the person who gave them expects.
    """
    if camera_model is not None and len(points_m) > 4:
        return camera_pose(points_m, flat_px, camera_model).homography(camera_model.k)
    matrix, _ = cv2.findHomography(points_m, flat_px, 0)
    if matrix is None or not np.isfinite(matrix).all():
        raise VimaError("COLLINEAR", "the points lie on a line; valid: points all over the table")
    return matrix


def _project_corners(
    to_camera: np.ndarray, workspace: Workspace, camera_model: CameraModel | None
) -> np.ndarray:
    """Project the workspace's corners (4, 2) [px], far outside the image where invisible."""
    shown = project(to_camera, workspace_corners(workspace))
    return shown if camera_model is None else np.nan_to_num(camera_model.distort(shown), nan=-1e6)


def _check_points(
    points_px: np.ndarray, points_m: np.ndarray, size: tuple[int, int], to_policy: np.ndarray
) -> None:
    shape = points_px.shape
    if points_px.ndim != 2 or shape[1] != 2 or shape[0] < 4 or points_m.shape != shape:
        raise VimaError(
            "TOO_FEW_POINTS",
            f"points {shape} in the image and {points_m.shape} on the table; valid: four or "
            "more of each",
        )
    if not (np.isfinite(points_px).all() and np.isfinite(points_m).all()):
        raise VimaError("INVALID_VALUE", "a point is not finite; valid: numbers")
    outside = ((points_px < -0.5) | (points_px > np.array(size) - 0.5)).any(1)
    if outside.any():
        raise VimaError(
            "POINT_OUTSIDE_IMAGE",
            f"point {points_px[outside][0].tolist()}; valid: inside {size[0]} x {size[1]} px",
        )
    min_distance = size[0] / 32
    if len(points_px) == 4:
        check_quadrilateral(project(to_policy, points_m), 1.0, "on the table")
        check_quadrilateral(points_px, min_distance, "in the image")
        return
    for points, limit, what in ((points_px, min_distance / 2, "px"), (points_m, 0.01, "m")):
        spread = np.linalg.svd(points - points.mean(0), compute_uv=False) / math.sqrt(len(points))
        if spread[0] < limit:
            raise VimaError(
                "TOO_SMALL", f"points within {spread[0]:.3g} {what}; valid: {limit:g} or more"
            )
        if spread[1] < 0.02 * spread[0]:
            raise VimaError("COLLINEAR", "the points lie on a line; valid: all over the board")


def check_quadrilateral(corners: np.ndarray, min_distance: float, where: str) -> None:
    """Raise VimaError unless ``corners`` (4, 2) go clockwise around an area.

    Codes: TOO_SMALL (two corners nearer than ``min_distance``), COLLINEAR (three on a line),
    WRONG_ORDER (the sides cross, or a corner lies between the others), MIRRORED (anticlockwise).
    """
    description = f"corners {where} {np.round(corners, 3).tolist()}"
    apart = np.linalg.norm(corners[:, None] - corners[None], axis=-1)[np.triu_indices(4, 1)]
    if apart.min() < min_distance:
        raise VimaError(
            "TOO_SMALL",
            f"{description} are {apart.min():.3g} apart; valid: {min_distance:.3g} or more",
        )
    for left_out in range(4):
        a, b, c = np.delete(corners, left_out, 0)
        longest = max(np.linalg.norm(b - a), np.linalg.norm(c - b), np.linalg.norm(a - c))
        if abs(_cross(b - a, c - a)) < MIN_TRIANGLE_HEIGHT * longest**2:
            raise VimaError("COLLINEAR", f"{description}: three are on a line; valid: none")
    sides = np.roll(corners, -1, 0) - corners
    turns = np.array(
        [
            _cross(side, following)
            for side, following in zip(sides, np.roll(sides, -1, 0), strict=True)
        ]
    )
    if (turns < 0).all():
        raise VimaError("MIRRORED", f"{description} go anticlockwise; valid: {CORNER_ORDER}")
    if not (turns > 0).all():
        raise VimaError("WRONG_ORDER", f"{description} cross over; valid: {CORNER_ORDER}")


def _cross(a: np.ndarray, b: np.ndarray) -> float:
    return float(a[0] * b[1] - a[1] * b[0])


def _check_horizon(to_camera: np.ndarray, points_m: np.ndarray, workspace: Workspace) -> None:
    """Raise VimaError unless points and workspace are on one side of the camera."""
    points = np.vstack([points_m, workspace_corners(workspace)])
    depth = np.column_stack([points, np.ones(len(points))]) @ to_camera[2]
    if not ((depth > 0).all() or (depth < 0).all()):
        raise VimaError(
            "BEYOND_HORIZON",
            "the workspace would reach beyond the horizon of the image; valid: points whose "
            "places in the image and on the table belong together",
        )
    if np.linalg.det(to_camera) * depth[0] > 0:
        raise VimaError("MIRRORED", "the image is mirrored; valid: as the camera sees it")


def _fit(
    points_px: np.ndarray,
    points_m: np.ndarray,
    to_camera: np.ndarray,
    to_policy: np.ndarray,
    camera_model: CameraModel | None,
    workspace: Workspace,
) -> CalibrationFit:
    flat = points_px if camera_model is None else camera_model.undistort(points_px)
    shown = project(to_camera, points_m)
    camera = (shown if camera_model is None else camera_model.distort(shown)) - points_px
    on_table = project(np.linalg.inv(to_camera), flat)
    count = len(points_px)
    sigma = (
        CLICK_SIGMA if count == 4 else _rms(camera) / math.sqrt(2) * math.sqrt(count / (count - 4))
    )
    noise = np.random.default_rng(0).normal(0.0, sigma, (NOISE_TRIALS, count, 2))
    corners = workspace_corners(workspace)
    shown = project(to_camera, corners)
    off = [
        project(np.linalg.inv(_homography(points_m, flat + shift, camera_model)), shown) - corners
        for shift in noise
    ]
    return CalibrationFit(
        count,
        _rms(camera),
        float(np.hypot(*camera.T).max()),
        _rms(project(to_policy, on_table) - project(to_policy, points_m)),
        1e3 * _rms(on_table - points_m),
        None if camera_model is None else camera_pose(points_m, flat, camera_model).error_px,
        1e3 * _rms(np.array(off)),
    )
