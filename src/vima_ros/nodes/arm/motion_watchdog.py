"""Watchdog of the arm node: its robot, the nodes it depends on, other publishers of motion."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Any

from geometry_msgs.msg import Pose as PoseMessage

from vima_msgs.msg import ArmState
from vima_ros.arm.plan_execution import ExecutionResult
from vima_ros.arm.progress import (
    TOTAL_TIMEOUT_FACTOR,
    ProgressMonitor,
    planned_duration,
    tool_points,
    total_timeout,
)
from vima_ros.arm.safety_gate import Approved
from vima_ros.geometry import Pose
from vima_ros.liveness import SilenceDetector, Supervisor
from vima_ros.nodes.arm.joint_driver import JointDriver
from vima_ros.nodes.common import conversions
from vima_ros.nodes.common.node_names import (
    ARM,
    MANAGER,
    PERCEPTION,
    POLICY,
    PROMPT,
    TABLETOP,
)

if TYPE_CHECKING:
    from vima_ros.nodes.arm.node import ArmNode

STOP_CALLED = "stop was called"
MAX_DEATH_AGE = 2.0  # of a death that may be the reason of the manager's call of stop [s]
CHECK_PERIOD = 0.1  # [s]
MOTION_TOPICS = {
    "arm_command": (ARM, MANAGER),  # the manager's are empty: stop
    "joint_trajectory": (ARM,),
    "tool_command": (ARM,),
}


class MotionWatchdog:
    """Stops the arm when its robot or a node that it depends on fails."""

    def __init__(self, node: ArmNode, joints: JointDriver | None) -> None:
        """Watch from ``node``; ``joints``: driver of a robot that is moved by its joints."""
        p = node.parameters
        self._node, self._joints = node, joints
        self._progress, self._max_dwell = ProgressMonitor(), 0.0
        self._total_timeout = math.inf
        timeout = p.manager_timeout or math.inf
        self._manager = Supervisor((MANAGER,), timeout, timeout)
        self._others = Supervisor((POLICY, PERCEPTION, PROMPT, TABLETOP), timeout, timeout)
        self._deaths: list[tuple[float, str]] = []  # of those: time [s] and sentence
        self._robot = SilenceDetector(["arm_state", *(["joint_states"] if joints else [])])
        self._other_frames: set[str] = set()  # of tool poses; each is logged once
        node.subscribe_heartbeats(self._on_heartbeat)
        node.create_timer(CHECK_PERIOD, self._check, clock=node.steady_clock)

    def begin(self, approved: Approved) -> None:
        """Watch a motion that begins."""
        self._robot.restart(time.monotonic())
        self._progress.begin()
        self._max_dwell = max(waypoint.dwell for waypoint in approved.waypoints)
        self._total_timeout = total_timeout(planned_duration(approved.waypoints, approved.plan))

    def receive(self, source: str) -> None:
        """Record a usable message of the robot: arm_state or joint_states."""
        self._robot.receive(source, time.monotonic())

    def in_base_frame(self, message: ArmState) -> bool:
        """Return True if the robot's tool pose is in base_frame, or its frame is empty."""
        frame, base = message.header.frame_id, self._node.parameters.base_frame
        if frame in ("", base):
            return True
        if frame not in self._other_frames:
            self._other_frames.add(frame)
            self._node.get_logger().warning(
                f"arm_state has its tool_pose in frame {frame!r}; valid: {base!r}. Arrival is not "
                "checked against it"
            )
        return False

    def on_state(self, state: ArmState) -> None:
        """Process the robot's own arm_state."""
        self.receive("arm_state")
        tool = conversions.tool_pose_from_message(state.tool_pose)
        if tool is not None:
            self._progress.update(tool_points(tool), time.monotonic())

    def arrival_error(self, tool: PoseMessage, goal: Pose) -> str:
        """Describe a tool that is not at the end of its motion; empty if it is, or unknown.

        Both poses are in base_frame.
        """
        pose = conversions.tool_pose_from_message(tool)
        tolerance = self._node.parameters.arrival_tolerance
        if pose is None or tolerance == 0 or math.dist(pose.position, goal.position) <= tolerance:
            return ""
        actual, expected = (
            "({:.3f}, {:.3f}, {:.3f})".format(*p) for p in (pose.position, goal.position)
        )
        return (
            f"the robot reported success with its tool at {actual} m instead of {expected} m "
            f"in {self._node.parameters.base_frame}"
        )

    def other_publishers(self) -> list[str]:
        """Return topic and node of each other publisher that could move the arm."""
        own = self._node.get_namespace().rstrip("/")
        return sorted(
            f"{topic} by {p.node_namespace.rstrip('/')}/{p.node_name}"
            for topic, expected in MOTION_TOPICS.items()
            for p in self._node.get_publishers_info_by_topic(topic)
            if not (p.node_namespace.rstrip("/") == own and p.node_name in expected)
        )

    def describe_stop_call(self) -> str:
        """Describe a call of stop, with the recent deaths of nodes that may have caused it."""
        recent = [s for at, s in self._deaths if time.monotonic() - at < MAX_DEATH_AGE]
        return "; ".join([STOP_CALLED, *recent])

    def _on_heartbeat(self, name: str, state: int, instance: str) -> None:
        for watched in (self._manager, self._others):
            watched.on_heartbeat(name, state, time.monotonic(), instance)

    def _check_timeouts(self, command: Any, now: float) -> ExecutionResult | None:
        """Return the result of a motion that did not begin, progress or end in time, if any."""
        p, command_id = self._node.parameters, command.request.command_id
        if now - command.since > self._total_timeout:
            details = f"; {self._joints.describe()}" if self._joints else ""
            return ExecutionResult(
                ArmState.TIMEOUT,
                f"the robot did not end {command_id} within {self._total_timeout:.0f} s, "
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
        if 0 < p.progress_timeout < self._progress.idle_time - self._max_dwell:
            return ExecutionResult(
                ArmState.TIMEOUT,
                f"no progress: by its tool_pose the tool has not moved by 1 mm for "
                f"{self._progress.idle_time:.1f} s, and the robot did not end {command_id}",
            )
        return None

    def _describe_silence(self, now: float) -> str:
        """Return a sentence if the robot has been silent for too long, else ""."""
        silent = self._robot.find_silent(now, self._node.parameters.state_timeout)
        if silent is None:
            return ""
        source, seconds = silent
        p = self._node.parameters
        text = (
            f"{source} for {seconds:.1f} s while the arm moved (state_timeout "
            f"{p.state_timeout} s, a parameter of the robot's file)"
        )
        if self._joints and source == "joint_states":
            return f"no usable {text}: {self._joints.describe_missing(p.state_timeout)}"
        return f"no {text}"

    def _check(self) -> None:
        node, motion, now = self._node, self._node.motion, time.monotonic()
        reasons = [str(death) for death in self._manager.find_dead(now)]
        deaths = self._others.find_dead(now)
        self._deaths += [(now, str(death)) for death in deaths]
        with motion.lock:
            command = motion.active
            if command is not None and command.sent:
                reasons += [str(death) for death in deaths if death.name == "policy"]
                reasons += [] if node.active else ["the arm node was deactivated"]
                silence = self._describe_silence(now)
                reasons += [silence] if silence else []
                result = None if reasons else self._check_timeouts(command, now)
                if result:
                    motion.hold()
                    motion.end(ArmState.ABORTED, result.code, result.message)
                    if result.code == ArmState.TIMEOUT:
                        reasons.append(result.message)
            if reasons:
                motion.stop("; ".join(reasons))
            elif deaths and motion.stop_reason == STOP_CALLED:  # by the manager, a moment ago
                motion.stop(self.describe_stop_call())
