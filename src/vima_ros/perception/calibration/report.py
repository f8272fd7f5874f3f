"""Report on a calibration for people: figures and warnings."""

from __future__ import annotations

import math

import numpy as np

from vima_ros.perception.calibration.calibration import Calibration, workspace_corners
from vima_ros.perception.calibration.drift import usable_patches
from vima_ros.perception.calibration.estimation import CLICK_SIGMA, CameraPose, camera_pose
from vima_ros.perception.view_transform import ViewTransform
from vima_ros.policy_frame import CAMERAS

MAX_CORNERS_MM = 5.0  # a bin of the policy's positions is 10 mm
MAX_TILT = 20.0  # from VIMA-Bench's camera [degrees]


def calibrated_pose(calibration: Calibration) -> CameraPose | None:
    """Return the camera's pose; None without a camera model."""
    camera_model = calibration.camera_model
    if camera_model is None:
        return None
    corners = workspace_corners(calibration.workspace)
    shown = calibration.table_to_camera(corners)
    if not np.isfinite(shown).all():
        return None
    return camera_pose(corners, camera_model.undistort(shown), camera_model)


def _elevation(pose: CameraPose) -> float:
    """Return the angle by which the camera looks down [degrees]."""
    return math.degrees(math.asin(np.clip(-pose.rotation[2, 2], -1.0, 1.0)))


def report(calibration: Calibration) -> list[str]:
    """Describe the accuracy of the calibration in sentences."""
    fit, size = calibration.fit, calibration.size
    lines = [
        f"{calibration.view} view by {calibration.method}: {fit.points} points in an image of "
        f"{size[0]} x {size[1]} px"
    ]
    if fit.points == 4:
        lines.append(
            "reprojection error: none, four points always fit exactly; hit within "
            f"{CLICK_SIGMA} px they put the workspace's corners within {fit.corners_mm:.1f} mm"
        )
    else:
        lines.append(
            f"reprojection error: {fit.camera_px:.2f} px in the camera's image (at most "
            f"{fit.camera_max_px:.2f}), {fit.policy_px:.2f} px in the policy frame, "
            f"{fit.table_mm:.1f} mm on the table; {fit.corners_mm:.1f} mm expected at the "
            "workspace's corners"
        )
    pose = calibrated_pose(calibration)
    if pose is not None:
        x, y, z = pose.position
        lines.append(
            f"camera: at x {x:.2f}, y {y:.2f}, z {z:.2f} m, looking {_elevation(pose):.0f} "
            f"degrees down; it fits the lens to {fit.rigid_px:.2f} px"
        )
    return lines


def warnings(calibration: Calibration) -> list[str]:
    """Return warnings about the calibration, each with what to do."""
    fit = calibration.fit
    found = []
    if calibration.camera_model is None:
        found.append("no lens is known: lines near the rim may stay bent; give --camera-info")
    elif fit.rigid_px is not None and fit.rigid_px > max(2.0, calibration.size[0] / 250):
        found.append(
            f"no camera with this lens shows the points like this ({fit.rigid_px:.1f} px off): "
            "is the first corner the right one, are the sizes right, is camera_info this camera's?"
        )
    if fit.corners_mm > MAX_CORNERS_MM:
        found.append(
            f"the workspace's corners may be {fit.corners_mm:.0f} mm off: give images with the "
            "board in several places, print it on A3, or use the table's corners"
        )
    found += _pose_warnings(calibration)
    depth, width = calibration.workspace.size
    if abs(math.log(width / (2 * depth))) > 0.05:
        found.append(
            f"the workspace is {depth:g} x {width:g} m, VIMA's is 1 : 2: objects look "
            "stretched to the policy"
        )
    outside = ViewTransform(calibration.size, calibration=calibration).warning
    if outside:
        found.append(outside)
    usable = int(usable_patches(calibration.patches).sum())
    if usable < 4:
        found.append(
            f"{usable} of 4 corners can be recognised again: the check whether the camera has "
            "moved needs 2; put tape on them, or leave the board in view"
        )
    return found


def _pose_warnings(calibration: Calibration) -> list[str]:
    pose, view = calibrated_pose(calibration), calibration.view
    if pose is None:
        return []
    found = []
    elevation = CAMERAS[view].elevation
    if abs(_elevation(pose) - elevation) > MAX_TILT:
        found.append(
            f"the {view} camera looks {_elevation(pose):.0f} degrees down and VIMA's "
            f"{elevation:.0f}: what stands on the table looks other than the policy knows"
        )
    if view == "front" and pose.rotation[2, 0] > 0:
        found.append(
            "the front camera looks away from the robot and VIMA's towards it: what stands on "
            "the table will lean the wrong way; is the first corner the right one?"
        )
    return found
