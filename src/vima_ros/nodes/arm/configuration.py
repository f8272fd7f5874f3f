"""Arm model and limits of the gate from the arm node's parameters."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import numpy as np

from vima_ros.arm.kinematics import ArmModel
from vima_ros.arm.safety_gate import JointBounds, Limits
from vima_ros.errors import VimaError
from vima_ros.nodes.arm.parameters import ArmParameters
from vima_ros.nodes.common.base_frame import Frames
from vima_ros.nodes.common.lifecycle_node import VimaNode
from vima_ros.paths import config_path


def load_arm_model(node: VimaNode[ArmParameters], frames: Frames) -> ArmModel:
    """Load the arm of the node's parameter urdf and log its warnings.

    Raises VimaError (NOT_INSTALLED, BAD_ROBOT).
    """
    p = node.parameters
    path = Path(p.urdf) if "/" in p.urdf else config_path(f"robots/{p.urdf}")
    if not path.is_file():
        raise VimaError(
            "BAD_ROBOT",
            f"urdf is {p.urdf!r}, and there is no file {path}; valid: an absolute path, or "
            "the name of a file in config/robots of the installed package",
        )
    model = ArmModel.from_urdf(
        path,
        p.tip_frame,
        p.home_joint_positions,
        p.tool_length,
        frames.base_from_table,
        frames.base,
    )
    for warning in model.warnings:
        node.get_logger().warning(warning)
    return model


def build_limits(p: ArmParameters, model: ArmModel | None, base_position: np.ndarray) -> Limits:
    """Build the limits of the gate; ``model``: None where the arm is not known.

    ``base_position`` (3,): origin of base_frame in table_frame [m].
    """
    joints = None
    if model is not None:
        acceleration = p.max_joint_acceleration
        joints = JointBounds(model.lower, model.upper, model.max_velocity, acceleration)
    names = set(Limits.__dataclass_fields__) - {"workspace", "base_position", "joints"}
    return Limits(
        workspace=p.workspace,
        base_position=tuple(base_position.tolist()),
        joints=joints,
        **{name: getattr(p, name) for name in names},
    )


def describe_limits(p: ArmParameters, limits: Limits) -> str:
    """Describe each limit with its unit, the arm's URDF and the pose of the table."""
    units = {f.name: re.findall(r"\[(.*?)\]", f.metadata["description"]) for f in fields(p)}
    space = limits.workspace
    texts = []
    values = {**limits.to_dict(), "require_confirmation": p.require_confirmation}
    for name in sorted(set(units) & set(values)):
        value = values[name]
        text = str(value).lower() if isinstance(value, bool) else f"{value:g}"
        texts.append(" ".join([name, text, *units[name][-1:]]))
    workspace = (
        f"workspace x {space.low[0]:g} to {space.high[0]:g}, "
        f"y {space.low[1]:g} to {space.high[1]:g} m"
    )
    joints = f"joints as in {p.urdf}" if p.urdf else "joints unknown (no urdf)"
    xyz, rpy = (", ".join(f"{x:g}" for x in v) for v in (p.table_xyz, p.table_rpy))
    table = f"{p.table_frame} in {p.base_frame} at ({xyz}) m, rotated by ({rpy}) rad"
    return ", ".join([workspace, *texts, joints, table])
