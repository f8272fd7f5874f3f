"""Conversions between messages and the values of the library."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np
from builtin_interfaces.msg import Time
from geometry_msgs.msg import Pose as PoseMessage
from std_msgs.msg import Header

from vima_msgs import msg
from vima_ros.errors import VimaError
from vima_ros.geometry import Pose
from vima_ros.outlines import OUTLINE_POINTS, OUTLINE_SHAPE
from vima_ros.specs import (
    CROP_SIZE,
    VIEW_IMAGE_SIZE,
    VIEWS,
    EndEffector,
    Observation,
    ViewImages,
    ViewObjects,
)


def stamp_to_ns(stamp: Time) -> int:
    """Convert a time stamp to nanoseconds."""
    return stamp.sec * 1_000_000_000 + stamp.nanosec


def ns_to_stamp(nanoseconds: int) -> Time:
    """Convert nanoseconds to a time stamp."""
    return Time(sec=nanoseconds // 1_000_000_000, nanosec=nanoseconds % 1_000_000_000)


def since_ns(state: msg.ArmState) -> int:
    """Return the time since which the state of an arm_state holds [ns]; 0: unknown.

    Its ``since``; the header's stamp where that is zero, as some drivers leave it.
    """
    return stamp_to_ns(state.since) or stamp_to_ns(state.header.stamp)


def view_to_message(objects: ViewObjects, view: str, header: Header) -> msg.ViewObjects:
    """Convert the objects of one view; ``header`` is the camera's own."""
    message = msg.ViewObjects(header=header, view=view)
    message.objects = [
        msg.Object(
            track_id=int(objects.track_ids[i]),
            score=float(objects.scores[i]),
            bbox=objects.boxes[i].astype(np.uint16),
            crop=objects.crops[i].ravel(),
            outline=_outline_to_message(objects.outlines[i]),
        )
        for i in range(len(objects))
    ]
    return message


def view_from_message(message: msg.ViewObjects) -> ViewObjects:
    """Convert the objects of one view. Raises VimaError (INVALID_VALUE) as ViewObjects does."""
    objects = message.objects
    if not objects:
        return ViewObjects.empty()
    crops = np.stack([np.asarray(o.crop, np.uint8) for o in objects])
    return ViewObjects(
        boxes=np.array([o.bbox for o in objects], np.int64),
        crops=crops.reshape(-1, 3, CROP_SIZE, CROP_SIZE),  # (n, 3072) -> (n, 3, 32, 32)
        scores=np.array([o.score for o in objects], np.float32),
        track_ids=np.array([o.track_id for o in objects], np.int64),
        outlines=np.stack([_outline_from_message(o.outline) for o in objects]),
    )


def _outline_to_message(outline: np.ndarray) -> array:
    return array("B", outline[outline[:, 2] > 0].tobytes())


def _outline_from_message(values: Sequence[int]) -> np.ndarray:
    """Convert an outline to uint8 (64, 3)."""
    outline = np.zeros(OUTLINE_SHAPE, np.uint8)
    count, rest = divmod(len(values), 3)
    if rest or count > OUTLINE_POINTS:
        raise VimaError(
            "INVALID_VALUE",
            f"an outline of {len(values)} numbers; valid: 3 for each of up to {OUTLINE_POINTS} "
            "points",
        )
    outline[:count] = np.asarray(values, np.uint8).reshape(count, 3)
    return outline


def images_to_message(images: ViewImages | None) -> msg.ViewImages:
    """Convert whole images; None gives the empty message."""
    if images is None:
        return msg.ViewImages()
    return msg.ViewImages(**{v: array("B", getattr(images, v).tobytes()) for v in VIEWS})


def images_from_message(message: msg.ViewImages) -> ViewImages | None:
    """Convert whole images; None for the empty message. Raises VimaError (INVALID_VALUE)."""
    sizes, size = {view: len(getattr(message, view)) for view in VIEWS}, 3 * prod(VIEW_IMAGE_SIZE)
    if not any(sizes.values()):
        return None
    if set(sizes.values()) != {size}:
        raise VimaError("INVALID_VALUE", f"whole images of {sizes} bytes; valid: {size} in each")
    return ViewImages(
        *(np.frombuffer(getattr(message, v), np.uint8).reshape(3, *VIEW_IMAGE_SIZE) for v in VIEWS)
    )


def observation_to_message(observation: Observation, headers: dict[str, Any]) -> msg.Observation:
    """Convert an observation; ``headers``: the cameras' own, by view."""
    message = msg.Observation(images=images_to_message(observation.images))
    message.header.stamp = ns_to_stamp(observation.stamp)
    for view in VIEWS:
        setattr(message, view, view_to_message(getattr(observation, view), view, headers[view]))
    return message


def observation_from_message(message: msg.Observation, end_effector: EndEffector) -> Observation:
    """Convert an observation, adding the end effector that the arm reports."""
    return Observation(
        front=view_from_message(message.front),
        top=view_from_message(message.top),
        end_effector=end_effector,
        stamp=stamp_to_ns(message.header.stamp),
        images=images_from_message(message.images),
    )


def pose_to_message(pose: Pose) -> PoseMessage:
    """Convert a pose: position [m], quaternion xyzw unchanged."""
    message = PoseMessage()
    for name, value in zip("xyz", pose.position, strict=True):
        setattr(message.position, name, float(value))
    for name, value in zip("xyzw", pose.quaternion, strict=True):
        setattr(message.orientation, name, float(value))
    return message


def pose_from_message(message: PoseMessage) -> Pose:
    """Convert a pose message, the inverse of ``pose_to_message``."""
    p, q = message.position, message.orientation
    return Pose(np.array([p.x, p.y, p.z]), np.array([q.x, q.y, q.z, q.w]))


def tool_pose_from_message(message: PoseMessage) -> Pose | None:
    """Return the pose of the tool tip that a robot reports, or None: unknown to the robot.

    Unknown is a pose left at its default (position 0, 0, 0: no tool tip is at the origin of its
    own base), a quaternion of zeros, and any number that is not finite.
    """
    pose = pose_from_message(message)
    known = pose.is_finite and pose.position.any() and pose.quaternion.any()
    return pose if known else None
