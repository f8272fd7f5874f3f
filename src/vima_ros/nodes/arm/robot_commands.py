"""Commands to the robot: waypoints by ``arm_command``, and plans by the driver of its joints."""

from __future__ import annotations

from typing import Protocol

from rclpy.duration import Duration

from vima_msgs.msg import ArmCommand
from vima_ros.arm.trajectory_planning import JointPlan
from vima_ros.nodes.arm.motion_state import ActiveCommand
from vima_ros.nodes.arm.parameters import ArmParameters
from vima_ros.nodes.common import action_conversions, qos
from vima_ros.nodes.common.base_frame import Frames
from vima_ros.nodes.common.heartbeat import ACKNOWLEDGE_TIMEOUT
from vima_ros.nodes.common.lifecycle_node import VimaNode

RECEIVE_TIMEOUT = Duration(seconds=ACKNOWLEDGE_TIMEOUT)  # of a hold, before the node ends


class PlanExecutor(Protocol):
    """Executor of plans on a robot that is moved by its joints; its methods return at once."""

    def begin(self, plan: JointPlan) -> None:
        """Start to execute a plan."""

    def hold(self) -> None:
        """Hold the current position and end the execution."""

    def abandon(self) -> None:
        """End the execution without a command."""

    def wait_until_received(self, timeout: Duration) -> None:
        """Wait until the controller has received all commands."""


class RobotCommands:
    """Publisher of ``arm_command``. ``joints``: None for a robot that follows its waypoints."""

    def __init__(
        self, node: VimaNode[ArmParameters], frames: Frames, joints: PlanExecutor | None
    ) -> None:
        self._node, self._frames, self._joints = node, frames, joints
        self._publisher = node.create_publisher(ArmCommand, "arm_command", qos.RELIABLE)

    def begin(self, command: ActiveCommand) -> None:
        """Command the motion."""
        approved = command.approved
        waypoints = self._frames.waypoints_to_base(approved.waypoints)
        message = ArmCommand(
            command_id=command.command_id,
            planning_time=command.planning_time,
            waypoints=action_conversions.waypoints_to_message(waypoints),
        )
        message.header.frame_id = self._frames.base
        self._publish(message)
        if self._joints and approved.plan is not None:
            self._joints.begin(approved.plan)

    def hold(self, command_id: str) -> None:
        """Command the robot to hold its position: a command without waypoints means stop now."""
        self._publish(ArmCommand(command_id=command_id))
        if self._joints:
            self._joints.hold()

    def abandon(self) -> None:
        """Send no more commands of a motion that has ended."""
        if self._joints:
            self._joints.abandon()

    def wait_until_received(self) -> None:
        """Wait until all commands have been received, up to RECEIVE_TIMEOUT for each topic."""
        self._publisher.wait_for_all_acked(RECEIVE_TIMEOUT)
        if self._joints:
            self._joints.wait_until_received(RECEIVE_TIMEOUT)

    def _publish(self, message: ArmCommand) -> None:
        message.header.stamp = self._node.get_clock().now().to_msg()
        self._publisher.publish(message)
