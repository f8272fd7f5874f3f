"""The robot's side of the simulated tabletop: what it obeys, and what it reports."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
from sensor_msgs.msg import JointState
from trajectory_msgs.msg import JointTrajectory

from vima_msgs.msg import ArmCommand, ArmState, ToolCommand
from vima_ros.errors import VimaError
from vima_ros.nodes.common import conversions, qos
from vima_ros.sim.robots.base import Phase
from vima_ros.sim.tabletop import Tabletop

STATE_PERIOD = 0.2  # arm_state is repeated this often [s]
ENDS = {Phase.SUCCEEDED: ArmState.SUCCEEDED, Phase.FAILED: ArmState.ABORTED}


class RobotInterface(ABC):
    """Publishes ``arm_state`` on every change and a few times a second."""

    def __init__(self, node: Any, world: Tabletop) -> None:
        self._node, self._world = node, world
        self.report = ArmState(state=ArmState.IDLE, code=ArmState.OK)
        self._states = node.create_publisher(ArmState, "arm_state", qos.RELIABLE)
        node.create_subscription(ArmCommand, "arm_command", self._on_command, qos.RELIABLE)
        node.create_timer(STATE_PERIOD, self.publish)

    @abstractmethod
    def advanced(self) -> None:
        """The world has moved on: report what has become of the motion."""

    @abstractmethod
    def was_reset(self, standing: str) -> None:
        """The world was set up anew; ``standing`` says with what."""

    @abstractmethod
    def _on_command(self, message: ArmCommand) -> None: ...

    def change(self, state: int, code: str, message: str, command_id: str = "") -> None:
        """Report this from now on."""
        self.report = ArmState(state=state, code=code, message=message, command_id=command_id)
        self.report.since = self._node.get_clock().now().to_msg()
        self.report.header.frame_id = self._node.frames.base
        self.publish()

    def publish(self) -> None:
        """The report, and where the tool is."""
        if not self._node.active:
            return
        self.report.header.stamp = self._node.get_clock().now().to_msg()
        tool = self._world.robot_state
        pose = self._node.frames.base_from_table.apply_to_pose(tool.pose)
        self.report.tool_pose = conversions.pose_to_message(pose)
        self.report.holding = tool.holding is not None
        self.report.end_effector = int(self._world.scene.end_effector)
        self._states.publish(self.report)


class CartesianRobotInterface(RobotInterface):
    """Carries out ``arm_command`` and reports under its ``command_id``."""

    def advanced(self) -> None:
        """Tell of a motion's end."""
        tool = self._world.robot_state
        if self.report.state == ArmState.EXECUTING and tool.phase in ENDS:
            code = tool.code or ArmState.OK
            self.change(ENDS[tool.phase], code, tool.message, self.report.command_id)

    def was_reset(self, standing: str) -> None:
        """Give up what was under way."""
        if self.report.state == ArmState.EXECUTING:
            why = "the world was reset"
            self.change(ArmState.ABORTED, ArmState.RESET, why, self.report.command_id)
        self.change(ArmState.IDLE, ArmState.OK, standing)

    def _on_command(self, message: ArmCommand) -> None:
        if not message.waypoints:
            self._world.stop()
            self.change(ArmState.STOPPED, "STOPPED", "told to stop", self.report.command_id)
            return
        try:
            if not self._node.active:
                raise VimaError("NOT_ACTIVE", "the robot is not active")
            waypoints = conversions.waypoints_from_message(message)
            self._world.start(
                self._node.frames.waypoints_to_table(waypoints, message.header.frame_id)
            )
        except VimaError as error:
            why = f"{error.code}: {error}"
            if self.report.state == ArmState.EXECUTING:  # what is under way goes on
                self._node.get_logger().error(f"refused {message.command_id}: {why}")
            else:
                self.change(ArmState.ABORTED, ArmState.BAD_COMMAND, why, message.command_id)
            return
        self.change(ArmState.EXECUTING, ArmState.OK, "", message.command_id)


class JointRobotInterface(RobotInterface):
    """Follows ``joint_trajectory``, obeys ``tool_command`` and publishes ``joint_states``.

    It knows no commands: ``arm_state`` is IDLE but for one message at each stop or trouble.
    """

    def __init__(self, node: Any, world: Tabletop) -> None:
        super().__init__(node, world)
        self._joint_states = node.create_publisher(JointState, "joint_states", qos.RELIABLE)
        node.create_subscription(
            JointTrajectory, "joint_trajectory", self._on_trajectory, qos.RELIABLE
        )
        node.create_subscription(ToolCommand, "tool_command", self._on_tool, qos.RELIABLE)

    def advanced(self) -> None:
        """Where the joints are; what was touched, picked or in the way."""
        robot = self._world.joint_controller
        state = robot.state
        if (state.contact, state.holding) != (self.report.contact, self.report.holding):
            self.publish()
        if robot.fault:
            self._tell(ArmState.ABORTED, ArmState.BLOCKED, robot.fault)
            robot.hold()  # also forgets the fault
        self._publish_joints()

    def was_reset(self, standing: str) -> None:
        """Whoever moves the arm must know that it is elsewhere."""
        self._tell(ArmState.ABORTED, ArmState.RESET, "the world was reset")
        self.change(ArmState.IDLE, ArmState.OK, standing)
        self._publish_joints()

    def publish(self) -> None:
        """With what was touched."""
        self.report.contact = self._world.joint_controller.state.contact
        super().publish()

    def _publish_joints(self) -> None:
        if not self._node.active:
            return
        robot = self._world.joint_controller
        message = JointState(name=list(robot.joint_names))
        message.header.stamp = self._node.get_clock().now().to_msg()
        message.position = robot.state.positions.tolist()
        message.velocity = robot.state.velocities.tolist()
        self._joint_states.publish(message)

    def _tell(self, state: int, code: str, message: str) -> None:
        """Say it once: repeated, it would end the next command too."""
        standing = self.report.message
        self.change(state, code, message)
        self.report.state, self.report.code = ArmState.IDLE, ArmState.OK
        self.report.message = standing

    def _on_command(self, message: ArmCommand) -> None:
        if not message.waypoints:  # any other is for information
            self._world.joint_controller.hold()
            self._tell(ArmState.STOPPED, "STOPPED", "told to stop")

    def _on_tool(self, message: ToolCommand) -> None:
        if self._node.active:
            self._world.joint_controller.stop_on_contact(message.stop_on_contact)
            self._world.joint_controller.set_suction(message.suction)

    def _on_trajectory(self, message: JointTrajectory) -> None:
        try:
            if not self._node.active:
                raise VimaError("NOT_ACTIVE", "the robot is not active")
            self._world.joint_controller.follow_trajectory(*self._values(message))
        except VimaError as error:
            why = f"{error.code}: {error}"
            self._node.get_logger().error(f"trajectory refused: {why}")
            self._tell(ArmState.ABORTED, ArmState.BAD_COMMAND, why)
            return
        if self.report.contact:
            self.publish()

    def _values(self, message: JointTrajectory) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Times, positions and velocities, joints in the robot's order; VimaError if some lack."""
        names = self._world.joint_controller.joint_names
        try:
            index = [message.joint_names.index(name) for name in names]
            positions = [[point.positions[i] for i in index] for point in message.points]
            velocities = [[point.velocities[i] for i in index] for point in message.points]
        except (ValueError, IndexError):
            raise VimaError(
                "INVALID_VALUE",
                f"a trajectory of {list(message.joint_names)}; valid: positions and velocities of "
                f"{', '.join(names)} in each point",
            ) from None
        times = [p.time_from_start.sec + p.time_from_start.nanosec / 1e9 for p in message.points]
        return np.array(times), np.array(positions), np.array(velocities)
