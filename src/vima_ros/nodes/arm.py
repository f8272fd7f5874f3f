"""The arm node: policy actions through the safety gate to arm commands."""

from __future__ import annotations

import time
from collections import deque
from typing import Any

from geometry_msgs.msg import Quaternion
from std_srvs.srv import Trigger

from vima_msgs.msg import ArmCommand, ArmState, Heartbeat, PolicyAction
from vima_ros.arm.execution import Outcome
from vima_ros.arm.gate import ArmWorld, Limits, check
from vima_ros.arm.motion import MotionParameters
from vima_ros.errors import VimaError
from vima_ros.geometry import Workspace
from vima_ros.nodes import conversions, qos
from vima_ros.nodes.arm_parameters import ArmParameters
from vima_ros.nodes.base import VimaNode, run
from vima_ros.nodes.joint_arm import JointArm
from vima_ros.nodes.supervision import Supervisor

ENDED = (ArmState.SUCCEEDED, ArmState.ABORTED, ArmState.STOPPED)


class ArmNode(VimaNode):
    """An ``arm_command`` for each accepted ``action``; nothing else commands motion.

    Where the parameter urdf names the arm, ``joint_trajectory`` and ``tool_command`` carry it out,
    and the reports of the command's progress come from here.
    """

    name = "arm"
    parameters_type = ArmParameters

    def configure(self) -> None:
        """Create the handles."""
        p = self.parameters
        self._workspace = Workspace(tuple(p.workspace_low), tuple(p.workspace_high))
        self._stop_reason = ""
        self._busy_with, self._busy_since = "", 0.0
        self._last_motion_end = 0
        timeout = p.manager_timeout or float("inf")
        self._watched = Supervisor(("manager",), timeout, timeout)
        self._seen: deque[str] = deque(maxlen=1000)
        self._last = "nothing asked yet"
        self._joints = JointArm(self, self._on_outcome) if p.urdf else None
        self._commands = self.create_publisher(ArmCommand, "arm_command", qos.RELIABLE)
        self._states = self.create_publisher(ArmState, "arm_state", qos.RELIABLE)
        self.listen(PolicyAction, "action", self._on_action, qos.RELIABLE)
        self.listen(ArmState, "arm_state", self._on_arm_state, qos.RELIABLE)
        self.listen(Heartbeat, "heartbeat", self._on_beat, qos.RELIABLE)
        self.serve(Trigger, "stop", self._on_stop)
        self.serve(Trigger, "resume", self._on_resume)
        self.every(0.1, self._watch, clock=self.steady_clock)

    def _motion(self) -> MotionParameters:
        names = MotionParameters.__dataclass_fields__
        return MotionParameters(**{name: getattr(self.parameters, name) for name in names})

    def _on_action(self, message: PolicyAction) -> None:
        p = self.parameters
        world = ArmWorld(
            now=self.now_ns(),
            active=self.active,
            stopped=self._stop_reason,
            busy_with=self._busy_with,
            last_motion_end=self._last_motion_end,
            seen=self._seen,
        )
        limits = Limits(self._workspace, p.max_age, p.dry_run)
        command_id = conversions.action_id(message)
        try:
            request = conversions.request_from_message(message)
            planner = self._joints.plan if self._joints else None
            approved = check(request, world, limits, self._motion(), planner)
        except VimaError as error:
            self._report(ArmState.REFUSED, error.code, str(error), command_id)
            return
        finally:
            self._seen.append(command_id)
        command = ArmCommand(
            command_id=command_id, waypoints=conversions.waypoints_to_message(approved.waypoints)
        )
        command.header.frame_id = message.header.frame_id
        command.header.stamp = self.get_clock().now().to_msg()
        self._busy_with, self._busy_since = command_id, time.monotonic()
        self._commands.publish(command)
        self._last = f"sent {len(approved.waypoints)} waypoints for {command_id}"
        self.get_logger().info(self._last)
        if self._joints and approved.plan:
            self._joints.begin(approved.plan)
            duration = f"{approved.plan.duration:.1f} s of motion"
            self._report(ArmState.EXECUTING, ArmState.OK, duration, command_id)

    def _on_outcome(self, outcome: Outcome) -> None:
        """The joints have done what they were told, or cannot."""
        state = ArmState.SUCCEEDED if outcome.code == ArmState.OK else ArmState.ABORTED
        self._report(state, outcome.code, outcome.message or "carried out", self._busy_with)

    def _on_arm_state(self, message: ArmState) -> None:
        from_robot = message.tool_pose.orientation != Quaternion(w=0.0)  # not our own report
        if self._joints and from_robot and not message.command_id:
            self._joints.on_state(message)
        if message.command_id == self._busy_with and message.state in ENDED:
            self._busy_with = ""
            self._last_motion_end = conversions.stamp_to_ns(message.header.stamp)

    def _on_beat(self, message: Heartbeat) -> None:
        namespace, _, name = message.node.rpartition("/")
        if namespace == self.get_namespace().rstrip("/"):
            self._watched.heard(name, message.state, time.monotonic())

    def _watch(self) -> None:
        now = time.monotonic()
        if self._joints and self._busy_with and not self.active:
            self._stop("the arm node was deactivated")
        for death in self._watched.find_dead(now):
            self._stop(death)
        if self._busy_with and now - self._busy_since > self.parameters.command_timeout:
            overdue, self._busy_with = self._busy_with, ""
            reason = f"the robot did not end {overdue} in {self.parameters.command_timeout} s"
            self._stop(reason)
            self._report(ArmState.ABORTED, ArmState.TIMEOUT, reason, overdue)

    def _stop(self, reason: str) -> None:
        self._stop_reason = reason
        command = ArmCommand(command_id=self._busy_with)  # no waypoints: stop now
        command.header.stamp = self.get_clock().now().to_msg()
        self._commands.publish(command)
        if self._joints:
            self._joints.stop()
        self._report(ArmState.STOPPED, "STOPPED", reason, self._busy_with if self._joints else "")

    def _on_stop(self, request: Any, response: Any) -> Any:
        self._stop("stop was called")
        response.success, response.message = True, "stopped; call resume to go on"
        return response

    def _on_resume(self, request: Any, response: Any) -> Any:
        was, self._stop_reason = self._stop_reason, ""
        self._report(ArmState.IDLE, ArmState.RESUMED, f"resumed; had stopped: {was or 'no'}")
        response.success, response.message = True, f"was stopped because: {was or 'it was not'}"
        return response

    def _report(self, state: int, code: str, message: str, command_id: str = "") -> None:
        report = ArmState(state=state, code=code, message=message, command_id=command_id)
        report.header.stamp = self.get_clock().now().to_msg()
        report.tool_pose.orientation.w = 0.0  # unknown here
        self._states.publish(report)
        self._last = f"{code}: {message}"
        line = f"{self._last} [{command_id}]" if command_id else self._last
        if code == ArmState.OK:
            self.get_logger().info(line)
        else:
            self.get_logger().warning(line)

    def clock_jumped_back(self) -> None:
        """The end of the last motion cannot be compared with what comes."""
        self._last_motion_end = 0

    def diagnose(self) -> tuple[bool, str, dict[str, Any]]:
        """The stop, and what was last done."""
        values = {"dry_run": self.parameters.dry_run, "busy_with": self._busy_with}
        if self._joints:
            values["joints"] = self._joints.progress
        if self._stop_reason:
            return False, f"stopped: {self._stop_reason}", values
        return True, self._last, values


def main(args: list[str] | None = None) -> None:
    """``ros2 run vima_ros arm``."""
    run(ArmNode, args)
