"""The robot's joints, as the arm node sees them: trajectories out, states in."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from sensor_msgs.msg import JointState
from trajectory_msgs.msg import JointTrajectory

from vima_msgs.msg import ArmState, ToolCommand
from vima_ros.arm.joint_feedback import MAX_AGE, JointFeedback
from vima_ros.arm.kinematics import ArmModel
from vima_ros.arm.plan_execution import (
    GOAL_TOLERANCE,
    REST_VELOCITY,
    ControllerCommand,
    ExecutionResult,
    MeasuredState,
    PlanExecution,
)
from vima_ros.arm.primitives import Waypoint
from vima_ros.arm.progress import ProgressMonitor
from vima_ros.arm.safety_gate import JointBounds
from vima_ros.arm.time_parameterization import JointLimits
from vima_ros.arm.trajectory_planning import JointPlan, plan_trajectory
from vima_ros.errors import GateCode, VimaError
from vima_ros.nodes.common import conversions, qos
from vima_ros.paths import config_path

STOP_TIME = 0.2  # the robot may take so long to come to rest [s]
WARNING_PERIOD = 5.0  # joint_states that lack a joint are logged this often [s]
AS_COMMANDED = 0.02  # joints this near to where they were sent are where they were sent [rad]


class JointArm:
    """Plans from where the joints are, and has the robot follow.

    ``ended`` is told the outcome, ``heard`` is called for all usable joint_states.
    """

    def __init__(
        self, node: Any, ended: Callable[[ExecutionResult], None], heard: Callable[[], None]
    ) -> None:
        """Handles on ``node``; raises VimaError (NOT_INSTALLED, BAD_ROBOT)."""
        p = node.parameters
        path = Path(p.urdf) if "/" in p.urdf else config_path(f"robots/{p.urdf}")
        if not path.is_file():
            raise VimaError(
                "BAD_ROBOT",
                f"urdf is {p.urdf!r}, and there is no file {path}; valid: an absolute path, or "
                "the name of a file in config/robots of the installed package",
            )
        self._model = ArmModel.from_urdf(
            path,
            p.tip_frame,
            p.home_joint_positions,
            p.tool_length,
            node.frames.base_from_table,
            node.frames.base,
        )
        for warning in self._model.warnings:
            node.get_logger().warning(warning)
        self._limits, self._node, self._ended = JointLimits(p.max_joint_acceleration), node, ended
        self._watch_joints = heard
        self._execution: PlanExecution | None = None
        self._robot: MeasuredState | None = None
        self._feedback = JointFeedback(self._model.joint_names, self._model.continuous)
        self._progress = ProgressMonitor()
        self._heard = self._warned = time.monotonic()
        self._derives_velocities = False
        self._commanded = self._model.home
        self._holding = self._contact = False
        self._begun = 0  # when the motion under way did [ns]
        self.publisher = node.create_publisher(JointTrajectory, "joint_trajectory", qos.RELIABLE)
        self._tools = node.create_publisher(ToolCommand, "tool_command", qos.RELIABLE)
        node.create_subscription(JointState, "joint_states", self._on_joints, qos.SENSOR_DATA)

    @property
    def range(self) -> JointBounds:
        """What the joints may do."""
        m = self._model
        return JointBounds(m.lower, m.upper, m.max_velocity, self._limits.max_acceleration)

    def plan(self, waypoints: Sequence[Waypoint]) -> JointPlan:
        """From where the arm stands.

        Raises VimaError: UNREACHABLE, NOT_ACTIVE (the joints are not reported), BUSY (they move).
        """
        lacking = self.lacking()
        if self._robot is None or lacking:
            raise VimaError(
                GateCode.NOT_ACTIVE.value,
                f"where the arm stands is not known from joint_states: {lacking}",
            )
        joint, speed = self._feedback.fastest_joint
        if speed > REST_VELOCITY:
            raise VimaError(
                GateCode.BUSY.value,
                f"the arm has not come to rest yet: {joint} moves at {speed:.3f} rad/s; at rest: "
                f"up to {REST_VELOCITY:g} rad/s",
            )
        # From where it was sent, not from where it sagged to: so errors do not add up.
        as_commanded = np.abs(self._robot.positions - self._commanded).max() < AS_COMMANDED
        start = self._commanded if as_commanded else self._robot.positions
        return plan_trajectory(waypoints, start, self._model, self._limits)

    def begin(self, plan: JointPlan) -> None:
        """Carry out ``plan``; returns at once."""
        self._execution = PlanExecution(plan, self._model, self._limits)
        self._begun = self._node.now_ns()

    def stop(self) -> None:
        """Hold where the arm is; what was under way is forgotten without an outcome.

        Where the last report is old, the robot is given as long to come to rest, so that an error
        in where it is makes no fast motion. At rest, one that is older than ``MAX_AGE`` commands
        nothing: the arm may have been moved by others since.
        """
        execution, self._execution = self._execution, None
        age = time.monotonic() - self._heard
        if self._robot is None or (execution is None and age > MAX_AGE):
            return
        joints = execution.extrapolate(self._robot, age) if execution else self._robot.positions
        self._send(np.array([max(STOP_TIME, age)]), joints[None], 0.0 * joints[None])

    def on_state(self, state: ArmState) -> None:
        """What the robot says of itself; to be called with each of its ``arm_state``."""
        self._holding, self._contact = state.holding, state.contact
        if 0 < conversions.since_ns(state) <= self._begun:
            return  # it was still on its way when this motion began: it is about the one before
        if self._execution is None:
            return
        if state.state == ArmState.STOPPED:  # else the controller may go on once that is lifted
            self._node.motion.stop(f"the robot has stopped: {state.message}")
        elif state.state == ArmState.ABORTED:
            code = state.code if state.code not in ("", ArmState.OK) else "ABORTED"
            self._end(ExecutionResult(code, state.message))

    def no_controller(self) -> str:
        """Return why no trajectory would arrive at a controller; empty: one subscribes to it."""
        if self.publisher.get_subscription_count():
            return ""
        return (
            f"nothing subscribes to {self.publisher.topic_name}: start the controller, and remap "
            "the arm node's topic to its own, as with "
            "-r joint_trajectory:=/joint_trajectory_controller/joint_trajectory (in a launch "
            "file: remappings)"
        )

    def lacking(self, max_age: float = MAX_AGE) -> str:
        """Return which joints joint_states lacks or told ``max_age`` [s] ago, and why."""
        return self._feedback.describe_missing(time.monotonic(), max_age)

    def overdue(self) -> ExecutionResult | None:
        """Return how the motion under way ends if it does not begin or stopped; else None.

        NOT_STARTED after start_timeout, TIMEOUT after progress_timeout.
        """
        execution, p = self._execution, self._node.parameters
        if execution is None or execution.goal is None:
            return None
        code = self._progress.overdue(p.start_timeout, p.progress_timeout)
        if code == ArmState.NOT_STARTED:
            return ExecutionResult(
                code,
                f"no joint has moved within {p.start_timeout:g} s of {execution.progress} on "
                f"{self.publisher.topic_name}: the controller may be inactive (see `ros2 "
                f"control list_controllers`); {self.describe()}",
            )
        why = f"no progress for {p.progress_timeout:g} s: {self.describe()}"
        return ExecutionResult(code, why) if code else None

    def describe(self) -> str:
        """Return what keeps the motion under way from its end: for people."""
        if self._execution is None or self._robot is None:
            return "no joints are known"
        return self._execution.describe(self._robot)

    @property
    def progress(self) -> str:
        """For people."""
        return self._execution.progress if self._execution else "at rest"

    def _on_joints(self, message: JointState) -> None:
        now, feedback = time.monotonic(), self._feedback
        stamp = conversions.stamp_to_ns(message.header.stamp) / 1e9
        if not feedback.add(message.name, message.position, message.velocity, stamp, now):
            self._warn_of_lacking(now)
            return
        if feedback.derives_velocities and not self._derives_velocities:
            self._derives_velocities = True
            self._node.get_logger().info(
                "joint_states has no velocities, or none that are finite: derived from positions"
            )
        self._robot = MeasuredState(
            feedback.positions, feedback.velocities, self._contact, self._holding
        )
        self._heard = now
        self._watch_joints()
        execution = self._execution
        if execution is None:
            return
        self._progress.update(self._robot.positions, now)
        order = execution.update(feedback.time, self._robot)
        with self._node.motion.lock:
            if self._execution is execution:  # else it was stopped meanwhile
                self._obey(order, execution)

    def _obey(self, order: ControllerCommand | None, execution: PlanExecution) -> None:
        if order is not None:
            tool = ToolCommand(suction=order.suction, stop_on_contact=order.stop_on_contact)
            tool.header.stamp = self._node.get_clock().now().to_msg()
            self._tools.publish(tool)
            if order.segment is not None:
                segment = order.segment
                way = np.abs(segment.positions - self._robot.positions)
                self._progress.begin(bool(way.max() > GOAL_TOLERANCE))
                self._send(segment.times, segment.positions, segment.velocities)
        if execution.result is not None:
            self._end(execution.result)

    def _send(self, times: np.ndarray, positions: np.ndarray, velocities: np.ndarray) -> None:
        self._commanded = positions[-1]
        names = self._model.joint_names
        self.publisher.publish(
            conversions.trajectory_to_message(names, times, positions, velocities)
        )

    def _end(self, outcome: ExecutionResult) -> None:
        self._execution = None
        self._ended(outcome)

    def _warn_of_lacking(self, now: float) -> None:
        """Warn occasionally: a message of some joints only, as of a gripper, is no fault."""
        if now - max(self._heard, self._warned) > WARNING_PERIOD:
            self._warned = now
            self._node.get_logger().warning(f"joint_states is not usable: {self.lacking()}")
