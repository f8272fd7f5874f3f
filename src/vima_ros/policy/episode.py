"""The life of one episode, without ROS or torch: when to decide, what to remember, how it ends."""

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


class Verdict(IntEnum):
    """As in vima_msgs/TaskStatus."""

    RUNNING = 0
    SUCCESS = 1
    FAILURE = 2


RUNNING = (State.OBSERVING, State.DECIDING, State.EXECUTING, State.PAUSED)
ENDED = (ArmReport.SUCCEEDED, ArmReport.REFUSED, ArmReport.ABORTED)
# Ends that somebody asked for, or that are in order; all others are failures.
IN_ORDER = ("SUCCESS", "STEP_LIMIT", "CANCELLED", "RESET", "REPLACED")


@dataclass
class Episode:
    """Prompt fixed, observe, decide, execute, observe again, until it ends.

    The history rule: a decision that was carried out to its end counts as executed and belongs
    into the policy's history. One that was refused, aborted, carried out in part or cancelled uses
    up a step and leaves the history as if it had not been made; the next decision is made on what
    the cameras see afterwards. One that a stop ended uses up nothing. A decision may be sent again
    while nothing is heard of it: the arm takes it once.

    It ends by the judge's word (where there is one), after ``max_steps`` decisions, after
    ``max_failures`` refused or aborted ones in a row, or by ``end``. A decision refused because of
    dry_run is not a failure. ``by_hand``: one decision for each ``grant``. Stamps [ns] are on the
    clock that stamps the observations.
    """

    prompt_id: str = ""
    text: str = ""
    max_steps: int = 0
    max_failures: int = 3
    by_goal: bool = False
    by_hand: bool = False
    state: State = State.IDLE
    step: int = 0
    executed: int = 0
    code: str = "OK"
    message: str = ""
    # The command the arm is carrying out, and whether this episode's latest decision asked for it.
    with_arm: str = field(default="", repr=False)
    with_arm_is_ours: bool = field(default=False, repr=False)
    moving: bool = field(default=False, repr=False)
    to_confirm: str = field(default="", repr=False)  # the command that waits for a person's yes
    granted: bool = field(default=False, repr=False)
    failures: int = field(default=0, repr=False)
    judge: str = field(default="", repr=False)  # the prompt of the task that a judge watches
    verdict_due: bool = field(default=False, repr=False)
    newest_used: int = field(default=-1, repr=False)
    resumed_at: int = field(default=-1, repr=False)

    def begin(
        self,
        prompt_id: str,
        text: str,
        max_steps: int,
        max_failures: int = 3,
        *,
        by_goal: bool = False,
        by_hand: bool = False,
    ) -> Episode:
        """A fresh episode; a motion that is still under way is waited for first."""
        return Episode(
            prompt_id,
            text,
            max_steps,
            max_failures,
            by_goal,
            by_hand,
            State.EXECUTING if self.with_arm else State.OBSERVING,
            with_arm=self.with_arm,
            moving=self.moving,
            to_confirm=self.to_confirm,
            judge=self.judge,
            newest_used=self.newest_used,
            resumed_at=self.resumed_at,
        )

    @property
    def running(self) -> bool:
        """Whether it has begun and not ended."""
        return self.state in RUNNING

    @property
    def waiting(self) -> bool:
        """Whether nothing goes on until somebody asks for a step."""
        return self.state == State.OBSERVING and self.by_hand and not self.granted

    @property
    def stage(self) -> str:
        """As in vima_msgs/ExecutePrompt: what goes on."""
        if self.state == State.EXECUTING:
            confirming = self.with_arm and self.with_arm == self.to_confirm
            return "moving" if self.moving else "confirming" if confirming else "checking"
        return self.state.name.lower()

    @property
    def unheard(self) -> bool:
        """Whether the arm has not yet said anything of this episode's latest decision."""
        return self.stage == "checking" and self.with_arm_is_ours

    def asked_for(self, command_id: str) -> bool:
        """Whether the arm has this command by this episode's latest decision."""
        return self.with_arm_is_ours and command_id == self.with_arm

    def grant(self) -> None:
        """Allow one decision of an episode that goes on by hand."""
        self.granted = True

    def forget_times(self) -> None:
        """The clock has jumped back: stamps taken before mean nothing any more."""
        self.newest_used = self.resumed_at = -1

    def wants(self, observation_stamp: int, now: int, max_age: float) -> bool:
        """Whether to decide on this observation.

        It must be newer than the last one decided on and than the end of the last motion, and not
        older than ``max_age`` [s]; and what the judge has to say about that motion must be said.
        """
        young = (now - observation_stamp) / 1e9 <= max_age
        free = self.state == State.OBSERVING and not self.waiting and not self.verdict_due
        return free and young and observation_stamp > self.newest_used

    def decided(self, command_id: str, observation_stamp: int) -> None:
        """A decision is with the arm."""
        self.with_arm, self.with_arm_is_ours, self.moving = command_id, True, False
        self.newest_used = observation_stamp
        self.granted = False
        self.state = State.EXECUTING

    def end(self, code: str, message: str) -> None:
        """End by ``code`` of vima_msgs/EpisodeStatus; what is with the arm is no longer ours."""
        self.state = State.FINISHED if code in IN_ORDER else State.FAILED
        self.code, self.message = code, message
        self.with_arm_is_ours = self.verdict_due = self.granted = False

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
        elif report == ArmReport.EXECUTING and command_id:
            self.moving |= command_id == self.with_arm
            if not self.with_arm:
                self._wait_for(command_id)
        elif code == "DUPLICATE":
            pass  # a copy of what it has; what becomes of that is told apart
        elif self.with_arm and command_id == self.with_arm and report in ENDED:
            return self._motion_ended(report, code, message, stamp)
        return False

    def arm_lost(self) -> None:
        """The arm node has died: what it was carrying out will not be reported any more."""
        self.with_arm, self.with_arm_is_ours, self.moving = "", False, False
        if self.state == State.EXECUTING:
            self.state = State.OBSERVING

    def judged(self, prompt: str, verdict: Verdict, reason: str) -> None:
        """Take in what the judge of a task says, whose prompt is ``prompt``; empty: no task.

        A verdict counts where the judge was watching before, and this episode has its prompt.
        """
        mine = bool(prompt) and prompt == self.judge == self.text and self.running
        self.judge = prompt if verdict == Verdict.RUNNING else ""
        if verdict == Verdict.RUNNING:
            self.verdict_came()
        elif mine and verdict == Verdict.SUCCESS:
            self.end("SUCCESS", reason)
        elif mine:
            self.end("JUDGED_FAILED", reason)

    def verdict_came(self) -> None:
        """Go on: the judge sees the task still running, or has said nothing for too long."""
        if self.verdict_due:
            self.verdict_due = False
            self._end_at_limits()

    def _motion_ended(self, report: ArmReport, code: str, message: str, stamp: int) -> bool:
        ours, self.with_arm, self.with_arm_is_ours = self.with_arm_is_ours, "", False
        self.moving = False
        self.newest_used = max(self.newest_used, stamp)
        if self.state == State.EXECUTING:
            self.state = State.OBSERVING
        if not ours:
            return False
        done, refused = report == ArmReport.SUCCEEDED, report == ArmReport.REFUSED
        self.step += 1
        self.executed += done
        self.failures = 0 if done else self.failures + (code != "DRY_RUN")
        self.code, self.message = code, message
        if code == "NOT_CONFIRMED":
            self.end("REFUSED", f"{code}: {message}")
        elif self.failures >= self.max_failures:
            told = f"{self.failures} decisions in a row; the last: {code}: {message}"
            self.end("REFUSED" if refused else "ARM_FAILED", told)
        elif self.judge and self.judge == self.text and not refused:
            self.verdict_due = True
        else:
            self._end_at_limits()
        return done

    def _end_at_limits(self) -> None:
        if self.step >= self.max_steps:
            told = f"{self.max_steps} decisions were made, {self.executed} carried out"
            if self.code != "OK":
                told += f"; the last: {self.code}: {self.message}"
            self.end("STEP_LIMIT", told)

    def _wait_for(self, command_id: str) -> None:
        """A motion nobody here asked for, as after a restart, has to end first."""
        self.with_arm, self.moving = command_id, True
        if self.state == State.OBSERVING:
            self.state = State.EXECUTING

    def _pause(self, message: str, stamp: int) -> None:
        self.with_arm, self.with_arm_is_ours, self.moving = "", False, False
        self.verdict_due = False
        self.newest_used = max(self.newest_used, stamp)
        if self.state in (State.OBSERVING, State.DECIDING, State.EXECUTING):
            self.state, self.code, self.message = State.PAUSED, "STOPPED", message


@dataclass
class Patience:
    """How long an episode may stay as it is [s, steady clock].

    ``observation``: without anything to decide on, ``pause``: stopped and not resumed (of both 0:
    for ever); ``answer``: without the arm node's word on a decision; ``verdict``: without the
    judge's on a motion.
    """

    observation: float = 10.0
    pause: float = 60.0
    answer: float = 5.0
    verdict: float = 5.0
    _was: tuple = ()
    _since: float = 0.0

    def check(self, episode: Episode, now: float, seen: str = "") -> None:
        """End ``episode`` if it has stayed as it is for too long, or let it go on unjudged.

        To be called a few times a second. ``seen``: why perception hands nothing on.
        """
        e = episode
        is_now = (e.prompt_id, e.stage, e.step, e.waiting, e.verdict_due, e.newest_used)
        if is_now != self._was:
            self._was, self._since = is_now, now
        waited = now - self._since
        if e.verdict_due:
            if waited > self.verdict:
                e.verdict_came()
        elif e.state == State.OBSERVING and not e.waiting and 0 < self.observation < waited:
            why = f"; perception says {seen}" if seen else ""
            e.end("NO_OBSERVATION", f"nothing to decide on for {self.observation:g} s{why}")
        elif e.state == State.EXECUTING and e.stage == "checking" and waited > self.answer:
            e.end("NODE_DIED", f"the arm node has not answered for {self.answer:g} s")
        elif e.state == State.PAUSED and 0 < self.pause < waited:
            e.end("STOPPED", f"{e.message}; not resumed within {self.pause:g} s")
