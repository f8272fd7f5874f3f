"""The arm node: policy actions through the safety gate to arm commands."""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import dataclass, replace
from typing import Any

from vima_msgs.msg import ArmCommand, ArmState, PolicyAction
from vima_ros.arm.execution import Outcome
from vima_ros.arm.gate import Approved, ArmWorld, Request, check, check_readiness
from vima_ros.errors import VimaError
from vima_ros.nodes import conversions, qos
from vima_ros.nodes.arm_confirm import Confirmer
from vima_ros.nodes.arm_parameters import ArmParameters
from vima_ros.nodes.arm_services import ArmServices
from vima_ros.nodes.arm_watch import ArmWatch
from vima_ros.nodes.base import VimaNode, run
from vima_ros.nodes.joint_arm import JointArm

ENDED = (ArmState.SUCCEEDED, ArmState.ABORTED, ArmState.STOPPED)


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


class ArmNode(VimaNode):
    """An ``arm_command`` for each accepted ``action``; nothing else commands motion.

    Where the parameter urdf names the arm, ``joint_trajectory`` and ``tool_command`` carry it out.
    What became of a command is said here, on ``arm_state`` with ``judged`` true, and nowhere else.
    ``stop`` and ``cancel_motion`` have a thread of their own, so that no planning keeps them
    waiting: whatever ends or sends motion holds ``lock``.
    """

    name = "arm"
    parameters_type = ArmParameters

    def configure(self) -> None:
        """Create the handles."""
        self.lock = threading.RLock()
        self.stop_reason = ""
        self.under_way: UnderWay | None = None
        self.cancelled: deque[str] = deque(maxlen=1000)  # prompts that may move no more
        self._seen: deque[str] = deque(maxlen=1000)
        self._last_motion_end = 0
        self._last = "nothing asked yet"
        p = self.parameters
        self._joints = None
        if p.urdf:
            self._joints = JointArm(
                self, self._on_outcome, lambda: self._watch.heard("joint_states")
            )
        self._limits = p.limits(self._joints.range if self._joints else None)
        self._commands = self.create_publisher(ArmCommand, "arm_command", qos.RELIABLE)
        self._states = self.create_publisher(ArmState, "arm_state", qos.RELIABLE)
        self._confirmer = Confirmer(self, p.confirm_timeout) if p.confirm else None
        self._watch = ArmWatch(self)
        self._enders = ArmServices(self)
        self.listen(PolicyAction, "action", self._on_action, qos.RELIABLE)
        self.listen(ArmState, "arm_state", self._on_arm_state, qos.RELIABLE)

    # --- from an action to motion

    def _world(self) -> ArmWorld:
        return ArmWorld(
            now=self.now_ns(),
            active=self.active,
            stopped=self.stop_reason,
            busy_with=self.under_way.request.command_id if self.under_way else "",
            last_motion_end=self._last_motion_end,
            seen=self._seen,
            cancelled=self.cancelled,
        )

    def _on_action(self, message: PolicyAction) -> None:
        command_id, began = conversions.action_id(message), time.perf_counter()
        try:
            request = conversions.request_from_message(message, self.parameters.base_frame)
            approved = self._judge(request, self._world(), self._limits)
        except VimaError as error:
            self.refuse(error, command_id)
            return
        finally:
            self._seen.append(command_id)
        planning = time.perf_counter() - began
        age = (self.now_ns() - request.observation_stamp) / 1e9
        self.meter.worked({"age of observation": age, "gate": planning})
        with self.lock:
            self.under_way = UnderWay(request, approved, time.monotonic(), planning)
            if self._confirmer:
                self._confirmer.ask(request, approved.waypoints)
            else:
                self._send(self.under_way)

    def _judge(self, request: Request, world: ArmWorld, limits: Any) -> Approved:
        planner = self._joints.plan if self._joints else None
        return check(request, world, limits, self.parameters.motion(), planner)

    def confirmed(self, under_way: UnderWay) -> None:
        """A person said yes: judge again, but for the observation's age, and send it."""
        world = replace(self._world(), busy_with="", seen=())
        try:
            limits = replace(self._limits, max_age=float("inf"))
            approved = self._judge(under_way.request, world, limits)
        except VimaError as error:
            self.drop(error)
            return
        with self.lock:
            if self.under_way is under_way:
                under_way.approved = approved
                self._send(under_way)

    def _send(self, under_way: UnderWay) -> None:
        """Let it leave, unless it was stopped or cancelled since it was judged; under the lock."""
        request, approved = under_way.request, under_way.approved
        try:
            check_readiness(request, replace(self._world(), busy_with="", seen=()))
        except VimaError as error:
            self.drop(error)
            return
        under_way.sent, under_way.since = True, time.monotonic()
        self._watch.begin()
        command = ArmCommand(
            command_id=request.command_id,
            planning_time=under_way.planning_time,
            waypoints=conversions.waypoints_to_message(approved.waypoints),
        )
        command.header.frame_id = self.parameters.base_frame
        command.header.stamp = self.get_clock().now().to_msg()
        self._commands.publish(command)
        told = f"{len(approved.waypoints)} waypoints"
        if self._joints and approved.plan:
            under_way.begun = True
            self._joints.begin(approved.plan)
            told += f", {approved.plan.duration:.1f} s of motion"
        self._report(ArmState.EXECUTING, ArmState.OK, told, request.command_id)

    # --- what ends it

    def drop(self, error: VimaError) -> None:
        """What waits for a person's yes does not come to pass."""
        with self.lock:
            under_way, self.under_way = self.under_way, None
            if self._confirmer:
                self._confirmer.clear()
            if under_way is not None:
                self.refuse(error, under_way.request.command_id)

    def refuse(self, error: VimaError, command_id: str) -> None:
        """Say why an action did not become motion."""
        self.meter.refused(error.code, str(error))
        self._report(ArmState.REFUSED, error.code, str(error), command_id)

    def end_motion(self, state: int, code: str, message: str, stamp: Any = None) -> None:
        """The command under way has ended at ``stamp`` (now where there is none)."""
        with self.lock:
            under_way, self.under_way = self.under_way, None
            now = self.now_ns()
            at = min(conversions.stamp_to_ns(stamp), now) if stamp else now
            self._last_motion_end = at
            if under_way is not None:
                self._report(state, code, message, under_way.request.command_id, at)

    def hold(self) -> None:
        """Have the robot stay where it is; a command without waypoints means stop now."""
        with self.lock:
            command = ArmCommand()
            command.command_id = self.under_way.request.command_id if self.under_way else ""
            command.header.stamp = self.get_clock().now().to_msg()
            self._commands.publish(command)
            if self._joints:
                self._joints.stop()

    def stop(self, reason: str) -> None:
        """Hold, and let nothing pass until resume."""
        with self.lock:
            self.stop_reason = reason
            self.hold()
            command_id = self.under_way.request.command_id if self.under_way else ""
            if self.under_way is not None:
                self.under_way, self._last_motion_end = None, self.now_ns()
            if self._confirmer:
                self._confirmer.clear()
            self._report(ArmState.STOPPED, "STOPPED", reason, command_id)

    def resume(self) -> str:
        """Lift the stop; why it was stopped."""
        with self.lock:
            was, self.stop_reason = self.stop_reason, ""
            self._report(ArmState.IDLE, ArmState.RESUMED, f"resumed; had stopped: {was or 'no'}")
            return was

    def _on_outcome(self, outcome: Outcome) -> None:
        """The joints have done what they were told, or cannot."""
        state = ArmState.SUCCEEDED if outcome.code == ArmState.OK else ArmState.ABORTED
        self.end_motion(state, outcome.code, outcome.message or "carried out")

    def _on_arm_state(self, message: ArmState) -> None:
        if message.judged:
            return  # our own
        self._watch.heard("arm_state")
        if self._joints:
            self._joints.on_state(message)
            return
        command_id = self.under_way.request.command_id if self.under_way else ""
        if self.under_way and command_id and message.command_id == command_id:
            self.under_way.begun = True
            if message.state in ENDED:
                self._robot_ended(message)

    def _robot_ended(self, message: ArmState) -> None:
        """A robot that is given waypoints says that it is done with them."""
        if message.state == ArmState.STOPPED:
            self.stop(f"the robot has stopped: {message.message}")
            return
        astray = ""
        if message.state == ArmState.SUCCEEDED and self.under_way is not None:
            goal = self.under_way.approved.waypoints[-1].pose
            astray = self._watch.astray(message.tool_pose, goal)
        if astray:
            self.end_motion(ArmState.ABORTED, ArmState.NOT_MOVED, astray, message.header.stamp)
            self.stop(astray)
        else:
            code = message.code or ArmState.OK
            self.end_motion(message.state, code, message.message, message.header.stamp)

    def _report(
        self, state: int, code: str, message: str, command_id: str = "", stamp: int | None = None
    ) -> None:
        report = ArmState(state=state, code=code, message=message, command_id=command_id)
        report.header.stamp = conversions.ns_to_stamp(self.now_ns() if stamp is None else stamp)
        report.tool_pose.orientation.w = 0.0  # unknown here
        report.judged = True
        self._states.publish(report)
        self._last = f"{code}: {message}"
        line = f"{self._last} [{command_id}]" if command_id else self._last
        if code in (ArmState.OK, ArmState.RESUMED):
            self.get_logger().info(line)
        else:
            self.get_logger().warning(line)

    def clock_jumped_back(self) -> None:
        """The end of the last motion cannot be compared with what comes."""
        self._last_motion_end = 0

    def diagnose(self) -> tuple[bool, str, dict[str, Any]]:
        """The stop, what was last done, and who else could move the arm."""
        p, others = self.parameters, self._watch.other_publishers()
        values = {"dry_run": p.dry_run, "confirm": p.confirm, "limits": self._limits.told()}
        values["busy_with"] = self.under_way.request.command_id if self.under_way else ""
        if self._joints:
            values["joints"] = self._joints.progress
        if others:
            return False, f"others publish motion: {', '.join(others)}", values
        if self.stop_reason:
            return False, f"stopped: {self.stop_reason}", values
        return True, self._last, values


def main(args: list[str] | None = None) -> None:
    """``ros2 run vima_ros arm``."""
    run(ArmNode, args, threads=2)
