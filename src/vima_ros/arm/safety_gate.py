"""Safety gate: one function from (request, context, limits) to motion or a coded refusal."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

import numpy as np

from vima_ros.arm.primitives import MotionParameters, Waypoint, plan_waypoints
from vima_ros.arm.trajectory_planning import JointPlan
from vima_ros.errors import GateCode, VimaError
from vima_ros.geometry import Pose, Workspace
from vima_ros.specs import Primitive

MAX_CLOCK_LEAD = 0.5  # of an observation's stamp before the clock [s]
ROUNDING = 1e-6  # tolerance of speeds and heights, which messages carry in single precision


@dataclass(frozen=True)
class Request:
    """Request to execute an action; its poses are in the table frame.

    ``prompt_id``: that of the episode. ``observation_stamp``: capture time of the observation that
    the action was decided on; ``view_stamps``: those of its front and top view, both 0 where no
    cameras were involved (an oracle, a person) [ns]. ``confidence``: of each chosen bin, 0 to 1.
    """

    command_id: str
    primitive: Primitive
    pose0: Pose
    pose1: Pose
    observation_stamp: int
    prompt_id: str = ""
    view_stamps: tuple[int, int] = (0, 0)
    confidence: tuple[float, ...] = ()


@dataclass(frozen=True)
class ArmContext:
    """State of the arm when a request arrives. Times [ns] on the clock that stamps observations.

    ``stop_reason``: why the arm is stopped, empty if it is not; ``busy_with``: id of the active
    command; ``used_command_ids``: those requested before; ``cancelled_prompt_ids``: the prompts
    that may move the arm no more; ``no_controller``: why no motion would reach the robot, empty if
    it would.
    """

    now: int
    active: bool = True
    stop_reason: str = ""
    busy_with: str = ""
    last_motion_end: int = 0
    used_command_ids: Collection[str] = ()
    cancelled_prompt_ids: Collection[str] = ()
    no_controller: str = ""


@dataclass(frozen=True, eq=False)
class JointBounds:
    """Limits of the joints: ``lower``, ``upper`` (n,) [rad], ``max_velocity`` (n,) [rad/s]."""

    lower: np.ndarray
    upper: np.ndarray
    max_velocity: np.ndarray
    max_acceleration: float  # [rad/s^2]


@dataclass(frozen=True)
class Limits:
    """Limits of the gate. All positions are in the table frame.

    ``max_age`` of the observation and ``sync_slop`` between its views [s]; ``min_confidence`` of
    every bin, 0 to 1; ``max_speed`` of the tool tip [m/s], ``min_tool_z`` and ``max_tool_z`` of
    its z [m]; ``max_reach`` of the tool tip from ``base_position`` [m], 0: not checked, where
    ``base_position`` is the origin of base_link [m].
    """

    workspace: Workspace = field(default_factory=Workspace)
    max_age: float = 5.0
    dry_run: bool = True
    sync_slop: float = 0.05
    min_confidence: float = 0.0
    max_speed: float = 0.5
    min_tool_z: float = 0.0
    max_tool_z: float = 0.6
    max_reach: float = 0.0
    base_position: tuple[float, float, float] = (0.0, 0.0, 0.0)
    joints: JointBounds | None = None

    def to_dict(self) -> dict[str, object]:
        """Return all limits but those of the joints, which are in the URDF."""
        return {
            name: getattr(self, name) for name in self.__dataclass_fields__ if name != "joints"
        }


Planner = Callable[[Sequence[Waypoint]], JointPlan]


@dataclass(frozen=True)
class Approved:
    """Motion that passed the gate; ``plan`` of the joints where a planner was given."""

    waypoints: tuple[Waypoint, ...]
    plan: JointPlan | None = None


def check(
    request: Request,
    context: ArmContext,
    limits: Limits,
    motion: MotionParameters,
    planner: Planner | None = None,
) -> Approved:
    """Return the motion that executes ``request``, or refuse it.

    ``planner``: plans how the joints follow the waypoints (``plan_trajectory`` from the current
    joint positions), where the arm is known; it refuses what is UNREACHABLE. A waypoint's speed
    that the joints cannot reach is not refused: they move slower.

    Raises VimaError with a code of GateCode if any check fails; nothing else in the suite may
    command motion.
    """
    check_readiness(request, context)
    _check_poses(request, limits.workspace)
    _check_confidence(request, limits.min_confidence)
    _check_age(request, context, limits)
    waypoints = plan_waypoints(
        request.primitive, request.pose0, request.pose1, limits.workspace, motion
    )
    for waypoint in waypoints:
        _check_waypoint(waypoint, limits)
    plan = planner(waypoints) if planner else None
    if plan is not None and limits.joints is not None:
        _check_plan(plan, limits.joints)
    if limits.dry_run:
        raise _refusal(
            GateCode.DRY_RUN,
            f"{len(waypoints)} waypoints planned and not sent: dry_run is true",
        )
    if context.no_controller:
        raise _refusal(GateCode.NO_CONTROLLER, context.no_controller)
    return Approved(waypoints, plan)


def check_readiness(request: Request, context: ArmContext) -> None:
    """Raise VimaError as ``check`` does if no motion of ``request`` may begin now."""
    if not context.active:
        raise _refusal(GateCode.NOT_ACTIVE, "the arm node is not active")
    if context.stop_reason:
        raise _refusal(
            GateCode.STOPPED, f"the arm is stopped ({context.stop_reason}); call resume to go on"
        )
    if request.prompt_id in context.cancelled_prompt_ids:
        raise _refusal(
            GateCode.CANCELLED, f"episode {request.prompt_id} has ended and may not move the arm"
        )
    if request.command_id in context.used_command_ids:
        raise _refusal(GateCode.DUPLICATE, f"command {request.command_id} was requested before")
    if context.busy_with:
        raise _refusal(GateCode.BUSY, f"command {context.busy_with} is active")


def _refusal(code: GateCode, message: str) -> VimaError:
    return VimaError(code.value, message)


def _check_poses(request: Request, workspace: Workspace) -> None:
    for name, pose in (("pose0", request.pose0), ("pose1", request.pose1)):
        if not pose.is_finite or not np.any(pose.quaternion):
            raise _refusal(
                GateCode.NOT_FINITE,
                f"{name} is {pose.position.tolist()} m, {pose.quaternion.tolist()}; "
                "valid: finite numbers and a quaternion other than zero",
            )
        _check_inside(pose, name, workspace)


def _check_inside(pose: Pose, name: str, workspace: Workspace) -> None:
    x, y = float(pose.position[0]), float(pose.position[1])
    if not workspace.contains(x, y):
        raise _refusal(
            GateCode.OUTSIDE_WORKSPACE,
            f"{name} at ({x:.3f}, {y:.3f}) m in the table frame; valid: from {workspace.low} to "
            f"{workspace.high} m",
        )


def _check_confidence(request: Request, min_confidence: float) -> None:
    if not all(math.isfinite(value) for value in request.confidence):
        raise _refusal(
            GateCode.NOT_FINITE, f"confidence is {list(request.confidence)}; valid: 0 to 1 each"
        )
    confidence = min(request.confidence, default=1.0)
    if confidence < min_confidence:
        raise _refusal(
            GateCode.LOW_CONFIDENCE,
            f"the least confident bin has probability {confidence:.3f}; valid: {min_confidence:g} "
            "or more",
        )


def _check_age(request: Request, context: ArmContext, limits: Limits) -> None:
    age = (context.now - request.observation_stamp) / 1e9
    if not -MAX_CLOCK_LEAD <= age <= limits.max_age:
        how_old = f"{age:.2f} s old" if age > 0 else f"stamped {-age:.2f} s ahead of the clock"
        raise _refusal(
            GateCode.STALE, f"the observation is {how_old}; valid: up to {limits.max_age} s old"
        )
    if request.observation_stamp <= context.last_motion_end:
        raise _refusal(
            GateCode.STALE, "the observation was captured before the last motion had ended"
        )
    front, top = request.view_stamps
    if abs(front - top) / 1e9 > limits.sync_slop:
        raise _refusal(
            GateCode.STALE,
            f"front and top view were captured {abs(front - top) / 1e9:.3f} s apart; valid: up to "
            f"{limits.sync_slop} s",
        )


def _check_waypoint(waypoint: Waypoint, limits: Limits) -> None:
    _check_inside(waypoint.pose, "a waypoint", limits.workspace)
    position = waypoint.pose.position
    z, reach = float(position[2]), math.dist(position, limits.base_position)
    if not limits.min_tool_z - ROUNDING <= z <= limits.max_tool_z + ROUNDING:
        raise _refusal(
            GateCode.OUTSIDE_WORKSPACE,
            f"a waypoint at z = {z:.3f} m in the table frame; valid: from {limits.min_tool_z} to "
            f"{limits.max_tool_z} m",
        )
    if 0 < limits.max_reach < reach:
        raise _refusal(
            GateCode.UNREACHABLE,
            f"a waypoint {reach:.3f} m from the base; valid: up to {limits.max_reach} m",
        )
    if not 0 < waypoint.max_speed <= limits.max_speed + ROUNDING:
        raise _refusal(
            GateCode.TOO_FAST,
            f"a move of {waypoint.max_speed:g} m/s; valid: up to {limits.max_speed} m/s",
        )


def _check_plan(plan: JointPlan, joints: JointBounds) -> None:
    """Check a plan independently of the planner, which keeps to these limits by itself."""
    for segment in plan.segments:
        positions, velocities = segment.positions, segment.velocities
        if not (np.isfinite(positions).all() and np.isfinite(velocities).all()):
            raise _refusal(GateCode.NOT_FINITE, "the plan has values that are not finite")
        too_low = positions < joints.lower - ROUNDING
        if (too_low | (positions > joints.upper + ROUNDING)).any():
            raise _refusal(GateCode.UNREACHABLE, "the plan moves a joint beyond its limits")
        accelerations = np.abs(np.diff(velocities, axis=0)) / np.diff(segment.times)[:, None]
        too_fast = (np.abs(velocities) > joints.max_velocity + ROUNDING).any()
        if too_fast or accelerations.max(initial=0.0) > joints.max_acceleration + ROUNDING:
            raise _refusal(
                GateCode.TOO_FAST, "the plan exceeds a joint's velocity or acceleration limit"
            )
