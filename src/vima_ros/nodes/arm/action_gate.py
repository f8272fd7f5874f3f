"""Actions through the safety gate to commands."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from vima_msgs.msg import ArmCommand, ArmState, PolicyAction
from vima_ros.arm.safety_gate import (
    Approved,
    ArmContext,
    Limits,
    Request,
    check,
    check_readiness,
)
from vima_ros.errors import VimaError
from vima_ros.nodes.arm.confirmation import ConfirmationServer
from vima_ros.nodes.arm.joint_driver import JointDriver
from vima_ros.nodes.arm.motion_control import ActiveCommand
from vima_ros.nodes.common import action_conversions, qos

if TYPE_CHECKING:
    from vima_ros.nodes.arm.node import ArmNode


class ActionGate:
    """Subscriber to ``action`` that sends each accepted one as a command.

    ``joints``: driver of a robot that is moved by its joints; ``confirmation``: None if motions
    need none; ``begin``: called with each motion when it is sent.
    """

    def __init__(
        self,
        node: ArmNode,
        limits: Limits,
        joints: JointDriver | None,
        confirmation: ConfirmationServer | None,
        begin: Callable[[Approved], None],
    ) -> None:
        self._node, self._limits, self._joints = node, limits, joints
        self._confirmation, self._begin = confirmation, begin
        self._used_command_ids: deque[str] = deque(maxlen=1000)
        node.create_subscription(PolicyAction, "action", self._on_action, qos.RELIABLE)

    def _context(self, *, own: bool = False) -> ArmContext:
        """Return the state of the arm; ``own``: for the active command itself."""
        node, motion = self._node, self._node.motion
        return ArmContext(
            now=node.now_ns(),
            active=node.active and not node.ending,
            stop_reason=motion.stop_reason,
            busy_with="" if own else motion.command_id,
            last_motion_end=motion.last_motion_end,
            used_command_ids=() if own else self._used_command_ids,
            cancelled_prompt_ids=motion.cancelled_prompt_ids,
            no_controller=self._joints.no_controller() if self._joints else "",
        )

    def _on_action(self, message: PolicyAction) -> None:
        motion = self._node.motion
        command_id, began = action_conversions.action_id(message), time.perf_counter()
        try:
            request = action_conversions.request_from_message(message, self._node.frames)
            approved = self._check(request, self._context(), self._limits)
        except VimaError as error:
            motion.refuse(error, command_id)
            return
        finally:
            self._used_command_ids.append(command_id)
        planning = time.perf_counter() - began
        age = (self._node.now_ns() - request.observation_stamp) / 1e9
        self._node.statistics.record_result({"age of observation": age, "gate": planning})
        command = ActiveCommand(request, approved, time.monotonic(), planning)
        with motion.lock:
            motion.active = command
            if self._confirmation:
                self._confirmation.request(request, approved.waypoints)
            else:
                self._send(command)

    def _check(self, request: Request, context: ArmContext, limits: Limits) -> Approved:
        planner = self._joints.plan if self._joints else None
        return check(request, context, limits, self._node.parameters.motion_parameters(), planner)

    def on_confirmed(self, command: ActiveCommand) -> None:
        """Check a confirmed command again, except for the age of its observation, and send it."""
        motion = self._node.motion
        try:
            limits = replace(self._limits, max_age=float("inf"))
            approved = self._check(command.request, self._context(own=True), limits)
        except VimaError as error:
            motion.discard(error)
            return
        with motion.lock:
            if motion.active is command:
                command.approved = approved
                self._send(command)

    def _send(self, command: ActiveCommand) -> None:
        """Send a command unless it was stopped or cancelled since its check; under the lock."""
        node, motion = self._node, self._node.motion
        request, approved = command.request, command.approved
        try:
            check_readiness(request, self._context(own=True))
        except VimaError as error:
            motion.discard(error)
            return
        command.sent, command.since = True, time.monotonic()
        self._begin(approved)
        message = ArmCommand(
            command_id=request.command_id,
            planning_time=command.planning_time,
            waypoints=action_conversions.waypoints_to_message(
                node.frames.waypoints_to_base(approved.waypoints)
            ),
        )
        message.header.frame_id = node.frames.base
        motion.publish(message)
        text = f"{len(approved.waypoints)} waypoints"
        if self._joints and approved.plan:
            command.started = True
            self._joints.begin(approved.plan)
            text += f", {approved.plan.duration:.1f} s of motion"
        motion.report(ArmState.EXECUTING, ArmState.OK, text, request.command_id)
