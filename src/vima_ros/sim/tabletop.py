"""Simulated robot cell: a scene on the table, two cameras, and a free gripper or an arm."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from vima_ros.arm.primitives import Waypoint
from vima_ros.errors import VimaError
from vima_ros.geometry import Pose, Transform
from vima_ros.sim.model.bodies import body_name, body_pose
from vima_ros.sim.model.mujoco_backend import mujoco
from vima_ros.sim.model.robot_model import build_robot_model
from vima_ros.sim.model.scene_model import TIMESTEP, build_model
from vima_ros.sim.rendering.renderers import OverviewRenderer, ViewRenderer
from vima_ros.sim.robots.arm_robot import ArmRobot
from vima_ros.sim.robots.base import SimulatedRobot, SimulatedRobotState
from vima_ros.sim.robots.free_gripper import FreeGripper
from vima_ros.sim.robots.joint_controller import SimulatedJointController
from vima_ros.sim.scene import Scene
from vima_ros.sim.viewer import Viewer

MONITOR_PERIOD = 0.1  # of the monitor during motions [s], about as in VIMA-Bench


class Tabletop:
    """Simulation of a scene that advances only in ``advance`` and ``execute``.

    Not thread-safe: rendering uses OpenGL contexts that belong to the thread of the first image,
    and the physics has no lock. Create, use and close a tabletop in one thread. (Without
    rendering, any one thread at a time.)

    ``model``, ``data``: MuJoCo's, of the scene of the last reset.

    ``show_tool``: show the tool in ``render``, which VIMA-Bench by default does not; in a mask it
    is background that occludes objects.

    ``robot``: URDF (``config/robots/``) of an arm that executes the motions; None: the free
    gripper, which is faster. ``table``: pose of the table in the URDF's base_link; None: identity.
    All poses of this class are in the table frame. ``viewer``: open a window that shows the
    simulation.
    """

    def __init__(
        self,
        scene: Scene,
        show_tool: bool = False,
        robot: Path | None = None,
        viewer: bool = False,
        table: Transform | None = None,
    ) -> None:
        self._show_tool, self._urdf, self._with_viewer = show_tool, robot, viewer
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
        """Scene of the last reset."""
        return self._scene

    @property
    def time(self) -> float:
        """Simulated time since the last reset [s]."""
        return float(self.data.time)

    @property
    def robot_state(self) -> SimulatedRobotState:
        """Current state of the motion and of the tool."""
        return self._robot.state

    @property
    def joint_controller(self) -> SimulatedJointController:
        """Joint controller of the arm; a reset creates a new one.

        Raises VimaError (INVALID_VALUE) without an arm.
        """
        if not isinstance(self._robot, ArmRobot):
            raise VimaError(
                "INVALID_VALUE", "no joints of a free gripper; valid: a tabletop with an arm"
            )
        return self._robot.joint_controller

    @property
    def at_rest(self) -> bool:
        """True if no movable object moves by itself."""
        return self._robot.at_rest

    @property
    def still(self) -> bool:
        """True if ``advance`` changes nothing but the time."""
        return self._viewer is None and self._robot.still  # a viewer's user can push

    def reset(self, scene: Scene | None = None) -> None:
        """Restart with ``scene``, or with the current one if None; this ends any motion."""
        self.close()
        self._load(scene or self._scene)

    def close(self) -> None:
        """Free the OpenGL resources, which a later image creates again, and close the viewer."""
        if self._viewer is not None:
            self._viewer.close()
            self._viewer = None
        for renderer in (self._views, self._overview):
            if renderer is not None:
                renderer.close()
        self._views = self._overview = None

    def start(self, waypoints: Sequence[Waypoint]) -> None:
        """Start a motion, which ``advance`` executes.

        Raises VimaError: BUSY during another motion; NOT_FINITE, INVALID_VALUE for an invalid
        waypoint; UNREACHABLE for one that the joints cannot reach.
        """
        self._robot.start(waypoints)

    def advance(self, seconds: float) -> SimulatedRobotState:
        """Simulate ``seconds``, with or without a motion; a fraction of a step is carried over.

        While nothing moves only the time passes, which costs next to nothing.
        """
        if not (math.isfinite(seconds) and seconds >= 0.0):
            raise VimaError("INVALID_VALUE", f"advance by {seconds} s; valid: 0 or more, finite")
        self._remainder += seconds
        steps = int(self._remainder / TIMESTEP + 1e-6)
        self._remainder -= steps * TIMESTEP
        if self.still:
            self.data.time += steps * TIMESTEP
            return self._robot.state
        for _ in range(steps):
            self._robot.step()
        self._update()
        return self._robot.state

    def stop(self) -> SimulatedRobotState:
        """Stop the motion: the robot holds its position and what it carries."""
        self._robot.stop()
        return self._robot.state

    def execute(
        self, waypoints: Sequence[Waypoint], monitor: Callable[[], None] | None = None
    ) -> SimulatedRobotState:
        """Start a motion and simulate it to its end; the phase is then SUCCEEDED or FAILED.

        ``monitor`` is called every MONITOR_PERIOD of simulated time.
        """
        self._robot.start(waypoints)
        steps = 0
        while self._robot.executing:
            self._robot.step()
            steps += 1
            if monitor is not None and steps % round(MONITOR_PERIOD / TIMESTEP) == 0:
                self._update()
                monitor()
        self._update()
        return self._robot.state

    def object_pose(self, name: str) -> Pose:
        """Return the pose of an object in the table frame. Raises VimaError (UNKNOWN_OBJECT)."""
        return body_pose(self.data, body_name(self._scene.object(name).name))

    def render(self, view: str) -> np.ndarray:
        """Render "front" or "top" as (128, 256, 3) uint8 RGB.

        Raises VimaError: INVALID_VALUE, NO_RENDERER.
        """
        return self._view_renderer().rgb(self.data, view)

    def render_mask(self, view: str) -> np.ndarray:
        """Render the mask of a view, (128, 256) uint8: scene.objects[i] has id i + 1, the rest 0.

        Raises VimaError as ``render``.
        """
        return self._view_renderer().mask(self.data, view)

    def render_overview(self, width: int = 640, height: int = 480) -> np.ndarray:
        """Render a perspective view for display, (height, width, 3) uint8 RGB, with the tool.

        Raises VimaError as ``render``; INVALID_VALUE for a size beyond 1920 x 1080.
        """
        if self._overview is None or self._overview.size != (width, height):
            if self._overview is not None:
                self._overview.close()
            self._overview = OverviewRenderer(self.model, width, height)
        return self._overview.rgb(self.data)

    def _load(self, scene: Scene) -> None:
        self._scene = scene
        if self._urdf is None:
            self.model = build_model(scene)
            self.data = mujoco.MjData(self.model)
            self._robot: SimulatedRobot = FreeGripper(self.model, self.data, scene)
        else:
            self.model = build_robot_model(scene, self._urdf, self._table)
            self.data = mujoco.MjData(self.model)
            self._robot = ArmRobot(self.model, self.data, scene, self._urdf, self._table)
        self._remainder = 0.0  # of requested time, shorter than a step [s]
        mujoco.mj_forward(self.model, self.data)
        if self._with_viewer:
            self._viewer = Viewer(self.model, self.data)

    def _update(self) -> None:
        """Compute the poses of all bodies after the last step."""
        mujoco.mj_kinematics(self.model, self.data)
        if self._viewer is not None:
            self._viewer.sync()

    def _view_renderer(self) -> ViewRenderer:
        if self._views is None:
            self._views = ViewRenderer(self.model, self._scene, self._show_tool)
        return self._views
