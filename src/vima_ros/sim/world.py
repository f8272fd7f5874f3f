"""A scene as a MuJoCo model: table, objects, tool, lights and cameras."""

from __future__ import annotations

from xml.etree import ElementTree

from vima_ros.geometry import Workspace
from vima_ros.sim.cameras import CAMERAS
from vima_ros.sim.engine import mujoco
from vima_ros.sim.scene import Scene, SceneObject
from vima_ros.sim.shapes import COLOURS, Part
from vima_ros.specs import EndEffector

Element = ElementTree.Element

TIMESTEP = 0.004  # [s]
GRAVITY = -9.8  # [m/s²], VIMA-Bench's
DENSITY = 300.0  # of every object [kg/m³]: light wood
TOOL = "tool"
TOOL_HOME = (0.3, 0.0, 0.32)  # tip when a scene starts [m]
TOOL_GROUP = 2  # of geoms, so that a view can leave the tool out
AXES = ("x", "y", "z", "yaw")
# Servo of the tool: stiffness [N/m, Nm/rad], damping [Ns/m, Nms/rad], limit [N, Nm] of each axis.
# With 1 kg and 0.02 kg m² both are critically damped at 16 Hz.
SERVO = dict.fromkeys("xyz", (10000.0, 200.0, 100.0)) | {"yaw": (200.0, 4.0, 20.0)}
_TOOL_MASS, _TOOL_INERTIA = "1", "0.02 0.02 0.02"
_SHEET = "0.184 0.184 0.184 1"  # RGB 47 of 255, VIMA-Bench's workspace
_GROUND = "0.937 0.937 0.937 1"  # RGB 239 of 255
_STEEL, _RUBBER = "0.75 0.77 0.8 1", "0.15 0.15 0.17 1"
_GHOST = {"contype": "0", "conaffinity": "0", "mass": "0"}  # drawn, never touched


def body_name(object_name: str) -> str:
    """Of an object in the model."""
    return f"object/{object_name}"


def weld_name(object_name: str) -> str:
    """Of the constraint by which the tool carries a movable object."""
    return f"carry/{object_name}"


def build_model(scene: Scene) -> mujoco.MjModel:
    """The tabletop with a scene on it."""
    root = _root()
    world = _section(root, "worldbody")
    workspace = Workspace()
    centre = [(low + high) / 2 for low, high in zip(workspace.low, workspace.high, strict=True)]
    half = [(high - low) / 2 for low, high in zip(workspace.low, workspace.high, strict=True)]
    _add(world, "geom", name="ground", type="plane", size="0 0 1", rgba=_GROUND)
    # The sheet rises above the ground by 0.2 mm: enough to be drawn over it.
    sheet = {"size": f"{half[0]} {half[1]} 0.0051", "pos": f"{centre[0]} {centre[1]} -0.0049"}
    _add(world, "geom", name="sheet", type="box", rgba=_SHEET, **sheet, **_GHOST)
    _add(world, "body", name="centre", pos=f"{centre[0]} {centre[1]} 0.03")
    overview = {"mode": "targetbody", "target": "centre", "fovy": "36"}
    _add(world, "camera", name="overview", pos="1.55 0.5 0.95", **overview)
    for item in scene.objects:
        _add_object(root, item, 1.0, item.built.rest_height)
    _add_tool(root, scene.end_effector)
    _add_welds(root, scene)
    return _compiled(root)


def build_prompt_model(item: SceneObject) -> mujoco.MjModel:
    """An object alone on white, its frame where ``item`` says and at z = 0, for a picture."""
    root = _root()
    # Half a metre below: the lower half of what is drawn amid z = 0 is seen too.
    world = _section(root, "worldbody")
    _add(world, "geom", type="plane", size="0 0 1", pos="0 0 -0.5", rgba="1 1 1 1")
    _add_object(root, item, item.built.prompt_scale, 0.0)
    return _compiled(root)


def _root() -> Element:
    """What every model has: settings, lights and the two cameras."""
    root = Element("mujoco")
    _add(root, "compiler", angle="radian", eulerseq="XYZ")
    option = _add(root, "option", timestep=f"{TIMESTEP}", gravity=f"0 0 {GRAVITY}")
    # Elliptic cones, a high impratio and the no-slip pass keep what lies still from creeping.
    option.attrib |= {"integrator": "implicitfast", "cone": "elliptic", "impratio": "10"}
    option.set("noslip_iterations", "3")
    _add(root, "statistic", extent="1", center="0.5 0 0")
    visual = _add(root, "visual")
    _add(visual, "global", offwidth="1920", offheight="1080")
    _add(visual, "map", znear="0.1", zfar="20", shadowclip="4")
    # Ambient and direct light add up to 1 on what faces up, and a side that faces the front camera
    # gets the 0.6 of VIMA-Bench's renderer.
    _add(visual, "headlight", ambient="0.6 0.6 0.6", diffuse="0 0 0", specular="0 0 0")
    _add(visual, "quality", shadowsize="4096")
    default = _add(root, "default")
    geom = {"density": f"{DENSITY}", "friction": "0.6 0.005 0.0001"}
    _add(default, "geom", **geom)
    world = _add(root, "worldbody")
    light = {"ambient": "0 0 0", "diffuse": "0.417 0.417 0.417", "specular": "0 0 0"}
    _add(world, "light", type="directional", dir="0.25 0.15 -1", pos="0.3 -0.1 1", **light)
    for name, camera in CAMERAS.items():
        _add(world, "camera", name=name, **camera.attributes)
    for section in ("asset", "actuator", "equality"):
        _add(root, section)
    return root


def _add_object(root: Element, item: SceneObject, scale: float, z: float) -> None:
    shape = item.built
    x, y = item.position_xy
    body = _add(_section(root, "worldbody"), "body", name=body_name(item.name), pos=f"{x} {y} {z}")
    body.set("euler", f"0 0 {item.yaw}")
    if shape.movable:
        _add(body, "freejoint")
    rgba = " ".join(f"{value / 255}" for value in COLOURS[item.colour]) + " 1"
    for index, part in enumerate(shape.parts):
        geom = _geom(root, part.scaled(scale), f"{item.name}/{index}")
        _add(body, "geom", rgba=rgba, **geom, **({} if part.solid else _GHOST))


def _geom(root: Element, part: Part, name: str) -> dict[str, str]:
    place = {"pos": _text(part.position), "euler": _text(part.euler)}
    if part.kind != "prism":
        return {"type": part.kind, "size": _text(part.size), **place}
    height = part.size[0]
    corners = [(x, y, z) for z in (0.0, height) for x, y in part.corners]
    vertices = " ".join(_text(corner) for corner in corners)
    _add(_section(root, "asset"), "mesh", name=name, vertex=vertices)
    return {"type": "mesh", "mesh": name, **place}


def _add_tool(root: Element, end_effector: EndEffector) -> None:
    """A weightless body on three slides and a hinge, its frame at the tip; servos move it."""
    body = _add(_section(root, "worldbody"), "body", name=TOOL, gravcomp="1")
    inertial = {"pos": "0 0 0", "mass": _TOOL_MASS, "diaginertia": _TOOL_INERTIA}
    _add(body, "inertial", **inertial)
    for axis, direction in zip(AXES, ("1 0 0", "0 1 0", "0 0 1", "0 0 1"), strict=True):
        kind = "hinge" if axis == "yaw" else "slide"
        joint = f"{TOOL}/{axis}"
        _add(body, "joint", name=joint, type=kind, axis=direction)
        kp, kv, limit = SERVO[axis]
        servo = {"kp": f"{kp}", "kv": f"{kv}", "forcerange": f"{-limit} {limit}"}
        _add(_section(root, "actuator"), "position", joint=joint, **servo)
    parts = _CUP if end_effector == EndEffector.SUCTION else _BLADE
    for part in parts:
        _add(body, "geom", group=f"{TOOL_GROUP}", **part)


_CUP = (
    # Only the tip touches: VIMA-Bench's contact is 1 mm in radius, ours 2 mm and round.
    {"type": "sphere", "size": "0.002", "pos": "0 0 0.002", "rgba": _RUBBER},
    {"type": "cylinder", "size": "0.012 0.006", "pos": "0 0 0.009", "rgba": _RUBBER, **_GHOST},
    {"type": "cylinder", "size": "0.006 0.08", "pos": "0 0 0.095", "rgba": _STEEL, **_GHOST},
)
_BLADE = (
    # 5 cm wide across the push (its y) and 0.5 cm thick, as VIMA-Bench's.
    {"type": "box", "size": "0.0025 0.025 0.03", "pos": "0 0 0.03", "rgba": _STEEL},
    {"type": "cylinder", "size": "0.006 0.06", "pos": "0 0 0.12", "rgba": _RUBBER, **_GHOST},
)


def _add_welds(root: Element, scene: Scene) -> None:
    """One constraint, off until it carries, for each movable object."""
    stiff = {"solref": f"{2 * TIMESTEP} 1", "solimp": "0.99 0.999 0.001"}
    for item in scene.objects:
        if item.built.movable and scene.end_effector == EndEffector.SUCTION:
            ends = {"body1": TOOL, "body2": body_name(item.name), "active": "false"}
            _add(_section(root, "equality"), "weld", name=weld_name(item.name), **ends, **stiff)


def _compiled(root: Element) -> mujoco.MjModel:
    return mujoco.MjModel.from_xml_string(ElementTree.tostring(root, encoding="unicode"))


def _section(root: Element, tag: str) -> Element:
    """A part of the model that ``_root`` made."""
    found = root.find(tag)
    assert found is not None, tag
    return found


def _add(parent: Element, tag: str, **attributes: str) -> Element:
    return ElementTree.SubElement(parent, tag, attributes)


def _text(values: tuple[float, ...]) -> str:
    return " ".join(f"{value}" for value in values)
