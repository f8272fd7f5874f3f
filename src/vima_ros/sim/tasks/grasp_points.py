"""Where a suction cup picks an object up."""

from __future__ import annotations

import math

import numpy as np

from vima_ros.geometry import Pose, Workspace
from vima_ros.sim.model import polygons
from vima_ros.sim.model.shapes import Shape
from vima_ros.specs import Action

_BINNED_MARGIN = 0.003  # a grasp point's bin, too, is this far from the edge [m]
_LEANING = 0.2  # towards the robot: what a metre counts
_IDENTITY = np.array([0.0, 0.0, 0.0, 1.0])


def heading(pose: Pose) -> float:
    """Direction of a frame's x axis seen from above [rad]; any rotation has one."""
    x, y, z, w = pose.quaternion
    return math.atan2(2.0 * (x * y + z * w), 1.0 - 2.0 * (y * y + z * z))


def grasp_point(shape: Shape, pose: Pose, random: np.random.Generator | None) -> np.ndarray:
    """(2,) x, y [m] in the table frame on the object's top, well inside it.

    ``random`` None: always the same, as near as may be to the middle of the box around it that
    a camera above sees. A point stays on the object when it is rounded to the bins of an action,
    where there is one.
    """
    rotation = _rotation(pose)
    best_first = np.array(shape.grasp_points)
    points = _middle_first(shape, rotation) if random is None else best_first
    for number in range(40):
        if random is None:
            point = points[min(number, len(points) - 1)]
        else:  # square: rather one of the first, which are deeper inside
            point = points[int(random.random() ** 2 * len(points))]
        world = pose.position[:2] + rotation @ point
        own = (binned(world) - pose.position[:2]) @ rotation
        if polygons.depth(own[None], shape.outline)[0] >= _BINNED_MARGIN:
            return world
    return world


def visible_center(shape: Shape, pose: Pose) -> np.ndarray:
    """(2,) x, y [m] in the table frame of the middle of the box that a camera above sees."""
    return pose.position[:2] + _middle(shape, _rotation(pose))


def _rotation(pose: Pose) -> np.ndarray:
    yaw = heading(pose)
    return np.array([[math.cos(yaw), -math.sin(yaw)], [math.sin(yaw), math.cos(yaw)]])


def _middle(shape: Shape, rotation: np.ndarray) -> np.ndarray:
    """(2,) [m] of the box around the turned outline, from its frame's origin."""
    corners = np.array(shape.outline[0]) @ rotation.T
    return (corners.min(axis=0) + corners.max(axis=0)) / 2


def _middle_first(shape: Shape, rotation: np.ndarray) -> np.ndarray:
    """(n, 2) firm grasp points [m], by how far they are from the middle of the turned shape's box.

    Of those alike, rather one nearer to the robot, whose base is on the -x side.
    """
    points = np.array(shape.firm_grasp_points)
    away = points @ rotation.T - _middle(shape, rotation)
    return points[np.argsort(np.linalg.norm(away, axis=1) + _LEANING * away[:, 0], kind="stable")]


def binned(position_xy: np.ndarray) -> np.ndarray:
    """(2,) where an action says that a position (2,) is [m]."""
    workspace = Workspace()
    pose = Pose(np.append(workspace.clamp(*position_xy), 0.0), _IDENTITY)
    return Action.from_poses(pose, pose, workspace).poses(workspace)[0].position[:2]
