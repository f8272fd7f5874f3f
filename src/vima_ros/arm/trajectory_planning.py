"""Planning of joint trajectories through waypoints, for a joint trajectory controller."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from vima_ros.arm.kinematics import ArmModel, unreachable
from vima_ros.arm.primitives import Waypoint
from vima_ros.arm.time_parameterization import JointLimits, JointPath, time_parameterize
from vima_ros.errors import VimaError
from vima_ros.geometry import Pose, quaternion_from_yaw, yaw_from_quaternion

_MAX_KNOT_DISTANCE = 0.025  # of the tip from knot to knot of a straight move [m]
_MAX_KNOT_ANGLE = 0.15  # of its rotation, and of a joint in a joint-space move [rad]
_MAX_TILT = 0.02  # sine of half the tilt up to which a tool counts as pointing down
_BRANCH_TOLERANCE = 0.1  # of joints from those of home's branch [rad]


@dataclass(frozen=True, eq=False)
class Segment:
    """Trajectory of one move, from rest to rest, to ``waypoint``.

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
        """Duration of the move [s]."""
        return float(self.times[-1])


@dataclass(frozen=True, eq=False)
class JointPlan:
    """Joint trajectories for all waypoints: each segment starts where the one before ends."""

    joint_names: tuple[str, ...]
    segments: tuple[Segment, ...]

    @property
    def duration(self) -> float:
        """Duration of all moves, without dwells [s]."""
        return sum(segment.duration for segment in self.segments)


def plan_trajectory(
    waypoints: Sequence[Waypoint],
    start_joints: np.ndarray,
    model: ArmModel,
    limits: JointLimits | None = None,
) -> JointPlan:
    """Plan joint trajectories through all waypoints from the current joints, (n,) [rad].

    Every move is a straight line of the tip at up to the waypoint's max_speed, with the shorter
    rotation of the tool. Only the first move may differ: from below it rises before it travels; it
    makes one extra turn, either way, where otherwise a joint would reach its limit now or in a
    later move; and where the tool does not point down yet, the arm is on another branch or the
    straight line is blocked, it is a straight line in joint space.

    Raises VimaError (UNREACHABLE), naming waypoint, position and reason, if a move is impossible.
    """
    joints = np.array(start_joints, dtype=np.float64)
    if joints.shape != model.home.shape or not np.isfinite(joints).all():
        raise unreachable(
            f"the joints are at {joints.tolist()} rad; valid: {len(model.home)} finite numbers"
        )
    refusals = []
    for extra_turns in (0, 1, -1, None) if _can_move_straight(joints, model) else (None,):
        try:
            return _plan_moves(waypoints, joints, model, limits or JointLimits(), extra_turns)
        except VimaError as error:
            refusals.append(error)
    raise refusals[0]


def _plan_moves(
    waypoints: Sequence[Waypoint],
    joints: np.ndarray,
    model: ArmModel,
    limits: JointLimits,
    extra_turns: int | None,
) -> JointPlan:
    segments: list[Segment] = []
    for index, waypoint in enumerate(waypoints):
        try:
            if segments:
                segment = plan_segment(waypoint, segments[-1].positions[-1], model, limits)
            else:
                paths = _plan_first_move(waypoint.pose, joints, model, extra_turns)
                segment = _build_segment(paths, waypoint, model, limits)
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
    """Plan one straight move from joints ``start`` (n,) [rad], as ``plan_trajectory`` does."""
    return _build_segment([_straight_line(waypoint.pose, start, model)], waypoint, model, limits)


def _build_segment(
    paths: Sequence[JointPath], waypoint: Waypoint, model: ArmModel, limits: JointLimits
) -> Segment:
    """Build a segment of paths in sequence, with a rest between them."""
    parts = [
        time_parameterize(path, model.max_velocity, limits.max_acceleration, waypoint.max_speed)
        for path in paths
    ]
    times, positions, velocities = parts[0]
    for more_times, more_positions, more_velocities in parts[1:]:
        times = np.concatenate([times, times[-1] + more_times[1:]])
        positions = np.concatenate([positions, more_positions[1:]])
        velocities = np.concatenate([velocities, more_velocities[1:]])
    return Segment(times, positions, velocities, waypoint)


def _can_move_straight(joints: np.ndarray, model: ArmModel) -> bool:
    """Return True if the tool points down and the arm is on the branch of home."""
    here = model.tip_pose(joints)
    if np.linalg.norm(here.quaternion[:2]) > _MAX_TILT:
        return False
    try:
        return bool(np.abs(model.solve_ik(here, joints) - joints).max() < _BRANCH_TOLERANCE)
    except VimaError:
        return False


def _plan_first_move(
    pose: Pose, start: np.ndarray, model: ArmModel, extra_turns: int | None
) -> list[JointPath]:
    """Plan the move to the first waypoint.

    It goes up, then straight to the waypoint, or in joint space where ``extra_turns`` is None.
    """
    if extra_turns is None:
        return [_straight_joint_path(start, model.solve_ik(pose, start), model)]
    here = model.tip_pose(start)
    if here.position[2] > pose.position[2] - 1e-3:
        return [_straight_line(pose, start, model, extra_turns)]
    above = Pose(np.append(here.position[:2], pose.position[2]), here.quaternion)
    rise = _straight_line(above, start, model)
    return [rise, _straight_line(pose, rise.knots[-1], model, extra_turns)]


def _straight_line(
    pose: Pose, start: np.ndarray, model: ArmModel, extra_turns: int = 0
) -> JointPath:
    """Plan a straight line to ``pose``: shorter rotation of the tool, plus ``extra_turns``."""
    here = model.tip_pose(start)
    yaw, length = yaw_from_quaternion(here.quaternion), math.dist(here.position, pose.position)
    rotation = math.remainder(yaw_from_quaternion(pose.quaternion) - yaw, 2 * math.pi)
    rotation += 2 * math.pi * extra_turns
    spans = max(
        math.ceil(length / _MAX_KNOT_DISTANCE), math.ceil(abs(rotation) / _MAX_KNOT_ANGLE), 1
    )
    translation = pose.position - here.position
    twist = np.array([*translation, 0.0, 0.0, rotation])
    joints, velocities = start, np.zeros_like(start)
    knots, slopes = [], []
    for s in np.linspace(0.0, 1.0, spans + 1):
        step = Pose(here.position + s * translation, quaternion_from_yaw(yaw + s * rotation))
        with _locate_refusal(s):
            joints = model.solve_ik_local(step, joints + velocities / spans)
            model.check_posture(joints)
        velocities = model.joint_velocities(joints, twist)
        knots.append(joints)
        slopes.append(velocities)
    # The arm starts a little off the line (servo error, a tilt): the error fades along the line.
    error = start - knots[0]
    remaining = np.linspace(1.0, 0.0, spans + 1)[:, None]
    return JointPath(np.array(knots) + remaining * error, np.array(slopes) - error, length)


def _straight_joint_path(start: np.ndarray, goal: np.ndarray, model: ArmModel) -> JointPath:
    """Plan a straight line in joint space, free of collisions all along."""
    change = goal - start
    spans = max(math.ceil(np.abs(change).max() / _MAX_KNOT_ANGLE), 1)
    fractions = np.linspace(0.0, 1.0, spans + 1)
    knots = start + fractions[:, None] * change
    for s, joints in zip(fractions, knots, strict=True):
        with _locate_refusal(s):
            model.check_valid(joints)
    max_tip_rate = max(model.tip_speed(joints, change) for joints in knots)
    return JointPath(knots, np.tile(change, (spans + 1, 1)), 1.05 * max_tip_rate)


@contextlib.contextmanager
def _locate_refusal(s: float) -> Iterator[None]:
    """Add to a refusal the fraction of the move at which it occurs."""
    try:
        yield
    except VimaError as error:
        if s == 1.0:
            raise
        raise unreachable(f"at {100 * s:.0f} % of the move: {error}") from error
