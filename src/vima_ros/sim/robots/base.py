"""Base class of the simulated robots: motions along waypoints, one physics step at a time."""

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
from vima_ros.sim.robots.suction_gripper import SuctionGripper
from vima_ros.sim.scene import Scene
from vima_ros.specs import EndEffector

REST_SPEED = 0.005  # a scene whose movable objects are all slower is at rest [m/s] (VIMA-Bench)
MAX_SETTLE_TIME = 4.0  # a motion ends after this even if the scene is not at rest [s]
_MIN_SETTLE_TIME = 0.1  # a released object needs this long to exceed REST_SPEED [s]
_MAX_TILT = 0.02  # |(qx, qy)| of a waypoint's unit quaternion


class Phase(str, Enum):
    """Phase of a motion, as in vima_msgs/ArmState."""

    IDLE = "IDLE"
    EXECUTING = "EXECUTING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    STOPPED = "STOPPED"


@dataclass(frozen=True)
class SimulatedRobotState:
    """State of the motion and of the tool.

    ``pose``: pose of the tool tip in the table frame. ``holding``: name of the carried object.
    ``code`` and ``message``: reason why a motion FAILED, else empty. The code is NOT_PICKED
    (suction was switched on with no movable object under the cup), BLOCKED (the tool could not
    follow its path) or UNREACHABLE (a contact stopped the arm short of its plan).
    """

    phase: Phase
    pose: Pose
    holding: str | None = None
    code: str = ""
    message: str = ""


class SimulatedRobot(ABC):
    """Robot of a model that moves its tool along waypoints.

    A motion is a generator that yields once per physics step.
    """

    def __init__(self, model: mujoco.MjModel, data: mujoco.MjData, scene: Scene) -> None:
        self._model, self._data = model, data
        self._suction = SuctionGripper(model, data, scene)
        self._end_effector = scene.end_effector
        bodies = [
            model.body(body_name(o.name)).id for o in scene.objects if o.scaled_shape.movable
        ]
        self._dofs = model.body_dofadr[bodies][:, None] + np.arange(3)  # linear velocities, (n, 3)
        self._motion: Iterator[None] | None = None
        self._phase, self._code, self._message = Phase.IDLE, "", ""

    @property
    def state(self) -> SimulatedRobotState:
        """Current state."""
        holding = self._suction.holding
        return SimulatedRobotState(self._phase, self.pose, holding, self._code, self._message)

    @property
    @abstractmethod
    def pose(self) -> Pose:
        """Pose of the tool tip in the table frame, in the convention of ``Waypoint.pose``."""

    @property
    def executing(self) -> bool:
        """True during a motion."""
        return self._motion is not None

    @property
    def at_rest(self) -> bool:
        """True if no movable object is faster than REST_SPEED."""
        speeds = np.linalg.norm(self._data.qvel[self._dofs], axis=1)
        return bool((speeds < REST_SPEED).all())

    @property
    def still(self) -> bool:
        """True if nothing moves, the tool included, or is about to: a step would change nothing.

        Never, for a robot that is controlled in each step.
        """
        return False

    def start(self, waypoints: Sequence[Waypoint]) -> None:
        """Start a motion along ``waypoints``.

        Raises VimaError: BUSY during another motion, NOT_FINITE or INVALID_VALUE for an invalid
        waypoint, UNREACHABLE for one that the joints cannot reach.
        """
        if self.executing:
            raise VimaError("BUSY", "a motion is in progress; valid: after its end, or after stop")
        if not waypoints:
            raise VimaError("INVALID_VALUE", "no waypoints; valid: one or more")
        for index, waypoint in enumerate(waypoints):
            self._check(index, waypoint)
        self._motion = self._plan(tuple(waypoints))
        self._phase, self._code, self._message = Phase.EXECUTING, "", ""

    def stop(self) -> None:
        """Stop the motion, if any: the robot holds its position and what it carries."""
        if self.executing:
            self._hold()
            self._motion, self._phase = None, Phase.STOPPED

    def step(self) -> None:
        """Simulate one physics step."""
        if self._motion is not None:
            self._advance(self._motion)
        self._step()

    @abstractmethod
    def _plan(self, waypoints: tuple[Waypoint, ...]) -> Iterator[None]:
        """Return the motion as a generator; a VimaError raised by it ends it as FAILED."""

    @abstractmethod
    def _hold(self) -> None:
        """Hold the current position."""

    @abstractmethod
    def _step(self) -> None:
        """Simulate one physics step towards the current set point."""

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
        yield from self._wait(_MIN_SETTLE_TIME)
        for _ in range(round(MAX_SETTLE_TIME / TIMESTEP)):
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
                "valid: a positive speed, a dwell time of 0 or more",
            )
        if waypoint.tool_on and self._end_effector != EndEffector.SUCTION:
            raise VimaError(
                "INVALID_VALUE", f"{where} switches on suction; valid: off with a spatula"
            )
