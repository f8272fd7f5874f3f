"""Tabletop node: a simulated robot with two cameras in place of the real ones."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from typing import ClassVar

from rclpy.parameter import Parameter
from std_srvs.srv import Trigger

from vima_msgs.srv import LoadTask
from vima_ros.errors import VimaError
from vima_ros.nodes.common import node_names
from vima_ros.nodes.common.base_frame import Frames
from vima_ros.nodes.common.diagnostics import OK, FunctionStatus
from vima_ros.nodes.common.lifecycle_node import VimaNode
from vima_ros.nodes.common.main import run
from vima_ros.nodes.tabletop.cameras import CameraPublisher
from vima_ros.nodes.tabletop.parameters import TabletopParameters
from vima_ros.nodes.tabletop.robot_interface import CartesianRobotInterface, JointRobotInterface
from vima_ros.nodes.tabletop.task_server import TaskServer, WorldSelection
from vima_ros.paths import config_path
from vima_ros.program import without_ros_args
from vima_ros.sim.episode_runner import SETTLE_TIME
from vima_ros.sim.scene import MAX_SEED
from vima_ros.sim.tabletop import MONITOR_PERIOD, Tabletop
from vima_ros.sim.tasks import find_task
from vima_ros.sim.viewer import check_display

PHYSICS_PERIOD = 0.01  # [s]
MAX_STEP = 0.25  # per timer call: after a pause of the process the simulation lags instead [s]


class TabletopNode(VimaNode[TabletopParameters]):
    """Simulated robot cell that publishes images, executes commands and evaluates a task."""

    name = node_names.TABLETOP
    parameters_type = TabletopParameters
    viewer: ClassVar[bool] = False  # show the simulation in MuJoCo's viewer

    def configure(self) -> None:
        """Create the simulation, publishers, services and timers."""
        arm = self.parameters.robot != "free_gripper"
        urdf = config_path(f"robots/{self.parameters.robot}.urdf") if arm else None
        self._loaded = self._selected()
        scene, episode = self._loaded.make()
        frames = Frames(self.parameters)
        table = frames.base_from_table
        self._world = Tabletop(scene, robot=urdf, viewer=self.viewer, table=table)
        self.resources.callback(self._world.close)  # while OpenGL is still loaded
        self._world.advance(SETTLE_TIME)
        self._advanced_at = self.now_ns()
        interface = JointRobotInterface if arm else CartesianRobotInterface
        self._robot = interface(self, self._world, frames)
        self._robot.on_reset(str(self._loaded))
        self._task = TaskServer(self, self._world)
        self._task.start_episode(episode)
        self._cameras = CameraPublisher(self, self._world, frames.table)
        self.create_service(LoadTask, "load_task", self._on_load_task)
        self.create_service(Trigger, "reset", self._on_reset)
        self.create_timer(PHYSICS_PERIOD, self._advance)
        self.create_timer(1.0 / self.parameters.camera_rate, self._publish_images)

    def _selected(self) -> WorldSelection:
        p = self.parameters
        return WorldSelection(p.task, p.level, p.scene, p.seed, p.workspace)

    def _load(self, selection: WorldSelection) -> None:
        """Reset the simulation to ``selection``. A VimaError leaves it unchanged."""
        scene, episode = selection.make()
        self._world.reset(scene)
        self._world.advance(SETTLE_TIME)
        self._loaded = selection
        self._robot.on_reset(str(selection))
        self._task.start_episode(episode)
        self.get_logger().info(f"reset to {selection}")

    def _on_load_task(
        self, request: LoadTask.Request, response: LoadTask.Response
    ) -> LoadTask.Response:
        try:
            find_task(request.task)
            if request.seed > MAX_SEED:
                raise VimaError("INVALID_VALUE", f"seed {request.seed}; valid: 0 to {MAX_SEED}")
            values = {"task": request.task, "level": request.level, "seed": request.seed}
            selection = replace(self._selected(), **values)
            self._load(selection)
        except VimaError as error:
            response.success, response.message = False, f"{error.code}: {error}"
            return response
        self.set_parameters([Parameter(name, value=value) for name, value in values.items()])
        response.success, response.message = True, str(selection)
        return response

    def _on_reset(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        self._load(self._loaded)
        response.success, response.message = True, str(self._loaded)
        return response

    def _advance(self) -> None:
        """Advance the simulation to the current time of the clock."""
        now = self.now_ns()
        elapsed = min(max((now - self._advanced_at) / 1e9, 0.0), MAX_STEP)
        self._advanced_at = now
        if not self.active:
            return
        self._apply_parameters()
        remaining = elapsed * self.parameters.real_time_factor
        while remaining > 0.0:
            step = remaining if self._world.still else min(remaining, MONITOR_PERIOD)
            self._world.advance(step)
            remaining -= step
            self._task.update()
        self._robot.update()

    def _apply_parameters(self) -> None:
        selection = self._selected()
        if selection == self._loaded:
            return
        try:
            self._load(selection)
        except VimaError as error:
            self.get_logger().error(f"{selection} not loaded: {error.code}: {error}")
            self._loaded = selection  # no second attempt

    def _publish_images(self) -> None:
        if self.active:
            self._cameras.publish()
            self._task.on_images_published()

    def diagnose(self) -> Iterator[FunctionStatus]:
        """Return the selected world and the state of robot and task for ``/diagnostics``."""
        report, task = self._robot.report, self._task.status
        message = f"{report.code} {report.message}".strip()
        values = {"world": str(self._loaded), "robot": self.parameters.robot}
        yield FunctionStatus("simulation", OK, message, values)
        if task.task:
            values = {"outcome": task.outcome, "steps": task.steps}
            yield FunctionStatus("task", OK, task.reason, values)


def main(args: list[str] | None = None) -> None:
    """``ros2 run vima_ros tabletop [--viewer]``: with MuJoCo's viewer of the simulation.

    Raises VimaError (NO_DISPLAY).
    """
    TabletopNode.viewer = "--viewer" in without_ros_args(args or sys.argv)
    if TabletopNode.viewer:
        check_display()
    run(TabletopNode, args)
