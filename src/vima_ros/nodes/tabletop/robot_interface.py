"""ROS interfaces of the simulated robots: commands in, state out."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
from sensor_msgs.msg import JointState
from trajectory_msgs.msg import JointTrajectory

from vima_msgs.msg import ArmCommand, ArmState, ToolCommand
from vima_ros.errors import VimaError
from vima_ros.nodes.common import action_conversions, conversions, qos
from vima_ros.nodes.common.base_frame import Frames
from vima_ros.nodes.common.lifecycle_node import VimaNode
from vima_ros.sim.robots.base import Phase
from vima_ros.sim.tabletop import Tabletop

STATE_PERIOD = 0.2  # of arm_state [s]
END_STATES = {Phase.SUCCEEDED: ArmState.SUCCEEDED, Phase.FAILED: ArmState.ABORTED}


class RobotInterface(ABC):
    """Interface of a robot that publishes ``arm_state`` on every change and at 5 Hz."""

    def __init__(self, node: VimaNode, tabletop: Tabletop, frames: Frames) -> None:
        self._node, self._tabletop, self._frames = node, tabletop, frames
        self.report = ArmState(state=ArmState.IDLE, code=ArmState.OK)
        self._states = node.create_publisher(ArmState, "arm_state", qos.RELIABLE)
        node.create_subscription(ArmCommand, "arm_command", self._on_command, qos.RELIABLE)
        node.create_timer(STATE_PERIOD, self.publish)

    @abstractmethod
    def update(self) -> None:
        """Report the progress of the motion after a simulation step."""

    @abstractmethod
    def on_reset(self, description: str) -> None:
        """Report a reset of the simulation; ``description``: what it was reset to."""

    @abstractmethod
    def _on_command(self, message: ArmCommand) -> None: ...

    def change(self, state: int, code: str, message: str, command_id: str = "") -> None:
        """Set the reported state and publish it."""
        self.report = ArmState(state=state, code=code, message=message, command_id=command_id)
        self.report.since = self._node.get_clock().now().to_msg()
        self.report.header.frame_id = self._frames.base
        self.publish()

    def publish(self) -> None:
        """Publish the reported state with the current pose of the tool."""
        if not self._node.active:
            return
        self.report.header.stamp = self._node.get_clock().now().to_msg()
        tool = self._tabletop.robot_state
        pose = self._frames.base_from_table.apply_to_pose(tool.pose)
        self.report.tool_pose = conversions.pose_to_message(pose)
        self.report.holding = tool.holding is not None
        self.report.end_effector = int(self._tabletop.scene.end_effector)
        self._states.publish(self.report)


class CartesianRobotInterface(RobotInterface):
    """Interface of a robot that executes ``arm_command``."""

    def update(self) -> None:
        """Report the end of a motion."""
        tool = self._tabletop.robot_state
        if self.report.state == ArmState.EXECUTING and tool.phase in END_STATES:
            code = tool.code or ArmState.OK
            self.change(END_STATES[tool.phase], code, tool.message, self.report.command_id)

    def on_reset(self, description: str) -> None:
        """Report the end of the motion in progress, if any."""
        if self.report.state == ArmState.EXECUTING:
            reason = "the simulation was reset"
            self.change(ArmState.ABORTED, ArmState.RESET, reason, self.report.command_id)
        self.change(ArmState.IDLE, ArmState.OK, description)

    def _on_command(self, message: ArmCommand) -> None:
        if not message.waypoints:
            self._tabletop.stop()
            self.change(ArmState.STOPPED, "STOPPED", "stop commanded", self.report.command_id)
            return
        try:
            if not self._node.active:
                raise VimaError("NOT_ACTIVE", "the robot is not active")
            waypoints = action_conversions.waypoints_from_message(message)
            self._tabletop.start(
                self._frames.waypoints_to_table(waypoints, message.header.frame_id)
            )
        except VimaError as error:
            reason = f"{error.code}: {error}"
            if self.report.state == ArmState.EXECUTING:  # the motion in progress continues
                self._node.get_logger().error(f"refused {message.command_id}: {reason}")
            else:
                self.change(ArmState.ABORTED, ArmState.BAD_COMMAND, reason, message.command_id)
            return
        self.change(ArmState.EXECUTING, ArmState.OK, "", message.command_id)


class JointRobotInterface(RobotInterface):
    """Interface of an arm: ``joint_trajectory``, ``tool_command`` and ``joint_states``.

    ``arm_state`` is IDLE except for one message at each stop or error.
    """

    def __init__(self, node: VimaNode, tabletop: Tabletop, frames: Frames) -> None:
        super().__init__(node, tabletop, frames)
        self._joint_states = node.create_publisher(JointState, "joint_states", qos.RELIABLE)
        node.create_subscription(
            JointTrajectory, "joint_trajectory", self._on_trajectory, qos.RELIABLE
        )
        node.create_subscription(ToolCommand, "tool_command", self._on_tool, qos.RELIABLE)

    def update(self) -> None:
        """Publish the joint states, and changes of contact, grasp and fault."""
        robot = self._tabletop.joint_controller
        state = robot.state
        if (state.contact, state.holding) != (self.report.contact, self.report.holding):
            self.publish()
        if robot.fault:
            self._publish_once(ArmState.ABORTED, ArmState.BLOCKED, robot.fault)
            robot.hold()  # also clears the fault
        self._publish_joints()

    def on_reset(self, description: str) -> None:
        """Report the reset to the node that commands the arm: its joints have moved."""
        self._publish_once(ArmState.ABORTED, ArmState.RESET, "the simulation was reset")
        self.change(ArmState.IDLE, ArmState.OK, description)
        self._publish_joints()

    def publish(self) -> None:
        """Publish the reported state with the current contact."""
        self.report.contact = self._tabletop.joint_controller.state.contact
        super().publish()

    def _publish_joints(self) -> None:
        if not self._node.active:
            return
        robot = self._tabletop.joint_controller
        message = JointState(name=list(robot.joint_names))
        message.header.stamp = self._node.get_clock().now().to_msg()
        message.position = robot.state.positions.tolist()
        message.velocity = robot.state.velocities.tolist()
        self._joint_states.publish(message)

    def _publish_once(self, state: int, code: str, message: str) -> None:
        """Publish a state once: repeated, it would end the next command too."""
        previous = self.report.message
        self.change(state, code, message)
        self.report.state, self.report.code = ArmState.IDLE, ArmState.OK
        self.report.message = previous

    def _on_command(self, message: ArmCommand) -> None:
        if not message.waypoints:  # commands with waypoints are not for this robot
            self._tabletop.joint_controller.hold()
            self._publish_once(ArmState.STOPPED, "STOPPED", "stop commanded")

    def _on_tool(self, message: ToolCommand) -> None:
        if self._node.active:
            self._tabletop.joint_controller.stop_on_contact(message.stop_on_contact)
            self._tabletop.joint_controller.set_suction(message.suction)

    def _on_trajectory(self, message: JointTrajectory) -> None:
        try:
            if not self._node.active:
                raise VimaError("NOT_ACTIVE", "the robot is not active")
            self._tabletop.joint_controller.follow_trajectory(*self._values(message))
        except VimaError as error:
            reason = f"{error.code}: {error}"
            self._node.get_logger().error(f"trajectory refused: {reason}")
            self._publish_once(ArmState.ABORTED, ArmState.BAD_COMMAND, reason)
            return
        if self.report.contact:
            self.publish()

    def _values(self, message: JointTrajectory) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return times, positions and velocities, with the joints in the robot's order.

        Raises VimaError (INVALID_VALUE) if some are missing.
        """
        names = self._tabletop.joint_controller.joint_names
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
