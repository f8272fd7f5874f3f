"""The flying tool: executes waypoints, one physics step at a time."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np

from vima_ros.arm.motion import Waypoint
from vima_ros.errors import VimaError
from vima_ros.geometry import Pose, quaternion_from_yaw, yaw_from_quaternion
from vima_ros.sim.engine import mujoco
from vima_ros.sim.path import StraightMove
from vima_ros.sim.scene import Scene
from vima_ros.sim.suction import Suction
from vima_ros.sim.world import AXES, SERVO, TIMESTEP, TOOL, TOOL_HOME, body_name
from vima_ros.specs import EndEffector

REST_SPEED = 0.005  # every movable body slower than this: the scene is at rest [m/s] (VIMA-Bench)
SETTLE_LIMIT = 4.0  # a scene that never rests is left alone after this time [s]
_SETTLE_LEAST = 0.1  # a body that is let go needs a moment to gather speed [s]
_BLOCKED_ERROR = 0.02  # the tool this far from where it should be is blocked [m]
_MAX_TILT = 0.02  # of a waypoint's quaternion, |(qx, qy)| of the unit quaternion


class Phase(str, Enum):
    """What the tool is doing, as in vima_msgs/ArmState."""

    IDLE = "IDLE"
    EXECUTING = "EXECUTING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    STOPPED = "STOPPED"


@dataclass(frozen=True)
class ToolState:
    """The tool now.

    ``pose``: of the tip, base frame. ``holding``: name of the carried object. ``code`` and
    ``message`` say why a motion FAILED: NOT_PICKED (suction was switched on with nothing movable
    under the cup) or BLOCKED (the tool could not follow its path); else they are empty.
    """

    phase: Phase
    pose: Pose
    holding: str | None = None
    code: str = ""
    message: str = ""


class Tool:
    """Moves the tool of a model along waypoints; a motion is a generator, one yield a step."""

    def __init__(self, model: mujoco.MjModel, data: mujoco.MjData, scene: Scene) -> None:
        self._model, self._data = model, data
        self._suction = Suction(model, data, scene)
        self._end_effector = scene.end_effector
        joints = [model.joint(f"{TOOL}/{axis}") for axis in AXES]
        self._qpos = np.array([joint.qposadr[0] for joint in joints])
        self._lead = np.array([SERVO[axis][1] / SERVO[axis][0] for axis in AXES])  # kv / kp [s]
        bodies = [model.body(body_name(o.name)).id for o in scene.objects if o.built.movable]
        self._dofs = model.body_dofadr[bodies][:, None] + np.arange(3)  # linear speed, (n, 3)
        self._target, self._velocity = np.array([*TOOL_HOME, 0.0]), np.zeros(4)
        data.qpos[self._qpos] = self._target
        self._motion: Iterator[None] | None = None
        self._phase, self._code, self._message = Phase.IDLE, "", ""

    @property
    def state(self) -> ToolState:
        """As it is now."""
        *position, yaw = self._data.qpos[self._qpos]
        pose = Pose(np.array(position), quaternion_from_yaw(yaw))
        return ToolState(self._phase, pose, self._suction.holding, self._code, self._message)

    @property
    def executing(self) -> bool:
        """Whether a motion is under way."""
        return self._motion is not None

    def start(self, waypoints: Sequence[Waypoint]) -> None:
        """Begin a motion.

        Raises VimaError: BUSY during another, NOT_FINITE or INVALID_VALUE for a waypoint that
        cannot be followed.
        """
        if self.executing:
            raise VimaError("BUSY", "a motion is under way; valid: after its end, or after stop")
        if not waypoints:
            raise VimaError("INVALID_VALUE", "no waypoints; valid: one or more")
        for index, waypoint in enumerate(waypoints):
            self._check(index, waypoint)
        self._phase, self._code, self._message = Phase.EXECUTING, "", ""
        self._motion = self._run(tuple(waypoints))

    def stop(self) -> None:
        """End the motion, if there is one: the tool holds where it is, and what it carries."""
        if self.executing:
            self._hold()
            self._motion, self._phase = None, Phase.STOPPED

    def step(self) -> None:
        """One physics step."""
        if self._motion is not None:
            self._advance(self._motion)
        # The servo damps against standing still; the lead makes it damp against the set speed.
        self._data.ctrl[:] = self._target + self._lead * self._velocity
        mujoco.mj_step(self._model, self._data)

    def _advance(self, motion: Iterator[None]) -> None:
        try:
            next(motion)
        except StopIteration:
            self._motion, self._phase = None, Phase.SUCCEEDED
        except VimaError as error:
            self._hold()
            self._motion, self._phase = None, Phase.FAILED
            self._code, self._message = error.code, str(error)

    def _run(self, waypoints: tuple[Waypoint, ...]) -> Iterator[None]:
        for waypoint in waypoints:
            height = self._target[2]
            yield from self._follow(waypoint)
            if not waypoint.tool_on:
                self._suction.drop()
            elif self._suction.pick() is None:
                yield from self._give_up(waypoint, height)
            yield from self._wait(waypoint.dwell)
        yield from self._settle()

    def _follow(self, waypoint: Waypoint) -> Iterator[None]:
        move = StraightMove(self._target, _goal(waypoint.pose), waypoint.max_speed)
        steps = max(math.ceil(move.duration / TIMESTEP), 1)
        for step in range(1, steps + 1):
            self._target, self._velocity = move.at(step * TIMESTEP)
            yield
            error = np.linalg.norm((self._target - self._data.qpos[self._qpos])[:3])
            if error > _BLOCKED_ERROR:
                raise VimaError(
                    "BLOCKED",
                    f"the tool is {error:.3f} m off its path to {waypoint.pose.position} m; "
                    f"valid: a path free of obstacles, within {_BLOCKED_ERROR} m",
                )
            if waypoint.until_contact and len(self._suction.touched):
                self._hold()
                return

    def _give_up(self, waypoint: Waypoint, height: float) -> Iterator[None]:
        """Rise to where the move came from, let the scene rest, and fail."""
        x, y, z = self._target[:3]
        back = Pose(np.array([x, y, max(height, z)]), waypoint.pose.quaternion)
        yield from self._follow(Waypoint(back, False, waypoint.max_speed))
        yield from self._settle()
        raise VimaError(
            "NOT_PICKED",
            f"suction at x {x:.3f}, y {y:.3f}, z {z:.3f} m found nothing to pick; "
            "valid: the tip on a movable object",
        )

    def _wait(self, seconds: float) -> Iterator[None]:
        for _ in range(round(seconds / TIMESTEP)):
            yield

    def _settle(self) -> Iterator[None]:
        yield from self._wait(_SETTLE_LEAST)
        for _ in range(round(SETTLE_LIMIT / TIMESTEP)):
            speeds = np.linalg.norm(self._data.qvel[self._dofs], axis=1)
            if (speeds < REST_SPEED).all():
                return
            yield

    def _hold(self) -> None:
        self._target, self._velocity = self._data.qpos[self._qpos].copy(), np.zeros(4)

    def _check(self, index: int, waypoint: Waypoint) -> None:
        pose = waypoint.pose
        numbers = [*pose.position, *pose.quaternion, waypoint.max_speed, waypoint.dwell]
        where = f"waypoint {index}"
        if not np.isfinite(numbers).all():
            raise VimaError("NOT_FINITE", f"{where} has {numbers}; valid: finite numbers")
        yaw_from_quaternion(pose.quaternion)
        tilt = np.linalg.norm(pose.quaternion[:2]) / np.linalg.norm(pose.quaternion)
        if tilt > _MAX_TILT:
            raise VimaError(
                "INVALID_VALUE",
                f"{where} tilts the tool: quaternion xyzw {pose.quaternion}; valid: a pure yaw",
            )
        if waypoint.max_speed <= 0.0 or waypoint.dwell < 0.0:
            raise VimaError(
                "INVALID_VALUE",
                f"{where}: max_speed {waypoint.max_speed} m/s, dwell {waypoint.dwell} s; "
                "valid: a speed above 0, a time of 0 or more",
            )
        if waypoint.tool_on and self._end_effector != EndEffector.SUCTION:
            raise VimaError(
                "INVALID_VALUE", f"{where} switches on suction; valid: off with a spatula"
            )


def _goal(pose: Pose) -> np.ndarray:
    """(4,) x, y, z [m] and yaw [rad]."""
    return np.append(pose.position, yaw_from_quaternion(pose.quaternion))
