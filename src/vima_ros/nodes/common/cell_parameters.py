"""Parameters that several nodes share: the workspace and the frames of a robot's cell.

Their values are in config/cell.yaml, and per robot in the section ``/**:`` of its file. The
manager node compares the values of the nodes that it brings up.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

from vima_ros.errors import VimaError
from vima_ros.geometry import Workspace
from vima_ros.nodes.common.parameters import parameter


@dataclass(frozen=True)
class WorkspaceParameters:
    """The workspace, and the frame it is in."""

    table_frame: str = parameter(
        "Frame of the workspace, of heights and of actions: the table plane, z up", read_only=True
    )
    workspace_min: list[float] = parameter(
        "Minimum x and y of the workspace in table_frame [m]", read_only=True
    )
    workspace_max: list[float] = parameter(
        "Maximum x and y of the workspace in table_frame [m]", read_only=True
    )

    @property
    def workspace(self) -> Workspace:
        """The workspace. Raises VimaError (BAD_PARAMETER) where the values make none."""
        low, high = tuple(self.workspace_min), tuple(self.workspace_max)
        if len(low) != 2 or len(high) != 2 or not (low[0] < high[0] and low[1] < high[1]):
            raise VimaError(
                "BAD_PARAMETER",
                f"workspace_min is {list(low)}, workspace_max {list(high)}; valid: x and y each "
                "[m], the minimum below the maximum",
            )
        return Workspace((low[0], low[1]), (high[0], high[1]))


@dataclass(frozen=True)
class CellParameters(WorkspaceParameters):
    """The workspace, the robot's base frame, and the table in it."""

    base_frame: str = parameter(
        "Frame of arm_command and of the tool pose that a robot reports: base_link as in the "
        "robot's own description",
        read_only=True,
    )
    table_xyz: list[float] = parameter(
        "Origin of table_frame in base_frame: x, y, z [m]", read_only=True
    )
    table_rpy: list[float] = parameter(
        "Rotation of table_frame in base_frame: roll, pitch, yaw about base_frame's fixed axes, "
        "in this order [rad]",
        read_only=True,
    )


def names_in_groups() -> tuple[tuple[str, ...], ...]:
    """Return the parameters' names, grouped so that a node has all of a group or none."""
    of_workspace = tuple(field.name for field in fields(WorkspaceParameters))
    of_cell = tuple(field.name for field in fields(CellParameters))
    return of_workspace, of_cell[len(of_workspace) :]
