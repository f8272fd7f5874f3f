"""The robot's joints, as the arm node sees them: trajectories out, states in."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from builtin_interfaces.msg import Duration
from sensor_msgs.msg import JointState
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from vima_msgs.msg import ArmState, ToolCommand
from vima_ros.arm.execution import REST_SPEED, Execution, Order, Outcome, RobotState
from vima_ros.arm.gate import JointRange
from vima_ros.arm.kinematics import ArmModel
from vima_ros.arm.motion import Waypoint
from vima_ros.arm.timing import JointLimits
from vima_ros.arm.trajectory import JointPlan, plan_trajectory
from vima_ros.errors import GateCode, VimaError
from vima_ros.nodes import conversions, qos
from vima_ros.nodes.parameters import config_path

STOP_TIME = 0.2  # the robot may take so long to come to rest [s]
SILENCE = 1.0  # joints reported longer ago than this are not known [s]
AS_COMMANDED = 0.02  # joints this near to where they were sent are where they were sent [rad]


class JointArm:
    """Plans from where the joints are, and has the robot follow.

    ``ended`` is told the outcome, ``heard`` is called for all usable joint_states.
    """

    def __init__(
        self, node: Any, ended: Callable[[Outcome], None], heard: Callable[[], None]
    ) -> None:
        """Handles on ``node``; raises VimaError (NOT_INSTALLED, BAD_ROBOT)."""
        p = node.parameters
        path = Path(p.urdf) if "/" in p.urdf else config_path(f"robots/{p.urdf}")
        self._model = ArmModel.from_urdf(
            path,
            p.tip_frame,
            p.home_joints,
            p.tool_length,
            node.frames.base_from_table,
            node.frames.base,
        )
        self._limits, self._node, self._ended = JointLimits(p.joint_acceleration), node, ended
        self._watch_joints = heard
        self._execution: Execution | None = None
        self._robot: RobotState | None = None
        self._heard = self._warned = float("-inf")
        self._commanded = self._model.home
        self._holding = self._contact = False
        self._begun = 0  # when the motion under way did [ns]
        self.publisher = node.create_publisher(JointTrajectory, "joint_trajectory", qos.RELIABLE)
        self._tools = node.create_publisher(ToolCommand, "tool_command", qos.RELIABLE)
        node.listen(JointState, "joint_states", self._on_joints, qos.CAMERA)

    @property
    def range(self) -> JointRange:
        """What the joints may do."""
        m = self._model
        return JointRange(m.lower, m.upper, m.max_velocity, self._limits.acceleration)

    def plan(self, waypoints: Sequence[Waypoint]) -> JointPlan:
        """From where the arm stands.

        Raises VimaError: UNREACHABLE, NOT_ACTIVE (the joints are not reported), BUSY (they move).
        """
        if self._robot is None or time.monotonic() - self._heard > SILENCE:
            raise VimaError(
                GateCode.NOT_ACTIVE.value,
                f"joint_states told nothing of {', '.join(self._model.joint_names)} in the last "
                f"{SILENCE:g} s, so where the arm stands is not known",
            )
        if np.abs(self._robot.speeds).max() > REST_SPEED:
            raise VimaError(GateCode.BUSY.value, "the arm has not come to rest yet")
        # From where it was sent, not from where it sagged to: so errors do not add up.
        as_commanded = np.abs(self._robot.joints - self._commanded).max() < AS_COMMANDED
        start = self._commanded if as_commanded else self._robot.joints
        return plan_trajectory(waypoints, start, self._model, self._limits)

    def begin(self, plan: JointPlan) -> None:
        """Carry out ``plan``; returns at once."""
        self._execution = Execution(plan, self._model, self._limits)
        self._begun = self._node.now_ns()

    def stop(self) -> None:
        """Hold where the arm is; what was under way is forgotten without an outcome."""
        self._execution = None
        if self._robot is not None:
            self._send(
                np.array([STOP_TIME]), self._robot.joints[None], 0.0 * self._robot.joints[None]
            )

    def on_state(self, state: ArmState) -> None:
        """What the robot says of itself; to be called with each of its ``arm_state``."""
        self._holding, self._contact = state.holding, state.contact
        stamp = conversions.stamp_to_ns(state.header.stamp)
        if stamp <= self._begun:
            return  # it was still on its way when this motion began: it is about the one before
        if self._execution is not None and state.state in (ArmState.ABORTED, ArmState.STOPPED):
            self._end(Outcome(state.code, state.message))

    @property
    def progress(self) -> str:
        """For people."""
        return self._execution.progress if self._execution else "at rest"

    def _on_joints(self, message: JointState) -> None:
        try:
            index = [message.name.index(name) for name in self._model.joint_names]
            joints = np.array([message.position[i] for i in index])
            speeds = np.array([message.velocity[i] for i in index])
        except (ValueError, IndexError):
            joints = speeds = np.array([np.nan])
        if not (np.isfinite(joints).all() and np.isfinite(speeds).all()):
            self._complain(message)
            return
        self._robot = RobotState(joints, speeds, self._contact, self._holding)
        self._heard = time.monotonic()
        self._watch_joints()
        execution = self._execution
        if execution is None:
            return
        now = conversions.stamp_to_ns(message.header.stamp) / 1e9
        order = execution.update(now, self._robot)
        with self._node.motion.lock:
            if self._execution is execution:  # else it was stopped meanwhile
                self._obey(order, execution)

    def _obey(self, order: Order | None, execution: Execution) -> None:
        if order is not None:
            tool = ToolCommand(suction=order.suction, stop_on_contact=order.stop_on_contact)
            tool.header.stamp = self._node.get_clock().now().to_msg()
            self._tools.publish(tool)
            if order.segment is not None:
                segment = order.segment
                self._send(segment.times, segment.positions, segment.velocities)
        if execution.outcome is not None:
            self._end(execution.outcome)

    def _send(self, times: np.ndarray, positions: np.ndarray, velocities: np.ndarray) -> None:
        self._commanded = positions[-1]
        message = JointTrajectory(joint_names=list(self._model.joint_names))  # stamp 0: now
        for at, joints, speeds in zip(times, positions.tolist(), velocities.tolist(), strict=True):
            seconds, nanoseconds = divmod(round(at * 1e9), 1_000_000_000)
            after = Duration(sec=seconds, nanosec=nanoseconds)
            point = JointTrajectoryPoint(
                positions=joints, velocities=speeds, time_from_start=after
            )
            message.points.append(point)
        self.publisher.publish(message)

    def _end(self, outcome: Outcome) -> None:
        self._execution = None
        self._ended(outcome)

    def _complain(self, message: JointState) -> None:
        """Now and then: a second source of joint_states, of a gripper say, is no fault."""
        if time.monotonic() - max(self._heard, self._warned) > 5.0:
            self._warned = time.monotonic()
            self._node.get_logger().warning(
                f"joint_states of {list(message.name)} ignored; needed: finite positions and "
                f"velocities of {list(self._model.joint_names)}"
            )
