"""Waypoints on the joint-level arm: planned, followed and sequenced as the arm node does it."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

from vima_ros.arm.kinematics import ArmModel
from vima_ros.arm.plan_execution import PlanExecution
from vima_ros.arm.primitives import Waypoint
from vima_ros.arm.time_parameterization import JointLimits
from vima_ros.arm.trajectory_planning import plan_trajectory
from vima_ros.errors import VimaError
from vima_ros.geometry import Pose, Transform
from vima_ros.sim.model.mujoco_backend import mujoco
from vima_ros.sim.model.robot_model import TIP, joint_names
from vima_ros.sim.robots.base import Tool
from vima_ros.sim.robots.joint_controller import Robot
from vima_ros.sim.scene import Scene


class JointTool(Tool):
    """The arm of a URDF. Driven through ``robot``, or by waypoints as any ``Tool``; not both."""

    def __init__(
        self,
        model: mujoco.MjModel,
        data: mujoco.MjData,
        scene: Scene,
        urdf: Path,
        table: Transform,
    ) -> None:
        super().__init__(model, data, scene)
        self.robot = Robot(model, data, self._suction, joint_names(urdf))
        self._urdf, self._table, self._limits = urdf, table, JointLimits()

    @property
    def pose(self) -> Pose:
        """Of the tip."""
        return self.robot.pose

    @cached_property
    def _arm(self) -> ArmModel:
        """Only planning needs Pinocchio."""
        return ArmModel.from_urdf(self._urdf, TIP, table=self._table)

    def _plan(self, waypoints: tuple[Waypoint, ...]) -> Iterator[None]:
        plan = plan_trajectory(waypoints, self.robot.state.positions, self._arm, self._limits)
        return self._run(PlanExecution(plan, self._arm, self._limits))

    def _run(self, execution: PlanExecution) -> Iterator[None]:
        robot = self.robot
        while execution.result is None:
            command = execution.update(self._data.time, robot.state)
            if command is not None:
                robot.guard(command.stop_on_contact)
                robot.suction(command.suction)
                if command.segment is not None:
                    segment = command.segment
                    robot.follow(segment.times, segment.positions, segment.velocities)
            yield
            if robot.fault:
                raise VimaError("BLOCKED", robot.fault)
        yield from self._settle()
        if execution.result.code != "OK":
            raise VimaError(execution.result.code, execution.result.message)

    def _hold(self) -> None:
        self.robot.hold()

    def _step(self) -> None:
        self.robot.step()
