"""The safety gate: one function of (request, state, limits) to motion or a coded refusal."""

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

AHEAD = 0.5  # an observation stamped so far ahead of the clock is nobody's rounding [s]
ROUNDING = 1e-6  # of speeds and heights, which messages carry in single precision


@dataclass(frozen=True)
class Request:
    """An action that wants to become motion; its poses are in the table frame.

    ``prompt_id``: of the episode. ``observation_stamp``: when the cameras took what it was decided
    on; ``view_stamps``: of its front and its top view, both 0 where no cameras were asked (an
    oracle, a person) [ns]. ``confidence``: of each chosen bin, 0 to 1.
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
class ArmWorld:
    """What the gate knows of the moment. Times [ns] on the clock that stamps the observations.

    ``stopped`` is why the arm is stopped, empty where it is not; ``busy_with`` the command under
    way; ``seen`` the commands asked for before; ``cancelled`` the prompts that may move no more;
    ``no_controller`` why no motion would arrive at the robot, empty where it would.
    """

    now: int
    active: bool = True
    stopped: str = ""
    busy_with: str = ""
    last_motion_end: int = 0
    seen: Collection[str] = ()
    cancelled: Collection[str] = ()
    no_controller: str = ""


@dataclass(frozen=True, eq=False)
class JointRange:
    """What the joints may do: ``lower``, ``upper`` (n,) [rad], ``speed`` (n,) [rad/s]."""

    lower: np.ndarray
    upper: np.ndarray
    speed: np.ndarray
    acceleration: float  # [rad/s^2]


@dataclass(frozen=True)
class Limits:
    """What the gate allows. All places are in the table frame.

    ``max_age`` of the observation and ``sync_slop`` between its views [s]; ``min_confidence`` of
    every bin, 0 to 1; ``max_speed`` of the tool [m/s]; ``lowest`` and ``highest`` the tool tip may
    be, in z [m]; ``max_reach`` of the tool tip from ``base_position`` [m], 0: not checked, where
    ``base_position`` is the origin of base_link [m].
    """

    workspace: Workspace = field(default_factory=Workspace)
    max_age: float = 5.0
    dry_run: bool = True
    sync_slop: float = 0.05
    min_confidence: float = 0.0
    max_speed: float = 0.5
    lowest: float = 0.0
    highest: float = 0.6
    max_reach: float = 0.0
    base_position: tuple[float, float, float] = (0.0, 0.0, 0.0)
    joints: JointRange | None = None

    def told(self) -> dict[str, object]:
        """For people; the joints' are in the URDF."""
        return {
            name: getattr(self, name) for name in self.__dataclass_fields__ if name != "joints"
        }


Planner = Callable[[Sequence[Waypoint]], JointPlan]


@dataclass(frozen=True)
class Approved:
    """Motion that may be: all waypoints inside the workspace; ``plan`` where one was asked for."""

    waypoints: tuple[Waypoint, ...]
    plan: JointPlan | None = None


def check(
    request: Request,
    world: ArmWorld,
    limits: Limits,
    motion: MotionParameters,
    planner: Planner | None = None,
) -> Approved:
    """The motion that carries ``request`` out.

    ``planner``: how the joints follow the waypoints (``trajectory.plan_trajectory`` from where the
    arm stands), where the arm is known; it refuses what is UNREACHABLE. A waypoint's speed that
    the joints cannot have is not refused: they go slower.

    Raises VimaError with a code of GateCode for whatever speaks against it; nothing else in the
    suite may command motion.
    """
    check_readiness(request, world)
    _check_poses(request, limits.workspace)
    _check_confidence(request, limits.min_confidence)
    _check_age(request, world, limits)
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
    if world.no_controller:
        raise _refusal(GateCode.NO_CONTROLLER, world.no_controller)
    return Approved(waypoints, plan)


def check_readiness(request: Request, world: ArmWorld) -> None:
    """Whether any motion of ``request``'s may begin now; raises VimaError as ``check`` does."""
    if not world.active:
        raise _refusal(GateCode.NOT_ACTIVE, "the arm node is not active")
    if world.stopped:
        raise _refusal(
            GateCode.STOPPED, f"the arm is stopped ({world.stopped}); call resume to go on"
        )
    if request.prompt_id in world.cancelled:
        raise _refusal(
            GateCode.CANCELLED, f"episode {request.prompt_id} has ended: it moves nothing any more"
        )
    if request.command_id in world.seen:
        raise _refusal(GateCode.DUPLICATE, f"decision {request.command_id} was used before")
    if world.busy_with:
        raise _refusal(GateCode.BUSY, f"command {world.busy_with} is under way")


def _refusal(code: GateCode, message: str) -> VimaError:
    return VimaError(code.value, message)


def _check_poses(request: Request, workspace: Workspace) -> None:
    for name, pose in (("pose0", request.pose0), ("pose1", request.pose1)):
        if not pose.is_finite or not np.any(pose.quaternion):
            raise _refusal(
                GateCode.NOT_FINITE,
                f"{name} is {pose.position.tolist()} m, {pose.quaternion.tolist()}; "
                "valid: finite numbers and a quaternion that is not all zero",
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


def _check_confidence(request: Request, least: float) -> None:
    if not all(math.isfinite(share) for share in request.confidence):
        raise _refusal(
            GateCode.NOT_FINITE, f"confidence is {list(request.confidence)}; valid: 0 to 1 each"
        )
    lowest = min(request.confidence, default=1.0)
    if lowest < least:
        raise _refusal(
            GateCode.LOW_CONFIDENCE,
            f"the least sure of the bins has probability {lowest:.3f}; valid: {least:g} or more",
        )


def _check_age(request: Request, world: ArmWorld, limits: Limits) -> None:
    age = (world.now - request.observation_stamp) / 1e9
    if not -AHEAD <= age <= limits.max_age:
        told = f"{age:.2f} s old" if age > 0 else f"stamped {-age:.2f} s ahead of the clock"
        raise _refusal(
            GateCode.STALE, f"the observation is {told}; valid: up to {limits.max_age} s old"
        )
    if request.observation_stamp <= world.last_motion_end:
        raise _refusal(
            GateCode.STALE, "the observation was taken before the last motion had ended"
        )
    front, top = request.view_stamps
    if abs(front - top) / 1e9 > limits.sync_slop:
        raise _refusal(
            GateCode.STALE,
            f"front and top view were taken {abs(front - top) / 1e9:.3f} s apart; valid: up to "
            f"{limits.sync_slop} s",
        )


def _check_waypoint(waypoint: Waypoint, limits: Limits) -> None:
    _check_inside(waypoint.pose, "a waypoint", limits.workspace)
    position = waypoint.pose.position
    z, reach = float(position[2]), math.dist(position, limits.base_position)
    if not limits.lowest - ROUNDING <= z <= limits.highest + ROUNDING:
        raise _refusal(
            GateCode.OUTSIDE_WORKSPACE,
            f"a waypoint at z = {z:.3f} m in the table frame; valid: from {limits.lowest} to "
            f"{limits.highest} m",
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


def _check_plan(plan: JointPlan, joints: JointRange) -> None:
    """The planner keeps to these limits by itself; here nothing is taken on trust."""
    for segment in plan.segments:
        at, speeds = segment.positions, segment.velocities
        if not (np.isfinite(at).all() and np.isfinite(speeds).all()):
            raise _refusal(GateCode.NOT_FINITE, "the plan has numbers that are not finite")
        if (at < joints.lower - ROUNDING).any() or (at > joints.upper + ROUNDING).any():
            raise _refusal(GateCode.UNREACHABLE, "the plan leads a joint beyond its limits")
        gains = np.abs(np.diff(speeds, axis=0)) / np.diff(segment.times)[:, None]
        too_fast = (np.abs(speeds) > joints.speed + ROUNDING).any()
        if too_fast or gains.max(initial=0.0) > joints.acceleration + ROUNDING:
            raise _refusal(GateCode.TOO_FAST, "the plan moves a joint faster than it may")
