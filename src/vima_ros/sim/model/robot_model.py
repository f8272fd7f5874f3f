"""A scene with a joint-level arm, as a MuJoCo model; the arm is read from its URDF."""

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

PREFIX = "robot/"  # of the arm's names in the model
TIP = "tool_tip"  # the URDF's frame at the end of the tool, z out of it
# A motor's rotor of about 1e-5 kg m² behind a gear of about 100:1, in each joint; the maker of the
# UR5e publishes neither. It also keeps the light wrist stiff where it carries something.
ROTOR_INERTIA = 0.1  # [kg m²]
BANDWIDTH = 100.0  # of the critically damped position servo of each joint [rad/s]: 16 Hz
_DRAWN = 1  # group of what is drawn, in a URDF read by MuJoCo


def build_robot_model(scene: Scene, urdf: Path, table: Transform) -> mujoco.MjModel:
    """The tabletop with a scene on it, and the arm; the world is the table frame.

    ``table``: pose of the table in base_link, the URDF's root. Raises VimaError (BAD_ROBOT) for a
    URDF that cannot be used.
    """
    spec, arm = build_table(scene), _read(urdf)
    tip = arm.body(TIP)
    if tip is None:
        raise VimaError("BAD_ROBOT", f"{urdf} has no link {TIP}; valid: one at the tool's end")
    for body in arm.bodies:
        body.gravcomp = 1.0  # the controller's; its torque counts as the motors'
        for joint in body.joints:
            joint.actgravcomp = True
        for geom in body.geoms:
            _assign(geom, touches=body.name != tip.parent.name)
    for name, inertia in _inertias(urdf).items():
        servo = arm.add_actuator(name=name, target=name, trntype=mujoco.mjtTrn.mjTRN_JOINT)
        servo.set_to_position(inertia * BANDWIDTH**2, kv=2.0 * inertia * BANDWIDTH)
    base = table.inverse()
    x, y, z, w = base.quaternion
    at = spec.worldbody.add_frame(pos=base.translation, quat=[w, x, y, z])
    spec.attach(arm, prefix=PREFIX, frame=at)
    # As the flying tool's frame: x, y, z along the table's when the tool points down unturned.
    tool = spec.body(PREFIX + TIP).add_body(name=TOOL, quat=[0.0, 1.0, 0.0, 0.0], gravcomp=1.0)
    tool.mass, tool.explicitinertial = 0.0, True  # the URDF has it
    add_tip(tool, scene.end_effector)
    add_welds(spec, scene)
    _step_back(spec)
    return spec.compile()


def joint_names(urdf: Path) -> tuple[str, ...]:
    """Of the joints that move, from the base on."""
    return tuple(_inertias(urdf))


@cache
def _text(urdf: Path) -> str:
    """The URDF, with MuJoCo told to keep what is only drawn, and links without joints."""
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
    """What each joint has to accelerate at most, about: that of the arm with all joints at zero.

    For the UR5e that is stretched out. By joint name, from the base on [kg m²].
    """
    model = _read(urdf).compile()
    data, inertia = mujoco.MjData(model), np.zeros((model.nv, model.nv))
    mujoco.mj_forward(model, data)
    mujoco.mj_fullM(model, data, inertia)
    return {model.joint(i).name: float(inertia[i, i]) for i in range(model.njnt)}


def _assign(geom: mujoco.MjsGeom, touches: bool) -> None:
    """Show what is drawn where the tool is shown; let the rest touch all but the arm itself."""
    if geom.group == _DRAWN:
        geom.group = TOOL_GROUP
        return
    geom.group = COLLISION_GROUP
    if touches:
        geom.contype, geom.conaffinity = 0, 1
    else:  # around the tool, for planning; of the tool only the end touches
        for name, value in no_collision().items():
            setattr(geom, name, value)


def _step_back(spec: mujoco.MjSpec) -> None:
    """The overview, wide enough for the arm at work."""
    spec.body("centre").pos = [0.36, 0.02, 0.3]
    overview = spec.camera("overview")
    overview.pos, overview.fovy = [1.8, 1.05, 1.35], 39.0
