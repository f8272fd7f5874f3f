"""Watchdog of the arm node: its robot, and the nodes it depends on."""

from __future__ import annotations

import math
import time

from vima_msgs.msg import ArmState
from vima_ros.arm.plan_execution import ExecutionResult
from vima_ros.arm.progress import (
    TOTAL_TIMEOUT_FACTOR,
    ProgressMonitor,
    planned_duration,
    tool_points,
    total_timeout,
)
from vima_ros.liveness import NodeDeath, SilenceDetector, Supervisor
from vima_ros.nodes.arm.joint_driver import JointDriver
from vima_ros.nodes.arm.motion_control import MotionControl
from vima_ros.nodes.arm.motion_state import ActiveCommand
from vima_ros.nodes.arm.parameters import ArmParameters
from vima_ros.nodes.common import conversions
from vima_ros.nodes.common.lifecycle_node import VimaNode
from vima_ros.nodes.common.node_names import MANAGER, PERCEPTION, POLICY, PROMPT, TABLETOP

STOP_CALLED = "stop was called"
MAX_DEATH_AGE = 2.0  # of a death that may be the reason of the manager's call of stop [s]
CHECK_PERIOD = 0.1  # [s]


class MotionWatchdog:
    """Stops the arm when its robot or a node that it depends on fails.

    ``joints``: driver of a robot that is moved by its joints. All but ``describe_stop_call`` is
    for the node's callbacks.
    """

    def __init__(
        self, node: VimaNode[ArmParameters], motion: MotionControl, joints: JointDriver | None
    ) -> None:
        self._node, self._motion, self._joints = node, motion, joints
        timeout = node.parameters.manager_timeout or math.inf
        self._manager = Supervisor((MANAGER,), timeout, timeout)
        self._others = Supervisor((POLICY, PERCEPTION, PROMPT, TABLETOP), timeout, timeout)
        self._deaths: list[tuple[float, str]] = []  # of those: time [s] and sentence; only grows
        self._robot = SilenceDetector(["arm_state", *(["joint_states"] if joints else [])])
        self._progress = ProgressMonitor()
        self._watched_id = ""  # the command whose silence and progress these two measure
        node.subscribe_heartbeats(self._on_heartbeat)
        node.create_timer(CHECK_PERIOD, self._check, clock=node.steady_clock)

    def receive(self, source: str) -> None:
        """Record a usable message of the robot: arm_state or joint_states."""
        self._robot.receive(source, time.monotonic())

    def on_arm_state(self, state: ArmState) -> None:
        """Process the robot's own arm_state."""
        self.receive("arm_state")
        tool = conversions.tool_pose_from_message(state.tool_pose)
        if tool is not None:
            self._moving_command()
            self._progress.update(tool_points(tool), time.monotonic())

    def describe_stop_call(self) -> str:
        """Describe a call of stop, with the recent deaths of nodes that may have caused it.

        It may be called from any thread.
        """
        recent = [s for at, s in self._deaths if time.monotonic() - at < MAX_DEATH_AGE]
        return "; ".join([STOP_CALLED, *recent])

    def _on_heartbeat(self, name: str, state: int, instance: str) -> None:
        for watched in (self._manager, self._others):
            watched.on_heartbeat(name, state, time.monotonic(), instance)

    def _moving_command(self) -> ActiveCommand | None:
        """Return the active command if it was sent; measure silence and progress from then on."""
        command = self._motion.snapshot().active
        if command is None or not command.sent:
            return None
        if command.command_id != self._watched_id:
            self._watched_id = command.command_id
            self._robot.restart(command.since)
            self._progress.begin()
        return command

    def _check(self) -> None:
        now, command = time.monotonic(), self._moving_command()
        reasons = [str(death) for death in self._manager.find_dead(now)]
        deaths = self._others.find_dead(now)
        self._deaths += [(now, str(death)) for death in deaths]
        # A reason that concerns the command alone does not stop the arm once that has ended.
        command_id = command.command_id if command and not reasons else None
        if command is not None:
            reasons += self._failures(deaths, now)
            result = None if reasons else self._check_timeouts(command, now)
            if result is not None:
                timed_out = result.code == ArmState.TIMEOUT
                self._motion.abort(command.command_id, result.code, result.message, timed_out)
        stopped = bool(reasons) and self._motion.stop("; ".join(reasons), command_id)
        if deaths and not stopped:  # stop may have been called for them, a moment ago
            self._motion.restate_stop(STOP_CALLED, self.describe_stop_call())

    def _failures(self, deaths: list[NodeDeath], now: float) -> list[str]:
        """Return a sentence for each failure that ends a motion."""
        failures = [str(death) for death in deaths if death.name == POLICY]
        failures += [] if self._node.active else ["the arm node was deactivated"]
        silence = self._describe_silence(now)
        return [*failures, silence] if silence else failures

    def _check_timeouts(self, command: ActiveCommand, now: float) -> ExecutionResult | None:
        """Return the result of a motion that did not begin, progress or end in time, if any."""
        p, command_id, approved = self._node.parameters, command.command_id, command.approved
        limit = total_timeout(planned_duration(approved.waypoints, approved.plan))
        if now - command.since > limit:
            details = f"; {self._joints.describe()}" if self._joints else ""
            return ExecutionResult(
                ArmState.TIMEOUT,
                f"the robot did not end {command_id} within {limit:.0f} s, "
                f"{TOTAL_TIMEOUT_FACTOR:g} times its planned duration{details}",
            )
        if self._joints:
            return self._joints.check_timeouts()
        if not command.started:  # it may have been lost if the robot was not connected yet
            if not 0 < p.start_timeout < now - command.since:
                return None
            topic = self._node.resolve_topic_name("arm_command")
            return ExecutionResult(
                ArmState.NOT_STARTED,
                f"the robot did not report {command_id} as EXECUTING within {p.start_timeout:g} s "
                f"of its command on {topic} (subscribers: {self._node.count_subscribers(topic)})",
            )
        max_dwell = max(waypoint.dwell for waypoint in approved.waypoints)
        if 0 < p.progress_timeout < self._progress.idle_time - max_dwell:
            return ExecutionResult(
                ArmState.TIMEOUT,
                f"no progress: by its tool_pose the tool has not moved by 1 mm for "
                f"{self._progress.idle_time:.1f} s, and the robot did not end {command_id}",
            )
        return None

    def _describe_silence(self, now: float) -> str:
        """Return a sentence if the robot has been silent for too long, else ""."""
        timeout = self._node.parameters.state_timeout
        silent = self._robot.find_silent(now, timeout)
        if silent is None:
            return ""
        source, seconds = silent
        text = (
            f"{source} for {seconds:.1f} s while the arm moved (state_timeout {timeout} s, a "
            "parameter of the robot's file)"
        )
        if self._joints and source == "joint_states":
            return f"no usable {text}: {self._joints.describe_missing(timeout)}"
        return f"no {text}"
