"""State machine of an episode, without ROS or torch: when to decide, how it ends."""

from __future__ import annotations

from dataclasses import dataclass, field

from vima_ros.episode.values import (
    FINAL_REPORTS,
    NON_FAILURE_CODES,
    REGULAR_END_CODES,
    RUNNING_STATES,
    ArmReport,
    EpisodeState,
    TaskStatusOutcome,
)

RESUME_HINT = "call resume (a service of the arm node, and a program), then send it again"


@dataclass
class EpisodeStateMachine:
    """One episode: observe, decide, execute and observe again with one prompt, until it ends.

    The history rule: a decision that was executed to its end counts as executed and belongs to the
    policy's history. One that was refused, aborted, executed in part or cancelled uses up a step
    and leaves no trace in the history. One that a stop ended uses up nothing. A decision may be
    sent again while it is unacknowledged: the arm executes it once.

    An episode ends by the report of the task (where there is one), after ``max_steps`` decisions,
    after ``max_failures`` consecutive decisions that the gate refused or the arm aborted, or by
    ``end``. A pick that finds nothing (NOT_PICKED) and a decision refused because of dry_run are
    steps and no failures. The result of a step is complete with both reports on its command, that
    of the arm and that of the task, in either order. An episode that begins while the arm is
    stopped ends at once, except in ``single_step``; one that is stopped later pauses.
    ``single_step``: one decision per ``allow_step``. Stamps [ns] are on the observations' clock.
    """

    prompt_id: str = ""
    text: str = ""
    max_steps: int = 0
    max_failures: int = 3
    by_goal: bool = False
    single_step: bool = False
    state: EpisodeState = EpisodeState.IDLE
    step: int = 0
    executed: int = 0
    code: str = "OK"
    message: str = ""
    # The command that the arm has, and True if it is this episode's latest decision.
    active_command_id: str = field(default="", repr=False)
    owns_active_command: bool = field(default=False, repr=False)
    moving: bool = field(default=False, repr=False)
    unconfirmed_command_id: str = field(default="", repr=False)  # it waits for a confirmation
    step_allowed: bool = field(default=False, repr=False)
    failures: int = field(default=0, repr=False)
    task_prompt: str = field(default="", repr=False)  # of the running task, if there is one
    task_command_id: str = field(default="", repr=False)  # latest command: its task report counts
    early_task_report: tuple[TaskStatusOutcome, str] | None = field(default=None, repr=False)
    task_report_pending: bool = field(default=False, repr=False)  # that of the arm was received
    stop_reason: str = field(default="", repr=False)  # empty: the arm is not stopped
    stop_time: int = field(default=-1, repr=False)  # [ns]; -1: not known
    start_time: int = field(default=-1, repr=False)  # [ns]
    last_used_stamp: int = field(default=-1, repr=False)
    resume_time: int = field(default=-1, repr=False)

    def begin(
        self,
        prompt_id: str,
        text: str,
        max_steps: int,
        max_failures: int = 3,
        *,
        by_goal: bool = False,
        single_step: bool = False,
        now: int = -1,
    ) -> EpisodeStateMachine:
        """Begin a new episode, which first waits for the end of an active motion.

        It has ended as STOPPED if the arm is known to be stopped, except in ``single_step``.
        ``now`` [ns].
        """
        settings = prompt_id, text, max_steps, max_failures, by_goal, single_step
        episode = EpisodeStateMachine(
            *settings,
            EpisodeState.EXECUTING if self.active_command_id else EpisodeState.OBSERVING,
            active_command_id=self.active_command_id,
            moving=self.moving,
            unconfirmed_command_id=self.unconfirmed_command_id,
            task_prompt=self.task_prompt,
            last_used_stamp=self.last_used_stamp,
            resume_time=self.resume_time,
            stop_reason=self.stop_reason,
            stop_time=self.stop_time,
            start_time=now,
        )
        if self.stop_reason and not single_step:
            episode.end("STOPPED", self.describe_stop(now))
        return episode

    @property
    def running(self) -> bool:
        """True if the episode has begun and not ended."""
        return self.state in RUNNING_STATES

    @property
    def waiting_for_step(self) -> bool:
        """True if nothing is decided until somebody requests a step."""
        return self.state == EpisodeState.OBSERVING and self.single_step and not self.step_allowed

    @property
    def stage(self) -> str:
        """Stage of the episode, as in vima_msgs/ExecutePrompt."""
        if self.state == EpisodeState.EXECUTING:
            active = self.active_command_id
            confirming = active and active == self.unconfirmed_command_id
            return "moving" if self.moving else "confirming" if confirming else "checking"
        return self.state.name.lower()

    @property
    def unacknowledged(self) -> bool:
        """True if the arm has not yet reported anything on this episode's latest decision."""
        return self.stage == "checking" and self.owns_active_command

    def owns_command(self, command_id: str) -> bool:
        """Return True if the arm has this command, and it is this episode's latest decision."""
        return self.owns_active_command and command_id == self.active_command_id

    def describe_stop(self, now: int = -1) -> str:
        """Describe the arm's stop: reason, duration and remedy; empty if it is not stopped."""
        if not self.stop_reason:
            return ""
        seconds = (now - self.stop_time) / 1e9
        known = self.stop_time >= 0 and seconds >= 0
        stopped = f"has been stopped for {seconds:.1f} s" if known else "is stopped"
        return f"the arm {stopped} ({self.stop_reason}); {RESUME_HINT}"

    def allow_step(self) -> None:
        """Allow one decision of an episode in ``single_step``."""
        self.step_allowed = True

    def forget_times(self) -> None:
        """Forget all stamps, after the clock has jumped back."""
        self.last_used_stamp = self.resume_time = self.stop_time = self.start_time = -1

    def accepts_observation(self, stamp: int, now: int, max_age: float) -> bool:
        """Return True if a decision on this observation is due.

        It must be newer than the last one used and than the end of the last motion, and at most
        ``max_age`` [s] old; and no task report on that motion may be pending.
        """
        recent = (now - stamp) / 1e9 <= max_age and stamp > self.last_used_stamp
        ready = self.state == EpisodeState.OBSERVING and not self.waiting_for_step
        return ready and not self.task_report_pending and recent

    def on_decision(self, command_id: str, observation_stamp: int) -> None:
        """Record a decision that is sent to the arm."""
        self.active_command_id, self.owns_active_command, self.moving = command_id, True, False
        self.task_command_id, self.early_task_report = command_id, None
        self.last_used_stamp, self.step_allowed = observation_stamp, False
        self.state = EpisodeState.EXECUTING

    def end(self, code: str, message: str) -> None:
        """End by ``code`` of vima_msgs/EpisodeStatus; the episode owns no command any more."""
        self.state = EpisodeState.FINISHED if code in REGULAR_END_CODES else EpisodeState.FAILED
        self.code, self.message = code, message
        self.owns_active_command = self.task_report_pending = self.step_allowed = False
        self.task_command_id, self.early_task_report = "", None

    def on_arm_report(
        self, report: ArmReport, code: str, message: str, command_id: str, stamp: int
    ) -> bool:
        """Process a report of the arm; return True if it completes the latest decision."""
        if report == ArmReport.STOPPED or code == "STOPPED":
            if stamp >= self.resume_time:  # the clock may stand still between resume and stop
                self._on_stop(report, message, command_id, stamp)
        elif code == "RESUMED":
            self.resume_time, self.stop_reason, self.stop_time = stamp, "", -1
            if self.state == EpisodeState.PAUSED:
                busy = bool(self.active_command_id)
                self.state = EpisodeState.EXECUTING if busy else EpisodeState.OBSERVING
                self.code, self.message = "OK", ""
        elif report == ArmReport.EXECUTING and command_id:
            self.moving |= command_id == self.active_command_id
            if not self.active_command_id:
                self._adopt_command(command_id)
        elif code == "DUPLICATE":
            pass  # a copy of a command that the arm has, whose result is reported separately
        elif (
            self.active_command_id
            and command_id == self.active_command_id
            and report in FINAL_REPORTS
        ):
            return self._on_motion_end(report, code, message, stamp)
        return False

    def on_arm_lost(self) -> None:
        """Forget the active command: the arm node died and will not report its result."""
        self._forget_command(self.last_used_stamp)
        self.task_command_id, self.early_task_report = "", None
        self.stop_reason, self.stop_time = "", -1
        if self.state == EpisodeState.EXECUTING:
            self.state = EpisodeState.OBSERVING

    def on_task_report(
        self, prompt: str, report: TaskStatusOutcome, reason: str, command_id: str = ""
    ) -> None:
        """Process a report of the task whose prompt is ``prompt``; empty: there is no task.

        It counts for this episode's prompt and latest command, once the arm has reported on it.
        ``command_id`` empty: a task was set up; no report on earlier commands will follow.
        """
        ours = bool(prompt) and prompt == self.text and self.running
        self.task_prompt = prompt if report == TaskStatusOutcome.RUNNING else ""
        if not command_id:
            self.task_command_id, self.early_task_report = "", None
            self.stop_waiting_for_task()
        elif ours and command_id == self.task_command_id:
            if command_id == self.active_command_id:
                self.early_task_report = report, reason
            else:
                self._apply_task_report(report, reason)

    def stop_waiting_for_task(self) -> None:
        """Continue the episode: the task is still running, or did not report in time."""
        if self.task_report_pending:
            self.task_report_pending = False
            self._check_limits()

    def _apply_task_report(self, report: TaskStatusOutcome, reason: str) -> None:
        self.task_command_id, self.early_task_report = "", None
        if report == TaskStatusOutcome.RUNNING:
            self.stop_waiting_for_task()
        else:
            self.end("SUCCESS" if report == TaskStatusOutcome.SUCCESS else "TASK_FAILED", reason)

    def _on_motion_end(self, report: ArmReport, code: str, message: str, stamp: int) -> bool:
        owned = self.owns_active_command
        self._forget_command(stamp)
        if self.state == EpisodeState.EXECUTING:
            self.state = EpisodeState.OBSERVING
        done, refused = report == ArmReport.SUCCEEDED, report == ArmReport.REFUSED
        if owned:
            self.step += 1
            self.executed += done
            failed = not done and code not in NON_FAILURE_CODES
            self.failures = self.failures + failed if failed or code == "DRY_RUN" else 0
            self.code, self.message = code, message
            if code == "NOT_CONFIRMED":
                self.end("REFUSED", f"{code}: {message}")
            else:
                task_runs = bool(self.task_command_id) and "" != self.task_prompt == self.text
                expected = task_runs or self.early_task_report is not None
                self.task_report_pending = not refused and expected
                if not self.task_report_pending:
                    self._check_limits(refused)
        if self.early_task_report is not None:
            self._apply_task_report(*self.early_task_report)
        return owned and done

    def _forget_command(self, stamp: int) -> None:
        self.active_command_id, self.owns_active_command, self.moving = "", False, False
        self.last_used_stamp = max(self.last_used_stamp, stamp)

    def _check_limits(self, refused: bool = False) -> None:
        if self.failures >= self.max_failures:
            reason = f"{self.failures} consecutive failures; the last: {self.code}: {self.message}"
            self.end("REFUSED" if refused else "ARM_FAILED", reason)
        elif self.step >= self.max_steps:
            reason = f"{self.max_steps} decisions were made, {self.executed} executed"
            if self.code != "OK":
                reason += f"; the last: {self.code}: {self.message}"
            self.end("STEP_LIMIT", reason)

    def _adopt_command(self, command_id: str) -> None:
        """Wait for the end of a motion that this node did not request, as after a restart."""
        self.active_command_id, self.moving = command_id, True
        if not self.task_report_pending:
            self.task_command_id = command_id
        if self.state == EpisodeState.OBSERVING:
            self.state = EpisodeState.EXECUTING

    def _on_stop(self, report: ArmReport, message: str, command_id: str, stamp: int) -> None:
        refused = report == ArmReport.REFUSED
        if not refused:
            self.stop_reason, self.stop_time = message, stamp
        elif not self.stop_reason:  # stopped before this node began: only the refusal reports it
            reason = message[message.find("(") + 1 : message.rfind(")")]  # as the gate words it
            self.stop_reason, self.stop_time = reason or message, -1
        # Stopped before this episode, but reported late: as if known when it began.
        missed = refused and self.state == EpisodeState.EXECUTING and self.owns_command(command_id)
        before = missed or (not refused and stamp < self.start_time and self.running)
        early, self.early_task_report = self.early_task_report, None
        self._forget_command(stamp)
        if early is not None and early[0] != TaskStatusOutcome.RUNNING:
            self._apply_task_report(*early)
        elif before and self.step == 0 and not self.single_step:
            self.end("STOPPED", self.describe_stop())
        elif self.running and self.state != EpisodeState.PAUSED:
            self.state, self.code, self.message = EpisodeState.PAUSED, "STOPPED", message
