"""Estimation of a camera model from several images of a board, and its accuracy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from vima_ros.errors import VimaError
from vima_ros.perception.calibration.board_search import find_board, image_name
from vima_ros.perception.calibration.camera_model import CameraModel
from vima_ros.perception.calibration.charuco import Board

MIN_IMAGES = 5
STARTS = (0.5, 0.8, 1.2, 2.0)  # focal lengths to start from, in image widths
OUTLIER = 5.0  # times the median residual, at least MIN_OUTLIER: such a corner is left out
MIN_OUTLIER = 0.5  # [px]
CORNER_STD = 0.03  # [px]; no corner is known better, however well a degenerate set fits
_MIN_LEFT = 6  # corners of an image are not left out however they fit


@dataclass(frozen=True, eq=False)
class IntrinsicsFit:
    """Camera model with its accuracy.

    ``rms`` [px] over all images, ``per_image`` [px]: the reprojection error. Standard
    deviations: ``focal_std`` as a fraction of the focal length, of the worse axis,
    ``center_std`` of the principal point [px]. ``tilts`` (n, 2): sine of the board's tilt in each
    image; x > 0: its right side is nearer to the camera, y > 0: its lower side. ``corners``
    (m, 2) [px]: all corners that were used; ``left_out``: how many were not, as outliers.
    """

    camera_model: CameraModel
    size: tuple[int, int]
    rms: float
    per_image: tuple[float, ...]
    focal_std: float
    center_std: float
    tilts: np.ndarray
    corners: np.ndarray
    left_out: int


def estimate_intrinsics(
    board: Board, images: Sequence[np.ndarray], names: Sequence[str] = ()
) -> tuple[Board, IntrinsicsFit]:
    """Estimate the camera model from ``images`` of ``board``; also return the layout found.

    ``images``: (h, w, 3) uint8 RGB, all of one size, the board tilted to all sides and all over
    the image; ``names``: of the images, for errors.

    Raises VimaError: TOO_FEW_POINTS below ``MIN_IMAGES``, BAD_IMAGE for different sizes, else as
    ``find_board`` and ``fit_intrinsics``.
    """
    if len(images) < MIN_IMAGES:
        raise VimaError(
            "TOO_FEW_POINTS",
            f"{len(images)} images; valid: {MIN_IMAGES} or more, better ten, the board tilted",
        )
    size = images[0].shape[1::-1]
    for number, image in enumerate(images, 1):
        if image.shape[1::-1] != size:
            raise VimaError(
                "BAD_IMAGE",
                f"{image_name(number, names)} is {image.shape[1::-1]} px; valid: {size}",
            )
    board, found = find_board(board, images, names)
    return board, fit_intrinsics(
        [board.points[ids] for ids, _ in found], [px for _, px in found], size
    )


def fit_intrinsics(
    points_m: Sequence[np.ndarray], points_px: Sequence[np.ndarray], size: tuple[int, int]
) -> IntrinsicsFit:
    """Fit the plumb_bob model (k1, k2, p1, p2; k3 = 0) to corners of a flat board.

    ``points_m``, ``points_px``: for each image (n, 2) corners on the board [m] and in the image
    [px]; ``size``: width, height of the images [px]. Corners that fit worse than ``OUTLIER`` times
    the median are left out. Raises VimaError (COLLINEAR) where the images determine no lens.
    """
    board = [np.column_stack([p, np.zeros(len(p))]).astype(np.float32) for p in points_m]
    shown = [np.asarray(p, np.float32)[:, None] for p in points_px]
    try:
        fit = _best(board, shown, size)
        residuals = _residuals(board, shown, fit)
        limit = max(MIN_OUTLIER, OUTLIER * float(np.median(np.concatenate(residuals))))
        keep = [r <= max(limit, np.sort(r)[min(_MIN_LEFT, len(r)) - 1]) for r in residuals]
        board = [p[k] for p, k in zip(board, keep, strict=True)]
        shown = [p[k] for p, k in zip(shown, keep, strict=True)]
        fit = _calibrate(board, shown, size, fit[1], fit[2])
        rms, k, d, turns, _ = fit
        camera_model = CameraModel(k, d.ravel()[:5])
    except (cv2.error, VimaError) as error:
        raise VimaError(
            "COLLINEAR",
            f"the images determine no lens ({str(error).strip().splitlines()[-1]}); valid: "
            "images in which the board is tilted in different ways and reaches the rim",
        ) from error
    residuals = _residuals(board, shown, fit)
    deviations = _deviations(board, residuals, fit)
    return IntrinsicsFit(
        camera_model,
        (int(size[0]), int(size[1])),
        float(rms),
        tuple(float(np.sqrt((r**2).mean())) for r in residuals),
        float(max(deviations[0] / k[0, 0], deviations[1] / k[1, 1])),
        float(deviations[2:4].max()),
        np.array([_tilt(turn) for turn in turns]),
        np.concatenate(shown)[:, 0].astype(np.float64),
        sum(int((~k).sum()) for k in keep),
    )


def _best(board: list[np.ndarray], shown: list[np.ndarray], size: tuple[int, int]) -> tuple:
    """Return the fit of minimum error from several starts; one alone may end far off."""
    fits, failure = [], cv2.error("no start led to a finite lens")
    for focal in STARTS:
        k = np.diag([focal * size[0], focal * size[0], 1.0])
        k[:2, 2] = (np.array(size) - 1) / 2
        try:
            fits.append(_calibrate(board, shown, size, k, np.zeros(5)))
        except cv2.error as error:
            failure = error
    if not fits:
        raise failure
    return min(fits, key=lambda fit: fit[0])


def _calibrate(
    board: list[np.ndarray],
    shown: list[np.ndarray],
    size: tuple[int, int],
    k: np.ndarray,
    d: np.ndarray,
) -> tuple:
    """Fit: error [px], k, d, and the board's rotation vectors and positions. Raises cv2.error."""
    flags = cv2.CALIB_FIX_K3 | cv2.CALIB_USE_INTRINSIC_GUESS
    fit = cv2.calibrateCamera(board, shown, tuple(size), k.copy(), d.copy(), flags=flags)
    if not (np.isfinite(fit[0]) and np.isfinite(fit[1]).all() and fit[1].diagonal().min() > 0):
        raise cv2.error("the fit is not finite")
    return fit


def _deviations(board: list[np.ndarray], residuals: list[np.ndarray], fit: tuple) -> np.ndarray:
    """Return standard deviations (8,) of fx, fy, cx, cy [px], k1, k2, p1, p2.

    From the inverse of the normal equations, the poses eliminated. Not OpenCV's own, which come
    from a pseudoinverse: what is not determined at all has almost none there.
    """
    _, k, d, turns, shifts = fit
    normal = np.zeros((8, 8))
    for points, turn, shift in zip(board, turns, shifts, strict=True):
        # By turn, shift, f, c, d.
        jacobian: np.ndarray = cv2.projectPoints(points, turn, shift, k, d)[1]
        pose, camera_model = jacobian[:, :6], jacobian[:, 6:14]
        rest = camera_model - pose @ np.linalg.lstsq(pose, camera_model, rcond=None)[0]
        normal += rest.T @ rest
    scale = np.sqrt(np.maximum(normal.diagonal(), 1e-300))
    values, vectors = np.linalg.eigh(normal / np.outer(scale, scale))
    count = 2 * sum(map(len, residuals)) - 6 * len(board) - 8
    square = max(sum(float((r**2).sum()) for r in residuals) / max(count, 1), CORNER_STD**2)
    variance = (vectors**2 / np.maximum(values, 1e-14)).sum(1)
    return np.sqrt(square * variance) / scale


def _residuals(board: list[np.ndarray], shown: list[np.ndarray], fit: tuple) -> list[np.ndarray]:
    _, k, d, turns, shifts = fit
    return [
        np.linalg.norm(cv2.projectPoints(p, turn, shift, k, d)[0][:, 0] - s[:, 0], axis=1)
        for p, s, turn, shift in zip(board, shown, turns, shifts, strict=True)
    ]


def _tilt(turn: np.ndarray) -> np.ndarray:
    """Return x, y (2,) of the board's normal (away from the camera) in the camera frame."""
    normal = cv2.Rodrigues(turn)[0][:, 2]
    return normal[:2] * np.sign(normal[2])
