"""Conversions of decisions, actions, motion and episodes to and from their messages."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from builtin_interfaces.msg import Duration
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from vima_msgs import msg
from vima_ros.arm.primitives import Waypoint
from vima_ros.arm.safety_gate import Request
from vima_ros.episode.state_machine import EpisodeStateMachine
from vima_ros.errors import VimaError
from vima_ros.geometry import Pose, Workspace
from vima_ros.nodes.common.base_frame import Frames
from vima_ros.nodes.common.conversions import (
    ns_to_stamp,
    pose_from_message,
    pose_to_message,
    stamp_to_ns,
)
from vima_ros.specs import (
    Decision,
    Primitive,
)


def trajectory_to_message(
    names: Sequence[str], times: np.ndarray, positions: np.ndarray, velocities: np.ndarray
) -> JointTrajectory:
    """Convert a trajectory to a message with stamp 0, to be executed at once.

    ``times`` (m,) [s], ``positions`` [rad] and ``velocities`` [rad/s] (m, n).
    """
    message = JointTrajectory(joint_names=list(names))
    for at, joints, rates in zip(times, positions.tolist(), velocities.tolist(), strict=True):
        seconds, nanoseconds = divmod(round(at * 1e9), 1_000_000_000)
        after = Duration(sec=seconds, nanosec=nanoseconds)
        point = JointTrajectoryPoint(positions=joints, velocities=rates, time_from_start=after)
        message.points.append(point)
    return message


def _unit(pose: Pose) -> Pose:
    """Normalize the quaternion of a pose; all zero where its norm is."""
    norm = np.linalg.norm(pose.quaternion)
    return Pose(pose.position, pose.quaternion / norm if norm > 1e-9 else np.zeros(4))


def decision_to_message(
    decision: Decision, workspace: Workspace, frame_id: str, observation: msg.Observation
) -> msg.PolicyAction:
    """Convert a decision; the caller adds prompt_id, step and the header's stamp."""
    action = decision.action
    pose0, pose1 = (pose_to_message(_unit(pose)) for pose in action.poses(workspace))
    message = msg.PolicyAction(
        primitive=int(action.primitive),
        bins=action.bins.astype(np.uint8),
        pose0=pose0,
        pose1=pose1,
        confidence=decision.confidence,
        inference_time=decision.timings.get("total", 0.0),
        observation_stamp=observation.header.stamp,
        front_stamp=observation.front.header.stamp,
        top_stamp=observation.top.header.stamp,
        picked_track_id=decision.picked or 0,
    )
    message.header.frame_id = frame_id
    return message


def decision_id(prompt_id: str, step: int, observation_stamp: int) -> str:
    """Return the id of a decision, and of the command that executes it."""
    return f"{prompt_id}/{step}/{observation_stamp}"


def episode_to_message(episode: EpisodeStateMachine, stamp: int) -> msg.EpisodeStatus:
    """Convert the state of an episode; ``stamp`` [ns]."""
    status = msg.EpisodeStatus(
        prompt_id=episode.prompt_id,
        text=episode.text,
        state=int(episode.state),
        step=episode.step,
        executed=episode.executed,
        max_steps=episode.max_steps,
        code=episode.code,
        message=episode.message,
        by_goal=episode.by_goal,
        waiting_for_step=episode.waiting_for_step,
    )
    status.header.stamp = ns_to_stamp(stamp)
    return status


def action_id(message: msg.PolicyAction) -> str:
    """Return the ``decision_id`` of an action."""
    return decision_id(message.prompt_id, message.step, stamp_to_ns(message.observation_stamp))


def request_from_message(message: msg.PolicyAction, frames: Frames) -> Request:
    """Convert an action to the safety gate's request in the table frame.

    An empty frame of the action means table.

    Raises VimaError: INVALID_VALUE for an unknown primitive, WRONG_FRAME for another frame than
    table and base.
    """
    pose0, pose1 = (
        frames.pose_to_table(pose_from_message(pose), message.header.frame_id)
        for pose in (message.pose0, message.pose1)
    )
    if message.primitive not in list(Primitive):
        raise VimaError(
            "INVALID_VALUE",
            f"primitive {message.primitive}; valid: 0 PICK_PLACE, 1 SWEEP",
        )
    return Request(
        command_id=action_id(message),
        primitive=Primitive(message.primitive),
        pose0=pose0,
        pose1=pose1,
        observation_stamp=stamp_to_ns(message.observation_stamp),
        prompt_id=message.prompt_id,
        view_stamps=(stamp_to_ns(message.front_stamp), stamp_to_ns(message.top_stamp)),
        confidence=tuple(float(share) for share in message.confidence),
    )


def waypoints_to_message(waypoints: tuple[Waypoint, ...]) -> list[msg.ArmWaypoint]:
    """Convert waypoints, in order."""
    return [
        msg.ArmWaypoint(
            pose=pose_to_message(w.pose),
            tool_on=w.tool_on,
            until_contact=w.until_contact,
            max_speed=w.max_speed,
            dwell=w.dwell,
        )
        for w in waypoints
    ]


def waypoints_from_message(message: msg.ArmCommand) -> tuple[Waypoint, ...]:
    """Convert waypoints, in order."""
    return tuple(
        Waypoint(pose_from_message(w.pose), w.tool_on, w.max_speed, w.dwell, w.until_contact)
        for w in message.waypoints
    )
