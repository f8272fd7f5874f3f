"""MuJoCo model of a scene with an arm, which is read from its URDF."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from vima_ros.arm.urdf import read_urdf
from vima_ros.errors import VimaError
from vima_ros.geometry import Transform
from vima_ros.sim.model.bodies import COLLISION_GROUP, no_collision
from vima_ros.sim.model.mujoco_backend import mujoco
from vima_ros.sim.model.scene_model import TOOL, TOOL_GROUP, add_tip, add_welds, build_table
from vima_ros.sim.scene import Scene

PREFIX = "robot/"  # of the names of the arm in the model
TIP = "tool_tip"  # the URDF's frame at the end of the tool, z out of it
# In each joint a rotor of about 1e-5 kg m² behind a gear of about 100:1; the manufacturer of the
# UR5e publishes neither. It also keeps the light wrist stiff under load.
ROTOR_INERTIA = 0.1  # [kg m²]
BANDWIDTH = 100.0  # of the critically damped position servo of each joint [rad/s]: 16 Hz
_VISUAL_GROUP = 1  # of visual geoms in a URDF read by MuJoCo


def build_robot_model(scene: Scene, urdf: Path, table: Transform) -> mujoco.MjModel:
    """Build the model of a tabletop with a scene and the arm, in the table frame.

    ``table``: pose of the table in base_link, the URDF's root. Raises VimaError (BAD_ROBOT) for an
    invalid URDF.
    """
    spec, arm = build_table(scene), _read(urdf)
    tip = arm.body(TIP)
    if tip is None:
        raise VimaError("BAD_ROBOT", f"{urdf} has no link {TIP}; valid: one at the tool's end")
    for body in arm.bodies:
        body.gravcomp = 1.0  # by the controller; its torque counts as that of the motors
        for joint in body.joints:
            joint.actgravcomp = True
        for geom in body.geoms:
            _set_group(geom, collides=body.name != tip.parent.name)
    for name, inertia in _inertias(urdf).items():
        servo = arm.add_actuator(name=name, target=name, trntype=mujoco.mjtTrn.mjTRN_JOINT)
        servo.set_to_position(inertia * BANDWIDTH**2, kv=2.0 * inertia * BANDWIDTH)
    base = table.inverse()
    x, y, z, w = base.quaternion
    at = spec.worldbody.add_frame(pos=base.translation, quat=[w, x, y, z])
    spec.attach(arm, prefix=PREFIX, frame=at)
    # As the free gripper's frame: parallel to the table frame when the tool points down at yaw 0.
    tool = spec.body(PREFIX + TIP).add_body(name=TOOL, quat=[0.0, 1.0, 0.0, 0.0], gravcomp=1.0)
    tool.mass, tool.explicitinertial = 0.0, True  # it is in the URDF
    add_tip(tool, scene.end_effector)
    add_welds(spec, scene)
    _move_overview_camera(spec)
    return spec.compile()


def joint_names(urdf: Path) -> tuple[str, ...]:
    """Return the names of the movable joints, from the base on."""
    return tuple(_inertias(urdf))


@cache
def _text(urdf: Path) -> str:
    """Return the URDF with MuJoCo options that keep visual geoms and links without joints."""
    root = read_urdf(urdf)
    compiler = ElementTree.SubElement(ElementTree.SubElement(root, "mujoco"), "compiler")
    compiler.attrib |= {"discardvisual": "false", "fusestatic": "false"}
    return ElementTree.tostring(root, encoding="unicode")


def _read(urdf: Path) -> mujoco.MjSpec:
    try:
        arm = mujoco.MjSpec.from_string(_text(urdf))
    except ValueError as error:
        raise VimaError("BAD_ROBOT", f"{urdf}: {error}; valid: a URDF file") from error
    for joint in arm.joints:
        joint.armature = ROTOR_INERTIA
    return arm


@cache
def _inertias(urdf: Path) -> dict[str, float]:
    """Return the inertia of the arm about each joint with all joints at zero [kg m²].

    For the UR5e this is stretched out, about the maximum. By joint name, from the base on.
    """
    model = _read(urdf).compile()
    data, inertia = mujoco.MjData(model), np.zeros((model.nv, model.nv))
    mujoco.mj_forward(model, data)
    mujoco.mj_fullM(model, data, inertia)
    return {model.joint(i).name: float(inertia[i, i]) for i in range(model.njnt)}


def _set_group(geom: mujoco.MjsGeom, collides: bool) -> None:
    """Show a visual geom with the tool; let a collision geom collide with all but the arm."""
    if geom.group == _VISUAL_GROUP:
        geom.group = TOOL_GROUP
        return
    geom.group = COLLISION_GROUP
    if collides:
        geom.contype, geom.conaffinity = 0, 1
    else:  # a hull of the tool for planning: only the tool tip collides
        for name, value in no_collision().items():
            setattr(geom, name, value)


def _move_overview_camera(spec: mujoco.MjSpec) -> None:
    """Move the overview camera so that it shows the arm."""
    spec.body("centre").pos = [0.36, 0.02, 0.3]
    overview = spec.camera("overview")
    overview.pos, overview.fovy = [1.8, 1.05, 1.35], 39.0
