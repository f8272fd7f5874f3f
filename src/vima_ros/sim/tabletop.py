"""The simulated robot cell: a scene on the table, two cameras, a flying tool or an arm."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from vima_ros.arm.primitives import Waypoint
from vima_ros.errors import VimaError
from vima_ros.geometry import Pose, Transform
from vima_ros.sim.model.mujoco_backend import mujoco
from vima_ros.sim.model.robot_model import build_robot_model
from vima_ros.sim.model.scene_model import TIMESTEP, body_name, build_model
from vima_ros.sim.rendering.renderers import OverviewRenderer, ViewRenderer
from vima_ros.sim.robots.arm_robot import JointTool
from vima_ros.sim.robots.base import Tool, ToolState
from vima_ros.sim.robots.free_gripper import FlyingTool
from vima_ros.sim.robots.joint_controller import Robot
from vima_ros.sim.scene import Scene
from vima_ros.sim.viewer import Viewer

WATCH_TIME = 0.1  # between two looks at a motion [s]; VIMA-Bench's is about that


class Tabletop:
    """A scene that moves only when ``advance`` or ``execute`` is called.

    One thread: the pictures use OpenGL contexts, made at the first picture, that belong to the
    thread which made them; and the physics has no lock. Create, use and close a tabletop in one
    thread. (Without pictures any one thread at a time will do.)

    ``show_tool``: draw the tool in ``render``, as VIMA-Bench by default does not; in a mask it is
    background that hides what is behind it.

    ``robot``: the URDF (``config/robots/``) of an arm that carries motions out with its joints;
    None: a tool without an arm, which is faster. ``table``: pose of the table in the URDF's
    base_link; None: base_link stands at the table frame's origin. All poses of this class are in
    the table frame. ``viewer``: show all in a window, for a person.
    """

    def __init__(
        self,
        scene: Scene,
        show_tool: bool = False,
        robot: Path | None = None,
        viewer: bool = False,
        table: Transform | None = None,
    ) -> None:
        self._show_tool, self._urdf, self._wants_viewer = show_tool, robot, viewer
        self._table = table or Transform()
        self._viewer: Viewer | None = None
        self._views: ViewRenderer | None = None
        self._overview: OverviewRenderer | None = None
        self._load(scene)

    def __enter__(self) -> Tabletop:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def scene(self) -> Scene:
        """As it was at the last reset."""
        return self._scene

    @property
    def time(self) -> float:
        """Simulated time since the last reset [s]."""
        return float(self._data.time)

    @property
    def tool_state(self) -> ToolState:
        """The tool now."""
        return self._tool.state

    @property
    def robot(self) -> Robot:
        """The arm, to be driven through its joints; a reset makes a new one.

        Raises VimaError (INVALID_VALUE) when there is only a flying tool.
        """
        if not isinstance(self._tool, JointTool):
            raise VimaError("INVALID_VALUE", "a tool without an arm; valid: a tabletop of a robot")
        return self._tool.robot

    @property
    def at_rest(self) -> bool:
        """Whether no object moves by itself."""
        return self._tool.at_rest

    def reset(self, scene: Scene | None = None) -> None:
        """Start again with ``scene``, or with the present one when None; ends any motion."""
        self.close()
        self._load(scene or self._scene)

    def close(self) -> None:
        """Free the OpenGL contexts, of which a later picture makes new ones; close the viewer."""
        if self._viewer is not None:
            self._viewer.close()
            self._viewer = None
        for renderer in (self._views, self._overview):
            if renderer is not None:
                renderer.close()
        self._views = self._overview = None

    def start(self, waypoints: Sequence[Waypoint]) -> None:
        """Begin a motion, which ``advance`` carries out.

        Raises VimaError: BUSY during another; NOT_FINITE, INVALID_VALUE for a bad waypoint;
        UNREACHABLE where the arm cannot do it.
        """
        self._tool.start(waypoints)

    def advance(self, seconds: float) -> ToolState:
        """Run the physics for ``seconds``, motion or not; what is less than a step is kept."""
        if not (math.isfinite(seconds) and seconds >= 0.0):
            raise VimaError("INVALID_VALUE", f"advance by {seconds} s; valid: 0 or more, finite")
        self._owed += seconds
        steps = int(self._owed / TIMESTEP + 1e-6)
        self._owed -= steps * TIMESTEP
        for _ in range(steps):
            self._tool.step()
        self._update()
        return self._tool.state

    def stop(self) -> ToolState:
        """End the motion: the tool holds where it is, and what it carries."""
        self._tool.stop()
        return self._tool.state

    def execute(
        self, waypoints: Sequence[Waypoint], watch: Callable[[], None] | None = None
    ) -> ToolState:
        """``start`` and run to the end as fast as possible; the phase is SUCCEEDED or FAILED.

        ``watch`` is called every WATCH_TIME of simulated time meanwhile.
        """
        self._tool.start(waypoints)
        steps = 0
        while self._tool.executing:
            self._tool.step()
            steps += 1
            if watch is not None and steps % round(WATCH_TIME / TIMESTEP) == 0:
                self._update()
                watch()
        self._update()
        return self._tool.state

    def object_pose(self, name: str) -> Pose:
        """Pose of an object's frame (``shapes``) in the table frame; VimaError UNKNOWN_OBJECT."""
        body = self._data.body(body_name(self._scene.object(name).name))
        w, x, y, z = body.xquat
        return Pose(body.xpos, np.array([x, y, z, w]))

    def render(self, view: str) -> np.ndarray:
        """(128, 256, 3) uint8 RGB of "front" or "top"; VimaError INVALID_VALUE, NO_RENDERER."""
        return self._view_renderer().rgb(self._data, view)

    def render_mask(self, view: str) -> np.ndarray:
        """(128, 256) uint8: scene.objects[i] has id i + 1, the rest 0. Errors as ``render``."""
        return self._view_renderer().mask(self._data, view)

    def render_overview(self, width: int = 640, height: int = 480) -> np.ndarray:
        """(height, width, 3) uint8 RGB for people: perspective, with the tool.

        Errors as ``render``; INVALID_VALUE for a size beyond 1920 x 1080.
        """
        if self._overview is None or self._overview.size != (width, height):
            if self._overview is not None:
                self._overview.close()
            self._overview = OverviewRenderer(self._model, width, height)
        return self._overview.rgb(self._data)

    def _load(self, scene: Scene) -> None:
        self._scene = scene
        if self._urdf is None:
            self._model = build_model(scene)
            self._data = mujoco.MjData(self._model)
            self._tool: Tool = FlyingTool(self._model, self._data, scene)
        else:
            self._model = build_robot_model(scene, self._urdf, self._table)
            self._data = mujoco.MjData(self._model)
            self._tool = JointTool(self._model, self._data, scene, self._urdf, self._table)
        self._owed = 0.0  # time asked for but shorter than a step [s]
        mujoco.mj_forward(self._model, self._data)
        if self._wants_viewer:
            self._viewer = Viewer(self._model, self._data)

    def _update(self) -> None:
        """Bring the poses of all bodies up to the last step."""
        mujoco.mj_kinematics(self._model, self._data)
        if self._viewer is not None:
            self._viewer.sync()

    def _view_renderer(self) -> ViewRenderer:
        if self._views is None:
            self._views = ViewRenderer(self._model, self._scene, self._show_tool)
        return self._views
