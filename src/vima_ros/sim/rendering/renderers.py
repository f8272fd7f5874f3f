"""Pictures of a MuJoCo model: camera images, masks and an overview.

OpenGL belongs to the thread that uses it: create, use and close a renderer in one thread.
"""

from __future__ import annotations

import numpy as np

from vima_ros.errors import VimaError
from vima_ros.policy_frame import check_view
from vima_ros.sim.model.bodies import body_name
from vima_ros.sim.model.mujoco_backend import mujoco
from vima_ros.sim.model.scene_model import TOOL_GROUP
from vima_ros.sim.rendering.offscreen_context import Canvas
from vima_ros.sim.scene import Scene
from vima_ros.specs import POLICY_FRAME_HEIGHT, POLICY_FRAME_WIDTH

OVERVIEW_LIMIT = 1920, 1080  # largest width and height [px]
_SHADOWS = {False: 1, True: 2048}  # size of the shadow map [px]

_SLANTING = np.array([-0.45, 0.35, -1.0])  # where the overview's light goes
_OVERVIEW = {"ground": (0.95, 0.955, 0.97), "sheet": (0.25, 0.27, 0.31)}  # its colours, RGB


class ViewRenderer:
    """The front and top images of a model, and their masks."""

    def __init__(self, model: mujoco.MjModel, scene: Scene, show_tool: bool = False) -> None:
        # Sharp edges: every pixel has the colour of exactly one object, the mask's.
        size = POLICY_FRAME_WIDTH, POLICY_FRAME_HEIGHT
        self._shadows = scene.look.shadows
        self._canvas = Canvas(model, *size, samples=0, shadows=_SHADOWS[self._shadows])
        self._option = mujoco.MjvOption()
        self._option.geomgroup[TOOL_GROUP] = show_tool
        self._id_of_geom = np.zeros(model.ngeom + 1, np.uint8)  # the last is -1: nothing
        for index, item in enumerate(scene.objects):
            body = model.body(body_name(item.name)).id
            self._id_of_geom[:-1][model.geom_bodyid == body] = index + 1

    def rgb(self, data: mujoco.MjData, view: str) -> np.ndarray:
        """(128, 256, 3) uint8 RGB."""
        self._look(data, view)
        return self._canvas.rgb()

    def mask(self, data: mujoco.MjData, view: str) -> np.ndarray:
        """(128, 256) uint8: 0, or the object's place in the scene + 1."""
        self._look(data, view)
        return self._id_of_geom[self._canvas.geoms()]

    def close(self) -> None:
        """Free what OpenGL keeps of the model."""
        self._canvas.close()

    def _look(self, data: mujoco.MjData, view: str) -> None:
        self._canvas.look(data, check_view(view), self._option)
        self._canvas.scene.flags[mujoco.mjtRndFlag.mjRND_SHADOW] = self._shadows


class OverviewRenderer:
    """A perspective picture for people: the tool visible, shadows, smooth edges."""

    def __init__(self, model: mujoco.MjModel, width: int, height: int) -> None:
        if not (0 < width <= OVERVIEW_LIMIT[0] and 0 < height <= OVERVIEW_LIMIT[1]):
            raise VimaError(
                "INVALID_VALUE",
                f"overview of {width} x {height} px; "
                f"valid: 1 x 1 to {OVERVIEW_LIMIT[0]} x {OVERVIEW_LIMIT[1]}",
            )
        self.size = width, height
        self._canvas = Canvas(model, width, height, samples=4, shadows=4096)
        self._option = mujoco.MjvOption()
        self._colours = {model.geom(name).id: colour for name, colour in _OVERVIEW.items()}

    def rgb(self, data: mujoco.MjData) -> np.ndarray:
        """(height, width, 3) uint8 RGB."""
        self._canvas.look(data, "overview", self._option)
        self._light_up()
        return self._canvas.rgb()

    def close(self) -> None:
        """Free what OpenGL keeps of the model."""
        self._canvas.close()

    def _light_up(self) -> None:
        """Shadows to the side, some light from the camera, gentler colours."""
        scene = self._canvas.scene
        for light in scene.lights[: scene.nlight]:
            if light.headlight:
                light.ambient[:], light.diffuse[:] = 0.44, 0.15
            else:
                light.dir[:] = _SLANTING / np.linalg.norm(_SLANTING)
                light.pos[:], light.diffuse[:] = -light.dir, 0.45
        for geom in scene.geoms[: scene.ngeom]:
            if geom.objtype == mujoco.mjtObj.mjOBJ_GEOM and geom.objid in self._colours:
                geom.rgba[:3] = self._colours[geom.objid]
