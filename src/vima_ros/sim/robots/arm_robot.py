"""Waypoint motions of the simulated arm, planned and executed as by the arm node."""

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
from vima_ros.sim.robots.base import SimulatedRobot
from vima_ros.sim.robots.joint_controller import SimulatedJointController
from vima_ros.sim.scene import Scene


class ArmRobot(SimulatedRobot):
    """Arm of a URDF, commanded either through ``joint_controller`` or by waypoints, not both."""

    def __init__(
        self,
        model: mujoco.MjModel,
        data: mujoco.MjData,
        scene: Scene,
        urdf: Path,
        table: Transform,
    ) -> None:
        super().__init__(model, data, scene)
        self.joint_controller = SimulatedJointController(
            model, data, self._suction, joint_names(urdf)
        )
        self._urdf, self._table, self._limits = urdf, table, JointLimits()

    @property
    def pose(self) -> Pose:
        """Pose of the tool tip in the table frame."""
        return self.joint_controller.pose

    @cached_property
    def _arm(self) -> ArmModel:
        """Kinematic model for planning, created at the first use: it needs Pinocchio."""
        return ArmModel.from_urdf(self._urdf, TIP, table=self._table)

    def _plan(self, waypoints: tuple[Waypoint, ...]) -> Iterator[None]:
        plan = plan_trajectory(
            waypoints, self.joint_controller.state.positions, self._arm, self._limits
        )
        return self._run(PlanExecution(plan, self._arm, self._limits))

    def _run(self, execution: PlanExecution) -> Iterator[None]:
        controller = self.joint_controller
        while execution.result is None:
            command = execution.update(self._data.time, controller.state)
            if command is not None:
                controller.stop_on_contact(command.stop_on_contact)
                controller.set_suction(command.suction)
                if command.segment is not None:
                    segment = command.segment
                    controller.follow_trajectory(
                        segment.times, segment.positions, segment.velocities
                    )
            yield
            if controller.fault:
                raise VimaError("BLOCKED", controller.fault)
        yield from self._settle()
        if execution.result.code != "OK":
            raise VimaError(execution.result.code, execution.result.message)

    def _hold(self) -> None:
        self.joint_controller.hold()

    def _step(self) -> None:
        self.joint_controller.step()
