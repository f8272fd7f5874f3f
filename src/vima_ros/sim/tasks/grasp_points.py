"""Grasp points for a suction cup."""

from __future__ import annotations

import math

import numpy as np

from vima_ros.geometry import Pose, Workspace, rotation_2d
from vima_ros.sim.model import polygons
from vima_ros.sim.model.shapes import Shape
from vima_ros.specs import Action

_BINNED_MARGIN = 0.003  # minimum distance from the edge after rounding to bins [m]
_ROBOT_SIDE_WEIGHT = 0.2  # preference of points nearer to the robot, per metre
_IDENTITY = np.array([0.0, 0.0, 0.0, 1.0])


def heading(pose: Pose) -> float:
    """Return the direction of a frame's x axis seen from above [rad], for any rotation."""
    x, y, z, w = pose.quaternion
    return math.atan2(2.0 * (x * y + z * w), 1.0 - 2.0 * (y * y + z * z))


def grasp_point(
    shape: Shape, pose: Pose, workspace: Workspace, random: np.random.Generator | None
) -> np.ndarray:
    """Return a point (2,) x, y [m] in the table frame on the object's top, away from its edges.

    ``random`` None: deterministic, as near as possible to the centre of the object's bounding box
    in the top view. If there is such a point, it stays on the object when rounded to the bins of
    an action in ``workspace``.
    """
    rotation = rotation_2d(heading(pose))
    best_first = np.array(shape.grasp_points)
    points = _sorted_by_distance(shape, rotation) if random is None else best_first
    for number in range(40):
        if random is None:
            point = points[min(number, len(points) - 1)]
        else:  # squared: prefers the first, which are farther from the edges
            point = points[int(random.random() ** 2 * len(points))]
        world = pose.position[:2] + rotation @ point
        own = (binned(world, workspace) - pose.position[:2]) @ rotation
        if polygons.depth(own[None], shape.outline)[0] >= _BINNED_MARGIN:
            return world
    return world


def visible_center(shape: Shape, pose: Pose) -> np.ndarray:
    """Return the centre (2,) x, y [m] of the bounding box in the top view, table frame."""
    return pose.position[:2] + _center(shape, rotation_2d(heading(pose)))


def _center(shape: Shape, rotation: np.ndarray) -> np.ndarray:
    """Return the centre (2,) [m] of the rotated outline's bounding box in its own frame."""
    corners = np.array(shape.outline[0]) @ rotation.T
    return (corners.min(axis=0) + corners.max(axis=0)) / 2


def _sorted_by_distance(shape: Shape, rotation: np.ndarray) -> np.ndarray:
    """Return the firm grasp points (n, 2) [m], sorted by distance from the bounding box centre.

    Among equal ones those nearer to the robot, whose base is on the -x side, come first.
    """
    points = np.array(shape.firm_grasp_points)
    away = points @ rotation.T - _center(shape, rotation)
    return points[
        np.argsort(np.linalg.norm(away, axis=1) + _ROBOT_SIDE_WEIGHT * away[:, 0], kind="stable")
    ]


def binned(position_xy: np.ndarray, workspace: Workspace) -> np.ndarray:
    """Round a position (2,) [m] to the bins of an action."""
    pose = Pose(np.append(workspace.clamp(*position_xy), 0.0), _IDENTITY)
    return Action.from_poses(pose, pose, workspace).poses(workspace)[0].position[:2]
