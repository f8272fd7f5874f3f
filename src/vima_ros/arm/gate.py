"""The safety gate: one function of (request, state, limits) to motion or a coded refusal."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

import numpy as np

from vima_ros.arm.motion import MotionParameters, Waypoint, plan_waypoints
from vima_ros.arm.trajectory import JointPlan
from vima_ros.errors import GateCode, VimaError
from vima_ros.geometry import Pose, Workspace
from vima_ros.specs import Primitive


@dataclass(frozen=True)
class Request:
    """An action that wants to become motion.

    ``observation_stamp``: when the cameras took what it was decided on [ns].
    """

    command_id: str
    primitive: Primitive
    pose0: Pose
    pose1: Pose
    observation_stamp: int


@dataclass(frozen=True)
class ArmWorld:
    """What the gate knows of the moment. Times [ns] on the clock that stamps the observations.

    ``stopped`` is why the arm is stopped, empty where it is not; ``busy_with`` the command under
    way.
    """

    now: int
    active: bool = True
    stopped: str = ""
    busy_with: str = ""
    last_motion_end: int = 0
    seen: Collection[str] = ()


@dataclass(frozen=True)
class Limits:
    """What the gate allows. ``max_age``: of the observation [s]."""

    workspace: Workspace = field(default_factory=Workspace)
    max_age: float = 5.0
    dry_run: bool = True


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
    _check_readiness(request, world)
    _check_poses(request, limits.workspace)
    _check_age(request, world, limits.max_age)
    waypoints = plan_waypoints(
        request.primitive, request.pose0, request.pose1, limits.workspace, motion
    )
    for waypoint in waypoints:
        _check_inside(waypoint.pose, "a waypoint", limits.workspace)
    plan = planner(waypoints) if planner else None
    if limits.dry_run:
        raise _refusal(
            GateCode.DRY_RUN,
            f"{len(waypoints)} waypoints planned and not sent: dry_run is true",
        )
    return Approved(waypoints, plan)


def _refusal(code: GateCode, message: str) -> VimaError:
    return VimaError(code.value, message)


def _check_readiness(request: Request, world: ArmWorld) -> None:
    if not world.active:
        raise _refusal(GateCode.NOT_ACTIVE, "the arm node is not active")
    if world.stopped:
        raise _refusal(
            GateCode.STOPPED, f"the arm is stopped ({world.stopped}); call resume to go on"
        )
    if request.command_id in world.seen:
        raise _refusal(GateCode.DUPLICATE, f"decision {request.command_id} was used before")
    if world.busy_with:
        raise _refusal(GateCode.BUSY, f"command {world.busy_with} is under way")


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
            f"{name} at ({x:.3f}, {y:.3f}) m; valid: from {workspace.low} to {workspace.high} m",
        )


def _check_age(request: Request, world: ArmWorld, max_age: float) -> None:
    age = (world.now - request.observation_stamp) / 1e9
    if age > max_age:
        raise _refusal(
            GateCode.STALE, f"the observation is {age:.2f} s old; valid: up to {max_age} s"
        )
    if request.observation_stamp <= world.last_motion_end:
        raise _refusal(
            GateCode.STALE, "the observation was taken before the last motion had ended"
        )
