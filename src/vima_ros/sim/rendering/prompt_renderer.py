"""Images of a prompt: one object on a white background, or a scene."""

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

_YAW = math.pi / 2  # of a single object in VIMA-Bench [rad]


class RenderedView(NamedTuple):
    """Image and mask of one view.

    ``rgb`` (128, 256, 3) uint8, ``mask`` (128, 256) uint8: 0, or the index of the object + 1.
    """

    rgb: np.ndarray
    mask: np.ndarray


def render_prompt_images(scene: Scene, kind: AssetKind) -> dict[str, RenderedView]:
    """Render the images of a prompt asset, by view, as in VIMA-Bench.

    OBJECT: the only object of ``scene`` on white, moved to the workspace's center and yaw +90
    degrees, a small block enlarged 7 times. SCENE: all objects at their poses on the table; mask
    ids follow their order. Neither shows the tool.

    Raises VimaError: INVALID_VALUE unless an OBJECT scene has exactly one object, NO_RENDERER.
    """
    if kind == AssetKind.OBJECT:
        if len(scene.objects) != 1:
            names = [item.name for item in scene.objects]
            raise VimaError("INVALID_VALUE", f"image of the objects {names}; valid: exactly one")
        position = scene.workspace.center
        item = replace(scene.objects[0], position_xy=position, yaw=_YAW, base_height=0.0)
        scene = replace(scene, objects=(item,))
        model = build_prompt_model(item, scene.workspace)
    else:
        model = build_model(scene)
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    renderer = ViewRenderer(model, scene)
    try:
        return {v: RenderedView(renderer.rgb(data, v), renderer.mask(data, v)) for v in VIEWS}
    finally:
        renderer.close()
