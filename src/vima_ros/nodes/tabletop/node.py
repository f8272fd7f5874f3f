"""The tabletop node: a simulated robot with two cameras, in place of the real ones."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from typing import Any, ClassVar

from rclpy.parameter import Parameter
from rclpy.utilities import remove_ros_args
from std_srvs.srv import Trigger

from vima_msgs.srv import LoadTask
from vima_ros.errors import VimaError
from vima_ros.nodes.common.base_frame import Frames
from vima_ros.nodes.common.lifecycle_node import VimaNode
from vima_ros.nodes.common.main import run
from vima_ros.nodes.tabletop.cameras import Cameras
from vima_ros.nodes.tabletop.parameters import TabletopParameters
from vima_ros.nodes.tabletop.robot_interface import CartesianRobotInterface, JointRobotInterface
from vima_ros.nodes.tabletop.task_server import Start, TaskServer
from vima_ros.paths import config_path
from vima_ros.sim.episode_runner import SETTLE_TIME
from vima_ros.sim.scene import MAX_SEED
from vima_ros.sim.tabletop import MONITOR_PERIOD, Tabletop
from vima_ros.sim.tasks import find_task
from vima_ros.sim.viewer import check_display

PHYSICS_PERIOD = 0.01  # [s]
LONGEST_STEP = 0.25  # physics falls behind rather than leap after a pause of the process [s]


class TabletopNode(VimaNode):
    """Publishes images, masks and ``arm_state``; obeys the arm node; judges a task."""

    name = "tabletop"
    parameters_type = TabletopParameters
    viewer: ClassVar[bool] = False  # show the world in MuJoCo's viewer

    def configure(self) -> None:
        """Build the world and create the handles."""
        arm = self.parameters.robot != "free_gripper"
        urdf = config_path(f"robots/{self.parameters.robot}.urdf") if arm else None
        self._loaded = self._wanted()
        scene, episode = self._loaded.make()
        self.frames = Frames(self.parameters)
        table = self.frames.base_from_table
        self._world = Tabletop(scene, robot=urdf, viewer=self.viewer, table=table)
        self._world.advance(SETTLE_TIME)
        self._advanced_at = self.now_ns()
        self._robot = (JointRobotInterface if arm else CartesianRobotInterface)(self, self._world)
        self._robot.was_reset(str(self._loaded))
        self._task = TaskServer(self, self._world)
        self._task.begin(episode)
        self._cameras = Cameras(self, self._world)
        self.create_service(LoadTask, "load_task", self._on_load_task)
        self.create_service(Trigger, "reset", self._on_reset)
        self.create_timer(PHYSICS_PERIOD, self._advance)
        self.create_timer(1.0 / self.parameters.rate, self._take_pictures)

    def _wanted(self) -> Start:
        p = self.parameters
        return Start(p.task, p.level, p.scene, p.seed)

    def _load(self, wanted: Start) -> None:
        """Set the world up anew; raises VimaError where that cannot be, and changes nothing."""
        scene, episode = wanted.make()
        self._world.reset(scene)
        self._world.advance(SETTLE_TIME)
        self._loaded = wanted
        self._robot.was_reset(str(wanted))
        self._task.begin(episode)
        self.get_logger().info(f"reset to {wanted}")

    def _on_load_task(self, request: Any, response: Any) -> Any:
        try:
            find_task(request.task)
            if request.seed > MAX_SEED:
                raise VimaError("INVALID_VALUE", f"seed {request.seed}; valid: to {MAX_SEED}")
            values = {"task": request.task, "level": request.level, "seed": request.seed}
            wanted = replace(self._wanted(), **values)
            self._load(wanted)
        except VimaError as error:
            response.success, response.message = False, f"{error.code}: {error}"
            return response
        self.set_parameters([Parameter(name, value=value) for name, value in values.items()])
        response.success, response.message = True, str(wanted)
        return response

    def _on_reset(self, request: Any, response: Any) -> Any:
        self._load(self._loaded)
        response.success, response.message = True, str(self._loaded)
        return response

    def _advance(self) -> None:
        """Let the world catch up with the clock."""
        now = self.now_ns()
        elapsed = min(max((now - self._advanced_at) / 1e9, 0.0), LONGEST_STEP)
        self._advanced_at = now
        if not self.active:
            return
        self._follow_parameters()
        left = elapsed * self.parameters.real_time_factor
        while left > 0.0:
            self._world.advance(min(left, MONITOR_PERIOD))
            left -= MONITOR_PERIOD
            self._task.advanced()
        self._robot.advanced()

    def _follow_parameters(self) -> None:
        wanted = self._wanted()
        if wanted == self._loaded:
            return
        try:
            self._load(wanted)
        except VimaError as error:
            self.get_logger().error(f"{wanted} not set up: {error.code}: {error}")
            self._loaded = wanted  # no second attempt

    def _take_pictures(self) -> None:
        if self.active:
            self._cameras.take_pictures()
            self._task.pictures_taken()

    def end(self) -> None:
        """Free the OpenGL contexts while OpenGL is still there."""
        super().end()
        if hasattr(self, "_world"):
            self._world.close()

    def diagnose(self) -> tuple[bool, str, dict[str, Any]]:
        """What stands there, and what the robot does."""
        report, task = self._robot.report, self._task.status
        values = {"start": str(self._loaded), "robot": self.parameters.robot}
        if task.task:
            values |= {"outcome": task.outcome, "steps": task.steps, "reason": task.reason}
        return True, f"{report.code} {report.message}".strip(), values


def main(args: list[str] | None = None) -> None:
    """``ros2 run vima_ros tabletop``."""
    parser = argparse.ArgumentParser(prog="tabletop", description=__doc__)
    parser.add_argument("--viewer", action="store_true", help="show it in MuJoCo's viewer")
    options = parser.parse_args(remove_ros_args(args or sys.argv)[1:])
    if options.viewer:
        try:
            check_display()
        except VimaError as error:
            print(f"tabletop: {error.code}: {error}", file=sys.stderr)
            sys.exit(2)
    TabletopNode.viewer = options.viewer
    run(TabletopNode, args)
