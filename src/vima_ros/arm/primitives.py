"""Cartesian waypoints of the primitives, shaped as VIMA-Bench's pick and place and sweep."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from vima_ros.errors import VimaError
from vima_ros.geometry import Pose, Workspace, quaternion_from_yaw, yaw_from_quaternion
from vima_ros.specs import Primitive


@dataclass(frozen=True)
class Waypoint:
    """Goal of one straight move of the tool tip, as in vima_msgs/ArmWaypoint.

    ``pose``: tool tip in the table frame [m], in an ArmCommand in base_link; its quaternion is the
    rotation of the tool from pointing straight down, against that frame's z, with its x axis along
    the frame's. ``until_contact``: the move ends at the first contact of the tool or of what it
    carries. ``tool_on``: suction from the end of this move on. ``max_speed`` of the tip [m/s];
    ``dwell``: time to wait at the end of the move [s].
    """

    pose: Pose
    tool_on: bool
    max_speed: float
    dwell: float = 0.0
    until_contact: bool = False


@dataclass(frozen=True)
class MotionParameters:
    """Heights [m] above the table plane z = 0, speeds [m/s] and times [s] of both primitives.

    The default heights and sweep offsets are VIMA-Bench's; its speeds are joint velocities without
    a Cartesian counterpart, so the default speeds are moderate ones for a table-top arm.
    """

    travel_height: float = 0.32
    contact_height: float = 0.002
    sweep_travel_height: float = 0.31
    sweep_height: float = 0.005
    sweep_start_offset: float = 0.02
    sweep_end_offset: float = 0.05
    travel_speed: float = 0.5
    approach_speed: float = 0.15
    sweep_speed: float = 0.1
    suction_dwell: float = 0.2


def plan_waypoints(
    primitive: Primitive,
    pose0: Pose,
    pose1: Pose,
    workspace: Workspace,
    parameters: MotionParameters | None = None,
) -> tuple[Waypoint, ...]:
    """Return the waypoints of one action from x, y and yaw of its poses.

    Raises VimaError (NOT_FINITE) for a pose without a yaw, or a sweep without a direction.
    """
    parameters = parameters or MotionParameters()
    if primitive == Primitive.SWEEP:
        return _sweep(pose0, pose1, workspace, parameters)
    return _pick_place(pose0, pose1, parameters)


def _at(xy: np.ndarray, z: float, yaw: float) -> Pose:
    return Pose(np.array([xy[0], xy[1], z]), quaternion_from_yaw(yaw))


def _pick_place(pose0: Pose, pose1: Pose, p: MotionParameters) -> tuple[Waypoint, ...]:
    waypoints = []
    for pose, carrying_before, carrying_after in ((pose0, False, True), (pose1, True, False)):
        xy, yaw = pose.position[:2], yaw_from_quaternion(pose.quaternion)
        above, low = _at(xy, p.travel_height, yaw), _at(xy, p.contact_height, yaw)
        waypoints += [
            Waypoint(above, carrying_before, p.travel_speed),
            Waypoint(low, carrying_after, p.approach_speed, p.suction_dwell, until_contact=True),
            Waypoint(above, carrying_after, p.travel_speed),
        ]
    return tuple(waypoints)


def _sweep(
    pose0: Pose, pose1: Pose, workspace: Workspace, p: MotionParameters
) -> tuple[Waypoint, ...]:
    """Return the waypoints of a sweep.

    It starts ``sweep_start_offset`` behind pose0 and ends ``sweep_end_offset`` before pose1. The
    blade is perpendicular to the sweep (its yaw is the sweep's direction), and the start offset is
    shortened where the workspace ends, so that no waypoint leaves it.
    """
    start, end = pose0.position[:2], pose1.position[:2]
    length = math.dist(start, end)
    if not length > 1e-3:
        raise VimaError(
            "NOT_FINITE",
            f"sweep from {start.tolist()} to {end.tolist()} m has no direction; "
            "valid: points more than 1 mm apart",
        )
    direction = (end - start) / length
    yaw = math.atan2(direction[1], direction[0])
    offset = _distance_inside(start, -direction, workspace, p.sweep_start_offset)
    begin = start - offset * direction
    stop = start + max(length - p.sweep_end_offset, 0.0) * direction
    return (
        Waypoint(_at(begin, p.sweep_travel_height, yaw), False, p.travel_speed),
        Waypoint(_at(begin, p.sweep_height, yaw), False, p.approach_speed),
        Waypoint(_at(stop, p.sweep_height, yaw), False, p.sweep_speed),
        Waypoint(_at(stop, p.sweep_travel_height, yaw), False, p.travel_speed),
    )


def _distance_inside(
    start: np.ndarray, direction: np.ndarray, workspace: Workspace, max_distance: float
) -> float:
    """Return the distance from ``start`` along ``direction`` to the workspace's edge [m].

    It is at most ``max_distance``.
    """
    distance = max_distance
    for at, along, low, high in zip(start, direction, workspace.low, workspace.high, strict=True):
        if abs(along) > 1e-9:  # along an edge, rounding must not seem to lead out over it
            distance = min(distance, ((high if along > 0 else low) - at) / along)
    return max(distance, 0.0)
