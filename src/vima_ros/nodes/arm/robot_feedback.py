"""Reports of the robot, and what they say about the active command."""

from __future__ import annotations

import math

from sensor_msgs.msg import JointState

from vima_msgs.msg import ArmState
from vima_ros.nodes.arm.joint_driver import JointDriver
from vima_ros.nodes.arm.motion_control import MotionControl
from vima_ros.nodes.arm.motion_state import ActiveCommand
from vima_ros.nodes.arm.motion_watchdog import MotionWatchdog
from vima_ros.nodes.arm.parameters import ArmParameters
from vima_ros.nodes.common import conversions, qos
from vima_ros.nodes.common.base_frame import Frames
from vima_ros.nodes.common.lifecycle_node import VimaNode

ENDED = (ArmState.SUCCEEDED, ArmState.ABORTED, ArmState.STOPPED)


class RobotFeedback:
    """Subscriber to ``arm_state``, and to ``joint_states`` of a robot that is moved by its joints.

    ``joints``: driver of such a robot. A robot that follows waypoints reports its results itself.
    """

    def __init__(
        self,
        node: VimaNode[ArmParameters],
        frames: Frames,
        motion: MotionControl,
        watchdog: MotionWatchdog,
        joints: JointDriver | None,
    ) -> None:
        self._node, self._frames, self._motion = node, frames, motion
        self._watchdog, self._joints = watchdog, joints
        self._other_frames: set[str] = set()  # of tool poses; each is logged once
        node.create_subscription(ArmState, "arm_state", self._on_arm_state, qos.RELIABLE)
        if joints:
            node.create_subscription(
                JointState, "joint_states", self._on_joint_states, qos.SENSOR_DATA
            )

    def _on_joint_states(self, message: JointState) -> None:
        if self._joints is None or not self._joints.on_joint_states(message):
            return
        self._watchdog.receive("joint_states")
        command_id = self._motion.snapshot().command_id
        result = self._joints.advance()
        if result is not None:
            state = ArmState.SUCCEEDED if result.code == ArmState.OK else ArmState.ABORTED
            self._motion.end(command_id, state, result.code, result.message or "executed")

    def _on_arm_state(self, message: ArmState) -> None:
        if message.judged:
            return  # published by this node
        # First: what the robot reports of a hold is then about a command that has ended.
        command = self._motion.snapshot().active
        self._watchdog.on_arm_state(message)
        if self._joints:
            if self._joints.on_arm_state(message) and command is not None:
                self._on_joint_robot(message, command)
        elif command is not None and message.command_id == command.command_id:
            self._motion.mark_started(command.command_id)
            if message.state in ENDED:
                self._on_result(message, command)

    def _on_joint_robot(self, message: ArmState, command: ActiveCommand) -> None:
        """Process a fault; STOPPED too, else the controller may continue once it is lifted."""
        if message.state == ArmState.STOPPED:
            self._motion.stop(f"the robot has stopped: {message.message}", command.command_id)
        elif message.state == ArmState.ABORTED:
            code = message.code if message.code not in ("", ArmState.OK) else "ABORTED"
            text = message.message or "executed"
            self._motion.end(command.command_id, ArmState.ABORTED, code, text)

    def _on_result(self, message: ArmState, command: ActiveCommand) -> None:
        """Process the result of a robot that follows waypoints."""
        if message.state == ArmState.STOPPED:
            self._motion.stop(f"the robot has stopped: {message.message}", command.command_id)
            return
        state, code, text = message.state, message.code or ArmState.OK, message.message
        error = self._arrival_error(message, command)
        if error:
            state, code, text = ArmState.ABORTED, ArmState.NOT_MOVED, error
        since = conversions.since_ns(message)
        self._motion.end(command.command_id, state, code, text, since=since, stop=bool(error))

    def _arrival_error(self, message: ArmState, command: ActiveCommand) -> str:
        """Describe a tool that is not at the end of its motion; empty if it is, or unknown."""
        tolerance = self._node.parameters.arrival_tolerance
        if message.state != ArmState.SUCCEEDED or not self._in_base_frame(message):
            return ""
        pose = conversions.tool_pose_from_message(message.tool_pose)
        goal = self._frames.base_from_table.apply_to_pose(command.approved.waypoints[-1].pose)
        if pose is None or tolerance == 0 or math.dist(pose.position, goal.position) <= tolerance:
            return ""
        actual, expected = (
            "({:.3f}, {:.3f}, {:.3f})".format(*p) for p in (pose.position, goal.position)
        )
        return (
            f"the robot reported success with its tool at {actual} m instead of {expected} m "
            f"in {self._frames.base}"
        )

    def _in_base_frame(self, message: ArmState) -> bool:
        """Return True if the robot's tool pose is in base_frame, or its frame is empty."""
        frame, base = message.header.frame_id, self._frames.base
        if frame in ("", base):
            return True
        if frame not in self._other_frames:
            self._other_frames.add(frame)
            self._node.get_logger().warning(
                f"arm_state has its tool_pose in frame {frame!r}; valid: {base!r}. Arrival is not "
                "checked against it"
            )
        return False
