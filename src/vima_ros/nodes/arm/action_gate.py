"""Actions through the safety gate to commands."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import replace

from vima_msgs.msg import PolicyAction
from vima_ros.arm.safety_gate import Approved, ArmContext, Limits, Request, check
from vima_ros.errors import VimaError
from vima_ros.nodes.arm.joint_driver import JointDriver
from vima_ros.nodes.arm.motion_control import MotionControl
from vima_ros.nodes.arm.motion_reports import MotionReports
from vima_ros.nodes.arm.motion_state import ActiveCommand
from vima_ros.nodes.arm.parameters import ArmParameters
from vima_ros.nodes.common import action_conversions, qos
from vima_ros.nodes.common.base_frame import Frames
from vima_ros.nodes.common.lifecycle_node import VimaNode


class ActionGate:
    """Subscriber to ``action`` that has each accepted one sent as a command.

    ``joints``: planner of a robot that is moved by its joints.
    """

    def __init__(
        self,
        node: VimaNode[ArmParameters],
        frames: Frames,
        limits: Limits,
        motion: MotionControl,
        reports: MotionReports,
        joints: JointDriver | None,
    ) -> None:
        self._node, self._frames, self._limits = node, frames, limits
        self._motion, self._reports, self._joints = motion, reports, joints
        self._used_command_ids: deque[str] = deque(maxlen=1000)
        node.create_subscription(PolicyAction, "action", self._on_action, qos.RELIABLE)

    def _on_action(self, message: PolicyAction) -> None:
        command_id, began = action_conversions.action_id(message), time.perf_counter()
        try:
            request = action_conversions.request_from_message(message, self._frames)
            stops = self._motion.snapshot().stops
            context = replace(self._motion.context(), used_command_ids=self._used_command_ids)
            approved = self._check(request, context, self._limits)
            planning = time.perf_counter() - began
            age = (self._node.now_ns() - request.observation_stamp) / 1e9
            self._node.statistics.record_result({"age of observation": age, "gate": planning})
            self._motion.accept(request, approved, planning, stops)
        except VimaError as error:
            self._reports.refuse(error, command_id)
        finally:
            self._used_command_ids.append(command_id)

    def on_confirmed(self, command: ActiveCommand) -> None:
        """Check a confirmed command again, except for the age of its observation, and send it."""
        context = replace(self._motion.context(), busy_with="")
        limits = replace(self._limits, max_age=float("inf"))
        try:
            approved = self._check(command.request, context, limits)
            self._motion.send(command.command_id, approved)
        except VimaError as error:
            self._motion.discard(command.command_id, error)

    def _check(self, request: Request, context: ArmContext, limits: Limits) -> Approved:
        planner = None
        if self._joints:
            planner = self._joints.plan
            context = replace(context, no_controller=self._joints.no_controller())
        motion_parameters = self._node.parameters.motion_parameters()
        return check(request, context, limits, motion_parameters, planner)
