"""Arm node: policy actions through the safety gate to arm commands."""

from __future__ import annotations

from typing import Any

from rclpy.duration import Duration

from vima_msgs.msg import ArmState
from vima_ros.arm.plan_execution import ExecutionResult
from vima_ros.nodes.arm.action_gate import ActionGate
from vima_ros.nodes.arm.configuration import build_limits, describe_limits
from vima_ros.nodes.arm.confirmation import ConfirmationServer
from vima_ros.nodes.arm.joint_driver import JointDriver
from vima_ros.nodes.arm.motion_control import ActiveCommand, MotionControl
from vima_ros.nodes.arm.motion_watchdog import MotionWatchdog
from vima_ros.nodes.arm.parameters import ArmParameters
from vima_ros.nodes.arm.stop_services import StopServices
from vima_ros.nodes.common import conversions, node_names, parameter_checks, qos
from vima_ros.nodes.common.base_frame import Frames
from vima_ros.nodes.common.lifecycle_node import VimaNode
from vima_ros.nodes.common.main import run

ENDED = (ArmState.SUCCEEDED, ArmState.ABORTED, ArmState.STOPPED)
ACKNOWLEDGE_TIMEOUT = 0.1  # for subscribers to receive a hold before the node ends [s]


class ArmNode(VimaNode[ArmParameters]):
    """Sends an ``arm_command`` for each accepted ``action``; nothing else commands motion.

    Where the parameter urdf names the arm, the node executes it by ``joint_trajectory`` and
    ``tool_command``. The result of a command is published by this node alone, on ``arm_state``
    with ``judged`` true. ``stop`` and ``cancel_motion`` have a thread of their own, so that they
    do not wait for planning: whatever ends or sends motion holds the lock of ``motion``.
    """

    name = node_names.ARM
    parameters_type = ArmParameters
    motion: MotionControl  # from the first configure on

    def configure(self) -> None:
        """Create the handles."""
        p = self.parameters
        self.frames = Frames(p)
        stop_reason = (
            self.motion.stop_reason if hasattr(self, "motion") else ""
        )  # a cleanup does not resume
        self.motion = MotionControl(self, self._hold_joints, self._clear_confirmation, stop_reason)
        self._joints = None
        if p.urdf:
            self._joints = JointDriver(
                self, self._on_result, lambda: self.watchdog.receive("joint_states")
            )
        self._limits = build_limits(
            p,
            self._joints.bounds if self._joints else None,
            self.frames.table_from_base.translation,
        )
        self._confirmation = (
            ConfirmationServer(self, p.confirmation_timeout) if p.require_confirmation else None
        )
        self.watchdog = MotionWatchdog(self, self._joints)
        self.gate = ActionGate(
            self, self._limits, self._joints, self._confirmation, self.watchdog.begin
        )
        self.create_subscription(ArmState, "arm_state", self._on_arm_state, qos.RELIABLE)
        self.resources.callback(StopServices(self).close)

    def activated(self) -> None:
        """Log the limits of motion."""
        origin = ", ".join(parameter_checks.override_sources(self)) or "config/arm.yaml alone"
        limits = describe_limits(self.parameters, self._limits)
        self.get_logger().info(f"limits in force (from {origin}): {limits}")

    def _hold_joints(self) -> None:
        if self._joints:
            self._joints.stop()

    def _clear_confirmation(self) -> None:
        if self._confirmation:
            self._confirmation.clear()

    # --- results of commands

    def _on_result(self, result: ExecutionResult) -> None:
        """Report the result of a plan that the joints executed."""
        state = ArmState.SUCCEEDED if result.code == ArmState.OK else ArmState.ABORTED
        self.motion.end(state, result.code, result.message or "executed")

    def _on_arm_state(self, message: ArmState) -> None:
        if message.judged:
            return  # published by this node
        self.watchdog.on_state(message)
        if self._joints:
            self._joints.on_state(message)
            return
        command = self.motion.active
        if command is not None and message.command_id == command.request.command_id:
            command.started = True
            if message.state in ENDED:
                self._on_robot_result(message, command)

    def _on_robot_result(self, message: ArmState, command: ActiveCommand) -> None:
        """Process the result reported by a robot that executes waypoints by itself."""
        if message.state == ArmState.STOPPED:
            self.motion.stop(f"the robot has stopped: {message.message}")
            return
        error, since = "", conversions.since_ns(message)
        if message.state == ArmState.SUCCEEDED and self.watchdog.in_base_frame(message):
            goal = self.frames.base_from_table.apply_to_pose(command.approved.waypoints[-1].pose)
            error = self.watchdog.arrival_error(message.tool_pose, goal)
        if error:
            with self.motion.lock:  # else a resume could come between
                self.motion.end(ArmState.ABORTED, ArmState.NOT_MOVED, error, since)
                self.motion.stop(error)
        else:
            code = message.code or ArmState.OK
            self.motion.end(message.state, code, message.message, since)

    # --- end of the node: the robot holds first

    def hold(self, reason: str) -> None:
        """Stop the active command and wait until the robot has received the hold."""
        if self._configured:
            self.motion.stop_before_exit(reason)
            publishers = [self.motion.publisher]
            publishers += [self._joints.publisher] if self._joints else []
            for publisher in publishers:
                publisher.wait_for_all_acked(Duration(seconds=ACKNOWLEDGE_TIMEOUT))

    def on_callback_error(self) -> None:
        """Stop the active command: its next step may have been lost with the callback."""
        if self._configured and self.motion.active is not None:
            self.motion.stop("unexpected error in the arm node, see its log")

    def deactivated(self, how: str) -> None:
        """Stop the active command."""
        if self.motion.active is not None:
            self.motion.stop(f"the arm node was {how}")

    def on_clock_jump_back(self) -> None:
        """Forget the end of the last motion, whose time is ahead of the clock now."""
        self.motion.last_motion_end = 0

    def diagnose(self) -> tuple[bool, str, dict[str, Any]]:
        """Report the stop, the last report and other publishers of motion."""
        p, others = self.parameters, self.watchdog.other_publishers()
        values = {
            "dry_run": p.dry_run,
            "require_confirmation": p.require_confirmation,
            "limits": self._limits.to_dict(),
            "busy_with": self.motion.command_id,
        }
        if self._joints:
            values["joints"] = self._joints.progress
        if others:
            return False, f"others publish motion: {', '.join(others)}", values
        if self.motion.stop_reason:
            return False, f"stopped: {self.motion.stop_reason}", values
        return True, self.motion.last_report, values


def main(args: list[str] | None = None) -> None:
    """Run the arm node (``ros2 run vima_ros arm``)."""
    run(ArmNode, args)
