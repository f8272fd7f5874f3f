"""Active command of the arm node: publication, stop and resume, and the reports on its result."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vima_msgs.msg import ArmCommand, ArmState
from vima_ros.arm.safety_gate import Approved, Request
from vima_ros.errors import VimaError
from vima_ros.nodes.common import conversions, qos

if TYPE_CHECKING:
    from vima_ros.nodes.arm.node import ArmNode


@dataclass
class ActiveCommand:
    """A command that passed the gate and has not ended.

    ``since``: time at which it passed the gate, or was sent [s, steady clock]. ``planning_time``
    of gate and plan [s]. ``sent``: False while it waits for a confirmation. ``started``: the robot
    reported that it executes it.
    """

    request: Request
    approved: Approved
    since: float
    planning_time: float = 0.0
    sent: bool = False
    started: bool = False


class MotionControl:
    """Publisher of ``arm_command``, and of ``arm_state`` with ``judged`` true.

    ``lock`` is held by whatever sends or ends motion: stop and cancel have a thread of their own.
    ``hold_joints`` stops a robot that is moved by its joints; ``clear_confirmation`` is called
    when nothing waits for a confirmation any more. ``stop_reason``: that of an earlier stop.
    """

    def __init__(
        self,
        node: ArmNode,
        hold_joints: Callable[[], None],
        clear_confirmation: Callable[[], None],
        stop_reason: str = "",
    ) -> None:
        self._node = node
        self._hold_joints, self._clear_confirmation = hold_joints, clear_confirmation
        self.lock = threading.RLock()
        self.stop_reason = stop_reason
        self.active: ActiveCommand | None = None
        self.cancelled_prompt_ids: deque[str] = deque(maxlen=1000)
        self.last_motion_end = 0  # [ns]
        self.last_report = "no action received yet"
        self.publisher = node.create_publisher(ArmCommand, "arm_command", qos.RELIABLE)
        self._states = node.create_publisher(ArmState, "arm_state", qos.RELIABLE)

    @property
    def command_id(self) -> str:
        """Id of the active command; empty if there is none."""
        return self.active.request.command_id if self.active else ""

    def publish(self, command: ArmCommand) -> None:
        """Publish a command, stamped with the current time."""
        command.header.stamp = self._node.get_clock().now().to_msg()
        self.publisher.publish(command)

    def discard(self, error: VimaError) -> None:
        """Refuse the active command, which was not sent yet."""
        with self.lock:
            command, self.active = self.active, None
            self._clear_confirmation()
            if command is not None:
                self.refuse(error, command.request.command_id)

    def refuse(self, error: VimaError, command_id: str) -> None:
        """Report why an action does not become motion."""
        self._node.statistics.record_refusal(error.code, str(error))
        self.report(ArmState.REFUSED, error.code, str(error), command_id)

    def end(self, state: int, code: str, message: str, since: int = 0) -> None:
        """End the active command and report its result; ``since`` [ns], 0: now."""
        with self.lock:
            command, self.active = self.active, None
            now = self._node.now_ns()
            self.last_motion_end = min(since or now, now)
            if command is not None:
                command_id = command.request.command_id
                self.report(state, code, message, command_id, self.last_motion_end)

    def hold(self) -> None:
        """Command the robot to hold its position: a command without waypoints means stop now."""
        with self.lock:
            self.publish(ArmCommand(command_id=self.command_id))
            self._hold_joints()

    def stop(self, reason: str) -> None:
        """Hold, end the active command and refuse every action until ``resume``."""
        with self.lock:
            self.stop_reason = reason
            self.hold()
            command_id = self.command_id
            if self.active is not None:
                self.active, self.last_motion_end = None, self._node.now_ns()
            self._clear_confirmation()
            self.report(ArmState.STOPPED, "STOPPED", reason, command_id)

    def stop_before_exit(self, reason: str) -> None:
        """Stop the active command, if there is one, and refuse every action from now on."""
        with self.lock:
            if self.active is not None:
                self.stop(reason)
            self.stop_reason = self.stop_reason or reason

    def resume(self) -> str:
        """Lift the stop and return its reason."""
        with self.lock:
            reason, self.stop_reason = self.stop_reason, ""
            message = f"resumed after a stop: {reason}" if reason else "resumed; was not stopped"
            self.report(ArmState.IDLE, ArmState.RESUMED, message)
            return reason

    def report(
        self, state: int, code: str, message: str, command_id: str = "", since: int | None = None
    ) -> None:
        """Publish and log the state of a command, or of the arm; ``since`` [ns], None: now."""
        report = ArmState(state=state, code=code, message=message, command_id=command_id)
        now = self._node.now_ns()
        report.header.stamp = conversions.ns_to_stamp(now)
        report.since = conversions.ns_to_stamp(now if since is None else since)
        report.judged = True
        self._states.publish(report)
        self.last_report = f"{code}: {message}"
        line = f"{self.last_report} [{command_id}]" if command_id else self.last_report
        if code in (ArmState.OK, ArmState.RESUMED):
            self._node.get_logger().info(line)
        else:
            self._node.get_logger().warning(line)
