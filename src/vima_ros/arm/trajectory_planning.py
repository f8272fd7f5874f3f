"""Waypoints to joint trajectories: what a joint trajectory controller can follow."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from vima_ros.arm.kinematics import ArmModel, unreachable
from vima_ros.arm.primitives import Waypoint
from vima_ros.arm.time_parameterization import JointLimits, JointPath, time_path
from vima_ros.errors import VimaError
from vima_ros.geometry import Pose, quaternion_from_yaw, yaw_from_quaternion

_KNOT_WAY = 0.025  # largest step of the tip from knot to knot of a straight move [m]
_KNOT_TURN = 0.15  # of its turn, and of a joint in a joint move [rad]
_MAX_TILT = 0.02  # a tool that points down: sine of half its tilt; what is left is worn off
_ON_BRANCH = 0.1  # joints this near to those of home's branch are on it [rad]


@dataclass(frozen=True, eq=False)
class Segment:
    """One move, from rest to rest, that carries out ``waypoint``.

    ``times`` (m,) [s] from 0 on, ``positions`` (m, n) [rad] and ``velocities`` (m, n) [rad/s] in
    the order of JointPlan.joint_names. In between, joints follow the cubic that positions and
    velocities define, as ros2_control's joint_trajectory_controller does.
    """

    times: np.ndarray
    positions: np.ndarray
    velocities: np.ndarray
    waypoint: Waypoint

    @property
    def duration(self) -> float:
        """[s]."""
        return float(self.times[-1])


@dataclass(frozen=True, eq=False)
class JointPlan:
    """A segment for each waypoint, in order; each starts where the one before ends."""

    joint_names: tuple[str, ...]
    segments: tuple[Segment, ...]

    @property
    def duration(self) -> float:
        """Of all motion, without dwelling [s]."""
        return sum(segment.duration for segment in self.segments)


def plan_trajectory(
    waypoints: Sequence[Waypoint],
    start_joints: np.ndarray,
    model: ArmModel,
    limits: JointLimits | None = None,
) -> JointPlan:
    """Joint trajectories through all waypoints from where the arm stands, (n,) [rad].

    Every move is a straight line of the tip at up to the waypoint's max_speed, the tool turning by
    the shorter way. Only the first move may be different: from below it rises before it goes
    across; it turns once more around, either way, where otherwise a joint would be wound to its
    limit, now or in a later move; and where the tool does not point down yet, the arm is folded
    another way or the straight way is barred, it goes straight through the joints.

    Raises VimaError (UNREACHABLE), naming waypoint, place and reason, if any of it cannot be done.
    """
    joints = np.array(start_joints, dtype=np.float64)
    if joints.shape != model.home.shape or not np.isfinite(joints).all():
        raise unreachable(
            f"the arm stands at {joints.tolist()} rad; valid: {len(model.home)} finite numbers"
        )
    refusals = []
    for around in (0, 1, -1, None) if _can_go_straight(joints, model) else (None,):
        try:
            return _plan(waypoints, joints, model, limits or JointLimits(), around)
        except VimaError as error:
            refusals.append(error)
    raise refusals[0]


def _plan(
    waypoints: Sequence[Waypoint],
    joints: np.ndarray,
    model: ArmModel,
    limits: JointLimits,
    around: int | None,
) -> JointPlan:
    segments: list[Segment] = []
    for index, waypoint in enumerate(waypoints):
        try:
            if segments:
                segment = plan_segment(waypoint, segments[-1].positions[-1], model, limits)
            else:
                paths = _approach(waypoint.pose, joints, model, around)
                segment = _join(paths, waypoint, model, limits)
        except VimaError as error:
            x, y, z = waypoint.pose.position
            yaw = math.degrees(yaw_from_quaternion(waypoint.pose.quaternion))
            raise unreachable(
                f"waypoint {index + 1} of {len(waypoints)} at ({x:.3f}, {y:.3f}, {z:.3f}) m in "
                f"the table frame, yaw {yaw:.0f} degrees: {error}"
            ) from error
        segments.append(segment)
    return JointPlan(model.joint_names, tuple(segments))


def plan_segment(
    waypoint: Waypoint, start: np.ndarray, model: ArmModel, limits: JointLimits
) -> Segment:
    """One straight move from joints ``start`` (n,), as one of ``plan_trajectory``'s."""
    return _join([_line(waypoint.pose, start, model)], waypoint, model, limits)


def _join(
    paths: Sequence[JointPath], waypoint: Waypoint, model: ArmModel, limits: JointLimits
) -> Segment:
    """The paths one after the other, with a rest in between."""
    parts = [
        time_path(path, model.max_velocity, limits.acceleration, waypoint.max_speed)
        for path in paths
    ]
    times, positions, velocities = parts[0]
    for more_times, more_positions, more_velocities in parts[1:]:
        times = np.concatenate([times, times[-1] + more_times[1:]])
        positions = np.concatenate([positions, more_positions[1:]])
        velocities = np.concatenate([velocities, more_velocities[1:]])
    return Segment(times, positions, velocities, waypoint)


def _can_go_straight(joints: np.ndarray, model: ArmModel) -> bool:
    """Whether the tool points down and the arm is folded as at home."""
    here = model.tip_pose(joints)
    if np.linalg.norm(here.quaternion[:2]) > _MAX_TILT:
        return False
    try:
        return bool(np.abs(model.inverse(here, joints) - joints).max() < _ON_BRANCH)
    except VimaError:
        return False


def _approach(
    pose: Pose, start: np.ndarray, model: ArmModel, around: int | None
) -> list[JointPath]:
    """To the first waypoint: up, then straight across, or through the joints (``around`` None)."""
    if around is None:
        return [_joint_line(start, model.inverse(pose, start), model)]
    here = model.tip_pose(start)
    if here.position[2] > pose.position[2] - 1e-3:
        return [_line(pose, start, model, around)]
    above = Pose(np.append(here.position[:2], pose.position[2]), here.quaternion)
    rise = _line(above, start, model)
    return [rise, _line(pose, rise.knots[-1], model, around)]


def _line(pose: Pose, start: np.ndarray, model: ArmModel, around: int = 0) -> JointPath:
    """Straight to ``pose``, the tool turning by the shorter way and ``around`` times more."""
    here = model.tip_pose(start)
    yaw, length = yaw_from_quaternion(here.quaternion), math.dist(here.position, pose.position)
    turn = math.remainder(yaw_from_quaternion(pose.quaternion) - yaw, 2 * math.pi)
    turn += 2 * math.pi * around
    spans = max(math.ceil(length / _KNOT_WAY), math.ceil(abs(turn) / _KNOT_TURN), 1)
    way = pose.position - here.position
    twist = np.array([*way, 0.0, 0.0, turn])
    joints, rates = start, np.zeros_like(start)
    knots, slopes = [], []
    for s in np.linspace(0.0, 1.0, spans + 1):
        step = Pose(here.position + s * way, quaternion_from_yaw(yaw + s * turn))
        with _say_where(s):
            joints = model.follow(step, joints + rates / spans)
            model.check(joints)
        rates = model.rates(joints, twist)
        knots.append(joints)
        slopes.append(rates)
    # The arm stands a little off the line (servo error, a tilt): that wears off along the way.
    off = start - knots[0]
    left = np.linspace(1.0, 0.0, spans + 1)[:, None]
    return JointPath(np.array(knots) + left * off, np.array(slopes) - off, length)


def _joint_line(start: np.ndarray, goal: np.ndarray, model: ArmModel) -> JointPath:
    """Straight in joint space, free of table and arm all the way."""
    change = goal - start
    spans = max(math.ceil(np.abs(change).max() / _KNOT_TURN), 1)
    part = np.linspace(0.0, 1.0, spans + 1)
    knots = start + part[:, None] * change
    for s, joints in zip(part, knots, strict=True):
        with _say_where(s):
            model.check_free(joints)
    tip_rate = max(model.tip_speed(joints, change) for joints in knots)
    return JointPath(knots, np.tile(change, (spans + 1, 1)), 1.05 * tip_rate)


@contextlib.contextmanager
def _say_where(s: float) -> Iterator[None]:
    """Add to a refusal how far on the way it is."""
    try:
        yield
    except VimaError as error:
        if s == 1.0:
            raise
        raise unreachable(f"{100 * s:.0f} % of the way there: {error}") from error
