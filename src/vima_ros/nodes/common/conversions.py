"""Between the messages of vima_msgs and the values of specs.py; plain functions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from builtin_interfaces.msg import Duration, Time
from geometry_msgs.msg import Pose as PoseMessage
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from vima_msgs import msg
from vima_ros.arm.primitives import Waypoint
from vima_ros.arm.safety_gate import Request
from vima_ros.episode.state_machine import EpisodeStateMachine
from vima_ros.errors import VimaError
from vima_ros.geometry import Pose, Workspace
from vima_ros.nodes.common.base_frame import Frames
from vima_ros.specs import (
    CROP_SIZE,
    VIEWS,
    Decision,
    EndEffector,
    Observation,
    Primitive,
    ViewObjects,
)


def stamp_to_ns(stamp: Time) -> int:
    """A time stamp as one number [ns]."""
    return stamp.sec * 1_000_000_000 + stamp.nanosec


def ns_to_stamp(nanoseconds: int) -> Time:
    """The inverse of ``stamp_to_ns``."""
    return Time(sec=nanoseconds // 1_000_000_000, nanosec=nanoseconds % 1_000_000_000)


def since_ns(state: msg.ArmState) -> int:
    """When the state, code and command_id of an arm_state became so [ns]; 0: unknown.

    Its ``since``; the header's stamp where that is zero, as of a driver that stamps so.
    """
    return stamp_to_ns(state.since) or stamp_to_ns(state.header.stamp)


def view_to_message(objects: ViewObjects, view: str, header: Any) -> msg.ViewObjects:
    """``header`` is the camera's own."""
    message = msg.ViewObjects(header=header, view=view)
    message.objects = [
        msg.Object(
            track_id=int(objects.track_ids[i]),
            score=float(objects.scores[i]),
            bbox=objects.boxes[i].astype(np.uint16),
            crop=objects.crops[i].ravel(),
        )
        for i in range(len(objects))
    ]
    return message


def view_from_message(message: msg.ViewObjects) -> ViewObjects:
    """Raises VimaError (INVALID_VALUE) as ViewObjects does."""
    objects = message.objects
    if not objects:
        return ViewObjects.empty()
    crops = np.stack([np.asarray(o.crop, np.uint8) for o in objects])
    return ViewObjects(
        boxes=np.array([o.bbox for o in objects], np.int64),
        crops=crops.reshape(-1, 3, CROP_SIZE, CROP_SIZE),  # (n, 3072) -> (n, 3, 32, 32)
        scores=np.array([o.score for o in objects], np.float32),
        track_ids=np.array([o.track_id for o in objects], np.int64),
    )


def observation_to_message(observation: Observation, headers: dict[str, Any]) -> msg.Observation:
    """``headers``: the camera's own, by view."""
    message = msg.Observation()
    message.header.stamp = ns_to_stamp(observation.stamp)
    for view in VIEWS:
        setattr(message, view, view_to_message(getattr(observation, view), view, headers[view]))
    return message


def observation_from_message(message: msg.Observation, end_effector: EndEffector) -> Observation:
    """The observation joined with the tool that the arm says is mounted."""
    return Observation(
        front=view_from_message(message.front),
        top=view_from_message(message.top),
        end_effector=end_effector,
        stamp=stamp_to_ns(message.header.stamp),
    )


def pose_to_message(pose: Pose) -> PoseMessage:
    """Position [m], quaternion xyzw as it is."""
    message = PoseMessage()
    for name, value in zip("xyz", pose.position, strict=True):
        setattr(message.position, name, float(value))
    for name, value in zip("xyzw", pose.quaternion, strict=True):
        setattr(message.orientation, name, float(value))
    return message


def pose_from_message(message: PoseMessage) -> Pose:
    """The inverse of ``pose_to_message``."""
    p, q = message.position, message.orientation
    return Pose(np.array([p.x, p.y, p.z]), np.array([q.x, q.y, q.z, q.w]))


def tool_pose_from_message(message: PoseMessage) -> Pose | None:
    """Return the pose of the tool tip that a robot reports, or None: unknown to the robot.

    Unknown is what was left at its default (position 0, 0, 0: no tool tip is at the origin of its
    own base), a quaternion of zeros, and any number that is not finite.
    """
    pose = pose_from_message(message)
    known = pose.is_finite and pose.position.any() and pose.quaternion.any()
    return pose if known else None


def trajectory_to_message(
    names: Sequence[str], times: np.ndarray, positions: np.ndarray, velocities: np.ndarray
) -> JointTrajectory:
    """``times`` (m,) [s], ``positions`` [rad] and ``velocities`` [rad/s] (m, n); stamp 0: now."""
    message = JointTrajectory(joint_names=list(names))
    for at, joints, speeds in zip(times, positions.tolist(), velocities.tolist(), strict=True):
        seconds, nanoseconds = divmod(round(at * 1e9), 1_000_000_000)
        after = Duration(sec=seconds, nanosec=nanoseconds)
        point = JointTrajectoryPoint(positions=joints, velocities=speeds, time_from_start=after)
        message.points.append(point)
    return message


def _unit(pose: Pose) -> Pose:
    """The same pose with a unit quaternion; all zero where it has no direction."""
    norm = np.linalg.norm(pose.quaternion)
    return Pose(pose.position, pose.quaternion / norm if norm > 1e-9 else np.zeros(4))


def decision_to_message(
    decision: Decision, workspace: Workspace, frame_id: str, seen: msg.Observation
) -> msg.PolicyAction:
    """On what was ``seen``; the caller adds prompt_id, step and the header's stamp."""
    action = decision.action
    pose0, pose1 = (pose_to_message(_unit(pose)) for pose in action.poses(workspace))
    message = msg.PolicyAction(
        primitive=int(action.primitive),
        bins=action.bins.astype(np.uint8),
        pose0=pose0,
        pose1=pose1,
        confidence=decision.confidence,
        inference_time=decision.timings.get("total", 0.0),
        observation_stamp=seen.header.stamp,
        front_stamp=seen.front.header.stamp,
        top_stamp=seen.top.header.stamp,
    )
    message.header.frame_id = frame_id
    return message


def decision_id(prompt_id: str, step: int, observation_stamp: int) -> str:
    """What identifies a decision, and the command that carries it out."""
    return f"{prompt_id}/{step}/{observation_stamp}"


def episode_to_message(episode: EpisodeStateMachine, stamp: int) -> msg.EpisodeStatus:
    """Where an episode stands; ``stamp`` [ns]."""
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
    """The ``decision_id`` of an action."""
    return decision_id(message.prompt_id, message.step, stamp_to_ns(message.observation_stamp))


def request_from_message(message: msg.PolicyAction, frames: Frames) -> Request:
    """What the safety gate judges, in the table frame; an action may leave its frame empty.

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
    """In order."""
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
    """In order."""
    return tuple(
        Waypoint(pose_from_message(w.pose), w.tool_on, w.max_speed, w.dwell, w.until_contact)
        for w in message.waypoints
    )
