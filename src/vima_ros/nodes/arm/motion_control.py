"""Owner of the active command: sends, stops and ends it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace

from vima_msgs.msg import ArmState
from vima_ros.arm.safety_gate import Approved, ArmContext, Request, check_readiness
from vima_ros.errors import GateCode, VimaError
from vima_ros.nodes.arm.confirmation_requests import ConfirmationRequests
from vima_ros.nodes.arm.motion_reports import MotionReports
from vima_ros.nodes.arm.motion_state import ActiveCommand, MotionState
from vima_ros.nodes.arm.robot_commands import RobotCommands


class MotionControl:
    """State machine of the arm's motion: at most one active command, none while stopped.

    Callbacks of the node, the stop services and the end of the process call it from threads of
    their own. A method with a ``command_id`` does nothing once that command has ended. ``now``
    returns the node's time [ns], ``ready`` whether the node may move the arm; ``confirmation``:
    None if motions need none; ``stop_reason``: that of an earlier stop.
    """

    def __init__(
        self,
        now: Callable[[], int],
        ready: Callable[[], bool],
        robot: RobotCommands,
        reports: MotionReports,
        confirmation: ConfirmationRequests | None,
        stop_reason: str = "",
    ) -> None:
        self._now, self._ready, self._robot = now, ready, robot
        self._reports, self._confirmation = reports, confirmation
        # Guards _state, which is replaced as a whole, and the order of what robot, reports and
        # confirmation publish: once stop has returned, nothing moves the robot until resume.
        # The joint driver's own lock is taken within it, never around it.
        self._lock = threading.RLock()
        self._state = MotionState(stop_reason=stop_reason)

    def snapshot(self) -> MotionState:
        """Return the state as it is between two changes."""
        with self._lock:
            return self._state

    def context(self) -> ArmContext:
        """Return the state for the gate; used_command_ids and no_controller are not known here."""
        return self.snapshot().context(self._now(), self._ready())

    def accept(self, request: Request, approved: Approved, planning: float, stops: int) -> None:
        """Make a command that passed the gate the active one: send it, or request confirmation.

        ``stops``: that of the state for which it was planned, in ``planning`` [s]. Raises
        VimaError as ``check_readiness`` does: the arm may have been stopped, or the episode
        cancelled, meanwhile.
        """
        with self._lock:
            check_readiness(request, self.context())
            self._state.check_no_stop_since(stops)
            command = ActiveCommand(request, approved, time.monotonic(), planning)
            if self._confirmation:
                self._state = replace(self._state, active=command)
                self._confirmation.request(request, approved.waypoints)
            else:
                self._send(command)

    def send(self, command_id: str, approved: Approved) -> None:
        """Send the command that waits for its confirmation; raises VimaError as ``accept``."""
        with self._lock:
            command = self._active(command_id)
            if command is not None and not command.sent:
                check_readiness(command.request, replace(self.context(), busy_with=""))
                self._send(replace(command, approved=approved))

    def _send(self, command: ActiveCommand) -> None:
        started = command.approved.plan is not None  # else the robot reports it
        command = replace(command, sent=True, since=time.monotonic(), started=started)
        self._state = replace(self._state, active=command)
        self._robot.begin(command)
        motion, command_id = command.description, command.command_id
        self._reports.publish(ArmState.EXECUTING, ArmState.OK, motion, command_id)

    def discard(self, command_id: str, error: VimaError) -> None:
        """Refuse the command that waits for its confirmation."""
        with self._lock:
            command = self._active(command_id)
            if command is not None and not command.sent:
                self._state = replace(self._state, active=None)
                if self._confirmation:
                    self._confirmation.clear()
                self._reports.refuse(error, command_id)

    def mark_started(self, command_id: str) -> None:
        """Record that the robot executes the command."""
        with self._lock:
            if command := self._active(command_id):
                self._state = replace(self._state, active=replace(command, started=True))

    def end(
        self,
        command_id: str,
        state: int,
        code: str,
        message: str,
        *,
        since: int = 0,
        stop: bool = False,
    ) -> None:
        """End the command and report its result; ``since`` [ns], 0: now; ``stop`` as in abort."""
        with self._lock:
            if self._active(command_id):
                self._robot.abandon()
                now = self._now()
                ended = min(since or now, now)
                self._state = replace(self._state, active=None, last_motion_end=ended)
                self._reports.publish(state, code, message, command_id, ended)
                if stop:
                    self.stop(message)

    def abort(self, command_id: str, code: str, message: str, stop: bool = False) -> None:
        """Hold, and end the command as aborted; ``stop``: stop, too, before anyone can resume."""
        with self._lock:
            if self._active(command_id):
                self._robot.hold(command_id)
                self.end(command_id, ArmState.ABORTED, code, message, stop=stop)

    def cancel(self, prompt_id: str, finish_motion: bool) -> str:
        """Refuse a prompt's later actions and end its motion; return what was done."""
        with self._lock:
            self._state = self._state.with_cancelled(prompt_id)
            command = self._state.active
            if command is None or command.request.prompt_id != prompt_id:
                return "the prompt had no active command"
            if not command.sent:
                reason = "its episode ended before a person confirmed it"
                self.discard(command.command_id, VimaError(GateCode.CANCELLED.value, reason))
                return f"{command.command_id} is discarded"
            if finish_motion:
                return f"{command.command_id} finishes its motion"
            self.abort(command.command_id, ArmState.CANCELLED, "its episode has ended")
            return f"{command.command_id} was aborted"

    def stop(self, reason: str, command_id: str | None = None) -> bool:
        """Hold, end the active command and refuse every action until ``resume``.

        ``command_id``: stop only if this command is still active. Returns True if it stopped.
        """
        with self._lock:
            if command_id is not None and not self._active(command_id):
                return False
            ended_id = self._state.command_id
            self._state = self._state.with_stop(reason)
            self._robot.hold(ended_id)
            if self._state.active is not None:
                self._state = replace(self._state, active=None, last_motion_end=self._now())
            if self._confirmation:
                self._confirmation.clear()
            self._reports.publish(ArmState.STOPPED, "STOPPED", reason, ended_id)
            return True

    def stop_active(self, reason: str) -> None:
        """Stop if a command is active."""
        with self._lock:
            if self._state.active is not None:
                self.stop(reason)

    def restate_stop(self, old_reason: str, reason: str) -> None:
        """Stop again with another reason if the arm is still stopped for ``old_reason``."""
        with self._lock:
            if self._state.stop_reason == old_reason:
                self.stop(reason)

    def stop_before_exit(self, reason: str) -> None:
        """Stop the active command, refuse every later one, and wait until the robot holds."""
        with self._lock:
            self.stop_active(reason)
            self._state = replace(self._state, stop_reason=self._state.stop_reason or reason)
        self._robot.wait_until_received()

    def resume(self) -> str:
        """Lift the stop; report and return which one it was."""
        with self._lock:
            reason = self._state.stop_reason
            self._state = replace(self._state, stop_reason="")
            message = f"resumed after a stop: {reason}" if reason else "resumed; was not stopped"
            self._reports.publish(ArmState.IDLE, ArmState.RESUMED, message)
            return message

    def forget_last_motion_end(self) -> None:
        """Forget the end of the last motion, whose time is ahead of the clock now."""
        with self._lock:
            self._state = replace(self._state, last_motion_end=0)

    def _active(self, command_id: str) -> ActiveCommand | None:
        command = self._state.active
        return command if command and command.command_id == command_id else None
