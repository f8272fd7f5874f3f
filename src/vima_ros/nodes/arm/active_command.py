"""The motion under way: what the arm node knows of it, says of it, and how it ends."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from vima_msgs.msg import ArmCommand, ArmState
from vima_ros.arm.safety_gate import Approved, Request
from vima_ros.errors import VimaError
from vima_ros.nodes.common import conversions, qos


@dataclass
class UnderWay:
    """A command that was let pass.

    ``since``: when that was, or when it left [s, steady clock]. ``planning_time`` of gate and plan
    [s]. ``sent``: it has left; before that a person is asked. ``begun``: the robot has said so.
    """

    request: Request
    approved: Approved
    since: float
    planning_time: float = 0.0
    sent: bool = False
    begun: bool = False


class Motion:
    """Publishes ``arm_command`` and the arm node's word on it, ``arm_state`` with judged true.

    ``lock`` is held by whatever sends or ends motion: stop and cancel have a thread of their own.
    ``hold_joints`` has a robot moved through its joints stay where it is; ``settled`` is called
    when nothing waits for a person any more. ``stop_reason``: of a stop since before.
    """

    def __init__(
        self,
        node: Any,
        hold_joints: Callable[[], None],
        settled: Callable[[], None],
        stop_reason: str = "",
    ) -> None:
        self._node, self._hold_joints, self._settled = node, hold_joints, settled
        self.lock = threading.RLock()
        self.stop_reason = stop_reason
        self.under_way: UnderWay | None = None
        self.cancelled_prompt_ids: deque[str] = deque(maxlen=1000)
        self.last_end = 0  # of a motion [ns]
        self.said = "nothing asked yet"
        self.publisher = node.create_publisher(ArmCommand, "arm_command", qos.RELIABLE)
        self._states = node.create_publisher(ArmState, "arm_state", qos.RELIABLE)

    @property
    def command_id(self) -> str:
        """Of the command under way; empty: none."""
        return self.under_way.request.command_id if self.under_way else ""

    def publish(self, command: ArmCommand) -> None:
        """Let a command leave, stamped now."""
        command.header.stamp = self._node.get_clock().now().to_msg()
        self.publisher.publish(command)

    def drop(self, error: VimaError) -> None:
        """What waits for a person's yes does not come to pass."""
        with self.lock:
            under_way, self.under_way = self.under_way, None
            self._settled()
            if under_way is not None:
                self.refuse(error, under_way.request.command_id)

    def refuse(self, error: VimaError, command_id: str) -> None:
        """Say why an action did not become motion."""
        self._node.statistics.record_refusal(error.code, str(error))
        self.report(ArmState.REFUSED, error.code, str(error), command_id)

    def end(self, state: int, code: str, message: str, since: int = 0) -> None:
        """The command under way has ended, at the time ``since`` [ns]; 0: now."""
        with self.lock:
            under_way, self.under_way = self.under_way, None
            now = self._node.now_ns()
            self.last_end = min(since or now, now)
            if under_way is not None:
                self.report(state, code, message, under_way.request.command_id, self.last_end)

    def hold(self) -> None:
        """Have the robot stay where it is; a command without waypoints means stop now."""
        with self.lock:
            self.publish(ArmCommand(command_id=self.command_id))
            self._hold_joints()

    def stop(self, reason: str) -> None:
        """Hold, and let nothing pass until resume."""
        with self.lock:
            self.stop_reason = reason
            self.hold()
            command_id = self.command_id
            if self.under_way is not None:
                self.under_way, self.last_end = None, self._node.now_ns()
            self._settled()
            self.report(ArmState.STOPPED, "STOPPED", reason, command_id)

    def hold_for_good(self, reason: str) -> None:
        """Stop what is under way, and let nothing begin until resume."""
        with self.lock:
            if self.under_way is not None:
                self.stop(reason)
            self.stop_reason = self.stop_reason or reason

    def resume(self) -> str:
        """Lift the stop; why it was stopped."""
        with self.lock:
            was, self.stop_reason = self.stop_reason, ""
            self.report(ArmState.IDLE, ArmState.RESUMED, f"resumed; had stopped: {was or 'no'}")
            return was

    def report(
        self, state: int, code: str, message: str, command_id: str = "", since: int | None = None
    ) -> None:
        """The arm node's word, on a command where it has an id; ``since`` [ns], now without."""
        report = ArmState(state=state, code=code, message=message, command_id=command_id)
        now = self._node.now_ns()
        report.header.stamp = conversions.ns_to_stamp(now)
        report.since = conversions.ns_to_stamp(now if since is None else since)
        report.judged = True
        self._states.publish(report)
        self.said = f"{code}: {message}"
        line = f"{self.said} [{command_id}]" if command_id else self.said
        if code in (ArmState.OK, ArmState.RESUMED):
            self._node.get_logger().info(line)
        else:
            self._node.get_logger().warning(line)
