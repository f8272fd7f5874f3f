"""Pictures of a prompt: an object alone on white, or a scene; still, without physics."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from vima_ros.errors import VimaError
from vima_ros.sim.model.mujoco_backend import mujoco
from vima_ros.sim.model.scene_model import build_model, build_prompt_model
from vima_ros.sim.rendering.renderers import ViewRenderer
from vima_ros.sim.scene import Scene
from vima_ros.specs import VIEWS, AssetKind

_PLACE, _YAW = (0.5, 0.0), math.pi / 2  # of an object alone, VIMA-Bench's


class Picture(NamedTuple):
    """``rgb`` (128, 256, 3) uint8 and ``mask`` (128, 256) uint8: 0, or 1 for the first object."""

    rgb: np.ndarray
    mask: np.ndarray


def prompt_pictures(scene: Scene, kind: AssetKind) -> dict[str, Picture]:
    """What a prompt shows of ``scene``, by view.

    OBJECT: its only object on white, at (0.5, 0, 0) m with yaw +90 degrees wherever it stands, a
    small block 7 times larger. SCENE: all as it stands, with table and sheet; mask ids follow the
    order of the objects. The tool is in neither. (All as in VIMA-Bench.)

    Raises VimaError: INVALID_VALUE when an OBJECT scene has not one object, NO_RENDERER.
    """
    if kind == AssetKind.OBJECT:
        if len(scene.objects) != 1:
            names = [item.name for item in scene.objects]
            raise VimaError("INVALID_VALUE", f"picture of the objects {names}; valid: exactly one")
        item = replace(scene.objects[0], position_xy=_PLACE, yaw=_YAW, base_height=0.0)
        scene = replace(scene, objects=(item,))
        model = build_prompt_model(item)
    else:
        model = build_model(scene)
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    renderer = ViewRenderer(model, scene)
    try:
        return {v: Picture(renderer.rgb(data, v), renderer.mask(data, v)) for v in VIEWS}
    finally:
        renderer.close()
