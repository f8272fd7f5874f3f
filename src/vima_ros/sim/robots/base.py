"""What a simulated robot does with waypoints, one physics step at a time, however it moves."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np

from vima_ros.arm.primitives import Waypoint
from vima_ros.errors import VimaError
from vima_ros.geometry import Pose, yaw_from_quaternion
from vima_ros.sim.model.mujoco_backend import mujoco
from vima_ros.sim.model.scene_model import TIMESTEP, body_name
from vima_ros.sim.robots.suction_gripper import Suction
from vima_ros.sim.scene import Scene
from vima_ros.specs import EndEffector

REST_SPEED = 0.005  # every movable body slower than this: the scene is at rest [m/s] (VIMA-Bench)
SETTLE_LIMIT = 4.0  # a scene that never rests is left alone after this time [s]
_SETTLE_LEAST = 0.1  # a body that is let go needs a moment to gather speed [s]
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

    ``pose``: of the tip, table frame. ``holding``: name of the carried object. ``code`` and
    ``message`` say why a motion FAILED: NOT_PICKED (suction was switched on with nothing movable
    under the cup), BLOCKED (the tool could not follow its path) or, of an arm that a touch ended
    short of its plan, UNREACHABLE; else they are empty.
    """

    phase: Phase
    pose: Pose
    holding: str | None = None
    code: str = ""
    message: str = ""


class Tool(ABC):
    """Moves the tool of a model along waypoints; a motion is a generator, one yield a step."""

    def __init__(self, model: mujoco.MjModel, data: mujoco.MjData, scene: Scene) -> None:
        self._model, self._data = model, data
        self._suction = Suction(model, data, scene)
        self._end_effector = scene.end_effector
        bodies = [model.body(body_name(o.name)).id for o in scene.objects if o.built.movable]
        self._dofs = model.body_dofadr[bodies][:, None] + np.arange(3)  # linear speed, (n, 3)
        self._motion: Iterator[None] | None = None
        self._phase, self._code, self._message = Phase.IDLE, "", ""

    @property
    def state(self) -> ToolState:
        """As it is now."""
        holding = self._suction.holding
        return ToolState(self._phase, self.pose, holding, self._code, self._message)

    @property
    @abstractmethod
    def pose(self) -> Pose:
        """Of the tip, table frame; the quaternion as ``arm.motion.Waypoint`` has it."""

    @property
    def executing(self) -> bool:
        """Whether a motion is under way."""
        return self._motion is not None

    @property
    def at_rest(self) -> bool:
        """Whether no object moves, but for what the tool carries with it."""
        speeds = np.linalg.norm(self._data.qvel[self._dofs], axis=1)
        return bool((speeds < REST_SPEED).all())

    def start(self, waypoints: Sequence[Waypoint]) -> None:
        """Begin a motion.

        Raises VimaError: BUSY during another, NOT_FINITE or INVALID_VALUE for a waypoint that
        cannot be followed, UNREACHABLE for one that the joints cannot reach.
        """
        if self.executing:
            raise VimaError("BUSY", "a motion is under way; valid: after its end, or after stop")
        if not waypoints:
            raise VimaError("INVALID_VALUE", "no waypoints; valid: one or more")
        for index, waypoint in enumerate(waypoints):
            self._check(index, waypoint)
        self._motion = self._plan(tuple(waypoints))
        self._phase, self._code, self._message = Phase.EXECUTING, "", ""

    def stop(self) -> None:
        """End the motion, if there is one: the tool holds where it is, and what it carries."""
        if self.executing:
            self._hold()
            self._motion, self._phase = None, Phase.STOPPED

    def step(self) -> None:
        """One physics step."""
        if self._motion is not None:
            self._advance(self._motion)
        self._step()

    @abstractmethod
    def _plan(self, waypoints: tuple[Waypoint, ...]) -> Iterator[None]:
        """The motion, as a generator; VimaError raised in it ends it as FAILED."""

    @abstractmethod
    def _hold(self) -> None:
        """Stay where the tool is."""

    @abstractmethod
    def _step(self) -> None:
        """One physics step towards where the tool should be."""

    def _advance(self, motion: Iterator[None]) -> None:
        try:
            next(motion)
        except StopIteration:
            self._motion, self._phase = None, Phase.SUCCEEDED
        except VimaError as error:
            self._hold()
            self._motion, self._phase = None, Phase.FAILED
            self._code, self._message = error.code, str(error)

    def _wait(self, seconds: float) -> Iterator[None]:
        for _ in range(round(seconds / TIMESTEP)):
            yield

    def _settle(self) -> Iterator[None]:
        yield from self._wait(_SETTLE_LEAST)
        for _ in range(round(SETTLE_LIMIT / TIMESTEP)):
            if self.at_rest:
                return
            yield

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
