"""The arm node: policy actions through the safety gate to arm commands."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import replace
from typing import Any

from rclpy.duration import Duration
from rclpy.lifecycle import LifecycleState, TransitionCallbackReturn

from vima_msgs.msg import ArmCommand, ArmState, PolicyAction
from vima_ros.arm.plan_execution import ExecutionResult
from vima_ros.arm.safety_gate import Approved, ArmContext, Request, check, check_readiness
from vima_ros.errors import VimaError
from vima_ros.nodes.arm.active_command import Motion, UnderWay
from vima_ros.nodes.arm.confirmation import Confirmer
from vima_ros.nodes.arm.joint_driver import JointArm
from vima_ros.nodes.arm.parameters import ArmParameters
from vima_ros.nodes.arm.stop_services import ArmServices
from vima_ros.nodes.arm.watchdog import ArmWatch
from vima_ros.nodes.common import conversions, parameter_files, qos
from vima_ros.nodes.common.base_frame import Frames
from vima_ros.nodes.common.lifecycle_node import VimaNode
from vima_ros.nodes.common.main import run

ENDED = (ArmState.SUCCEEDED, ArmState.ABORTED, ArmState.STOPPED)
ACKNOWLEDGE_TIMEOUT = 0.1  # for subscribers to have received a hold, before the node ends [s]


class ArmNode(VimaNode):
    """An ``arm_command`` for each accepted ``action``; nothing else commands motion.

    Where the parameter urdf names the arm, ``joint_trajectory`` and ``tool_command`` carry it out.
    What became of a command is said here, on ``arm_state`` with ``judged`` true, and nowhere else.
    ``stop`` and ``cancel_motion`` have a thread of their own, so that no planning keeps them
    waiting: whatever ends or sends motion holds the lock of ``motion``.
    """

    name = "arm"
    parameters_type = ArmParameters
    motion: Motion | None = None
    _enders: ArmServices | None = None

    def configure(self) -> None:
        """Create the handles."""
        self._used_command_ids: deque[str] = deque(maxlen=1000)
        p = self.parameters
        self.frames = Frames(p)
        stopped = self.motion.stop_reason if self.motion else ""  # a cleanup is no resume
        self.motion = Motion(self, self._hold_joints, self._nothing_waits, stopped)
        self._joints = None
        if p.urdf:
            self._joints = JointArm(
                self, self._on_outcome, lambda: self._watch.heard("joint_states")
            )
        self._limits = p.limits(
            self._joints.range if self._joints else None, self.frames.table_from_base.translation
        )
        self._confirmer = (
            Confirmer(self, p.confirmation_timeout) if p.require_confirmation else None
        )
        self._watch = ArmWatch(self, self._joints)
        self.create_subscription(PolicyAction, "action", self._on_action, qos.RELIABLE)
        self.create_subscription(ArmState, "arm_state", self._on_arm_state, qos.RELIABLE)
        self._enders = ArmServices(self)

    def after_activate(self) -> None:
        """Log what limits motion from now on."""
        origin = ", ".join(parameter_files.sources(self)) or "config/arm.yaml alone"
        limits = self.parameters.describe_limits(self._limits)
        self.get_logger().info(f"limits in force (from {origin}): {limits}")

    # --- from an action to motion

    def _arm_context(self) -> ArmContext:
        return ArmContext(
            now=self.now_ns(),
            active=self.active and not self.ending,
            stop_reason=self.motion.stop_reason,
            busy_with=self.motion.command_id,
            last_motion_end=self.motion.last_end,
            used_command_ids=self._used_command_ids,
            cancelled_prompt_ids=self.motion.cancelled_prompt_ids,
            no_controller=self._joints.no_controller() if self._joints else "",
        )

    def _on_action(self, message: PolicyAction) -> None:
        command_id, began = conversions.action_id(message), time.perf_counter()
        try:
            request = conversions.request_from_message(message, self.frames)
            approved = self._judge(request, self._arm_context(), self._limits)
        except VimaError as error:
            self.motion.refuse(error, command_id)
            return
        finally:
            self._used_command_ids.append(command_id)
        planning = time.perf_counter() - began
        age = (self.now_ns() - request.observation_stamp) / 1e9
        self.statistics.record_result({"age of observation": age, "gate": planning})
        under_way = UnderWay(request, approved, time.monotonic(), planning)
        with self.motion.lock:
            self.motion.under_way = under_way
            if self._confirmer:
                self._confirmer.ask(request, approved.waypoints)
            else:
                self._send(under_way)

    def _judge(self, request: Request, context: ArmContext, limits: Any) -> Approved:
        planner = self._joints.plan if self._joints else None
        return check(request, context, limits, self.parameters.motion_parameters(), planner)

    def confirmed(self, under_way: UnderWay) -> None:
        """A person said yes: judge again, but for the observation's age, and send it."""
        context = replace(self._arm_context(), busy_with="", used_command_ids=())
        try:
            limits = replace(self._limits, max_age=float("inf"))
            approved = self._judge(under_way.request, context, limits)
        except VimaError as error:
            self.motion.drop(error)
            return
        with self.motion.lock:
            if self.motion.under_way is under_way:
                under_way.approved = approved
                self._send(under_way)

    def _send(self, under_way: UnderWay) -> None:
        """Let it leave, unless it was stopped or cancelled since it was judged; under the lock."""
        request, approved = under_way.request, under_way.approved
        try:
            check_readiness(
                request, replace(self._arm_context(), busy_with="", used_command_ids=())
            )
        except VimaError as error:
            self.motion.drop(error)
            return
        under_way.sent, under_way.since = True, time.monotonic()
        self._watch.begin(approved)
        command = ArmCommand(
            command_id=request.command_id,
            planning_time=under_way.planning_time,
            waypoints=conversions.waypoints_to_message(
                self.frames.waypoints_to_base(approved.waypoints)
            ),
        )
        command.header.frame_id = self.frames.base
        self.motion.publish(command)
        told = f"{len(approved.waypoints)} waypoints"
        if self._joints and approved.plan:
            under_way.begun = True
            self._joints.begin(approved.plan)
            told += f", {approved.plan.duration:.1f} s of motion"
        self.motion.report(ArmState.EXECUTING, ArmState.OK, told, request.command_id)

    def _hold_joints(self) -> None:
        if self._joints:
            self._joints.stop()

    def _nothing_waits(self) -> None:
        if self._confirmer:
            self._confirmer.clear()

    # --- what the robot says

    def _on_outcome(self, outcome: ExecutionResult) -> None:
        """The joints have done what they were told, or cannot."""
        state = ArmState.SUCCEEDED if outcome.code == ArmState.OK else ArmState.ABORTED
        self.motion.end(state, outcome.code, outcome.message or "carried out")

    def _on_arm_state(self, message: ArmState) -> None:
        if message.judged:
            return  # our own
        self._watch.on_state(message)
        if self._joints:
            self._joints.on_state(message)
            return
        under_way = self.motion.under_way
        if under_way is not None and message.command_id == under_way.request.command_id:
            under_way.begun = True
            if message.state in ENDED:
                self._robot_ended(message, under_way)

    def _robot_ended(self, message: ArmState, under_way: UnderWay) -> None:
        """A robot that is given waypoints says that it is done with them."""
        if message.state == ArmState.STOPPED:
            self.motion.stop(f"the robot has stopped: {message.message}")
            return
        astray, since = "", conversions.since_ns(message)
        if message.state == ArmState.SUCCEEDED and self._watch.in_base_frame(message):
            goal = self.frames.base_from_table.apply_to_pose(under_way.approved.waypoints[-1].pose)
            astray = self._watch.astray(message.tool_pose, goal)
        if astray:
            with self.motion.lock:  # else a resume could come between
                self.motion.end(ArmState.ABORTED, ArmState.NOT_MOVED, astray, since)
                self.motion.stop(astray)
        else:
            code = message.code or ArmState.OK
            self.motion.end(message.state, code, message.message, since)

    # --- ends of all kinds: the robot holds first

    def hold(self, reason: str) -> None:
        """Hold what is under way, and wait until the robot has received that."""
        if self._configured:
            self.motion.hold_for_good(reason)
            publishers = [self.motion.publisher]
            publishers += [self._joints.publisher] if self._joints else []
            for publisher in publishers:
                publisher.wait_for_all_acked(Duration(seconds=ACKNOWLEDGE_TIMEOUT))

    def stop_reason(self) -> str:
        """Return why stop is called now, for whom it concerns later."""
        return self._watch.stop_call()

    def on_callback_error(self) -> None:
        """Hold: what the motion under way was to be followed by is not known any more."""
        if self._configured and self.motion.under_way is not None:
            self.motion.stop("unexpected error in the arm node, see its log")

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Hold what is under way, then stop acting."""
        self._hold_in_transition("deactivated")
        return super().on_deactivate(state)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Hold what is under way, then end for good."""
        self._hold_in_transition("shut down")
        return super().on_shutdown(state)

    def _hold_in_transition(self, how: str) -> None:
        if self._configured and self.motion.under_way is not None:
            self.motion.stop(f"the arm node was {how}")

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Destroy what configure created."""
        self._close_services()
        return super().on_cleanup(state)

    def end(self) -> None:
        """End what has a thread of its own."""
        self._close_services()
        super().end()

    def _close_services(self) -> None:
        """Also of a node that was shut down by its lifecycle, whose handles live until its end."""
        services, self._enders = self._enders, None
        if services is not None:
            services.close()

    def on_clock_jump_back(self) -> None:
        """The end of the last motion cannot be compared with what comes."""
        self.motion.last_end = 0

    def diagnose(self) -> tuple[bool, str, dict[str, Any]]:
        """The stop, what was last done, and who else could move the arm."""
        p, others = self.parameters, self._watch.other_publishers()
        values = {
            "dry_run": p.dry_run,
            "require_confirmation": p.require_confirmation,
            "limits": self._limits.to_dict(),
        }
        values["busy_with"] = self.motion.command_id
        if self._joints:
            values["joints"] = self._joints.progress
        if others:
            return False, f"others publish motion: {', '.join(others)}", values
        if self.motion.stop_reason:
            return False, f"stopped: {self.motion.stop_reason}", values
        return True, self.motion.said, values


def main(args: list[str] | None = None) -> None:
    """``ros2 run vima_ros arm``."""
    run(ArmNode, args)
