"""Report on the accuracy of a camera model, and images that would improve it."""

from __future__ import annotations

import cv2
import numpy as np

from vima_ros.errors import VimaError
from vima_ros.perception.calibration.intrinsics import IntrinsicsFit

GOOD_RMS = 1.0  # [px]; more means a wrong board or a blurred image
MAX_FOCAL_STD = 0.007  # of the focal length; above, it may be more than 2 % off
REFUSED_FOCAL_STD = 0.05
MIN_COVERAGE = 0.2  # of the image's area, by the hull of all corners
MIN_TILT = 5.0  # [degrees], to count as tilted to a side
_SIDES = {"left": (-1, 0), "right": (1, 0), "upper": (0, -1), "lower": (0, 1)}
_DIRECTIONS = np.array([[np.cos(a), np.sin(a)] for a in np.arange(0, 2 * np.pi, np.pi / 36)])


def describe_intrinsics(fit: IntrinsicsFit) -> list[str]:
    """Describe the camera model with the standard deviations of its parameters."""
    (fx, cx), (fy, cy) = fit.camera_model.k[0, [0, 2]], fit.camera_model.k[1, 1:]
    lines = [
        f"reprojection error: {fit.rms:.2f} px rms over {len(fit.per_image)} images",
        f"focal length: {fx:.1f}, {fy:.1f} px, standard deviation {_percent(fit.focal_std)}",
        f"principal point: {cx:.1f}, {cy:.1f} px, standard deviation {fit.center_std:.1f} px",
    ]
    if fit.left_out:
        lines.append(f"{fit.left_out} corners do not fit the others and were left out")
    return lines


def check_determined(fit: IntrinsicsFit) -> None:
    """Raise VimaError (COLLINEAR) for an unusable fit, naming the images to add."""
    problem = ""
    if fit.focal_std > REFUSED_FOCAL_STD:
        problem = (
            f"the standard deviation of the focal length is {_percent(fit.focal_std)} (valid: up "
            f"to {_percent(REFUSED_FOCAL_STD)})"
        )
    else:
        width, height = np.array(fit.size) - 1.0
        try:
            fit.camera_model.undistort(
                np.array([[0, 0], [width, 0], [0, height], [width, height]])
            )
        except VimaError:
            problem = "their distortion has no inverse at the corners of the image"
    if problem:
        raise VimaError(
            "COLLINEAR",
            f"the images do not determine the lens: {problem}. Add images: "
            f"{'; '.join(missing_images(fit))}",
        )


def intrinsics_warnings(fit: IntrinsicsFit) -> list[str]:
    """Return warnings about the fit, each with what to do."""
    found = []
    if fit.rms > GOOD_RMS:
        found.append(
            f"reprojection error above {GOOD_RMS} px: leave out the worst image, keep the board "
            "flat and still"
        )
    problems = []
    if fit.focal_std > MAX_FOCAL_STD:
        problems.append(
            f"the focal length is known to {_percent(fit.focal_std)} only (standard deviation; "
            f"good: below {_percent(MAX_FOCAL_STD)})"
        )
    if _sides_lacking(fit):
        problems.append("the board is not tilted to all sides")
    if _coverage(fit) < MIN_COVERAGE:
        problems.append(
            f"the board covers {_coverage(fit):.0%} of the image in all: elsewhere the distortion "
            "is a guess"
        )
    if problems:
        found.append(f"{'; '.join(problems)}. Add images: {'; '.join(missing_images(fit))}")
    return found


def missing_images(fit: IntrinsicsFit) -> list[str]:
    """Return descriptions of images that would improve the fit, at least one."""
    lacking = []
    sides = [
        side for side, way in _SIDES.items() if (fit.tilts @ way).max() < np.sin(np.radians(12.0))
    ]
    if sides:
        lacking.append(
            f"with the {' and the '.join(sides)} side of the board tilted towards the camera by "
            "about 30 degrees"
        )
    if cells := _empty_cells(fit):
        lacking.append(f"with the board at the image's {', '.join(cells)}")
    if len(fit.per_image) < 10:
        lacking.append("ten in all")
    return lacking or ["nearer, so that the board fills half of the image, and sharper"]


def _percent(part: float) -> str:
    return f"{part:.1%}" if part < 0.5 else "more than 50%"


def _sides_lacking(fit: IntrinsicsFit) -> bool:
    """Return True if in some direction no image has the board tilted to the camera."""
    return bool((fit.tilts @ _DIRECTIONS.T).max(0).min() < np.sin(np.radians(MIN_TILT)))


def _coverage(fit: IntrinsicsFit) -> float:
    hull = cv2.convexHull(fit.corners.astype(np.float32))
    return cv2.contourArea(hull) / (fit.size[0] * fit.size[1])


def _empty_cells(fit: IntrinsicsFit) -> list[str]:
    """Return the corner regions of the image, thirds of its sides, without any corner."""
    cells = np.floor(3 * fit.corners / fit.size).astype(int)
    names = {(0, 0): "upper left", (2, 0): "upper right", (0, 2): "lower left"}
    names[2, 2] = "lower right"
    return [name for cell, name in names.items() if not (cells == cell).all(1).any()]
