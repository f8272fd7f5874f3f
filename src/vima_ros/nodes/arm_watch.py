"""What the arm node watches: its robot, the nodes above it, and who else could move the arm."""

from __future__ import annotations

import math
import time
from typing import Any

from geometry_msgs.msg import Pose as PoseMessage

from vima_msgs.msg import ArmState
from vima_ros.arm.watchdog import Watchdog
from vima_ros.geometry import Pose
from vima_ros.nodes.supervision import Supervisor

PERIOD = 0.1  # between two looks [s]
MOTION_TOPICS = {
    "arm_command": ("arm", "manager"),  # the manager's are empty: stop
    "joint_trajectory": ("arm",),
    "tool_command": ("arm",),
}


class ArmWatch:
    """Stops the arm where going on would be blind."""

    def __init__(self, node: Any) -> None:
        p = node.parameters
        self._node = node
        timeout = p.manager_timeout or math.inf
        self._manager = Supervisor(("manager",), timeout, timeout)
        self._policy = Supervisor(("policy",), timeout, timeout)
        limits = {"arm_state": p.state_timeout}
        if p.urdf:
            limits["joint_states"] = p.state_timeout
        self._robot = Watchdog(limits)
        node.follow_heartbeats(self._on_beat)
        node.every(PERIOD, self._look, clock=node.steady_clock)

    def begin(self) -> None:
        """A motion begins."""
        self._robot.begin(time.monotonic())

    def heard(self, source: str) -> None:
        """The robot has said something usable: arm_state or joint_states."""
        self._robot.heard(source, time.monotonic())

    def astray(self, tool: PoseMessage, goal: Pose) -> str:
        """A sentence where the tool is not where its motion ends; a tool of no pose is unknown."""
        q, tolerance = tool.orientation, self._node.parameters.arrival_tolerance
        if not (tolerance > 0 and any((q.x, q.y, q.z, q.w))):
            return ""
        place = (tool.position.x, tool.position.y, tool.position.z)
        off = math.dist(place, goal.position)
        if off <= tolerance:
            return ""
        where, should = ("({:.3f}, {:.3f}, {:.3f})".format(*p) for p in (place, goal.position))
        return (
            f"the robot says that it is done, and its tool is at {where} m instead of {should} m"
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

    def _on_beat(self, name: str, state: int, instance: str) -> None:
        for watched in (self._manager, self._policy):
            watched.heard(name, state, time.monotonic(), instance)

    def _check_begun(self, under_way: Any, now: float) -> None:
        """A command may get lost on its way to a robot that was not connected yet."""
        patience = self._node.parameters.start_timeout
        if not under_way.begun and 0 < patience < now - under_way.since:
            self._node.motion.hold()
            why = f"the robot has not begun within {patience:g} s"
            self._node.motion.end(ArmState.ABORTED, ArmState.NOT_STARTED, why)

    def _look(self) -> None:
        node, motion, now = self._node, self._node.motion, time.monotonic()
        reasons = self._manager.find_dead(now)
        policy_deaths = self._policy.find_dead(now)
        with motion.lock:
            under_way = motion.under_way
            if under_way is not None and under_way.sent:
                reasons += policy_deaths
                reasons += [] if node.active else ["the arm node was deactivated"]
                silence = self._robot.silent(now)
                reasons += [silence] if silence else []
                self._check_begun(under_way, now)
                overdue = node.parameters.command_timeout
                if motion.under_way and not reasons and now - under_way.since > overdue:
                    why = f"the robot did not end {under_way.request.command_id} in {overdue} s"
                    motion.hold()
                    motion.end(ArmState.ABORTED, ArmState.TIMEOUT, why)
                    reasons.append(why)
            if reasons:
                motion.stop("; ".join(reasons))
