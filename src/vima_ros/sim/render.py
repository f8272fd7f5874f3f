"""Pictures of a MuJoCo model: camera images, masks and an overview.

A renderer owns an OpenGL context, which belongs to the thread that created it: create, use and
close a renderer in one thread.
"""

from __future__ import annotations

import numpy as np

from vima_ros.errors import VimaError
from vima_ros.sim.cameras import check_view
from vima_ros.sim.engine import mujoco, no_renderer
from vima_ros.sim.scene import Scene
from vima_ros.sim.world import TOOL_GROUP, body_name
from vima_ros.specs import POLICY_FRAME_HEIGHT, POLICY_FRAME_WIDTH


class ViewRenderer:
    """The front and top images of a model, and their masks."""

    def __init__(self, model: mujoco.MjModel, scene: Scene, show_tool: bool = False) -> None:
        # Sharp edges: every pixel has the colour of exactly one object, the mask's.
        self._renderer = _renderer(model, POLICY_FRAME_WIDTH, POLICY_FRAME_HEIGHT, samples=0)
        self._option = mujoco.MjvOption()
        self._option.geomgroup[TOOL_GROUP] = show_tool
        self._id_of_geom = np.zeros(model.ngeom + 1, np.uint8)  # the last is MuJoCo's -1: nothing
        for index, item in enumerate(scene.objects):
            body = model.body(body_name(item.name)).id
            self._id_of_geom[:-1][model.geom_bodyid == body] = index + 1

    def rgb(self, data: mujoco.MjData, view: str) -> np.ndarray:
        """(128, 256, 3) uint8 RGB."""
        return self._render(data, view)

    def mask(self, data: mujoco.MjData, view: str) -> np.ndarray:
        """(128, 256) uint8: 0, or the object's place in the scene + 1."""
        self._renderer.enable_segmentation_rendering()
        try:
            return self._id_of_geom[self._render(data, view)[..., 0]]
        finally:
            self._renderer.disable_segmentation_rendering()

    def close(self) -> None:
        """Free the OpenGL context."""
        self._renderer.close()

    def _render(self, data: mujoco.MjData, view: str) -> np.ndarray:
        self._renderer.update_scene(data, check_view(view), self._option)
        self._renderer.scene.flags[mujoco.mjtRndFlag.mjRND_SHADOW] = False
        return self._renderer.render()


class OverviewRenderer:
    """A perspective picture for people: the tool visible, shadows, smooth edges."""

    def __init__(self, model: mujoco.MjModel, width: int, height: int) -> None:
        limits = model.vis.global_.offwidth, model.vis.global_.offheight
        if not (0 < width <= limits[0] and 0 < height <= limits[1]):
            raise VimaError(
                "INVALID_VALUE",
                f"overview of {width} x {height} px; valid: 1 x 1 to {limits[0]} x {limits[1]}",
            )
        self.size = width, height
        self._renderer = _renderer(model, width, height, samples=4)

    def rgb(self, data: mujoco.MjData) -> np.ndarray:
        """(height, width, 3) uint8 RGB."""
        self._renderer.update_scene(data, "overview")
        return self._renderer.render()

    def close(self) -> None:
        """Free the OpenGL context."""
        self._renderer.close()


def _renderer(model: mujoco.MjModel, width: int, height: int, samples: int) -> mujoco.Renderer:
    model.vis.quality.offsamples = samples  # read when the context is made
    try:
        return mujoco.Renderer(model, height, width, max_geom=model.ngeom + 100)
    except (ImportError, AttributeError, OSError, RuntimeError, mujoco.FatalError) as error:
        raise no_renderer(error) from error
