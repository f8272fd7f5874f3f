"""A plan, move by move, on a robot that follows trajectories and knows nothing of plans."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vima_ros.arm.kinematics import ArmModel
from vima_ros.arm.time_parameterization import JointLimits
from vima_ros.arm.trajectory_planning import JointPlan, Segment, plan_segment
from vima_ros.errors import VimaError

GOAL_TOLERANCE = 0.01  # a joint this near to the end of a move has arrived [rad] (VIMA-Bench)
REST_SPEED = 0.02  # a joint slower than this is at rest [rad/s]
FRESH = 0.5  # a report at most so old says how fast the joints are [s]
PATIENCE = 1.0  # after the dwell, for the robot to report that it holds something [s]


@dataclass(frozen=True, eq=False)
class RobotState:
    """What the robot reports: ``joints`` (n,) [rad], ``speeds`` (n,) [rad/s].

    ``contact``: the move under way was ended by a touch. ``holding``: something is carried.
    """

    joints: np.ndarray
    speeds: np.ndarray
    contact: bool = False
    holding: bool = False


@dataclass(frozen=True)
class Order:
    """What to tell the robot.

    ``segment``: to follow, None: stay. ``stop_on_contact``: the first touch ends it at once.
    """

    segment: Segment | None
    suction: bool
    stop_on_contact: bool = False


@dataclass(frozen=True)
class Outcome:
    """How it ended: ``code`` OK, NOT_PICKED or UNREACHABLE; ``message`` says why."""

    code: str
    message: str = ""


class Execution:
    """One action under way: ``update`` it with what the robot reports, obey what it returns.

    Move, switch the tool, dwell, next move. A move that a touch ended leaves the arm short of the
    plan, so the move after it is planned anew from there. Where suction finds nothing to hold, the
    arm still rises as planned, and that is the end. No clock, no thread, no robot in here.
    """

    def __init__(self, plan: JointPlan, model: ArmModel, limits: JointLimits) -> None:
        self._segments, self._model, self._limits = plan.segments, model, limits
        self._index, self._segment = -1, plan.segments[0]
        self._moving = self._was_clear = self._was_short = False
        self._suction = self._must_hold = False
        self._wait, self._now = 0.0, float("inf")
        self._end = Outcome("OK")
        self.outcome: Outcome | None = None

    @property
    def progress(self) -> str:
        """For people."""
        return f"move {self._index + 1} of {len(self._segments)}"

    @property
    def goal(self) -> np.ndarray | None:
        """Where the move under way ends (n,) [rad]; None: the tool is switched, or all is done."""
        return self._segment.positions[-1] if self._moving else None

    def joints_after(self, robot: RobotState, age: float) -> np.ndarray:
        """Return where the joints are ``age`` [s] after the report ``robot`` (n,) [rad].

        They are taken to have gone on at their speeds, not beyond the end of the move; after
        ``FRESH`` as planned; in a move that a touch may have ended, to be where they were.
        """
        segment = self._segment
        if self.goal is None or segment.waypoint.until_contact:
            return robot.joints
        if age > FRESH:
            then = np.abs(segment.positions - robot.joints).max(axis=1).argmin()
            now = np.searchsorted(segment.times, segment.times[then] + age)
            return segment.positions[min(now, len(segment.times) - 1)]
        way = self.goal - robot.joints
        return robot.joints + np.clip(robot.speeds * age, np.minimum(way, 0), np.maximum(way, 0))

    def describe(self, robot: RobotState) -> str:
        """Return what keeps the move under way from its end: for people."""
        if self.goal is None:
            return f"it waits for the tool after {self.progress}"
        names, errors = self._model.joint_names, np.abs(robot.joints - self.goal)
        far, fast = int(errors.argmax()), int(np.abs(robot.speeds).argmax())
        reasons = []
        if errors[far] >= GOAL_TOLERANCE:
            reasons.append(
                f"{names[far]} stands {1e3 * errors[far]:.1f} mrad from the goal of "
                f"{self.progress} (arrived: within {1e3 * GOAL_TOLERANCE:g} mrad)"
            )
        if abs(robot.speeds[fast]) > REST_SPEED:
            reasons.append(
                f"{names[fast]} still moves at {abs(robot.speeds[fast]):.3f} rad/s in "
                f"{self.progress} (at rest: up to {REST_SPEED:g} rad/s)"
            )
        return ", ".join(reasons) or self.progress

    def update(self, now: float, robot: RobotState) -> Order | None:
        """What to tell the robot ``now`` [s, the robot's clock], if anything.

        To be called whenever the robot reports; ``outcome`` is set once all is done.
        """
        elapsed, self._now = max(now - self._now, 0.0), now
        if self.outcome is not None:
            return None
        if self._index < 0:
            self._suction = robot.holding
            return self._next(robot)
        if self._moving:
            return self._arrive(robot)
        self._wait -= elapsed
        if self._wait > 0.0 or (self._must_hold and not robot.holding and self._wait > -PATIENCE):
            return None
        if self._must_hold and not robot.holding:
            place = "x {:.3f}, y {:.3f}, z {:.3f} m in the table frame".format(
                *self._model.tip_pose(robot.joints).position
            )
            self._end = Outcome("NOT_PICKED", f"suction found nothing to hold at {place}")
            self._suction = False
        elif self._end.code != "OK":
            self._index = len(self._segments)  # has risen after a failed pick
        return self._next(robot)

    def _arrive(self, robot: RobotState) -> Order | None:
        """Nothing while the robot moves; what to do with the tool once it has arrived."""
        waypoint, goal = self._segment.waypoint, self._segment.positions[-1]
        self._was_clear |= not robot.contact  # else the touch may be one of the move before
        touched = waypoint.until_contact and robot.contact and self._was_clear
        near = bool(np.abs(robot.joints - goal).max() < GOAL_TOLERANCE)
        if np.abs(robot.speeds).max() > REST_SPEED or not (near or touched):
            return None
        self._moving, self._was_short, self._wait = False, touched, waypoint.dwell
        suction = waypoint.tool_on and self._end.code == "OK"
        self._must_hold, self._suction = suction and not self._suction, suction
        return Order(None, suction)

    def _next(self, robot: RobotState) -> Order | None:
        """Begin the next move, if there is one."""
        self._index += 1
        if self._index >= len(self._segments):
            self.outcome = self._end
            return None
        self._segment = self._segments[self._index]
        waypoint = self._segment.waypoint
        if self._was_short:
            try:
                self._segment = plan_segment(waypoint, robot.joints, self._model, self._limits)
            except VimaError as error:
                self.outcome = Outcome(error.code, f"{self.progress}: {error}")
                return None
        self._moving, self._was_clear = True, not robot.contact
        return Order(self._segment, self._suction, waypoint.until_contact)
