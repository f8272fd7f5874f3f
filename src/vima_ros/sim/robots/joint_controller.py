"""Joint controller of the simulated arm: trajectories, stop on contact and the suction gripper.

It corresponds to what ``ros2_control`` offers on a real arm: a position controller per joint with
velocity feed-forward and gravity compensation, and control of the tool.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np

from vima_ros.arm.kinematics import UR5E_HOME
from vima_ros.arm.plan_execution import GOAL_TOLERANCE, MeasuredState
from vima_ros.errors import VimaError
from vima_ros.geometry import Pose
from vima_ros.sim.model.bodies import body_pose
from vima_ros.sim.model.mujoco_backend import mujoco
from vima_ros.sim.model.robot_model import BANDWIDTH, PREFIX
from vima_ros.sim.model.scene_model import TIMESTEP, TOOL
from vima_ros.sim.robots.suction_gripper import SuctionGripper

PATH_TOLERANCE = 0.03  # maximum error of a joint along a trajectory [rad]
GOAL_TIME_TOLERANCE = 1.0  # from the end of a trajectory until all joints are at the goal [s]
MAX_DURATION = 600.0  # of a trajectory [s]
# Damping / stiffness of the servos, minus the step at whose start they measure the joints [s].
_LEAD = 2.0 / BANDWIDTH - TIMESTEP


class SimulatedJointController:
    """Controller of the arm of a ``robot_model``; joints in the order of ``joint_names`` [rad]."""

    def __init__(
        self,
        model: mujoco.MjModel,
        data: mujoco.MjData,
        suction: SuctionGripper,
        joint_names: Sequence[str],
    ) -> None:
        self.joint_names = tuple(joint_names)
        self._model, self._data, self._suction = model, data, suction
        joints = [model.joint(PREFIX + name) for name in joint_names]
        self._qpos = np.array([joint.qposadr[0] for joint in joints])
        self._qvel = np.array([joint.dofadr[0] for joint in joints])
        self._servos = [model.actuator(PREFIX + name).id for name in joint_names]
        self.lower, self.upper = np.array([joint.range for joint in joints]).T
        self.set_point, self._velocity = np.array(UR5E_HOME), np.zeros(len(joints))
        data.qpos[self._qpos] = self.set_point
        self._set_points: Iterator[tuple[np.ndarray, np.ndarray]] = iter(())  # of the next steps
        self._moving = self._suction_on = self._stop_on_contact = self._contact = False
        self._time_after_end = 0.0  # since the end of the trajectory [s]
        self._known_contacts: set[int] = set()
        self.fault = ""

    @property
    def state(self) -> MeasuredState:
        """Measured state; ``contact`` is latched until the next trajectory."""
        joints, velocities = self._data.qpos[self._qpos], self._data.qvel[self._qvel]
        return MeasuredState(joints, velocities, self._contact, self._suction.holding is not None)

    @property
    def pose(self) -> Pose:
        """Pose of the tool tip in the table frame, in the convention of ``Waypoint.pose``."""
        return body_pose(self._data, TOOL)

    def follow_trajectory(
        self, times: np.ndarray, positions: np.ndarray, velocities: np.ndarray
    ) -> None:
        """Follow a trajectory in place of the current one, then hold its end.

        ``times`` (m,) [s] from now, increasing; ``positions`` (m, n) [rad], ``velocities`` (m, n)
        [rad/s]; cubic interpolation in between. If the first time is not 0, the trajectory starts
        at the current set point and its velocity. Without any point: ``hold``.

        Raises VimaError (NOT_FINITE, INVALID_VALUE) for an invalid trajectory, which changes
        nothing.
        """
        times, positions, velocities = (
            np.asarray(values, dtype=np.float64) for values in (times, positions, velocities)
        )
        if len(times):
            self._check(times, positions, velocities)
            if times[0] > 0.0:
                times = np.concatenate([[0.0], times])
                positions = np.concatenate([self.set_point[None], positions])
                velocities = np.concatenate([self._velocity[None], velocities])
            steps = _sample(times, positions, velocities)
            self._set_points, self._time_after_end = zip(*steps, strict=True), 0.0
            self._moving, self.fault = True, ""
        else:
            self.hold()
        self._contact, self._known_contacts = False, self._contacts()

    def hold(self) -> None:
        """Hold the current position immediately, and what is carried."""
        self._set_points, self._moving, self.fault = iter(()), False, ""
        self.set_point, self._velocity = self.state.positions, np.zeros(len(self.joint_names))

    def set_suction(self, enabled: bool) -> None:
        """Carry the object that the cup touches, now or later; or release it."""
        self._suction_on = enabled
        if not enabled:
            self._suction.release()

    def stop_on_contact(self, enabled: bool) -> None:
        """Hold at the first new contact of the tool or of the carried object."""
        if enabled and not self._stop_on_contact:
            self._known_contacts = self._contacts()
        self._stop_on_contact = enabled

    def step(self) -> None:
        """Simulate one physics step."""
        if self._moving:
            self._advance()
        # The servo damps the absolute velocity; the lead makes it damp the error of velocity.
        self._data.ctrl[self._servos] = self.set_point + _LEAD * self._velocity
        mujoco.mj_step(self._model, self._data)
        if self._suction_on and self._suction.holding is None:
            self._suction.grasp()
        if self._stop_on_contact and not self._contact:
            self._check_contact()
        if self._moving:
            self._check_path_error()

    def _advance(self) -> None:
        """Take the next set point; the last one stays."""
        set_point = next(self._set_points, None)
        if set_point is not None:
            self.set_point, self._velocity = set_point
        else:
            self._velocity = np.zeros_like(self._velocity)
            self._time_after_end += TIMESTEP

    def _contacts(self) -> set[int]:
        return set(self._suction.contact_bodies.tolist())

    def _check_contact(self) -> None:
        contacts = self._contacts()
        if contacts - self._known_contacts:
            self.hold()
            self._contact = True
        self._known_contacts &= contacts

    def _check_path_error(self) -> None:
        error = np.abs(self._data.qpos[self._qpos] - self.set_point)
        over = self._time_after_end > GOAL_TIME_TOLERANCE
        allowed = GOAL_TOLERANCE if over else PATH_TOLERANCE
        if error.max() > allowed:
            self.hold()
            self.fault = (
                f"{self.joint_names[error.argmax()]} is {error.max():.3f} rad off its trajectory; "
                f"valid: a path free of obstacles, within {allowed} rad"
            )
        elif over:
            self._moving = False

    def _check(self, times: np.ndarray, positions: np.ndarray, velocities: np.ndarray) -> None:
        shape = (len(times), len(self.joint_names))
        if times.ndim != 1 or positions.shape != shape or velocities.shape != shape:
            raise _invalid(
                f"{len(times)} times, positions {positions.shape}, velocities {velocities.shape}; "
                f"valid: {shape} of both"
            )
        if not all(np.isfinite(values).all() for values in (times, positions, velocities)):
            raise VimaError(
                "NOT_FINITE", "trajectory with a number that is not finite; valid: finite numbers"
            )
        if times[0] < 0.0 or times[-1] > MAX_DURATION or (np.diff(times) <= 0.0).any():
            raise _invalid(
                f"times {times[0]} to {times[-1]} s; valid: increasing, 0 to {MAX_DURATION:g} s"
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
        jump = np.abs(positions[0] - self.set_point).max()
        if times[0] == 0.0 and jump > PATH_TOLERANCE:
            raise _invalid(
                f"starts {jump:.3f} rad from the current set point; valid: up to {PATH_TOLERANCE}"
            )


def _sample(
    times: np.ndarray, positions: np.ndarray, velocities: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return positions and velocities (steps, n) after each step, by cubic interpolation."""
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
