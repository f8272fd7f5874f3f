"""Execution of a plan, move by move, on a robot that follows trajectories."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vima_ros.arm.kinematics import ArmModel
from vima_ros.arm.time_parameterization import JointLimits
from vima_ros.arm.trajectory_planning import JointPlan, Segment, plan_segment
from vima_ros.errors import VimaError

GOAL_TOLERANCE = 0.01  # of each joint from the end of a move [rad] (VIMA-Bench's)
REST_VELOCITY = 0.02  # of a joint, up to which it counts as at rest [rad/s]
MAX_EXTRAPOLATION = 0.5  # age up to which a report's velocities are extrapolated [s]
HOLD_TIMEOUT = 1.0  # after the dwell, until the robot reports that it holds something [s]


@dataclass(frozen=True, eq=False)
class MeasuredState:
    """State reported by the robot: ``positions`` (n,) [rad] and ``velocities`` (n,) [rad/s].

    ``contact``: a contact ended the current move. ``holding``: an object is carried.
    """

    positions: np.ndarray
    velocities: np.ndarray
    contact: bool = False
    holding: bool = False


@dataclass(frozen=True)
class ControllerCommand:
    """Command to the robot's controllers.

    ``segment``: the one to follow, None: stay. ``stop_on_contact``: the first contact ends it.
    """

    segment: Segment | None
    suction: bool
    stop_on_contact: bool = False


@dataclass(frozen=True)
class ExecutionResult:
    """Result of an execution: ``code`` OK, NOT_PICKED, UNREACHABLE …; ``message``: the reason."""

    code: str
    message: str = ""


class PlanExecution:
    """State machine that executes one plan: move, switch the tool, dwell, next move.

    ``update`` it with each report of the robot and send the commands it returns. A move that a
    contact ended leaves the arm short of the plan, so the next move is planned again from there.
    Where suction finds nothing to hold, the arm rises as planned, and the execution ends. It has
    no clock, no thread and no access to the robot.
    """

    def __init__(self, plan: JointPlan, model: ArmModel, limits: JointLimits) -> None:
        self._segments, self._model, self._limits = plan.segments, model, limits
        self._index = -1
        self._move: Segment | None = None  # the current one, until the robot has arrived
        self._was_clear = self._was_short = False
        self._suction = self._must_hold = False
        self._wait, self._now = 0.0, float("inf")
        self._final_result = ExecutionResult("OK")
        self.result: ExecutionResult | None = None

    @property
    def progress(self) -> str:
        """Progress of the plan as text."""
        return f"move {self._index + 1} of {len(self._segments)}"

    @property
    def goal(self) -> np.ndarray | None:
        """End of the current move (n,) [rad]; None during a switch of the tool and at the end."""
        move = self._move
        return None if move is None else move.positions[-1]

    def extrapolate(self, robot: MeasuredState, age: float) -> np.ndarray:
        """Estimate the joint positions (n,) [rad] at ``age`` [s] after the report ``robot``.

        They are extrapolated with their velocities, up to the end of the move; after
        ``MAX_EXTRAPOLATION``, along the plan; not at all in a move that a contact may have ended.
        It may be called while another thread is in ``update``.
        """
        segment = self._move
        if segment is None or segment.waypoint.until_contact:
            return robot.positions
        if age > MAX_EXTRAPOLATION:
            reported = np.abs(segment.positions - robot.positions).max(axis=1).argmin()
            current = np.searchsorted(segment.times, segment.times[reported] + age)
            return segment.positions[min(current, len(segment.times) - 1)]
        rest = segment.positions[-1] - robot.positions
        change = np.clip(robot.velocities * age, np.minimum(rest, 0), np.maximum(rest, 0))
        return robot.positions + change

    def describe(self, robot: MeasuredState) -> str:
        """Describe what the current move waits for."""
        goal = self.goal
        if goal is None:
            return f"waiting for the tool after {self.progress}"
        names, errors = self._model.joint_names, np.abs(robot.positions - goal)
        far, fast = int(errors.argmax()), int(np.abs(robot.velocities).argmax())
        reasons = []
        if errors[far] >= GOAL_TOLERANCE:
            reasons.append(
                f"{names[far]} is {1e3 * errors[far]:.1f} mrad from the goal of "
                f"{self.progress} (arrived: within {1e3 * GOAL_TOLERANCE:g} mrad)"
            )
        if abs(robot.velocities[fast]) > REST_VELOCITY:
            reasons.append(
                f"{names[fast]} still moves at {abs(robot.velocities[fast]):.3f} rad/s in "
                f"{self.progress} (at rest: up to {REST_VELOCITY:g} rad/s)"
            )
        return ", ".join(reasons) or self.progress

    def update(self, now: float, robot: MeasuredState) -> ControllerCommand | None:
        """Return the command to send at ``now`` [s, the robot's clock], if any.

        Call it for each report of the robot; ``result`` is set once the execution has ended.
        """
        elapsed, self._now = max(now - self._now, 0.0), now
        if self.result is not None:
            return None
        if self._index < 0:
            self._suction = robot.holding
            return self._begin_next_move(robot)
        if self._move is not None:
            return self._check_arrival(self._move, robot)
        self._wait -= elapsed
        if self._wait > 0.0 or (
            self._must_hold and not robot.holding and self._wait > -HOLD_TIMEOUT
        ):
            return None
        if self._must_hold and not robot.holding:
            position = "x {:.3f}, y {:.3f}, z {:.3f} m in the table frame".format(
                *self._model.tip_pose(robot.positions).position
            )
            self._final_result = ExecutionResult(
                "NOT_PICKED", f"suction found nothing to hold at {position}"
            )
            self._suction = False
        elif self._final_result.code != "OK":
            self._index = len(self._segments)  # the arm has risen after a failed pick
        return self._begin_next_move(robot)

    def _check_arrival(self, move: Segment, robot: MeasuredState) -> ControllerCommand | None:
        """Return the command to the tool once the robot has arrived, None while it moves."""
        waypoint, goal = move.waypoint, move.positions[-1]
        self._was_clear |= not robot.contact  # else the contact may be that of the move before
        stopped_early = waypoint.until_contact and robot.contact and self._was_clear
        near = bool(np.abs(robot.positions - goal).max() < GOAL_TOLERANCE)
        if np.abs(robot.velocities).max() > REST_VELOCITY or not (near or stopped_early):
            return None
        self._move, self._was_short, self._wait = None, stopped_early, waypoint.dwell
        suction = waypoint.tool_on and self._final_result.code == "OK"
        self._must_hold, self._suction = suction and not self._suction, suction
        return ControllerCommand(None, suction)

    def _begin_next_move(self, robot: MeasuredState) -> ControllerCommand | None:
        """Begin the next move if there is one, else set ``result``."""
        self._index += 1
        if self._index >= len(self._segments):
            self.result = self._final_result
            return None
        move = self._segments[self._index]
        waypoint = move.waypoint
        if self._was_short:
            try:
                move = plan_segment(waypoint, robot.positions, self._model, self._limits)
            except VimaError as error:
                self.result = ExecutionResult(error.code, f"{self.progress}: {error}")
                return None
        self._move, self._was_clear = move, not robot.contact
        return ControllerCommand(move, self._suction, waypoint.until_contact)
