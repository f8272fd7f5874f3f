"""Measured state of the joints, from the topic joint_states."""

from __future__ import annotations

import time
from dataclasses import dataclass

from rclpy.node import Node
from sensor_msgs.msg import JointState

from vima_ros.arm.joint_feedback import MAX_AGE, JointFeedback
from vima_ros.arm.kinematics import ArmModel
from vima_ros.arm.plan_execution import MeasuredState
from vima_ros.nodes.common import conversions

WARNING_PERIOD = 5.0  # of the log while joint_states lacks a joint [s]


@dataclass(frozen=True)
class JointReading:
    """Report of all joints.

    ``time``: on the clock of the reports [s]; ``received``: on the steady clock [s].
    """

    time: float
    received: float
    state: MeasuredState

    @property
    def age(self) -> float:
        """Time since it was received [s]."""
        return time.monotonic() - self.received


class JointStates:
    """Latest state of the arm's joints. ``node`` logs what joint_states lacks.

    ``reading``: the last report of all joints, replaced as a whole, so that any thread may read
    it. ``contact`` and ``holding`` of its state are those last reported in ``arm_state``.
    """

    def __init__(self, node: Node, model: ArmModel) -> None:
        self._node = node
        self._feedback = JointFeedback(model.joint_names, model.continuous)
        self.reading: JointReading | None = None
        self.holding = self.contact = False
        self._received = self._warned = time.monotonic()
        self._derives_velocities = False

    def add(self, message: JointState) -> bool:
        """Process a message; return True if it completes a report of all joints."""
        now, feedback = time.monotonic(), self._feedback
        stamp = conversions.stamp_to_ns(message.header.stamp) / 1e9
        if not feedback.add(message.name, message.position, message.velocity, stamp, now):
            self._warn_of_missing(now)
            return False
        if feedback.derives_velocities and not self._derives_velocities:
            self._derives_velocities = True
            self._node.get_logger().info(
                "joint_states has no velocities, or none that are finite: derived from positions"
            )
        state = MeasuredState(feedback.positions, feedback.velocities, self.contact, self.holding)
        self.reading, self._received = JointReading(feedback.time, now, state), now
        return True

    @property
    def fastest_joint(self) -> tuple[str, float]:
        """Name of the fastest joint and its speed [rad/s]."""
        return self._feedback.fastest_joint

    def describe_missing(self, max_age: float = MAX_AGE) -> str:
        """Describe the joints that joint_states lacks, or reported ``max_age`` [s] ago."""
        return self._feedback.describe_missing(time.monotonic(), max_age)

    def _warn_of_missing(self, now: float) -> None:
        """Warn occasionally: a message of some joints only, as of a gripper, is no fault."""
        if now - max(self._received, self._warned) > WARNING_PERIOD:
            self._warned = now
            self._node.get_logger().warning(
                f"joint_states is not usable: {self.describe_missing()}"
            )
