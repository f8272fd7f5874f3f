"""The base and the table frame, and the transform between them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from vima_ros.arm.primitives import Waypoint
from vima_ros.errors import VimaError
from vima_ros.geometry import Pose, Transform
from vima_ros.nodes.common.cell_parameters import CellParameters


class Frames:
    """Base frame of the robot's description and table frame of the workspace.

    ``base_from_table`` is the pose of the table in the base frame, ``table_from_base`` its
    inverse; ``base`` and ``table`` are the frame ids.
    """

    def __init__(self, parameters: CellParameters) -> None:
        """Read base_frame, table_frame, table_xyz and table_rpy.

        Raises VimaError (BAD_PARAMETER) for values that make no transform, or two poses of one
        frame.
        """
        p = parameters
        self.base, self.table = p.base_frame, p.table_frame
        if any(abs(angle) > 2 * math.pi for angle in p.table_rpy):
            raise VimaError(
                "BAD_PARAMETER", f"table_rpy is {list(p.table_rpy)}; valid: radians, up to 2 pi"
            )
        try:
            self.base_from_table = Transform.from_xyz_rpy(p.table_xyz, p.table_rpy)
        except VimaError as error:
            raise VimaError("BAD_PARAMETER", f"table_xyz, table_rpy: {error}") from error
        if self.base == self.table and any((*p.table_xyz, *p.table_rpy)):
            raise VimaError(
                "BAD_PARAMETER",
                f"base_frame and table_frame are both {self.base!r}, and table_xyz "
                f"{list(p.table_xyz)}, table_rpy {list(p.table_rpy)}; valid: two names, or zeros",
            )
        self.table_from_base = self.base_from_table.inverse()

    def pose_to_table(self, pose: Pose, frame_id: str) -> Pose:
        """Return a pose of either frame in the table frame; an empty ``frame_id`` means table.

        Raises VimaError (WRONG_FRAME) for another frame.
        """
        if frame_id in ("", self.table):
            return pose
        if frame_id == self.base:
            return self.table_from_base.apply_to_pose(pose)
        raise VimaError(
            "WRONG_FRAME", f"poses in {frame_id!r}; valid: {self.table!r}, {self.base!r}"
        )

    def waypoints_to_base(self, waypoints: Sequence[Waypoint]) -> tuple[Waypoint, ...]:
        """Return waypoints of the table frame in the base frame."""
        return _moved(self.base_from_table, waypoints)

    def waypoints_to_table(
        self, waypoints: Sequence[Waypoint], frame_id: str
    ) -> tuple[Waypoint, ...]:
        """Return waypoints of the base frame in the table frame; ``frame_id`` may be empty.

        Raises VimaError (WRONG_FRAME) for another frame than the base frame.
        """
        if frame_id not in ("", self.base):
            raise VimaError("WRONG_FRAME", f"waypoints in {frame_id!r}; valid: {self.base!r}")
        return _moved(self.table_from_base, waypoints)


def _moved(transform: Transform, waypoints: Sequence[Waypoint]) -> tuple[Waypoint, ...]:
    return tuple(replace(w, pose=transform.apply_to_pose(w.pose)) for w in waypoints)
