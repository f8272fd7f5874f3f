"""The life of one episode, without ROS or torch: when to decide, what to remember, how it ends."""

from __future__ import annotations

from dataclasses import dataclass, field

from vima_ros.episode.values import ArmReport, State, Verdict

RUNNING = (State.OBSERVING, State.DECIDING, State.EXECUTING, State.PAUSED)
ENDED = (ArmReport.SUCCEEDED, ArmReport.REFUSED, ArmReport.ABORTED)
# Ends that somebody asked for, or that are in order; all others are failures.
IN_ORDER = ("SUCCESS", "STEP_LIMIT", "CANCELLED", "RESET", "REPLACED")
# Codes of steps that are no failures: VIMA-Bench counts a pick that finds nothing as a step like
# any other, and dry_run is meant.
NO_FAILURES = ("OK", "NOT_PICKED", "DRY_RUN")
RESUME = "call resume (a service of the arm node, and a program), then send it again"


@dataclass
class Episode:
    """Prompt fixed, observe, decide, execute, observe again, until it ends.

    The history rule: a decision that was carried out to its end counts as executed and belongs
    into the policy's history. One that was refused, aborted, carried out in part or cancelled uses
    up a step and leaves the history as if it had not been made; the next decision is made on what
    the cameras see afterwards. One that a stop ended uses up nothing. A decision may be sent again
    while nothing is heard of it: the arm takes it once.

    It ends by the judge's word (where there is one), after ``max_steps`` decisions, after
    ``max_failures`` in a row that the gate refused or the arm could not carry out, or by ``end``.
    A pick that finds nothing (NOT_PICKED) and a decision refused because of dry_run are steps and
    no failures. The result of a step is taken once both are in, in either order: the arm's word on
    the command, and the judge's on the same command. An episode that begins while the arm is
    stopped ends at once, unless it goes on by hand; one that is stopped later pauses.
    ``by_hand``: one decision for each ``grant``. Stamps [ns] are on the clock that stamps the
    observations.
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
    to_judge: str = field(default="", repr=False)  # the command whose verdict counts: the latest
    early: tuple[Verdict, str] | None = field(default=None, repr=False)  # before the arm's word
    verdict_due: bool = field(default=False, repr=False)  # the arm's word is in, the judge's not
    stopped: str = field(default="", repr=False)  # why the arm is stopped; empty: it is not
    stopped_at: int = field(default=-1, repr=False)  # [ns]; -1: not known
    begun_at: int = field(default=-1, repr=False)  # [ns]
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
        now: int = -1,
    ) -> Episode:
        """A fresh episode; a motion that is still under way is waited for first.

        It has ended as STOPPED where the arm is known to be stopped, unless it goes on by hand.
        ``now`` [ns].
        """
        episode = Episode(
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
            stopped=self.stopped,
            stopped_at=self.stopped_at,
            begun_at=now,
        )
        if self.stopped and not by_hand:
            episode.end("STOPPED", self.why_stopped(now))
        return episode

    @property
    def running(self) -> bool:
        """Whether it has begun and not ended."""
        return self.state in RUNNING

    @property
    def waiting_for_step(self) -> bool:
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

    def why_stopped(self, now: int = -1) -> str:
        """That the arm is stopped, why, since when, and what to do; empty where it is not."""
        if not self.stopped:
            return ""
        known = 0 <= self.stopped_at <= now
        how = (
            f"has been stopped for {(now - self.stopped_at) / 1e9:.1f} s"
            if known
            else "is stopped"
        )
        return f"the arm {how} ({self.stopped}); {RESUME}"

    def grant(self) -> None:
        """Allow one decision of an episode that goes on by hand."""
        self.granted = True

    def forget_times(self) -> None:
        """The clock has jumped back: stamps taken before mean nothing any more."""
        self.newest_used = self.resumed_at = self.stopped_at = self.begun_at = -1

    def wants(self, observation_stamp: int, now: int, max_age: float) -> bool:
        """Whether to decide on this observation.

        It must be newer than the last one decided on and than the end of the last motion, and not
        older than ``max_age`` [s]; and what the judge has to say about that motion must be said.
        """
        young = (now - observation_stamp) / 1e9 <= max_age
        free = self.state == State.OBSERVING and not self.waiting_for_step and not self.verdict_due
        return free and young and observation_stamp > self.newest_used

    def decided(self, command_id: str, observation_stamp: int) -> None:
        """A decision is with the arm."""
        self.with_arm, self.with_arm_is_ours, self.moving = command_id, True, False
        self.to_judge, self.early = command_id, None
        self.newest_used = observation_stamp
        self.granted = False
        self.state = State.EXECUTING

    def end(self, code: str, message: str) -> None:
        """End by ``code`` of vima_msgs/EpisodeStatus; what is with the arm is no longer ours."""
        self.state = State.FINISHED if code in IN_ORDER else State.FAILED
        self.code, self.message = code, message
        self.with_arm_is_ours = self.verdict_due = self.granted = False
        self.to_judge, self.early = "", None

    def arm_reported(
        self, report: ArmReport, code: str, message: str, command_id: str, stamp: int
    ) -> bool:
        """Take in what the arm says; whether the latest decision was carried out just now."""
        if report == ArmReport.STOPPED or code == "STOPPED":
            if stamp >= self.resumed_at:  # the clock may stand still between a resume and a stop
                self._stopped(report, message, command_id, stamp)
        elif code == "RESUMED":
            self.resumed_at, self.stopped, self.stopped_at = stamp, "", -1
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
        self.to_judge, self.early = "", None
        self.stopped, self.stopped_at = "", -1
        if self.state == State.EXECUTING:
            self.state = State.OBSERVING

    def judged(self, prompt: str, verdict: Verdict, reason: str, command_id: str = "") -> None:
        """Take in what the judge of a task says, whose prompt is ``prompt``; empty: no task.

        A verdict counts where this episode has that prompt and ``command_id`` is the latest
        command of this episode, as soon as the arm's word on it is in. ``command_id`` empty: a
        task was set up; what was done before is judged no more.
        """
        mine = bool(prompt) and prompt == self.text and self.running
        self.judge = prompt if verdict == Verdict.RUNNING else ""
        if not command_id:
            self.to_judge, self.early = "", None
            self.verdict_came()
        elif mine and command_id == self.to_judge:
            if command_id == self.with_arm:
                self.early = verdict, reason
            else:
                self._take_verdict(verdict, reason)

    def verdict_came(self) -> None:
        """Go on: the judge sees the task still running, or has said nothing for too long."""
        if self.verdict_due:
            self.verdict_due = False
            self._end_at_limits()

    def _take_verdict(self, verdict: Verdict, reason: str) -> None:
        self.to_judge, self.early = "", None
        if verdict == Verdict.RUNNING:
            self.verdict_came()
        else:
            self.end("SUCCESS" if verdict == Verdict.SUCCESS else "TASK_FAILED", reason)

    def _motion_ended(self, report: ArmReport, code: str, message: str, stamp: int) -> bool:
        ours, self.with_arm, self.with_arm_is_ours = self.with_arm_is_ours, "", False
        self.moving = False
        self.newest_used = max(self.newest_used, stamp)
        if self.state == State.EXECUTING:
            self.state = State.OBSERVING
        done, refused = report == ArmReport.SUCCEEDED, report == ArmReport.REFUSED
        if ours:
            self.step += 1
            self.executed += done
            failed = not done and code not in NO_FAILURES
            self.failures = self.failures + failed if failed or code == "DRY_RUN" else 0
            self.code, self.message = code, message
            if code == "NOT_CONFIRMED":
                self.end("REFUSED", f"{code}: {message}")
            else:
                watched = bool(self.to_judge and self.judge) and self.judge == self.text
                self.verdict_due = not refused and (watched or self.early is not None)
                if not self.verdict_due:
                    self._end_at_limits(refused)
        if self.early is not None:
            self._take_verdict(*self.early)
        return ours and done

    def _end_at_limits(self, refused: bool = False) -> None:
        if self.failures >= self.max_failures:
            told = f"{self.failures} decisions in a row; the last: {self.code}: {self.message}"
            self.end("REFUSED" if refused else "ARM_FAILED", told)
        elif self.step >= self.max_steps:
            told = f"{self.max_steps} decisions were made, {self.executed} carried out"
            if self.code != "OK":
                told += f"; the last: {self.code}: {self.message}"
            self.end("STEP_LIMIT", told)

    def _wait_for(self, command_id: str) -> None:
        """A motion nobody here asked for, as after a restart, has to end first."""
        self.with_arm, self.moving = command_id, True
        if not self.verdict_due:
            self.to_judge = command_id
        if self.state == State.OBSERVING:
            self.state = State.EXECUTING

    def _stopped(self, report: ArmReport, message: str, command_id: str, stamp: int) -> None:
        refused = report == ArmReport.REFUSED
        if not refused:
            self.stopped, self.stopped_at = message, stamp
        elif not self.stopped:  # since before this node began: only the refusal tells
            reason = message[message.find("(") + 1 : message.rfind(")")]  # as the gate words it
            self.stopped, self.stopped_at = reason or message, -1
        # Since before this episode, which is known late: as one that is known when it begins.
        missed = refused and self.state == State.EXECUTING and self.asked_for(command_id)
        before = missed or (not refused and stamp < self.begun_at and self.running)
        early, self.early = self.early, None
        self.with_arm, self.with_arm_is_ours, self.moving = "", False, False
        self.newest_used = max(self.newest_used, stamp)
        if early is not None and early[0] != Verdict.RUNNING:
            self._take_verdict(*early)
        elif before and self.step == 0 and not self.by_hand:
            self.end("STOPPED", self.why_stopped())
        elif self.state in (State.OBSERVING, State.DECIDING, State.EXECUTING):
            self.state, self.code, self.message = State.PAUSED, "STOPPED", message
