"""What the arm node watches: its robot, the nodes above it, and who else could move the arm."""

from __future__ import annotations

import math
import time
from typing import Any

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
from vima_ros.nodes.arm.joint_driver import JointArm
from vima_ros.nodes.common import conversions

STOP_CALLED = "stop was called"
RECENT = 2.0  # the manager calls stop within this of a death [s]
PERIOD = 0.1  # between two looks [s]
MOTION_TOPICS = {
    "arm_command": ("arm", "manager"),  # the manager's are empty: stop
    "joint_trajectory": ("arm",),
    "tool_command": ("arm",),
}


class ArmWatch:
    """Stops the arm where going on would be blind."""

    def __init__(self, node: Any, joints: JointArm | None) -> None:
        """``joints``: of a robot moved by its joints."""
        p = node.parameters
        self._node, self._joints = node, joints
        self._progress, self._dwell, self._total = ProgressMonitor(), 0.0, math.inf
        timeout = p.manager_timeout or math.inf
        self._manager = Supervisor(("manager",), timeout, timeout)
        self._others = Supervisor(("policy", "perception", "prompt", "tabletop"), timeout, timeout)
        self._deaths: list[tuple[float, str]] = []  # of those, with the time of each [s]
        self._robot = SilenceDetector(["arm_state", *(["joint_states"] if joints else [])])
        self._other_frames: set[str] = set()  # of tool poses; each is logged once
        node.subscribe_heartbeats(self._on_beat)
        node.create_timer(PERIOD, self._look, clock=node.steady_clock)

    def begin(self, approved: Approved) -> None:
        """A motion begins."""
        self._robot.restart(time.monotonic())
        self._progress.begin()
        self._dwell = max(waypoint.dwell for waypoint in approved.waypoints)
        self._total = total_timeout(planned_duration(approved.waypoints, approved.plan))

    def heard(self, source: str) -> None:
        """The robot has said something usable: arm_state or joint_states."""
        self._robot.receive(source, time.monotonic())

    def in_base_frame(self, message: ArmState) -> bool:
        """Whether the robot's tool pose is in base_frame, or in a frame left empty."""
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
        """The robot's own arm_state has come."""
        self.heard("arm_state")
        tool = conversions.tool_pose_from_message(state.tool_pose)
        if tool is not None:
            self._progress.update(tool_points(tool), time.monotonic())

    def astray(self, tool: PoseMessage, goal: Pose) -> str:
        """A sentence where the tool is not where its motion ends; empty where that is unknown.

        Both in base_frame.
        """
        pose = conversions.tool_pose_from_message(tool)
        tolerance = self._node.parameters.arrival_tolerance
        if pose is None or tolerance == 0 or math.dist(pose.position, goal.position) <= tolerance:
            return ""
        where, should = (
            "({:.3f}, {:.3f}, {:.3f})".format(*p) for p in (pose.position, goal.position)
        )
        return (
            f"the robot says that it is done, and its tool is at {where} m instead of {should} m "
            f"in {self._node.parameters.base_frame}"
        )

    def other_publishers(self) -> list[str]:
        """Topic and node of each that could move the arm besides us."""
        own = self._node.get_namespace().rstrip("/")
        return sorted(
            f"{topic} by {p.node_namespace.rstrip('/')}/{p.node_name}"
            for topic, expected in MOTION_TOPICS.items()
            for p in self._node.get_publishers_info_by_topic(topic)
            if not (p.node_namespace.rstrip("/") == own and p.node_name in expected)
        )

    def stop_call(self) -> str:
        """Return the reason for a stop that was called, with the deaths that led to it."""
        recent = [s for at, s in self._deaths if time.monotonic() - at < RECENT]
        return "; ".join([STOP_CALLED, *recent])

    def _on_beat(self, name: str, state: int, instance: str) -> None:
        for watched in (self._manager, self._others):
            watched.on_heartbeat(name, state, time.monotonic(), instance)

    def _overdue(self, under_way: Any, now: float) -> ExecutionResult | None:
        """Return how a motion ends that does not begin, makes no progress or takes too long."""
        p, command_id = self._node.parameters, under_way.request.command_id
        if now - under_way.since > self._total:
            told = f"; {self._joints.describe()}" if self._joints else ""
            return ExecutionResult(
                ArmState.TIMEOUT,
                f"the robot did not end {command_id} within {self._total:.0f} s, "
                f"{TOTAL_TIMEOUT_FACTOR:g} times its planned duration{told}",
            )
        if self._joints:
            return self._joints.overdue()
        if not under_way.begun:  # it may have got lost on its way to a robot not connected yet
            if not 0 < p.start_timeout < now - under_way.since:
                return None
            topic = self._node.resolve_topic_name("arm_command")
            return ExecutionResult(
                ArmState.NOT_STARTED,
                f"the robot did not report {command_id} as EXECUTING within {p.start_timeout:g} s "
                f"of its command on {topic} (subscribers: {self._node.count_subscribers(topic)})",
            )
        if 0 < p.progress_timeout < self._progress.idle_time - self._dwell:
            return ExecutionResult(
                ArmState.TIMEOUT,
                f"no progress: by its tool_pose the tool has not moved by 1 mm for "
                f"{self._progress.idle_time:.1f} s, and the robot did not end {command_id}",
            )
        return None

    def _silence(self, now: float) -> str:
        """Return a sentence where the robot has been silent too long, else nothing."""
        silent = self._robot.find_silent(now, self._node.parameters.state_timeout)
        if silent is None:
            return ""
        source, seconds = silent
        p = self._node.parameters
        told = (
            f"{source} for {seconds:.1f} s while the arm moved (state_timeout "
            f"{p.state_timeout} s, a parameter of the robot's file)"
        )
        if self._joints and source == "joint_states":
            return f"no usable {told}: {self._joints.lacking(p.state_timeout)}"
        return f"no {told}"

    def _look(self) -> None:
        node, motion, now = self._node, self._node.motion, time.monotonic()
        reasons = self._manager.find_dead(now)
        deaths = self._others.find_dead(now)
        self._deaths += [(now, sentence) for sentence in deaths]
        with motion.lock:
            under_way = motion.under_way
            if under_way is not None and under_way.sent:
                reasons += [sentence for sentence in deaths if sentence.startswith("policy ")]
                reasons += [] if node.active else ["the arm node was deactivated"]
                silence = self._silence(now)
                reasons += [silence] if silence else []
                outcome = None if reasons else self._overdue(under_way, now)
                if outcome:
                    motion.hold()
                    motion.end(ArmState.ABORTED, outcome.code, outcome.message)
                    if outcome.code == ArmState.TIMEOUT:
                        reasons.append(outcome.message)
            if reasons:
                motion.stop("; ".join(reasons))
            elif deaths and motion.stop_reason == STOP_CALLED:  # by the manager, a moment ago
                motion.stop(self.stop_call())
