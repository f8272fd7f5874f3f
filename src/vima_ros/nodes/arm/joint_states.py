"""Measured state of the joints, from the topic joint_states."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from sensor_msgs.msg import JointState

from vima_ros.arm.joint_feedback import MAX_AGE, JointFeedback
from vima_ros.arm.kinematics import ArmModel
from vima_ros.arm.plan_execution import MeasuredState
from vima_ros.nodes.common import conversions, qos

if TYPE_CHECKING:
    from vima_ros.nodes.arm.node import ArmNode

WARNING_PERIOD = 5.0  # of the log while joint_states lacks a joint [s]


class JointStateSubscriber:
    """Subscriber to ``joint_states`` that keeps the latest state of the arm's joints.

    ``on_state``: called with the clock of the reports [s] and the state, once for each report of
    all joints. ``contact`` and ``holding`` of the state are those last reported in ``arm_state``.
    """

    def __init__(
        self, node: ArmNode, model: ArmModel, on_state: Callable[[float, MeasuredState], None]
    ) -> None:
        self._node, self._on_state = node, on_state
        self._feedback = JointFeedback(model.joint_names, model.continuous)
        self.state: MeasuredState | None = None
        self.holding = self.contact = False
        self._received = self._warned = time.monotonic()
        self._derives_velocities = False
        node.create_subscription(JointState, "joint_states", self._on_joints, qos.SENSOR_DATA)

    @property
    def age(self) -> float:
        """Time since the last report of all joints [s]."""
        return time.monotonic() - self._received

    @property
    def fastest_joint(self) -> tuple[str, float]:
        """Name of the fastest joint and its speed [rad/s]."""
        return self._feedback.fastest_joint

    def describe_missing(self, max_age: float = MAX_AGE) -> str:
        """Describe the joints that joint_states lacks, or reported ``max_age`` [s] ago."""
        return self._feedback.describe_missing(time.monotonic(), max_age)

    def _on_joints(self, message: JointState) -> None:
        now, feedback = time.monotonic(), self._feedback
        stamp = conversions.stamp_to_ns(message.header.stamp) / 1e9
        if not feedback.add(message.name, message.position, message.velocity, stamp, now):
            self._warn_of_missing(now)
            return
        if feedback.derives_velocities and not self._derives_velocities:
            self._derives_velocities = True
            self._node.get_logger().info(
                "joint_states has no velocities, or none that are finite: derived from positions"
            )
        self.state = MeasuredState(
            feedback.positions, feedback.velocities, self.contact, self.holding
        )
        self._received = now
        self._on_state(feedback.time, self.state)

    def _warn_of_missing(self, now: float) -> None:
        """Warn occasionally: a message of some joints only, as of a gripper, is no fault."""
        if now - max(self._received, self._warned) > WARNING_PERIOD:
            self._warned = now
            self._node.get_logger().warning(
                f"joint_states is not usable: {self.describe_missing()}"
            )
