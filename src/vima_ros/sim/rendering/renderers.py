"""Renderers of a MuJoCo model: camera images, masks and an overview.

OpenGL belongs to the thread that uses it: create, use and close a renderer in one thread.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from vima_ros.errors import VimaError
from vima_ros.policy_frame import check_view
from vima_ros.sim.model.bodies import body_name
from vima_ros.sim.model.mujoco_backend import mujoco
from vima_ros.sim.model.scene_model import TOOL_GROUP
from vima_ros.sim.rendering.offscreen_context import OffscreenContext
from vima_ros.sim.scene import Scene
from vima_ros.specs import POLICY_FRAME_HEIGHT, POLICY_FRAME_WIDTH

MAX_OVERVIEW_SIZE = 1920, 1080  # width, height [px]
_SHADOW_MAP_SIZE = {False: 1, True: 2048}  # size of the shadow map [px]

_OVERVIEW_LIGHT = np.array([-0.45, 0.35, -1.0])  # direction
_OVERVIEW_COLOURS = {"ground": (0.95, 0.955, 0.97), "sheet": (0.25, 0.27, 0.31)}  # RGB


class ViewRenderer:
    """Renderer of the front and top images of a model, and of their masks.

    What has not moved since the last image is not rendered again.
    """

    def __init__(self, model: mujoco.MjModel, scene: Scene, show_tool: bool = False) -> None:
        # No anti-aliasing: each pixel shows exactly one object, that of the mask.
        size = POLICY_FRAME_WIDTH, POLICY_FRAME_HEIGHT
        self._shadows = scene.appearance.shadows
        self._context = OffscreenContext(
            model, *size, samples=0, shadows=_SHADOW_MAP_SIZE[self._shadows]
        )
        self._option = mujoco.MjvOption()
        self._option.geomgroup[TOOL_GROUP] = show_tool
        self._last: dict[tuple[str, str], tuple[bytes, np.ndarray]] = {}
        self._id_of_geom = np.zeros(
            model.ngeom + 1, np.uint8
        )  # the last entry, of geom -1, is 0: no object
        for index, item in enumerate(scene.objects):
            body = model.body(body_name(item.name)).id
            self._id_of_geom[:-1][model.geom_bodyid == body] = index + 1

    def rgb(self, data: mujoco.MjData, view: str) -> np.ndarray:
        """Render a view as (128, 256, 3) uint8 RGB."""
        return self._unless_unmoved("rgb", data, view, self._context.render)

    def mask(self, data: mujoco.MjData, view: str) -> np.ndarray:
        """Render the mask of a view, (128, 256) uint8: 0, or the index of the object + 1."""
        return self._unless_unmoved("mask", data, view, self._render_mask)

    def close(self) -> None:
        """Free the OpenGL resources of the model."""
        self._context.close()

    def _unless_unmoved(
        self, kind: str, data: mujoco.MjData, view: str, render: Callable[[], np.ndarray]
    ) -> np.ndarray:
        positions = data.qpos.tobytes()
        known, image = self._last.get((kind, view), (b"", None))
        if image is None or known != positions:
            self._update(data, view)
            image = render()
            self._last[kind, view] = positions, image
        return image.copy()

    def _render_mask(self) -> np.ndarray:
        return self._id_of_geom[self._context.render_geom_ids()]

    def _update(self, data: mujoco.MjData, view: str) -> None:
        self._context.update_scene(data, check_view(view), self._option)
        self._context.scene.flags[mujoco.mjtRndFlag.mjRND_SHADOW] = self._shadows


class OverviewRenderer:
    """Renderer of a perspective view for display, with the tool, shadows and anti-aliasing."""

    def __init__(self, model: mujoco.MjModel, width: int, height: int) -> None:
        if not (0 < width <= MAX_OVERVIEW_SIZE[0] and 0 < height <= MAX_OVERVIEW_SIZE[1]):
            raise VimaError(
                "INVALID_VALUE",
                f"overview of {width} x {height} px; "
                f"valid: 1 x 1 to {MAX_OVERVIEW_SIZE[0]} x {MAX_OVERVIEW_SIZE[1]}",
            )
        self.size = width, height
        self._context = OffscreenContext(model, width, height, samples=4, shadows=4096)
        self._option = mujoco.MjvOption()
        self._colours = {model.geom(name).id: colour for name, colour in _OVERVIEW_COLOURS.items()}

    def rgb(self, data: mujoco.MjData) -> np.ndarray:
        """Render the overview as (height, width, 3) uint8 RGB."""
        self._context.update_scene(data, "overview", self._option)
        self._adjust_lights()
        return self._context.render()

    def close(self) -> None:
        """Free the OpenGL resources of the model."""
        self._context.close()

    def _adjust_lights(self) -> None:
        """Set the overview's lights and colours: shadows to the side and a headlight."""
        scene = self._context.scene
        for light in scene.lights[: scene.nlight]:
            if light.headlight:
                light.ambient[:], light.diffuse[:] = 0.44, 0.15
            else:
                light.dir[:] = _OVERVIEW_LIGHT / np.linalg.norm(_OVERVIEW_LIGHT)
                light.pos[:], light.diffuse[:] = -light.dir, 0.45
        for geom in scene.geoms[: scene.ngeom]:
            if geom.objtype == mujoco.mjtObj.mjOBJ_GEOM and geom.objid in self._colours:
                geom.rgba[:3] = self._colours[geom.objid]
