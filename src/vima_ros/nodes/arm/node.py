"""Arm node: policy actions through the safety gate to arm commands."""

from __future__ import annotations

from collections.abc import Iterator

from vima_ros.nodes.arm.action_gate import ActionGate
from vima_ros.nodes.arm.configuration import build_limits, describe_limits, load_arm_model
from vima_ros.nodes.arm.confirmation import ConfirmationServer
from vima_ros.nodes.arm.confirmation_requests import ConfirmationRequests
from vima_ros.nodes.arm.joint_driver import JointDriver
from vima_ros.nodes.arm.motion_control import MotionControl
from vima_ros.nodes.arm.motion_reports import MotionReports
from vima_ros.nodes.arm.motion_watchdog import MotionWatchdog
from vima_ros.nodes.arm.other_publishers import other_publishers
from vima_ros.nodes.arm.parameters import ArmParameters
from vima_ros.nodes.arm.robot_commands import RobotCommands
from vima_ros.nodes.arm.robot_feedback import RobotFeedback
from vima_ros.nodes.arm.stop_services import StopServices
from vima_ros.nodes.common import node_names, parameter_checks
from vima_ros.nodes.common.base_frame import Frames
from vima_ros.nodes.common.diagnostics import ERROR, OK, STALE, WARN, FunctionStatus
from vima_ros.nodes.common.lifecycle_node import VimaNode
from vima_ros.nodes.common.main import run


class ArmNode(VimaNode[ArmParameters]):
    """Sends an ``arm_command`` for each accepted ``action``; nothing else commands motion.

    Where the parameter urdf names the arm, the node executes it by ``joint_trajectory`` and
    ``tool_command``. The result of a command is published by this node alone, on ``arm_state``
    with ``judged`` true. ``stop`` and ``cancel_motion`` have a thread of their own, so that they
    do not wait for planning.
    """

    name = node_names.ARM
    parameters_type = ArmParameters
    motion: MotionControl  # from the first configure on

    def configure(self) -> None:
        """Create the parts in the order of their dependencies: each calls those before it."""
        p, frames = self.parameters, Frames(self.parameters)
        model = load_arm_model(self, frames) if p.urdf else None
        self._limits = build_limits(p, model, frames.table_from_base.translation)
        # Out to the robot and to people.
        self._joints = JointDriver(self, model) if model else None
        robot = RobotCommands(self, frames, self._joints)
        self._reports = MotionReports(self)
        requests = ConfirmationRequests(self) if p.require_confirmation else None
        # The active command; a cleanup does not resume.
        stopped = self.motion.snapshot().stop_reason if hasattr(self, "motion") else ""
        self.motion = MotionControl(
            self.now_ns, self._may_move, robot, self._reports, requests, stopped
        )
        # In from the robot, the policy and people.
        watchdog = MotionWatchdog(self, self.motion, self._joints)
        RobotFeedback(self, frames, self.motion, watchdog, self._joints)
        gate = ActionGate(self, frames, self._limits, self.motion, self._reports, self._joints)
        if requests:
            ConfirmationServer(self, self.motion, requests, gate.on_confirmed)
        stop_services = StopServices(self, self.motion, watchdog.describe_stop_call)
        self.resources.callback(stop_services.close)

    def activated(self) -> None:
        """Log the limits of motion."""
        origin = ", ".join(parameter_checks.override_sources(self)) or "config/ alone"
        limits = describe_limits(self.parameters, self._limits)
        self.get_logger().info(f"limits in force (from {origin}): {limits}")

    def _may_move(self) -> bool:
        return self.active and not self.ending

    # --- end of the node: the robot holds first

    def hold(self, reason: str) -> None:
        """Stop the active command and wait until the robot has received the hold."""
        if self._configured:
            self.motion.stop_before_exit(reason)

    def on_callback_error(self) -> None:
        """Stop the active command: its next step may have been lost with the callback."""
        if self._configured:
            self.motion.stop_active("unexpected error in the arm node, see its log")

    def deactivated(self, how: str) -> None:
        """Stop the active command."""
        self.motion.stop_active(f"the arm node was {how}")

    def on_clock_jump_back(self) -> None:
        """Forget the end of the last motion, whose time is ahead of the clock now."""
        self.motion.forget_last_motion_end()

    def diagnose(self) -> Iterator[FunctionStatus]:
        """Report the stop or the last report, the joints and other publishers of motion."""
        p, state = self.parameters, self.motion.snapshot()
        values = {
            "dry_run": p.dry_run,
            "require_confirmation": p.require_confirmation,
            "limits": self._limits.to_dict(),
            "busy_with": state.command_id,
        }
        message = f"stopped: {state.stop_reason}" if state.stop_reason else self._reports.last
        yield FunctionStatus("motion", WARN if state.stop_reason else OK, message, values)
        if self._joints:
            missing = self._joints.describe_missing()
            level, message = (STALE, missing) if missing else (OK, self._joints.progress)
            yield FunctionStatus("joints", level, message)
        others = other_publishers(self)
        message = f"others publish motion: {', '.join(others)}" if others else ""
        yield FunctionStatus("motion topics", ERROR if others else OK, message)


def main(args: list[str] | None = None) -> None:
    """Run the arm node (``ros2 run vima_ros arm``)."""
    run(ArmNode, args)
