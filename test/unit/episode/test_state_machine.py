import itertools
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from vima_ros.episode.state_machine import EpisodeStateMachine
from vima_ros.episode.timeouts import EpisodeTimeouts
from vima_ros.episode.values import FINAL_REPORTS, ArmReport, EpisodeState, TaskStatusOutcome

SECOND = 1_000_000_000
SUCCEEDED, REFUSED, ABORTED = FINAL_REPORTS
MAX_AGE = 5.0


def begun(max_steps=3):
    return EpisodeStateMachine().begin("p", "Put the {a} aside.", max_steps)


def accepts(episode, stamp, now=None):
    return episode.accepts_observation(stamp, stamp if now is None else now, MAX_AGE)


def report_arm(episode, report, stamp, command_id="", code="OK"):
    return episode.on_arm_report(report, code, "because", command_id, stamp)


def stop(episode, stamp):
    return report_arm(episode, ArmReport.STOPPED, stamp, code="STOPPED")


def resume(episode, stamp):
    return report_arm(episode, ArmReport.IDLE, stamp, code="RESUMED")


class EpisodeModel(RuleBasedStateMachine):
    """A robot, a gate and an operator around episodes, against a plain account of them."""

    def __init__(self):
        super().__init__()
        self.episode = EpisodeStateMachine()
        self.now = 100
        self.numbers = itertools.count()
        self.begun = self.stopped = self.paused = self.single_step = self.step_allowed = False
        self.known = False  # to this episode, that the arm is stopped
        self.task_runs = self.task_report_pending = False
        self.step = self.executed = self.max_steps = self.failures = self.max_failures = 0
        self.over = None  # the code of the end
        self.active_command_id = self.ours = self.latest = ""  # latest: of this episode's commands
        self.early_task_report = None  # the judge's word on it, before the arm's
        self.newest = -1  # decided on, or end of a motion
        self.ended, self.stops = [], []  # reports that may come again

    def tick(self):
        self.now += 10
        return self.now

    def report(self, *report):
        before = self.episode
        state = before.state, before.step, before.executed, before.code, before.message
        carried_out = report_arm(self.episode, *report)
        after = self.episode
        changed = state != (after.state, after.step, after.executed, after.code, after.message)
        return carried_out, changed

    @rule(max_steps=st.integers(1, 3), max_failures=st.integers(1, 3), single_step=st.booleans())
    def send_prompt(self, max_steps, max_failures, single_step):
        number = next(self.numbers)
        self.episode = self.episode.begin(
            f"p{number}", "x", max_steps, max_failures, single_step=single_step
        )
        self.begun, self.paused, self.ours, self.over = True, False, "", None
        self.latest, self.early_task_report = "", None
        self.step, self.executed, self.max_steps = 0, 0, max_steps
        self.failures, self.max_failures = 0, max_failures
        self.single_step, self.step_allowed, self.task_report_pending = single_step, False, False
        if self.known and not single_step:
            self.finish("STOPPED")

    @precondition(lambda self: self.episode.waiting_for_step)
    @rule()
    def ask_for_a_step(self):
        self.episode.allow_step()
        self.step_allowed = True

    @rule()
    def a_task_is_set_up(self):
        self.episode.on_task_report("x", TaskStatusOutcome.RUNNING, "")
        self.task_runs = True
        self.latest, self.early_task_report = "", None
        if self.task_report_pending:
            self.task_report_pending = False
            self.reach_limits()

    @rule(
        task_report=st.sampled_from(TaskStatusOutcome),
        prompt=st.sampled_from(["x", "x", "x", "of another task"]),
        mine=st.sampled_from([True, True, False]),
    )
    def the_judge_speaks(self, task_report, prompt, mine):
        command = (self.latest or "none") if mine else "another"
        self.episode.on_task_report(prompt, task_report, "because", command)
        counts = self.running and prompt == "x" and command == self.latest
        self.task_runs = task_report == TaskStatusOutcome.RUNNING and prompt == "x"
        if counts and self.active_command_id == command:
            self.early_task_report = task_report
        elif counts:
            self.take(task_report)

    def take(self, task_report):
        self.latest, self.early_task_report = "", None
        if task_report != TaskStatusOutcome.RUNNING:
            self.finish("SUCCESS" if task_report == TaskStatusOutcome.SUCCESS else "TASK_FAILED")
        elif self.task_report_pending:
            self.task_report_pending = False
            self.reach_limits()

    @precondition(lambda self: self.running)
    @rule(code=st.sampled_from(["CANCELLED", "RESET", "NODE_DIED", "NO_OBSERVATION"]))
    def somebody_ends_it(self, code):
        self.episode.end(code, "because")
        self.finish(code)

    @property
    def running(self):
        return self.begun and self.over is None

    def finish(self, code):
        self.over, self.paused, self.ours = code, False, ""
        self.task_report_pending = self.step_allowed = False
        self.latest, self.early_task_report = "", None

    def reach_limits(self, how=None):
        if self.failures >= self.max_failures:
            self.finish("REFUSED" if how == REFUSED else "ARM_FAILED")
        elif self.step == self.max_steps:
            self.finish("STEP_LIMIT")

    @rule(age=st.sampled_from([0, 5, 15, 25, int(MAX_AGE * SECOND) + 1]))
    def see(self, age):
        stamp = self.now - age
        wanted = self.episode.accepts_observation(stamp, self.now, MAX_AGE)
        free = (
            self.running
            and not self.active_command_id
            and not self.paused
            and not self.task_report_pending
        )
        free = free and (not self.single_step or self.step_allowed)
        assert wanted == (free and stamp > self.newest and age <= MAX_AGE * SECOND)
        if wanted:
            self.episode.state = EpisodeState.DECIDING
            self.active_command_id = self.ours = self.latest = f"c{next(self.numbers)}"
            self.early_task_report = None
            self.episode.on_decision(self.active_command_id, stamp)
            self.newest, self.step_allowed = stamp, False

    @precondition(lambda self: self.active_command_id)
    @rule()
    def arm_goes_on(self):
        report = (ArmReport.EXECUTING, self.tick(), self.active_command_id)
        assert self.report(*report) == (False, False)

    @precondition(lambda self: not self.active_command_id and not self.stopped)
    @rule()
    def someone_else_moves_the_arm(self):
        self.active_command_id = f"other{next(self.numbers)}"
        if not self.task_report_pending:
            self.latest = self.active_command_id
        assert not self.report(ArmReport.EXECUTING, self.tick(), self.active_command_id)[0]

    @precondition(lambda self: self.active_command_id)
    @rule(
        how=st.sampled_from(FINAL_REPORTS),
        code=st.sampled_from(["OK", "STALE", "TIMEOUT", "NOT_PICKED", "DRY_RUN", "NOT_CONFIRMED"]),
    )
    def arm_ends(self, how, code):
        report = (how, self.tick(), self.active_command_id, code)
        mine = bool(self.ours) and self.active_command_id == self.ours
        carried_out, _ = self.report(*report)
        assert carried_out == (mine and how == SUCCEEDED)
        self.active_command_id = self.ours = ""
        if mine:
            self.step += 1
            self.executed += carried_out
            if carried_out or code in ("OK", "NOT_PICKED"):
                self.failures = 0
            elif code != "DRY_RUN":
                self.failures += 1
            if code == "NOT_CONFIRMED":
                self.finish("REFUSED")
            elif how != REFUSED and (
                self.early_task_report is not None or (self.task_runs and self.latest)
            ):
                self.task_report_pending = True
            else:
                self.reach_limits(how)
        if self.early_task_report is not None:
            self.take(self.early_task_report)
        self.newest = self.now
        self.ended.append(report)

    @precondition(lambda self: self.active_command_id)
    @rule()
    def gate_refuses_because_of_a_stop(self):
        at_once = self.running and bool(self.ours) and not (self.single_step or self.step)
        self.take_stop((REFUSED, self.tick(), self.active_command_id, "STOPPED"), at_once)

    @rule()
    def operator_stops(self):
        self.take_stop((ArmReport.STOPPED, self.tick(), "", "STOPPED"))

    def take_stop(self, report, at_once=False):
        assert not self.report(*report)[0]
        self.active_command_id = self.ours = ""
        self.stopped = self.known = True
        self.paused = self.running
        early_task_report, self.early_task_report = self.early_task_report, None
        if early_task_report in (TaskStatusOutcome.SUCCESS, TaskStatusOutcome.FAILURE):
            self.take(early_task_report)
        elif at_once:
            self.finish("STOPPED")
        self.newest = self.now
        self.stops.append(report)

    @rule()
    def operator_resumes(self):
        assert not self.report(ArmReport.IDLE, self.tick(), "", "RESUMED")[0]
        self.stopped = self.paused = self.known = False

    @rule()
    def the_arm_node_dies(self):
        self.episode.on_arm_lost()
        self.active_command_id = self.ours = self.latest = ""
        self.early_task_report, self.known = None, False

    @precondition(lambda self: self.ended)
    @rule(data=st.data())
    def an_end_comes_again(self, data):
        assert self.report(*data.draw(st.sampled_from(self.ended))) == (False, False)

    @precondition(lambda self: self.stops and not self.stopped)
    @rule(data=st.data())
    def a_lifted_stop_comes_again(self, data):
        assert self.report(*data.draw(st.sampled_from(self.stops))) == (False, False)

    @rule()
    def clock_jumps_back(self):
        self.now, self.newest = 100, -1
        self.stops = []  # their stamps no longer report_arm whether they are lifted
        self.episode.forget_times()

    @invariant()
    def account_agrees(self):
        episode = self.episode
        assert 0 <= episode.executed <= episode.step <= episode.max_steps
        counted = episode.step, episode.executed, episode.max_steps
        assert counted == (self.step, self.executed, self.max_steps)
        if not self.begun:
            expected = EpisodeState.IDLE
        elif self.over:
            failed = self.over not in ("SUCCESS", "STEP_LIMIT", "CANCELLED", "RESET")
            expected = EpisodeState.FAILED if failed else EpisodeState.FINISHED
            assert episode.code == self.over
        elif self.paused:
            expected = EpisodeState.PAUSED
            assert episode.code == "STOPPED"
        else:
            expected = EpisodeState.EXECUTING if self.active_command_id else EpisodeState.OBSERVING
            assert episode.code != "STOPPED"
        assert episode.state == expected


TestEpisodeModel = EpisodeModel.TestCase
TestEpisodeModel.settings = settings(max_examples=60, stateful_step_count=30)


@pytest.mark.parametrize("how", [REFUSED, ABORTED])
def test_a_decision_not_executed_uses_a_step_and_is_not_recorded(how):
    episode = begun()
    episode.on_decision("c", 10)
    assert report_arm(episode, how, 20, "c", "OUTSIDE_WORKSPACE") is False
    assert (episode.step, episode.executed) == (1, 0)
    assert (episode.code, episode.message) == ("OUTSIDE_WORKSPACE", "because")
    assert accepts(episode, 21)


def test_an_executed_decision_is_recorded_once():
    episode = begun()
    episode.on_decision("c", 10)
    assert report_arm(episode, SUCCEEDED, 20, "c") is True
    assert report_arm(episode, SUCCEEDED, 20, "c") is False
    assert report_arm(episode, SUCCEEDED, 30, "c") is False
    assert (episode.step, episode.executed) == (1, 1)


def test_the_last_step_finishes_the_episode():
    episode = begun(max_steps=2)
    for stamp, how in ((10, ABORTED), (30, SUCCEEDED)):
        assert accepts(episode, stamp)
        episode.on_decision(f"c{stamp}", stamp)
        report_arm(episode, how, stamp + 10, f"c{stamp}")
    assert (episode.state, episode.step, episode.executed) == (EpisodeState.FINISHED, 2, 1)
    assert episode.code == "STEP_LIMIT"
    assert "2" in episode.message
    assert not accepts(episode, 50)


def test_only_observations_after_the_motion_are_accepted():
    episode = begun()
    episode.on_decision("c", 10)
    assert not accepts(episode, 15)
    report_arm(episode, SUCCEEDED, 20, "c")
    assert [accepts(episode, stamp) for stamp in (15, 20, 21)] == [False, False, True]


def test_no_observation_is_used_twice_even_where_clocks_differ():
    """The arm's clock is behind: its motion ends before the observation was taken."""
    episode = begun()
    episode.on_decision("c", 100)
    report_arm(episode, SUCCEEDED, 50, "c")
    assert [accepts(episode, stamp) for stamp in (99, 100, 101)] == [False, False, True]


def test_an_observation_may_be_as_old_as_max_age():
    episode = begun()
    assert episode.accepts_observation(SECOND, 3 * SECOND, max_age=2.0)
    assert not episode.accepts_observation(SECOND, 3 * SECOND + 1, max_age=2.0)


def test_no_observation_is_accepted_before_a_prompt_while_deciding_or_after_a_failure():
    assert not accepts(EpisodeStateMachine(), 10)
    episode = begun()
    episode.state = EpisodeState.DECIDING
    assert not accepts(episode, 10)
    episode.end("HISTORY_FULL", "513 tokens")
    assert (episode.state, episode.code, episode.message) == (
        EpisodeState.FAILED,
        "HISTORY_FULL",
        "513 tokens",
    )
    assert not accepts(episode, 10)
    assert accepts(episode.begin("q", "again", 1), 11)


def test_a_motion_of_an_earlier_episode_delays_this_one_and_does_not_count():
    episode = begun()
    episode.on_decision("old", 10)
    episode = episode.begin("q", "again", 3)
    assert episode.state == EpisodeState.EXECUTING
    assert not accepts(episode, 18)
    assert report_arm(episode, SUCCEEDED, 20, "another") is False
    assert not accepts(episode, 22)
    assert report_arm(episode, SUCCEEDED, 30, "old") is False
    assert (episode.step, episode.executed) == (0, 0)
    assert [accepts(episode, stamp) for stamp in (30, 31)] == [False, True]


def test_a_motion_requested_by_others_delays_the_episode():
    episode = begun()
    report_arm(episode, ArmReport.EXECUTING, 5, "foreign")
    assert not accepts(episode, 10)
    assert report_arm(episode, SUCCEEDED, 20, "foreign") is False
    assert episode.step == 0
    assert accepts(episode, 21)


def test_a_stop_uses_up_nothing_and_later_results_do_not_count():
    episode = begun()
    episode.on_decision("c", 10)
    stop(episode, 20)
    assert (episode.state, episode.code, episode.message) == (
        EpisodeState.PAUSED,
        "STOPPED",
        "because",
    )
    assert not accepts(episode, 30)
    assert report_arm(episode, SUCCEEDED, 40, "c") is False
    resume(episode, 50)
    assert (episode.state, episode.step, episode.code) == (EpisodeState.OBSERVING, 0, "OK")
    assert accepts(episode, 60)


def test_a_refusal_because_of_a_stop_in_mid_episode_pauses_and_uses_up_nothing():
    episode = begun()
    episode.on_decision("first", 10)
    report_arm(episode, SUCCEEDED, 15, "first")
    episode.on_decision("c", 16)
    assert report_arm(episode, REFUSED, 20, "c", "STOPPED") is False
    assert (episode.state, episode.step) == (EpisodeState.PAUSED, 1)


REFUSAL = "the arm is stopped (stop was called (twice)); call resume to go on"


def test_a_missed_stop_ends_an_episode_without_steps_at_once():
    """As where the policy node was restarted: only the gate's refusal tells it of the stop."""
    episode = begun()
    episode.on_decision("c", 10)
    episode.on_arm_report(REFUSED, "STOPPED", REFUSAL, "c", 20)
    assert (episode.state, episode.code, episode.step) == (EpisodeState.FAILED, "STOPPED", 0)
    assert "stopped (stop was called (twice)); call resume" in episode.message
    again = episode.begin("q", "again", 1, now=30)
    assert (again.state, again.message) == (EpisodeState.FAILED, episode.message)


def test_a_stop_while_the_gate_checks_the_first_decision_pauses():
    episode = begun()
    episode.on_decision("c", 10)
    stop(episode, 20)
    episode.on_arm_report(REFUSED, "STOPPED", REFUSAL, "c", 21)
    assert (episode.state, episode.step) == (EpisodeState.PAUSED, 0)
    resume(episode, 30)
    assert accepts(episode, 40)


def test_a_stop_from_before_the_episode_that_arrives_late_ends_it_at_once():
    episode = EpisodeStateMachine().begin("p", "x", 3, now=15)
    stop(episode, 14)
    assert (episode.state, episode.code) == (EpisodeState.FAILED, "STOPPED")
    later = EpisodeStateMachine().begin("p", "x", 3, now=15)
    stop(later, 16)
    assert later.state == EpisodeState.PAUSED


def test_in_single_step_a_refusal_because_of_a_stop_pauses():
    episode = EpisodeStateMachine().begin("p", "x", 3, single_step=True)
    episode.allow_step()
    episode.on_decision("c", 10)
    episode.on_arm_report(REFUSED, "STOPPED", REFUSAL, "c", 20)
    assert (episode.state, episode.code) == (EpisodeState.PAUSED, "STOPPED")


def test_a_prompt_sent_while_stopped_ends_at_once_with_reason_duration_and_remedy():
    episode = EpisodeStateMachine()
    stop(episode, 20 * SECOND)
    episode = episode.begin("q", "again", 1, now=23 * SECOND)
    assert (episode.state, episode.code, episode.step) == (EpisodeState.FAILED, "STOPPED", 0)
    assert "stopped for 3.0 s (because); call resume" in episode.message
    assert not accepts(episode, 24 * SECOND)
    single_step = episode.begin("r", "again", 1, single_step=True, now=24 * SECOND)
    assert single_step.waiting_for_step
    resume(single_step, 25 * SECOND)
    assert single_step.begin("s", "again", 1, now=26 * SECOND).running


def test_a_lifted_stop_that_is_repeated_does_not_pause_again_a_new_one_does():
    episode = begun()
    stop(episode, 20)
    resume(episode, 30)
    stop(episode, 20)
    assert episode.state == EpisodeState.OBSERVING
    stop(episode, 31)
    assert episode.state == EpisodeState.PAUSED


def test_a_stop_at_the_very_time_of_the_resume_before_it_is_a_new_one():
    """As where the simulation is paused, or between two recordings."""
    episode = begun()
    for do, stamp, why in ((stop, 8, "because"), (resume, 10, ""), (stop, 10, "because")):
        do(episode, stamp)
        assert episode.stop_reason == why


def test_a_motion_reported_while_paused_delays_the_episode_after_resume():
    episode = begun()
    stop(episode, 20)
    report_arm(episode, ArmReport.EXECUTING, 25, "foreign")
    resume(episode, 30)
    assert not accepts(episode, 40)
    report_arm(episode, SUCCEEDED, 50, "foreign")
    assert accepts(episode, 60)


def test_a_finished_episode_is_not_revived_by_stop_and_resume():
    episode = begun(max_steps=1)
    episode.on_decision("c", 10)
    report_arm(episode, SUCCEEDED, 20, "c")
    stop(episode, 30)
    resume(episode, 40)
    assert (episode.state, episode.code) == (EpisodeState.FINISHED, "STEP_LIMIT")


def test_the_next_prompt_does_not_make_an_observation_new_again():
    episode = begun()
    episode.on_decision("c", 10)
    report_arm(episode, SUCCEEDED, 20, "c")
    again = episode.begin("q", "again", 3)
    assert [accepts(again, stamp) for stamp in (10, 20, 21)] == [False, False, True]
    stop(again, 30)
    resume(again, 40)
    third = again.begin("r", "again", 3)
    stop(third, 30)  # a copy of the one that was lifted
    assert third.state == EpisodeState.OBSERVING


def test_stamps_from_before_a_clock_jump_are_forgotten():
    """As when a recording starts again: its clock jumps back by hours."""
    late = 9000 * SECOND
    episode = begun()
    episode.on_decision("c", late)
    report_arm(episode, SUCCEEDED, late + 1, "c")
    stop(episode, late + 2)
    resume(episode, late + 3)
    assert not accepts(episode, SECOND)
    episode.forget_times()
    assert (episode.state, episode.step, episode.executed) == (EpisodeState.OBSERVING, 1, 1)
    assert accepts(episode, SECOND)
    stop(episode, SECOND)
    assert episode.state == EpisodeState.PAUSED


@pytest.mark.parametrize(
    ("how", "code"), [(REFUSED, "REFUSED"), (ABORTED, "ARM_FAILED")], ids=["refused", "aborted"]
)
def test_consecutive_failures_end_the_episode_with_the_last_reason(how, code):
    episode = EpisodeStateMachine().begin("p", "x", 10, max_failures=2)
    for stamp, end in ((10, ABORTED), (30, SUCCEEDED), (50, ABORTED), (70, how)):
        assert accepts(episode, stamp)
        episode.on_decision(f"c{stamp}", stamp)
        report_arm(
            episode, end, stamp + 10, f"c{stamp}", "OK" if end == SUCCEEDED else "UNREACHABLE"
        )
    assert (episode.state, episode.code, episode.step) == (EpisodeState.FAILED, code, 4)
    assert "UNREACHABLE: because" in episode.message


def test_dry_run_decisions_continue_to_the_step_limit():
    episode = EpisodeStateMachine().begin("p", "x", 5, max_failures=1)
    for stamp in range(10, 60, 10):
        episode.on_decision(f"c{stamp}", stamp)
        report_arm(episode, REFUSED, stamp + 1, f"c{stamp}", "DRY_RUN")
    assert (episode.state, episode.code) == (EpisodeState.FINISHED, "STEP_LIMIT")
    assert "0 executed; the last: DRY_RUN" in episode.message


def test_a_refused_confirmation_ends_the_episode_at_once():
    episode = begun()
    episode.on_decision("c", 10)
    report_arm(episode, REFUSED, 20, "c", "NOT_CONFIRMED")
    assert (episode.state, episode.code) == (EpisodeState.FAILED, "REFUSED")


def test_in_single_step_each_step_needs_a_request():
    episode = EpisodeStateMachine().begin("p", "x", 3, single_step=True)
    assert episode.waiting_for_step
    assert not accepts(episode, 10)
    episode.allow_step()
    assert accepts(episode, 10)
    episode.on_decision("c", 10)
    assert report_arm(episode, SUCCEEDED, 20, "c")
    assert episode.waiting_for_step
    assert not accepts(episode, 30)


def test_the_task_report_on_a_motion_is_awaited_and_ends_the_episode():
    episode = EpisodeStateMachine()
    episode.on_task_report("x", TaskStatusOutcome.RUNNING, "")
    episode = episode.begin("p", "x", 1)
    episode.on_decision("c", 10)
    assert report_arm(episode, SUCCEEDED, 20, "c")
    assert not accepts(episode, 30)
    assert episode.running, "the step limit is not reached before the judge has spoken"
    episode.on_task_report("x", TaskStatusOutcome.SUCCESS, "", "c")
    assert (episode.state, episode.code, episode.executed) == (EpisodeState.FINISHED, "SUCCESS", 1)


ARM = [
    (ArmReport.EXECUTING, "OK"),
    (SUCCEEDED, "OK"),
]
OTHERS = [
    (TaskStatusOutcome.RUNNING, "old"),
    (TaskStatusOutcome.SUCCESS, "old"),
    (TaskStatusOutcome.FAILURE, "another"),
]


@pytest.mark.parametrize("task_report", TaskStatusOutcome)
@pytest.mark.parametrize("max_steps", [1, 5])
def test_the_result_is_the_same_in_either_order_of_the_reports_of_arm_and_task(
    task_report, max_steps
):
    """With what the judge says of other commands at any time between, which counts for nothing."""
    words = [("arm", *word) for word in ARM] + [("judge", task_report, "c")]
    ends = set()
    for order in itertools.permutations(words):
        if order.index(words[0]) > order.index(words[1]):
            continue  # the arm's own two come in order
        for place, other in itertools.product(range(4), [None, *OTHERS]):
            play = list(order)
            if max_steps == 1 and other and other[0] != TaskStatusOutcome.RUNNING:
                place = 3  # after such a word a judge is silent: the limit does not wait for it
            if other:
                play.insert(place, ("judge", *other))
            episode = EpisodeStateMachine()
            episode.on_task_report("x", TaskStatusOutcome.RUNNING, "")
            episode = episode.begin("p", "x", max_steps)
            episode.on_decision("c", 10)
            recorded = 0
            for who, what, about in play:
                if who == "arm":
                    recorded += report_arm(episode, what, 20, "c", about)
                else:
                    episode.on_task_report("x", what, "because", about)
            ends.add((episode.code, episode.state, episode.step, episode.executed, recorded))
            assert episode.running == accepts(episode, 30), "nothing is waited for"
    running = (
        ("OK", EpisodeState.OBSERVING) if max_steps > 1 else ("STEP_LIMIT", EpisodeState.FINISHED)
    )
    codes = {
        TaskStatusOutcome.RUNNING: running,
        TaskStatusOutcome.SUCCESS: ("SUCCESS", EpisodeState.FINISHED),
        TaskStatusOutcome.FAILURE: ("TASK_FAILED", EpisodeState.FAILED),
    }
    assert ends == {(*codes[task_report], 1, 1, 1)}


@pytest.mark.parametrize("first", ["arm", "judge"])
def test_a_report_on_an_earlier_episodes_command_is_not_this_ones_result(first):
    episode = EpisodeStateMachine()
    episode.on_task_report("x", TaskStatusOutcome.RUNNING, "")
    episode = episode.begin("p", "x", 2)
    episode.on_decision("old", 10)
    episode = episode.begin("q", "x", 2)
    for who in ("arm", "judge") if first == "arm" else ("judge", "arm"):
        if who == "arm":
            report_arm(episode, SUCCEEDED, 20, "old")
        else:
            episode.on_task_report("x", TaskStatusOutcome.SUCCESS, "", "old")
    assert episode.running
    assert accepts(episode, 30)


def test_success_of_a_motion_that_a_stop_ended_is_success_in_either_order():
    for order in (("arm", "judge"), ("judge", "arm")):
        episode = EpisodeStateMachine()
        episode.on_task_report("x", TaskStatusOutcome.RUNNING, "")
        episode = episode.begin("p", "x", 2)
        episode.on_decision("c", 10)
        for who in order:
            if who == "arm":
                report_arm(episode, ArmReport.STOPPED, 20, "c", "STOPPED")
            else:
                episode.on_task_report("x", TaskStatusOutcome.SUCCESS, "", "c")
        assert (episode.code, episode.executed) == ("SUCCESS", 0)


def test_the_report_of_a_task_that_is_set_up_again_is_not_awaited():
    episode = EpisodeStateMachine()
    episode.on_task_report("x", TaskStatusOutcome.RUNNING, "")
    episode = episode.begin("p", "x", 2)
    episode.on_decision("c", 10)
    report_arm(episode, ABORTED, 20, "c", "RESET")
    assert not accepts(episode, 30)
    episode.on_task_report("x", TaskStatusOutcome.RUNNING, "")
    assert accepts(episode, 30)


def test_picks_that_find_nothing_continue_to_the_step_limit():
    """As in VIMA-Bench and in ``evaluate``: a step like another, no failure of the arm."""
    episode = EpisodeStateMachine().begin("p", "x", 7, max_failures=2)
    for stamp, code in zip(
        range(10, 80, 10), ["NOT_PICKED"] * 4 + ["BLOCKED", "NOT_PICKED", "BLOCKED"], strict=True
    ):
        assert accepts(episode, stamp)
        episode.on_decision(f"c{stamp}", stamp)
        report_arm(episode, ABORTED, stamp + 1, f"c{stamp}", code)
    assert (episode.state, episode.code, episode.step) == (EpisodeState.FINISHED, "STEP_LIMIT", 7)
    assert "0 executed; the last: BLOCKED" in episode.message


def test_a_task_report_from_before_the_episode_does_not_count():
    episode = EpisodeStateMachine()
    episode.on_task_report("x", TaskStatusOutcome.SUCCESS, "the last episode's, latched", "old")
    episode = episode.begin("p", "x", 1)
    episode.on_task_report("x", TaskStatusOutcome.SUCCESS, "repeated", "old")
    assert episode.running


def test_the_stage_follows_decision_confirmation_motion_and_stop():
    episode = begun()
    stages = [episode.stage]
    episode.on_decision("c", 10)
    stages.append(episode.stage)
    episode.unconfirmed_command_id = "c"
    stages.append(episode.stage)
    report_arm(episode, ArmReport.EXECUTING, 15, "c")
    stages.append(episode.stage)
    stop(episode, 20)
    stages.append(episode.stage)
    assert stages == ["observing", "checking", "confirming", "moving", "paused"]


def time_until_end(episode, timeouts, seen=""):
    """Seconds after which ``timeouts`` is at an end, a tenth at a time."""
    for tenth in range(2000):
        timeouts.check(episode, 100 + tenth / 10, seen)
        if not episode.running:
            return tenth / 10
    return None


def test_without_observations_the_episode_ends_with_the_status_of_perception():
    episode = begun()
    assert time_until_end(
        episode, EpisodeTimeouts(observation=3.0), "STALE: 9 s old"
    ) == pytest.approx(3.0, abs=0.2)
    assert (episode.state, episode.code) == (EpisodeState.FAILED, "NO_OBSERVATION")
    assert "STALE: 9 s old" in episode.message
    assert time_until_end(begun(), EpisodeTimeouts(observation=0.0)) is None


def test_waiting_for_a_step_or_a_confirmation_has_no_timeout():
    assert (
        time_until_end(
            EpisodeStateMachine().begin("p", "x", 3, single_step=True), EpisodeTimeouts()
        )
        is None
    )
    episode = begun()
    episode.on_decision("c", 10)
    episode.unconfirmed_command_id = "c"
    assert time_until_end(episode, EpisodeTimeouts()) is None


def test_a_pause_that_is_not_lifted_ends_the_episode():
    episode = begun()
    stop(episode, 20)
    assert time_until_end(episode, EpisodeTimeouts(pause=7.0)) == pytest.approx(7.0, abs=0.2)
    assert (episode.state, episode.code) == (EpisodeState.FAILED, "STOPPED")


def test_an_arm_node_that_does_not_respond_ends_the_episode():
    episode = begun()
    episode.on_decision("c", 10)
    assert time_until_end(episode, EpisodeTimeouts(response=2.0)) == pytest.approx(2.0, abs=0.2)
    assert episode.code == "NODE_DIED"
    moving = begun()
    moving.on_decision("c", 10)
    report_arm(moving, ArmReport.EXECUTING, 15, "c")
    assert time_until_end(moving, EpisodeTimeouts(response=2.0)) is None


def test_a_decision_is_unacknowledged_until_the_arm_reports_on_it():
    episode = begun()
    assert not episode.unacknowledged
    episode.on_decision("c", 10)
    assert episode.unacknowledged
    report_arm(episode, ArmReport.EXECUTING, 15, "c")
    assert not episode.unacknowledged
    episode.end("CANCELLED", "because")
    waiting = episode.begin("next", "x", 2)
    assert waiting.stage == "moving"
    assert not waiting.unacknowledged, "a motion of the episode before"


@pytest.mark.parametrize("moving", [False, True])
def test_a_copy_that_the_arm_refuses_changes_nothing(moving):
    episode = begun()
    episode.on_decision("c", 10)
    if moving:
        report_arm(episode, ArmReport.EXECUTING, 15, "c")
    before = replace(episode)
    assert not report_arm(episode, ArmReport.REFUSED, 16, "c", code="DUPLICATE")
    assert episode == before
    assert report_arm(episode, SUCCEEDED, 20, "c")


def test_a_task_that_does_not_report_is_awaited_up_to_a_timeout():
    episode = EpisodeStateMachine()
    episode.on_task_report("x", TaskStatusOutcome.RUNNING, "")
    episode = episode.begin("p", "x", 2)
    episode.on_decision("c", 10)
    report_arm(episode, SUCCEEDED, 20, "c")
    timeouts = EpisodeTimeouts(task_status=2.0)
    timeouts.check(episode, 0.0)
    assert not accepts(episode, 30)
    timeouts.check(episode, 2.1)
    assert accepts(episode, 30)


def test_the_default_timeouts_are_those_of_the_parameter_file():
    config = Path(__file__).parents[3] / "config" / "policy.yaml"
    parameters = next(iter(yaml.safe_load(config.read_text()).values()))["ros__parameters"]
    defaults, names = EpisodeTimeouts(), ("observation", "pause", "response", "task_status")
    for name in names:
        assert getattr(defaults, name) == parameters[f"{name}_timeout"], name


def test_after_a_success_failures_count_from_zero():
    episode = EpisodeStateMachine().begin("p", "x", 9, max_failures=2)
    for stamp, report in ((20, ABORTED), (30, SUCCEEDED), (40, ABORTED), (50, ABORTED)):
        assert episode.running
        episode.on_decision(f"c{stamp}", stamp - 5)
        code = "OK" if report == SUCCEEDED else "TIMEOUT"
        report_arm(episode, report, stamp, f"c{stamp}", code=code)
    assert (episode.code, episode.step, episode.executed) == ("ARM_FAILED", 4, 1)
