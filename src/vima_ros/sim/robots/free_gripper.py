"""Free gripper: a tool without an arm, on servos along x, y, z and yaw; fast to simulate."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from vima_ros.arm.primitives import Waypoint
from vima_ros.errors import VimaError
from vima_ros.geometry import Pose, quaternion_from_yaw, yaw_from_quaternion
from vima_ros.sim.model.mujoco_backend import mujoco
from vima_ros.sim.model.scene_model import AXES, SERVO, TIMESTEP, TOOL, TOOL_HOME
from vima_ros.sim.robots.base import SimulatedRobot
from vima_ros.sim.robots.trapezoidal_profile import TrapezoidalProfile
from vima_ros.sim.scene import Scene

_MAX_PATH_ERROR = 0.02  # a tool farther from its set point is blocked [m]
# Below these nothing moves. Settled scenes have 1e-7 and 1e-5; what is in the air has 9.8.
_STILL_SPEED = 1e-6  # [m/s, rad/s]
_STILL_ACCELERATION = 1e-4  # [m/s², rad/s²]


class FreeGripper(SimulatedRobot):
    """Moves its tool in straight lines from waypoint to waypoint."""

    def __init__(self, model: mujoco.MjModel, data: mujoco.MjData, scene: Scene) -> None:
        super().__init__(model, data, scene)
        joints = [model.joint(f"{TOOL}/{axis}") for axis in AXES]
        self._qpos = np.array([joint.qposadr[0] for joint in joints])
        self._lead = np.array([SERVO[axis][1] / SERVO[axis][0] for axis in AXES])  # kv / kp [s]
        self._target, self._velocity = np.array([*TOOL_HOME, 0.0]), np.zeros(4)
        data.qpos[self._qpos] = self._target

    @property
    def pose(self) -> Pose:
        """Pose of the tool tip in the table frame."""
        *position, yaw = self._data.qpos[self._qpos]
        return Pose(np.array(position), quaternion_from_yaw(yaw))

    @property
    def still(self) -> bool:
        """True if nothing moves, the tool included, or is about to."""
        speed, acceleration = np.abs(self._data.qvel).max(), np.abs(self._data.qacc).max()
        return not self.executing and speed < _STILL_SPEED and acceleration < _STILL_ACCELERATION

    def _plan(self, waypoints: tuple[Waypoint, ...]) -> Iterator[None]:
        for waypoint in waypoints:
            height = self._target[2]
            yield from self._follow(waypoint)
            if not waypoint.tool_on:
                self._suction.release()
            elif self._suction.grasp() is None:
                yield from self._fail_pick(waypoint, height)
            yield from self._wait(waypoint.dwell)
        yield from self._settle()

    def _follow(self, waypoint: Waypoint) -> Iterator[None]:
        move = TrapezoidalProfile(self._target, _goal(waypoint.pose), waypoint.max_speed)
        steps = max(math.ceil(move.duration / TIMESTEP), 1)
        for step in range(1, steps + 1):
            self._target, self._velocity = move.at(step * TIMESTEP)
            yield
            error = math.dist(self._target[:3], self._data.qpos[self._qpos[:3]])
            if error > _MAX_PATH_ERROR:
                raise VimaError(
                    "BLOCKED",
                    f"the tool is {error:.3f} m off its path to {waypoint.pose.position} m in the "
                    f"table frame; valid: a path free of obstacles, within {_MAX_PATH_ERROR} m",
                )
            if waypoint.until_contact and len(self._suction.contact_bodies):
                self._hold()
                return

    def _fail_pick(self, waypoint: Waypoint, height: float) -> Iterator[None]:
        """Return to ``height`` [m], let the scene settle and fail with NOT_PICKED."""
        x, y, z = self._target[:3]
        back = Pose(np.array([x, y, max(height, z)]), waypoint.pose.quaternion)
        yield from self._follow(Waypoint(back, False, waypoint.max_speed))
        yield from self._settle()
        raise VimaError(
            "NOT_PICKED",
            f"no object to pick at x {x:.3f}, y {y:.3f}, z {z:.3f} m in the table frame; "
            "valid: the tool tip on a movable object",
        )

    def _hold(self) -> None:
        self._target, self._velocity = self._data.qpos[self._qpos].copy(), np.zeros(4)

    def _step(self) -> None:
        # The servo damps the absolute velocity; the lead makes it damp the error of velocity.
        self._data.ctrl[:] = self._target + self._lead * self._velocity
        mujoco.mj_step(self._model, self._data)


def _goal(pose: Pose) -> np.ndarray:
    """Return x, y, z [m] and yaw [rad] of a pose, (4,)."""
    return np.append(pose.position, yaw_from_quaternion(pose.quaternion))
