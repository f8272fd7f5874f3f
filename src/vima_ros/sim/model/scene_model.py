"""MuJoCo model of a scene: table, objects, tool, lights and cameras."""

from __future__ import annotations

import numpy as np

from vima_ros.geometry import Workspace
from vima_ros.policy_frame import CAMERAS
from vima_ros.sim.domain_randomization import VisualAppearance
from vima_ros.sim.model.bodies import add_object, body_name, no_collision
from vima_ros.sim.model.cameras import camera_pose
from vima_ros.sim.model.mujoco_backend import mujoco
from vima_ros.sim.scene import Scene, SceneObject
from vima_ros.specs import EndEffector

__all__ = ["body_name", "build_model", "build_prompt_model", "build_table"]

TIMESTEP = 0.004  # [s]
GRAVITY = -9.8  # [m/s²], VIMA-Bench's
DENSITY = 300.0  # of all objects [kg/m³], light wood
TOOL = "tool"
TOOL_HOME = (0.3, 0.0, 0.32)  # tool tip at the start of a scene [m]
TOOL_GROUP = 2  # of the tool's geoms, so that a view can hide them
AXES = ("x", "y", "z", "yaw")
# Servo of the tool: stiffness [N/m, Nm/rad], damping [Ns/m, Nms/rad], limit [N, Nm] of each axis.
# With 1 kg and 0.02 kg m² both are critically damped at 16 Hz.
SERVO = dict.fromkeys("xyz", (10000.0, 200.0, 100.0)) | {"yaw": (200.0, 4.0, 20.0)}
_TOOL_MASS, _TOOL_INERTIA = 1.0, 0.02
_STEEL, _RUBBER = [0.75, 0.77, 0.8, 1.0], [0.15, 0.15, 0.17, 1.0]
_GROUND_SIZE = 10.0  # half the side of the visible ground [m]; the collision plane is infinite
_SHEET_HEIGHT = 0.0002  # above the ground, so that it covers it [m]
_BOX, _PLANE = mujoco.mjtGeom.mjGEOM_BOX, mujoco.mjtGeom.mjGEOM_PLANE


def weld_name(object_name: str) -> str:
    """Return the name of the weld by which the tool carries an object."""
    return f"carry/{object_name}"


def build_model(scene: Scene) -> mujoco.MjModel:
    """Build the model of a tabletop with a scene and the free gripper."""
    spec = build_table(scene)
    _add_tool(spec, scene.end_effector)
    add_welds(spec, scene)
    return spec.compile()


def build_table(scene: Scene) -> mujoco.MjSpec:
    """Build the specification of a tabletop with a scene and without a tool."""
    spec = _empty(scene.appearance, scene.workspace)
    world, appearance = spec.worldbody, scene.appearance
    centre, half = np.array(scene.workspace.center), np.array(scene.workspace.size) / 2
    world.add_geom(
        name="ground",
        type=_PLANE,
        size=[_GROUND_SIZE, _GROUND_SIZE, 1],
        rgba=[*appearance.ground, 1],
    )
    _add_patch(spec, centre, half, 0.0, appearance.sheet, _SHEET_HEIGHT, "sheet")
    for index, patch in enumerate(appearance.clutter):  # stacked, below all flat objects
        height = _SHEET_HEIGHT * (1.5 + index / len(appearance.clutter))
        position, size = np.array(patch.position_xy), np.array(patch.size) / 2
        _add_patch(spec, position, size, patch.yaw, patch.colour, height)
    for item in scene.objects:
        add_object(spec, item, item.base_height + item.scaled_shape.rest_height)
    return spec


def build_prompt_model(item: SceneObject, workspace: Workspace) -> mujoco.MjModel:
    """Build the model of a single object on white at the pose of ``item``, its frame at z = 0."""
    spec = _empty(VisualAppearance(), workspace)
    spec.add_material(name="white", rgba=[1.0] * 4, emission=1.0)
    # Half a metre below, so that the half of the object below z = 0 is visible too.
    size = [_GROUND_SIZE, _GROUND_SIZE, 1]
    spec.worldbody.add_geom(type=_PLANE, size=size, pos=[0, 0, -0.5], material="white")
    add_object(spec, item, 0.0, item.scaled_shape.prompt_scale)
    return spec.compile()


def _empty(appearance: VisualAppearance, workspace: Workspace) -> mujoco.MjSpec:
    """Return the settings, light and cameras of all models."""
    spec, (x, y) = mujoco.MjSpec(), workspace.center
    spec.compiler.degree = False
    spec.compiler.eulerseq = "XYZ"
    option = spec.option
    option.timestep, option.gravity = TIMESTEP, [0.0, 0.0, GRAVITY]
    # Elliptic cones, a high impratio and the no-slip pass keep objects at rest from creeping.
    option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    option.cone, option.impratio = mujoco.mjtCone.mjCONE_ELLIPTIC, 10.0
    option.noslip_iterations = 3
    spec.stat.extent, spec.stat.center = 1.0, [x, y, 0.0]
    visual = spec.visual
    visual.map.znear, visual.map.zfar, visual.map.shadowclip = 0.1, 20.0, 4.0
    visual.headlight.ambient = [appearance.ambient] * 3
    visual.headlight.diffuse = visual.headlight.specular = [0.0] * 3
    spec.default.geom.density = DENSITY
    spec.default.geom.friction = [0.6, 0.005, 0.0001]
    direction = np.array(appearance.light_direction) / np.linalg.norm(appearance.light_direction)
    spec.worldbody.add_light(
        name="sun",
        type=mujoco.mjtLightType.mjLIGHT_DIRECTIONAL,
        dir=direction,
        pos=np.array([x, y, 0.0]) - direction,
        ambient=[0.0] * 3,
        diffuse=[appearance.diffuse] * 3,
        specular=[0.0] * 3,
    )
    for name, vima_camera in CAMERAS.items():
        camera = vima_camera.over(workspace)
        position, axes = camera_pose(camera, getattr(appearance, name))
        quaternion = np.zeros(4)
        mujoco.mju_mat2Quat(quaternion, axes.ravel())
        orthographic = mujoco.mjtProjection.mjPROJ_ORTHOGRAPHIC
        height = camera.height / getattr(appearance, name).zoom
        spec.worldbody.add_camera(
            name=name, pos=position, quat=quaternion, proj=orthographic, fovy=height
        )
    spec.worldbody.add_body(name="centre", pos=[x, y, 0.03])
    towards = mujoco.mjtCamLight.mjCAMLIGHT_TARGETBODY
    place = [x + 1.05, y + 0.5, 0.95]
    spec.worldbody.add_camera(
        name="overview", pos=place, mode=towards, targetbody="centre", fovy=36.0
    )
    return spec


def _add_patch(
    spec: mujoco.MjSpec,
    centre: np.ndarray,
    half: np.ndarray,
    yaw: float,
    colour: tuple[float, float, float],
    height: float,
    name: str = "",
) -> None:
    """Something flat on the ground, only drawn."""
    spec.worldbody.add_geom(
        name=name,
        type=_BOX,
        size=[*half, height / 2],
        pos=[*centre, height / 2],
        quat=[np.cos(yaw / 2), 0.0, 0.0, np.sin(yaw / 2)],
        rgba=[*colour, 1.0],
        **no_collision(),
    )


def _add_tool(spec: mujoco.MjSpec, end_effector: EndEffector) -> None:
    """Add a body without gravity on three slides and a hinge with servos, its frame at the tip."""
    body = spec.worldbody.add_body(name=TOOL, gravcomp=1.0)
    body.mass, body.inertia, body.explicitinertial = _TOOL_MASS, [_TOOL_INERTIA] * 3, True
    for axis, direction in zip(AXES, ([1, 0, 0], [0, 1, 0], [0, 0, 1], [0, 0, 1]), strict=True):
        turns = axis == "yaw"
        kind = mujoco.mjtJoint.mjJNT_HINGE if turns else mujoco.mjtJoint.mjJNT_SLIDE
        joint = body.add_joint(name=f"{TOOL}/{axis}", type=kind, axis=direction)
        stiffness, damping, limit = SERVO[axis]
        servo = spec.add_actuator(name=joint.name, target=joint.name)
        servo.trntype = mujoco.mjtTrn.mjTRN_JOINT
        servo.set_to_position(stiffness, kv=damping)
        servo.forcerange = [-limit, limit]
    add_tip(body, end_effector)
    half = 0.0825 if end_effector == EndEffector.SUCTION else 0.06
    rod = {"size": [0.006, half, 0], "pos": [0, 0, 0.18 - half], "rgba": _STEEL}
    body.add_geom(type=_CYLINDER, group=TOOL_GROUP, **rod, **no_collision())


def add_tip(body: mujoco.MjsBody, end_effector: EndEffector) -> None:
    """Add the lower end of any robot's tool; only its first geom collides."""
    for part in _CUP if end_effector == EndEffector.SUCTION else _BLADE:
        body.add_geom(group=TOOL_GROUP, **part)


_SPHERE, _CYLINDER = mujoco.mjtGeom.mjGEOM_SPHERE, mujoco.mjtGeom.mjGEOM_CYLINDER
_CUP = (
    # Only the tip collides: a sphere of 2 mm radius, where VIMA-Bench's contact has 1 mm.
    {"type": _SPHERE, "size": [0.002, 0, 0], "pos": [0, 0, 0.002], "rgba": _RUBBER},
    {"type": _CYLINDER, "size": [0.012, 0.006, 0], "pos": [0, 0, 0.009], "rgba": _RUBBER}
    | no_collision(),
)
_BLADE = (
    # 5 cm wide across the push (its y) and 0.5 cm thick, as VIMA-Bench's.
    {"type": _BOX, "size": [0.0025, 0.025, 0.03], "pos": [0, 0, 0.03], "rgba": _STEEL},
)


def add_welds(spec: mujoco.MjSpec, scene: Scene) -> None:
    """Add an inactive weld constraint to the tool for each movable object."""
    for item in scene.objects:
        if item.scaled_shape.movable and scene.end_effector == EndEffector.SUCTION:
            spec.add_equality(
                name=weld_name(item.name),
                type=mujoco.mjtEq.mjEQ_WELD,
                objtype=mujoco.mjtObj.mjOBJ_BODY,
                name1=TOOL,
                name2=body_name(item.name),
                active=False,
                solref=[2 * TIMESTEP, 1.0],
                solimp=[0.99, 0.999, 0.001, 0.5, 2.0],
            )
