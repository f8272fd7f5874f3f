"""Driver of a robot that is moved by its joints: plans in, trajectories and tool commands out."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

import numpy as np
from rclpy.duration import Duration
from sensor_msgs.msg import JointState
from trajectory_msgs.msg import JointTrajectory

from vima_msgs.msg import ArmState, ToolCommand
from vima_ros.arm.joint_feedback import MAX_AGE
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
from vima_ros.arm.time_parameterization import JointLimits
from vima_ros.arm.trajectory_planning import JointPlan, plan_trajectory
from vima_ros.errors import GateCode, VimaError
from vima_ros.nodes.arm.joint_states import JointStates
from vima_ros.nodes.arm.parameters import ArmParameters
from vima_ros.nodes.common import action_conversions, conversions, qos
from vima_ros.nodes.common.lifecycle_node import VimaNode

STOP_TIME = 0.2  # for the robot to come to rest [s]
COMMAND_TOLERANCE = 0.02  # of joints from the last command, up to which plans start from it [rad]


class JointDriver:
    """Planner of joint trajectories from the measured joints, and executor of one plan at a time.

    It plans, takes reports and advances in the node's callbacks; ``begin``, ``hold`` and
    ``abandon`` are for motion control, from any thread.
    """

    def __init__(self, node: VimaNode[ArmParameters], model: ArmModel) -> None:
        self._node, self._model = node, model
        self._limits = JointLimits(node.parameters.max_joint_acceleration)
        self._progress = ProgressMonitor()
        self._joints = JointStates(node, model)
        # Guards what follows, and the order of what is published: nothing of an execution after
        # hold or abandon. No other lock is taken within it.
        self._lock = threading.Lock()
        self._execution: PlanExecution | None = None
        self._started_at = 0  # start of the execution [ns]
        self._commanded = model.home
        self._trajectories = node.create_publisher(
            JointTrajectory, "joint_trajectory", qos.RELIABLE
        )
        self._tools = node.create_publisher(ToolCommand, "tool_command", qos.RELIABLE)

    def plan(self, waypoints: Sequence[Waypoint]) -> JointPlan:
        """Plan from the current joint positions.

        Raises VimaError: UNREACHABLE, NOT_ACTIVE (the joints are not reported), BUSY (they move).
        """
        missing, reading = self.describe_missing(), self._joints.reading
        if reading is None or missing:
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
        start, measured = self._commanded, reading.state.positions
        if np.abs(measured - start).max() >= COMMAND_TOLERANCE:
            start = measured
        return plan_trajectory(waypoints, start, self._model, self._limits)

    def begin(self, plan: JointPlan) -> None:
        """Start to execute ``plan``; returns at once."""
        with self._lock:
            self._execution = PlanExecution(plan, self._model, self._limits)
            self._started_at = self._node.now_ns()

    def hold(self) -> None:
        """Hold the current position; the execution ends without a result.

        If the last report is old, the robot is given that much time to come to rest, so that an
        error of its position causes no fast motion. At rest, a report older than ``MAX_AGE`` is
        not commanded: others may have moved the arm since.
        """
        with self._lock:
            execution, self._execution = self._execution, None
            reading = self._joints.reading
            if reading is None or (execution is None and reading.age > MAX_AGE):
                return
            age, state = reading.age, reading.state
            positions = execution.extrapolate(state, age) if execution else state.positions
            self._send(np.array([max(STOP_TIME, age)]), positions[None], 0.0 * positions[None])

    def abandon(self) -> None:
        """End the execution, if any, without a command."""
        with self._lock:
            self._execution = None

    def wait_until_received(self, timeout: Duration) -> None:
        """Wait until the controller has received all trajectories."""
        self._trajectories.wait_for_all_acked(timeout)

    def on_arm_state(self, state: ArmState) -> bool:
        """Process the robot's own ``arm_state``; return True if it is about the execution."""
        self._joints.holding, self._joints.contact = state.holding, state.contact
        with self._lock:  # a report from before the motion began is about the previous one
            before = 0 < conversions.since_ns(state) <= self._started_at
            return self._execution is not None and not before

    def on_joint_states(self, message: JointState) -> bool:
        """Process ``joint_states``; return True if they complete a report of all joints."""
        return self._joints.add(message)

    def advance(self) -> ExecutionResult | None:
        """Send what the last report of all joints calls for; return the result at the end."""
        execution, reading = self._execution, self._joints.reading
        if execution is None or reading is None:
            return None
        self._progress.update(reading.state.positions, time.monotonic())
        command = execution.update(reading.time, reading.state)  # without the lock: it may plan
        with self._lock:
            if self._execution is not execution:  # it was ended meanwhile
                return None
            if command is not None:
                self._apply(command, reading.state)
            return execution.result

    def no_controller(self) -> str:
        """Return why no trajectory would reach a controller; empty if one subscribes to it."""
        if self._trajectories.get_subscription_count():
            return ""
        return (
            f"nothing subscribes to {self._trajectories.topic_name}: start the controller, and "
            "remap the arm node's topic to its own (-r joint_trajectory:="
            "/joint_trajectory_controller/joint_trajectory; in a launch file: remappings)"
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
            f"{self._trajectories.topic_name}: the controller may be inactive (see `ros2 "
            f"control list_controllers`); {self.describe()}"
            if code == ArmState.NOT_STARTED
            else f"no progress for {p.progress_timeout:g} s: {self.describe()}"
        )
        return ExecutionResult(code, message) if code else None

    def describe(self) -> str:
        """Describe what the current move waits for."""
        execution, reading = self._execution, self._joints.reading
        if execution is None or reading is None:
            return "no joints are known"
        return execution.describe(reading.state)

    @property
    def progress(self) -> str:
        """Progress of the plan as text."""
        execution = self._execution
        return execution.progress if execution else "at rest"

    def _apply(self, command: ControllerCommand, state: MeasuredState) -> None:
        tool = ToolCommand(suction=command.suction, stop_on_contact=command.stop_on_contact)
        tool.header.stamp = self._node.get_clock().now().to_msg()
        self._tools.publish(tool)
        if command.segment is not None:
            segment = command.segment
            distances = np.abs(segment.positions - state.positions)
            self._progress.begin(bool(distances.max() > GOAL_TOLERANCE))
            self._send(segment.times, segment.positions, segment.velocities)

    def _send(self, times: np.ndarray, positions: np.ndarray, velocities: np.ndarray) -> None:
        self._commanded, names = positions[-1], self._model.joint_names
        message = action_conversions.trajectory_to_message(names, times, positions, velocities)
        self._trajectories.publish(message)
