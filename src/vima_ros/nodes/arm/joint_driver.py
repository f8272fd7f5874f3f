"""Driver of a robot that is moved by its joints: plans in, trajectories and tool commands out."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from trajectory_msgs.msg import JointTrajectory

from vima_msgs.msg import ArmState, ToolCommand
from vima_ros.arm.joint_feedback import MAX_AGE
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
from vima_ros.nodes.arm.configuration import load_arm_model
from vima_ros.nodes.arm.joint_states import JointStateSubscriber
from vima_ros.nodes.common import action_conversions, conversions, qos

if TYPE_CHECKING:
    from vima_ros.nodes.arm.node import ArmNode

STOP_TIME = 0.2  # for the robot to come to rest [s]
COMMAND_TOLERANCE = 0.02  # of joints from the last command, up to which plans start from it [rad]


class JointDriver:
    """Planner of joint trajectories from the measured joints, and executor of its plans.

    ``on_result``: called with the result of each execution; ``on_joints``: called for each usable
    report of all joints.
    """

    def __init__(
        self,
        node: ArmNode,
        on_result: Callable[[ExecutionResult], None],
        on_joints: Callable[[], None],
    ) -> None:
        """Create the handles on ``node``; raises VimaError (NOT_INSTALLED, BAD_ROBOT)."""
        self._model = load_arm_model(node)
        self._limits = JointLimits(node.parameters.max_joint_acceleration)
        self._node, self._on_result, self._on_joints = node, on_result, on_joints
        self._execution: PlanExecution | None = None
        self._progress = ProgressMonitor()
        self._commanded = self._model.home
        self._started_at = 0  # start of the current motion [ns]
        self.publisher = node.create_publisher(JointTrajectory, "joint_trajectory", qos.RELIABLE)
        self._tools = node.create_publisher(ToolCommand, "tool_command", qos.RELIABLE)
        self._joints = JointStateSubscriber(node, self._model, self._on_measured)

    @property
    def bounds(self) -> JointBounds:
        """Limits of the joints."""
        m, max_acceleration = self._model, self._limits.max_acceleration
        return JointBounds(m.lower, m.upper, m.max_velocity, max_acceleration)

    def plan(self, waypoints: Sequence[Waypoint]) -> JointPlan:
        """Plan from the current joint positions.

        Raises VimaError: UNREACHABLE, NOT_ACTIVE (the joints are not reported), BUSY (they move).
        """
        missing, state = self.describe_missing(), self._joints.state
        if state is None or missing:
            raise VimaError(
                GateCode.NOT_ACTIVE.value,
                f"the joint positions are not known from joint_states: {missing}",
            )
        joint, speed = self._joints.fastest_joint
        if speed > REST_VELOCITY:
            at_rest = f"at rest: up to {REST_VELOCITY:g} rad/s"
            message = f"the arm has not come to rest yet: {joint} moves at {speed:.3f} rad/s; "
            raise VimaError(GateCode.BUSY.value, message + at_rest)
        # From the commanded, not the measured positions: so steady-state errors do not add up.
        arrived = np.abs(state.positions - self._commanded).max() < COMMAND_TOLERANCE
        start = self._commanded if arrived else state.positions
        return plan_trajectory(waypoints, start, self._model, self._limits)

    def begin(self, plan: JointPlan) -> None:
        """Start to execute ``plan``; returns at once."""
        self._execution = PlanExecution(plan, self._model, self._limits)
        self._started_at = self._node.now_ns()

    def stop(self) -> None:
        """Hold the current position; the execution ends without a result.

        If the last report is old, the robot is given that much time to come to rest, so that an
        error of its position causes no fast motion. At rest, a report older than ``MAX_AGE`` is
        not commanded: others may have moved the arm since.
        """
        execution, self._execution = self._execution, None
        age, state = self._joints.age, self._joints.state
        if state is None or (execution is None and age > MAX_AGE):
            return
        positions = execution.extrapolate(state, age) if execution else state.positions
        self._send(np.array([max(STOP_TIME, age)]), positions[None], 0.0 * positions[None])

    def on_state(self, state: ArmState) -> None:
        """Process the robot's own ``arm_state``."""
        self._joints.holding, self._joints.contact = state.holding, state.contact
        if 0 < conversions.since_ns(state) <= self._started_at:
            return  # sent before this motion began: it is about the previous one
        if self._execution is None:
            return
        if state.state == ArmState.STOPPED:  # else the controller may continue once it is lifted
            self._node.motion.stop(f"the robot has stopped: {state.message}")
        elif state.state == ArmState.ABORTED:
            code = state.code if state.code not in ("", ArmState.OK) else "ABORTED"
            self._end(ExecutionResult(code, state.message))

    def no_controller(self) -> str:
        """Return why no trajectory would reach a controller; empty if one subscribes to it."""
        if self.publisher.get_subscription_count():
            return ""
        return (
            f"nothing subscribes to {self.publisher.topic_name}: start the controller, and remap "
            "the arm node's topic to its own (-r joint_trajectory:=/joint_trajectory_controller/"
            "joint_trajectory; in a launch file: remappings)"
        )

    def describe_missing(self, max_age: float = MAX_AGE) -> str:
        """Describe the joints that joint_states lacks, or reported ``max_age`` [s] ago."""
        return self._joints.describe_missing(max_age)

    def check_timeouts(self) -> ExecutionResult | None:
        """Return the result of a motion that did not begin or progress in time, else None.

        NOT_STARTED after start_timeout, TIMEOUT after progress_timeout.
        """
        execution, p = self._execution, self._node.parameters
        if execution is None or execution.goal is None:
            return None
        code = self._progress.overdue(p.start_timeout, p.progress_timeout)
        message = (
            f"no joint has moved within {p.start_timeout:g} s of {execution.progress} on "
            f"{self.publisher.topic_name}: the controller may be inactive (see `ros2 "
            f"control list_controllers`); {self.describe()}"
            if code == ArmState.NOT_STARTED
            else f"no progress for {p.progress_timeout:g} s: {self.describe()}"
        )
        return ExecutionResult(code, message) if code else None

    def describe(self) -> str:
        """Describe what the current move waits for."""
        if self._execution is None or self._joints.state is None:
            return "no joints are known"
        return self._execution.describe(self._joints.state)

    @property
    def progress(self) -> str:
        """Progress of the plan as text."""
        return self._execution.progress if self._execution else "at rest"

    def _on_measured(self, report_time: float, state: MeasuredState) -> None:
        """Update the execution with a report of all joints at ``report_time`` [s]."""
        self._on_joints()
        execution = self._execution
        if execution is None:
            return
        self._progress.update(state.positions, time.monotonic())
        command = execution.update(report_time, state)
        with self._node.motion.lock:
            if self._execution is execution:  # else it was stopped meanwhile
                self._apply(command, execution, state)

    def _apply(
        self, command: ControllerCommand | None, execution: PlanExecution, state: MeasuredState
    ) -> None:
        if command is not None:
            tool = ToolCommand(suction=command.suction, stop_on_contact=command.stop_on_contact)
            tool.header.stamp = self._node.get_clock().now().to_msg()
            self._tools.publish(tool)
            if command.segment is not None:
                segment = command.segment
                distances = np.abs(segment.positions - state.positions)
                self._progress.begin(bool(distances.max() > GOAL_TOLERANCE))
                self._send(segment.times, segment.positions, segment.velocities)
        if execution.result is not None:
            self._end(execution.result)

    def _send(self, times: np.ndarray, positions: np.ndarray, velocities: np.ndarray) -> None:
        self._commanded, names = positions[-1], self._model.joint_names
        message = action_conversions.trajectory_to_message(names, times, positions, velocities)
        self.publisher.publish(message)

    def _end(self, result: ExecutionResult) -> None:
        self._execution = None
        self._on_result(result)
