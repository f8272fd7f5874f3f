"""The joint-level arm: follows joint trajectories, feels touch, sucks; it knows nothing of tasks.

What ``ros2_control`` offers on a real arm: a position controller for each joint, the speed fed
forward and gravity compensated, and a few lines for the tool.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np

from vima_ros.arm.kinematics import UR5E_HOME
from vima_ros.arm.plan_execution import GOAL_TOLERANCE, MeasuredState
from vima_ros.errors import VimaError
from vima_ros.geometry import Pose
from vima_ros.sim.model.mujoco_backend import mujoco
from vima_ros.sim.model.robot_model import BANDWIDTH, PREFIX
from vima_ros.sim.model.scene_model import TIMESTEP, TOOL
from vima_ros.sim.robots.suction_gripper import Suction

TOLERANCE = 0.03  # a joint this far from where it should be does not follow any more [rad]
GOAL_TIME = 1.0  # after the end of a trajectory, until each joint must be there [s]
LONGEST = 600.0  # a longer trajectory is not taken [s]
# Damping / stiffness of the servos, less the step at whose start they see the joints [s].
_LEAD = 2.0 / BANDWIDTH - TIMESTEP


class Robot:
    """The arm of a model (``robot_model``). Joints are in the order of ``joint_names`` [rad]."""

    def __init__(
        self,
        model: mujoco.MjModel,
        data: mujoco.MjData,
        suction: Suction,
        joint_names: Sequence[str],
    ) -> None:
        self.joint_names = tuple(joint_names)
        self._model, self._data, self._suction = model, data, suction
        joints = [model.joint(PREFIX + name) for name in joint_names]
        self._qpos = np.array([joint.qposadr[0] for joint in joints])
        self._qvel = np.array([joint.dofadr[0] for joint in joints])
        self._servos = [model.actuator(PREFIX + name).id for name in joint_names]
        self.lower, self.upper = np.array([joint.range for joint in joints]).T
        self._target, self._speed = np.array(UR5E_HOME), np.zeros(len(joints))
        data.qpos[self._qpos] = self._target
        self._ahead: Iterator[tuple[np.ndarray, np.ndarray]] = iter(())  # of the steps to come
        self._moves = self._sucks = self._guards = self._contact = False
        self._ended = 0.0  # since the end of the trajectory [s]
        self._known_touch: set[int] = set()
        self.fault = ""

    @property
    def state(self) -> MeasuredState:
        """As it is now; ``contact`` is latched until the next trajectory."""
        joints, speeds = self._data.qpos[self._qpos], self._data.qvel[self._qvel]
        return MeasuredState(joints, speeds, self._contact, self._suction.holding is not None)

    @property
    def pose(self) -> Pose:
        """Of the tool's tip; its quaternion as ``arm.motion.Waypoint`` has it."""
        w, x, y, z = self._data.body(TOOL).xquat
        return Pose(self._data.body(TOOL).xpos, np.array([x, y, z, w]))

    def follow(self, times: np.ndarray, positions: np.ndarray, velocities: np.ndarray) -> None:
        """Follow a trajectory from now on, in place of what was followed; then hold its end.

        ``times`` (m,) [s] from now, increasing; ``positions`` (m, n) [rad], ``velocities`` (m, n)
        [rad/s]; the cubic in between. Where the first time is not 0, it leads there from where the
        arm is told to be now, and at that speed. Without any point: ``hold``.

        Raises VimaError (NOT_FINITE, INVALID_VALUE) for what cannot be followed; then nothing
        changes.
        """
        times, positions, velocities = (
            np.asarray(values, dtype=np.float64) for values in (times, positions, velocities)
        )
        if len(times):
            self._check(times, positions, velocities)
            if times[0] > 0.0:
                times = np.concatenate([[0.0], times])
                positions = np.concatenate([self._target[None], positions])
                velocities = np.concatenate([self._speed[None], velocities])
            steps = _sample(times, positions, velocities)
            self._ahead, self._ended = zip(*steps, strict=True), 0.0
            self._moves, self.fault = True, ""
        else:
            self.hold()
        self._contact, self._known_touch = False, self._touched()

    def hold(self) -> None:
        """Stay where the arm is, at once, with what it carries."""
        self._ahead, self._moves, self.fault = iter(()), False, ""
        self._target, self._speed = self.state.positions, np.zeros(len(self.joint_names))

    def suction(self, on: bool) -> None:
        """Carry what the cup touches, now or later; or let go of it."""
        self._sucks = on
        if not on:
            self._suction.drop()

    def guard(self, on: bool) -> None:
        """Hold at the first new touch of the tool, or of what it carries, with anything."""
        if on and not self._guards:
            self._known_touch = self._touched()
        self._guards = on

    def step(self) -> None:
        """One physics step."""
        if self._moves:
            self._advance()
        # The servo damps against standing still; the lead makes it damp against the set speed.
        self._data.ctrl[self._servos] = self._target + _LEAD * self._speed
        mujoco.mj_step(self._model, self._data)
        if self._sucks and self._suction.holding is None:
            self._suction.pick()
        if self._guards and not self._contact:
            self._feel()
        if self._moves:
            self._check_following()

    def _advance(self) -> None:
        """The next target; the last one stays."""
        ahead = next(self._ahead, None)
        if ahead is not None:
            self._target, self._speed = ahead
        else:
            self._speed = np.zeros_like(self._speed)
            self._ended += TIMESTEP

    def _touched(self) -> set[int]:
        return set(self._suction.touched.tolist())

    def _feel(self) -> None:
        touched = self._touched()
        if touched - self._known_touch:
            self.hold()
            self._contact = True
        self._known_touch &= touched

    def _check_following(self) -> None:
        off = np.abs(self._data.qpos[self._qpos] - self._target)
        over = self._ended > GOAL_TIME
        allowed = GOAL_TOLERANCE if over else TOLERANCE
        if off.max() > allowed:
            self.hold()
            self.fault = (
                f"{self.joint_names[off.argmax()]} is {off.max():.3f} rad off its trajectory; "
                f"valid: a way free of obstacles, within {allowed} rad"
            )
        elif over:
            self._moves = False

    def _check(self, times: np.ndarray, positions: np.ndarray, velocities: np.ndarray) -> None:
        shape = (len(times), len(self.joint_names))
        if times.ndim != 1 or positions.shape != shape or velocities.shape != shape:
            raise _invalid(
                f"{len(times)} times, positions {positions.shape}, velocities {velocities.shape}; "
                f"valid: {shape} of both"
            )
        if not all(np.isfinite(values).all() for values in (times, positions, velocities)):
            raise VimaError("NOT_FINITE", "not all of it is finite; valid: finite numbers")
        if times[0] < 0.0 or times[-1] > LONGEST or (np.diff(times) <= 0.0).any():
            raise _invalid(
                f"times from {times[0]} to {times[-1]} s; valid: increasing, 0 to {LONGEST:g} s"
            )
        for name, low, high, lower, upper in zip(
            self.joint_names,
            positions.min(axis=0),
            positions.max(axis=0),
            self.lower,
            self.upper,
            strict=True,
        ):
            if low < lower or high > upper:
                raise _invalid(
                    f"{name} from {low:.3f} to {high:.3f} rad; valid: {lower:.3f} to {upper:.3f}"
                )
        jump = np.abs(positions[0] - self._target).max()
        if times[0] == 0.0 and jump > TOLERANCE:
            raise _invalid(
                f"begins {jump:.3f} rad from where the arm is told to be; valid: up to {TOLERANCE}"
            )


def _sample(
    times: np.ndarray, positions: np.ndarray, velocities: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Positions and speeds (steps, n) after each step; the cubic between points, then its end."""
    steps = max(math.ceil(times[-1] / TIMESTEP), 1)
    at = np.minimum(np.arange(1, steps + 1) * TIMESTEP, times[-1])
    if len(times) == 1:
        return positions.repeat(len(at), axis=0), velocities.repeat(len(at), axis=0)
    i = np.clip(np.searchsorted(times, at, side="right") - 1, 0, len(times) - 2)
    h = (times[i + 1] - times[i])[:, None]
    u = (at - times[i])[:, None] / h
    rise, m0, m1 = positions[i + 1] - positions[i], h * velocities[i], h * velocities[i + 1]
    c2, c3 = 3 * rise - 2 * m0 - m1, m0 + m1 - 2 * rise
    return positions[i] + u * (m0 + u * (c2 + u * c3)), (m0 + u * (2 * c2 + 3 * u * c3)) / h


def _invalid(message: str) -> VimaError:
    return VimaError("INVALID_VALUE", f"trajectory: {message}")
