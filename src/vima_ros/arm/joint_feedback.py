"""Joint positions and velocities from the joint_states of drivers of many kinds."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Collection, Sequence

import numpy as np

MAX_AGE = 1.0  # of a joint's report; the state of an older one is unknown [s]
MAX_STAMP_STEP = 1.0  # stamps that jump further, or back, are ignored [s]
VELOCITY_WINDOW = 0.2  # over which a velocity is derived from positions [s]
NOT_REPORTED = "not reported"  # problem of a joint without any report
SAMPLE_PERIOD = 0.02  # of the positions that velocities are derived from [s]


class ReportClock:
    """Clock of a driver's reports [s]: by their stamps where those advance, else by arrival.

    A driver may leave its stamps zero, repeat them, round them, or set its clock while it runs;
    in simulation, stamps may pass faster or slower than the steady clock. This clock always
    advances while reports arrive, and never goes back.
    """

    def __init__(self) -> None:
        self.time = 0.0
        self._stamp = self._stamp_arrival = self._stamp_time = 0.0  # of the last new stamp
        self._arrival: float | None = None

    def advance(self, stamp: float, arrival: float) -> float:
        """Process the stamp of a report and its arrival [s, steady clock]; return the time."""
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
    """Reports of one joint; times on its ``clock``, ``arrival`` on the steady clock [s].

    ``continuous``: the joint has no limits, and its reports may wrap around after one turn: its
    position is unwrapped.
    """

    def __init__(self, continuous: bool = False) -> None:
        self._continuous = continuous
        self.clock = ReportClock()
        self.arrival = -math.inf
        self.position = self.velocity = math.nan
        self.problem = NOT_REPORTED
        self._samples: deque[tuple[float, float]] = deque()

    def add(self, position: float, velocity: float, stamp: float, arrival: float) -> None:
        """Process a report; a ``velocity`` of NaN is derived from positions."""
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
        """Slope of the positions over ``VELOCITY_WINDOW`` [rad/s]; NaN if they are too few."""
        samples = self._samples
        if samples[-1][0] - samples[0][0] < SAMPLE_PERIOD:
            return math.nan
        mean = sum(time for time, _ in samples) / len(samples)
        spread = sum((time - mean) ** 2 for time, _ in samples)
        return sum((time - mean) * position for time, position in samples) / spread


class JointFeedback:
    """Latest state of the joints ``names`` of an arm; other joints in the messages are ignored.

    Joints may arrive in several messages, in any order: the newest value of each counts. An absent
    or not finite velocity is derived from positions. The positions of the joints
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
        """Process a message, its stamp and its arrival [s, steady clock].

        Returns True if all joints were reported since this last returned True.
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
        """Time on the clock of the driver's reports, see ReportClock [s]."""
        return next(iter(self._joints.values())).clock.time

    @property
    def positions(self) -> np.ndarray:
        """Joint positions (n,) [rad]."""
        return np.array([joint.position for joint in self._joints.values()])

    @property
    def velocities(self) -> np.ndarray:
        """Joint velocities (n,) [rad/s], as reported, else derived."""
        return np.array([joint.velocity for joint in self._joints.values()])

    @property
    def fastest_joint(self) -> tuple[str, float]:
        """Name of the fastest joint and its speed [rad/s], once all joints are known.

        Noise is no motion: of reported and derived velocity the smaller counts.
        """
        fastest = ("", 0.0)
        for name, joint in self._joints.items():
            derived = abs(joint.derived_velocity)
            velocity = abs(joint.velocity)
            velocity = velocity if math.isnan(derived) else min(velocity, derived)
            fastest = max(fastest, (name, velocity), key=lambda pair: pair[1])
        return fastest

    def describe_missing(self, now: float, max_age: float = MAX_AGE) -> str:
        """Describe each joint whose state is unknown at ``now`` [s, steady clock] and why.

        Empty if all are known and were reported at most ``max_age`` [s] ago.
        """
        reasons: dict[str, list[str]] = {}
        silent = False
        for name, joint in self._joints.items():
            reason, age = joint.problem, now - joint.arrival
            if reason == NOT_REPORTED:
                silent = True
            elif not reason and age > max_age:
                reason, silent = f"not reported for {age:.1f} s", True
            if reason:
                reasons.setdefault(reason, []).append(name)
        text = "; ".join(f"{', '.join(names)}: {reason}" for reason, names in reasons.items())
        if silent:
            last = ", ".join(self._last_names)[:200]
            text += f" (the last message has {last})" if last else " (no message was received)"
        return text
