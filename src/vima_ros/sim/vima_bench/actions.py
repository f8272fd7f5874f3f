"""Actions of VIMA-Bench from the waypoints of a command, the inverse of ``plan_waypoints``."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from vima_ros.arm.primitives import MotionParameters, Waypoint
from vima_ros.errors import VimaError
from vima_ros.geometry import Workspace, quaternion_from_yaw, yaw_from_quaternion
from vima_ros.specs import Primitive

_COUNT = {Primitive.PICK_PLACE: 6, Primitive.SWEEP: 4}  # waypoints
_LOW = {Primitive.PICK_PLACE: (1, 4), Primitive.SWEEP: (1, 2)}  # where a motion acts


def action_from_waypoints(
    primitive: Primitive, waypoints: Sequence[Waypoint], workspace: Workspace
) -> dict[str, list[float]]:
    """Return pose0_position, pose0_rotation, pose1_position, pose1_rotation of a motion.

    Positions x, y [m] within ``workspace``, rotations xyzw about z. VIMA-Bench adds the run-up of
    a sweep and stops it short of its end by itself, so both are taken off again, as
    ``MotionParameters`` has them by default. Two kinds of sweep come out otherwise than they were
    decided: a run-up that the edge of the workspace has shortened begins up to 2 cm further in,
    and a sweep of less than 5 cm ends 5 cm from its start, where VIMA-Bench's blade stays.

    Raises VimaError (BAD_COMMAND) for another number of waypoints.
    """
    if len(waypoints) != _COUNT[primitive]:
        raise VimaError(
            "BAD_COMMAND",
            f"{len(waypoints)} waypoints of a {primitive.name}; valid: {_COUNT[primitive]}",
        )
    poses = [waypoints[index].pose for index in _LOW[primitive]]
    ends = [pose.position[:2] for pose in poses]
    yaws = [yaw_from_quaternion(pose.quaternion) for pose in poses]
    if primitive == Primitive.SWEEP:
        direction = np.array([math.cos(yaws[0]), math.sin(yaws[0])])
        offsets = MotionParameters.sweep_start_offset, MotionParameters.sweep_end_offset
        ends = [end + offset * direction for end, offset in zip(ends, offsets, strict=True)]
        yaws = [0.0, 0.0]  # VIMA-Bench turns the blade across the sweep by itself
    action: dict[str, list[float]] = {}
    for name, end, yaw in zip(("pose0", "pose1"), ends, yaws, strict=True):
        action[f"{name}_position"] = np.clip(end, workspace.low, workspace.high).tolist()
        action[f"{name}_rotation"] = np.asarray(quaternion_from_yaw(yaw)).tolist()
    return action
