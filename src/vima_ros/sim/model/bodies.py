"""Objects of a scene as bodies of a MuJoCo model, with visual and collision geoms."""

from __future__ import annotations

import numpy as np

from vima_ros.geometry import Pose
from vima_ros.sim.model.generated_textures import find_texture_image
from vima_ros.sim.model.mujoco_backend import mujoco
from vima_ros.sim.model.shapes import Part
from vima_ros.sim.scene import SceneObject

COLLISION_GROUP = 3  # of geoms with collisions, which are not rendered
_PARTS = {"box": mujoco.mjtGeom.mjGEOM_BOX, "sphere": mujoco.mjtGeom.mjGEOM_SPHERE}


def body_name(object_name: str) -> str:
    """Return the name of an object's body in the model."""
    return f"object/{object_name}"


def body_pose(data: mujoco.MjData, name: str) -> Pose:
    """Return the pose of a body in the table frame."""
    body = data.body(name)
    w, x, y, z = body.xquat
    return Pose(body.xpos, np.array([x, y, z, w]))


def add_object(spec: mujoco.MjSpec, item: SceneObject, z: float, enlarged: float = 1.0) -> None:
    """Add an object to a model, its frame at height ``z`` [m], ``enlarged`` times larger."""
    shape = item.scaled_shape if enlarged == 1.0 else item.scaled_shape.scaled(enlarged)
    turn = [0.0, 0.0, np.sin(item.yaw / 2)]
    body = spec.worldbody.add_body(
        name=body_name(item.name), pos=[*item.position_xy, z], quat=[np.cos(item.yaw / 2), *turn]
    )
    if shape.movable:
        body.add_freejoint()
    mesh = spec.add_mesh(
        name=f"{item.name}/visual", inertia=mujoco.mjtMeshInertia.mjMESH_INERTIA_SHELL
    )
    mesh.uservert = shape.mesh.corners.ravel()
    mesh.usernormal = shape.mesh.normals.ravel()
    mesh.usertexcoord = shape.mesh.uv.ravel()
    mesh.userface = np.arange(shape.mesh.corners.size // 3)
    visual = body.add_geom(type=mujoco.mjtGeom.mjGEOM_MESH, meshname=mesh.name, **no_collision())
    _paint(spec, visual, item.texture)
    for index, part in enumerate(shape.parts):
        _add_part(spec, body, part, f"{item.name}/{index}")


def no_collision() -> dict[str, float]:
    """Return the attributes of a visual geom: no collisions, no mass."""
    return {"contype": 0, "conaffinity": 0, "mass": 0.0}


def _paint(spec: mujoco.MjSpec, geom: mujoco.MjsGeom, texture: str) -> None:
    image = find_texture_image(texture)
    if image.shape[:2] == (1, 1):  # plain
        geom.rgba = [*(image[0, 0] / 255), 1.0]
        return
    if spec.material(texture) is None:
        height, width, channels = image.shape
        added = spec.add_texture(name=texture, type=mujoco.mjtTexture.mjTEXTURE_2D)
        added.height, added.width, added.nchannel = height, width, channels
        added.data = image[::-1].tobytes()  # OpenGL's first row is at the bottom
        material = spec.add_material(name=texture)
        textures = list(material.textures)
        textures[mujoco.mjtTextureRole.mjTEXROLE_RGB] = texture
        material.textures = textures
    geom.material = texture


def _add_part(spec: mujoco.MjSpec, body: mujoco.MjsBody, part: Part, name: str) -> None:
    geom = body.add_geom(pos=part.position, group=COLLISION_GROUP)
    geom.alt.euler = part.euler
    if not part.has_mass:
        geom.mass = 0.0
    if part.kind == "prism":
        mesh = spec.add_mesh(name=name)
        corners = [(x, y, z) for z in (0.0, part.size[0]) for x, y in part.corners]
        mesh.uservert = np.array(corners).ravel()
        geom.type, geom.meshname = mujoco.mjtGeom.mjGEOM_MESH, name
    else:
        geom.type = _PARTS[part.kind]
        geom.size[: len(part.size)] = part.size
