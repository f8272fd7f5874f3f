"""Joint positions and velocities from joint_states, as drivers of many kinds report them."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Collection, Sequence

import numpy as np

MAX_AGE = 1.0  # a joint reported longer ago than this is not known [s]
MAX_STAMP_STEP = 1.0  # stamps that jump further, or back, are not believed [s]
VELOCITY_WINDOW = 0.2  # a velocity is derived from positions over this time [s]
SAMPLE_PERIOD = 0.02  # positions nearer in time than this count as one [s]


class ReportClock:
    """Time [s] that passes between reports: by their stamps where those advance, else by arrival.

    A driver may leave its stamps zero, repeat them, round them, or set its clock while it runs;
    in simulation, stamps may pass faster or slower than the steady clock. This clock never stands
    still while reports arrive, and never goes back.
    """

    def __init__(self) -> None:
        self.time = 0.0
        self._stamp = self._stamp_arrival = self._stamp_time = 0.0  # of the last new stamp
        self._arrival: float | None = None

    def advance(self, stamp: float, arrival: float) -> float:
        """Take in the stamp of a report and its arrival [s, steady clock]; return the time."""
        step = stamp - self._stamp
        passed = 0.0 if self._arrival is None else max(arrival - self._arrival, 0.0)
        first, self._arrival = self._arrival is None, arrival
        if step == 0.0 and not first:
            self.time = max(self.time, self._stamp_time + arrival - self._stamp_arrival)
            return self.time
        if 0.0 < step <= MAX_STAMP_STEP and not first:
            self.time = max(self.time, self._stamp_time + step)
        else:
            self.time += passed
        self._stamp, self._stamp_arrival, self._stamp_time = stamp, arrival, self.time
        return self.time


class JointReport:
    """What is known of one joint; times on its ``clock``, ``arrival`` on the steady clock [s].

    ``continuous``: it turns without end, and is reported within one turn or not: its position goes
    on where a report wraps around.
    """

    def __init__(self, continuous: bool = False) -> None:
        self._continuous = continuous
        self.clock = ReportClock()
        self.arrival = -math.inf
        self.position = self.velocity = math.nan
        self.problem = "not reported"
        self._samples: deque[tuple[float, float]] = deque()

    def add(self, position: float, velocity: float, stamp: float, arrival: float) -> None:
        """Take in a report; ``velocity`` NaN: derive it."""
        if not math.isfinite(position):
            self.problem = f"position is {position}"
            return
        if self._continuous and math.isfinite(self.position):
            position = self.position + math.remainder(position - self.position, 2 * math.pi)
        time = self.clock.advance(stamp, arrival)
        samples = self._samples
        if len(samples) > 1 and time - samples[-2][0] < SAMPLE_PERIOD:
            samples.pop()
        samples.append((time, position))
        while len(samples) > 2 and time - samples[0][0] > VELOCITY_WINDOW:
            samples.popleft()
        self.position, self.arrival = position, arrival
        self.velocity = velocity if math.isfinite(velocity) else self.derived_velocity
        self.problem = (
            "" if math.isfinite(self.velocity) else "no velocity yet, reported or derived"
        )

    @property
    def derived_velocity(self) -> float:
        """Slope of the positions over the last ``VELOCITY_WINDOW`` [rad/s]; NaN: too few."""
        samples = self._samples
        if samples[-1][0] - samples[0][0] < SAMPLE_PERIOD:
            return math.nan
        mean = sum(time for time, _ in samples) / len(samples)
        spread = sum((time - mean) ** 2 for time, _ in samples)
        return sum((time - mean) * position for time, position in samples) / spread


class JointFeedback:
    """The joints ``names`` of an arm; other joints in the same messages are passed over.

    Joints may come in several messages, in any order: the newest value of each counts. A velocity
    that is absent or not finite is derived from positions. The positions of the joints
    ``continuous`` are those reported, plus whole turns.
    """

    def __init__(self, names: Sequence[str], continuous: Collection[str] = ()) -> None:
        self._joints = {name: JointReport(name in continuous) for name in names}
        self._pending = set(names)
        self._last_names: list[str] = []
        self.derives_velocities = False

    def add(
        self,
        names: Sequence[str],
        positions: Sequence[float],
        velocities: Sequence[float],
        stamp: float,
        arrival: float,
    ) -> bool:
        """Take in a message, its stamp and its arrival [s, steady clock].

        Returns whether all joints were reported since the last time that this returned True.
        """
        self._last_names = list(names[:8])
        for index, name in enumerate(names):
            joint = self._joints.get(name)
            if joint is None:
                continue
            if index >= len(positions):
                joint.problem = "no position"
                continue
            velocity = velocities[index] if index < len(velocities) else math.nan
            self.derives_velocities |= not math.isfinite(velocity)
            joint.add(positions[index], velocity, stamp, arrival)
            if not joint.problem:
                self._pending.discard(name)
        if self._pending:
            return False
        old = {name for name, joint in self._joints.items() if arrival - joint.arrival > MAX_AGE}
        self._pending = old or set(self._joints)
        return not old

    @property
    def time(self) -> float:
        """Passes as the driver reports, see ReportClock [s]."""
        return next(iter(self._joints.values())).clock.time

    @property
    def positions(self) -> np.ndarray:
        """(n,) [rad]."""
        return np.array([joint.position for joint in self._joints.values()])

    @property
    def velocities(self) -> np.ndarray:
        """(n,) [rad/s], as reported, else derived."""
        return np.array([joint.velocity for joint in self._joints.values()])

    @property
    def moving(self) -> tuple[str, float]:
        """Joint of the highest velocity, and that velocity [rad/s], once all joints are known.

        Noise is no motion: of reported and derived velocity the smaller counts.
        """
        found = ("", 0.0)
        for name, joint in self._joints.items():
            derived = abs(joint.derived_velocity)
            velocity = abs(joint.velocity)
            velocity = velocity if math.isnan(derived) else min(velocity, derived)
            found = max(found, (name, velocity), key=lambda pair: pair[1])
        return found

    def lacking(self, now: float, max_age: float = MAX_AGE) -> str:
        """Return each joint that is not known at ``now`` [s, steady clock] and why.

        Empty: all are known, and were reported at most ``max_age`` [s] ago.
        """
        reasons: dict[str, list[str]] = {}
        for name, joint in self._joints.items():
            reason, age = joint.problem, now - joint.arrival
            if not reason and age > max_age:
                reason = f"not reported for {age:.1f} s"
            if reason:
                reasons.setdefault(reason, []).append(name)
        told = "; ".join(f"{', '.join(names)}: {reason}" for reason, names in reasons.items())
        if any(reason.startswith("not reported") for reason in reasons):
            last = ", ".join(self._last_names)[:200]
            told += f" (the last message holds {last})" if last else " (no message came)"
        return told
