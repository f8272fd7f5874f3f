"""The life of one episode, without ROS or torch: when to decide, and what to remember."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum


class State(IntEnum):
    """As in vima_msgs/EpisodeStatus."""

    IDLE = 0
    OBSERVING = 1
    DECIDING = 2
    EXECUTING = 3
    PAUSED = 4
    FINISHED = 5
    FAILED = 6


class ArmReport(IntEnum):
    """As in vima_msgs/ArmState."""

    IDLE = 0
    EXECUTING = 1
    SUCCEEDED = 2
    REFUSED = 3
    ABORTED = 4
    STOPPED = 5


ENDED = (ArmReport.SUCCEEDED, ArmReport.REFUSED, ArmReport.ABORTED)


@dataclass
class Episode:
    """Prompt fixed, observe, decide, execute, observe again, up to ``max_steps`` decisions.

    A decision that was carried out counts as executed and belongs into the policy's history; one
    that was refused or aborted uses up a step and leaves the history as if it had not been made.
    While the arm is stopped the episode is paused and uses up nothing. Stamps [ns] are on the
    clock that stamps the observations.
    """

    prompt_id: str = ""
    text: str = ""
    max_steps: int = 0
    state: State = State.IDLE
    step: int = 0
    executed: int = 0
    code: str = "OK"
    message: str = ""
    # The command the arm is carrying out, and whether this episode's latest decision asked for it.
    with_arm: str = field(default="", repr=False)
    with_arm_is_ours: bool = field(default=False, repr=False)
    newest_used: int = field(default=-1, repr=False)
    resumed_at: int = field(default=-1, repr=False)

    def begin(self, prompt_id: str, text: str, max_steps: int) -> Episode:
        """A fresh episode; a motion that is still under way is waited for first."""
        state = State.EXECUTING if self.with_arm else State.OBSERVING
        return Episode(
            prompt_id,
            text,
            max_steps,
            state,
            with_arm=self.with_arm,
            newest_used=self.newest_used,
            resumed_at=self.resumed_at,
        )

    def forget_times(self) -> None:
        """The clock has jumped back: stamps taken before mean nothing any more."""
        self.newest_used = self.resumed_at = -1

    def wants(self, observation_stamp: int, now: int, max_age: float) -> bool:
        """Whether to decide on this observation.

        It must be newer than the last one decided on and than the end of the last motion, and not
        older than ``max_age`` [s].
        """
        young = (now - observation_stamp) / 1e9 <= max_age
        return self.state == State.OBSERVING and young and observation_stamp > self.newest_used

    def decided(self, command_id: str, observation_stamp: int) -> None:
        """A decision is with the arm."""
        self.with_arm, self.with_arm_is_ours = command_id, True
        self.newest_used = observation_stamp
        self.state = State.EXECUTING

    def fail(self, code: str, message: str) -> None:
        """End by an error."""
        self.state, self.code, self.message = State.FAILED, code, message

    def arm_reported(
        self, report: ArmReport, code: str, message: str, command_id: str, stamp: int
    ) -> bool:
        """Take in what the arm says; whether the latest decision was carried out just now."""
        if report == ArmReport.STOPPED or code == "STOPPED":
            if stamp > self.resumed_at:  # a robot may go on repeating a stop that is lifted
                self._pause(message, stamp)
        elif code == "RESUMED":
            self.resumed_at = stamp
            if self.state == State.PAUSED:
                self.state = State.EXECUTING if self.with_arm else State.OBSERVING
                self.code, self.message = "OK", ""
        elif report == ArmReport.EXECUTING and command_id and not self.with_arm:
            self._wait_for(command_id)
        elif self.with_arm and command_id == self.with_arm and report in ENDED:
            return self._motion_ended(report, code, message, stamp)
        return False

    def _motion_ended(self, report: ArmReport, code: str, message: str, stamp: int) -> bool:
        ours, self.with_arm, self.with_arm_is_ours = self.with_arm_is_ours, "", False
        self.newest_used = max(self.newest_used, stamp)
        if self.state == State.EXECUTING:
            self.state = State.OBSERVING
        if not ours:
            return False
        self.step += 1
        self.executed += report == ArmReport.SUCCEEDED
        self.code, self.message = code, message
        if self.step >= self.max_steps:
            self.state = State.FINISHED
            self.code, self.message = "STEP_LIMIT", f"{self.max_steps} decisions were made"
        return report == ArmReport.SUCCEEDED

    def _wait_for(self, command_id: str) -> None:
        """A motion nobody here asked for, as after a restart, has to end first."""
        self.with_arm = command_id
        if self.state == State.OBSERVING:
            self.state = State.EXECUTING

    def _pause(self, message: str, stamp: int) -> None:
        self.with_arm, self.with_arm_is_ours = "", False
        self.newest_used = max(self.newest_used, stamp)
        if self.state in (State.OBSERVING, State.DECIDING, State.EXECUTING):
            self.state, self.code, self.message = State.PAUSED, "STOPPED", message
