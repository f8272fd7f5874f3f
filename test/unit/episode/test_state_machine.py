import itertools
from dataclasses import replace

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from vima_ros.episode.state_machine import ENDED, ArmReport, Episode, State, Verdict
from vima_ros.episode.timeouts import Patience

SECOND = 1_000_000_000
SUCCEEDED, REFUSED, ABORTED = ENDED
MAX_AGE = 5.0


def begun(max_steps=3):
    return Episode().begin("p", "Put the {a} aside.", max_steps)


def wants(episode, stamp, now=None):
    return episode.wants(stamp, stamp if now is None else now, MAX_AGE)


def tell(episode, report, stamp, command_id="", code="OK"):
    return episode.arm_reported(report, code, "because", command_id, stamp)


def stop(episode, stamp):
    return tell(episode, ArmReport.STOPPED, stamp, code="STOPPED")


def resume(episode, stamp):
    return tell(episode, ArmReport.IDLE, stamp, code="RESUMED")


class Life(RuleBasedStateMachine):
    """A robot, a gate and an operator around episodes, against a plain account of them."""

    def __init__(self):
        super().__init__()
        self.episode = Episode()
        self.now = 100
        self.numbers = itertools.count()
        self.begun = self.stopped = self.paused = self.by_hand = self.granted = False
        self.known = False  # to this episode, that the arm is stopped
        self.judging = self.verdict_due = False
        self.step = self.executed = self.max_steps = self.failures = self.max_failures = 0
        self.over = None  # the code of the end
        self.with_arm = self.ours = self.latest = ""  # latest: of this episode's commands
        self.early = None  # the judge's word on it, before the arm's
        self.newest = -1  # decided on, or end of a motion
        self.ended, self.stops = [], []  # reports that may come again

    def tick(self):
        self.now += 10
        return self.now

    def report(self, *report):
        before = self.episode
        state = before.state, before.step, before.executed, before.code, before.message
        carried_out = tell(self.episode, *report)
        after = self.episode
        changed = state != (after.state, after.step, after.executed, after.code, after.message)
        return carried_out, changed

    @rule(max_steps=st.integers(1, 3), max_failures=st.integers(1, 3), by_hand=st.booleans())
    def send_prompt(self, max_steps, max_failures, by_hand):
        number = next(self.numbers)
        self.episode = self.episode.begin(
            f"p{number}", "x", max_steps, max_failures, by_hand=by_hand
        )
        self.begun, self.paused, self.ours, self.over = True, False, "", None
        self.latest, self.early = "", None
        self.step, self.executed, self.max_steps = 0, 0, max_steps
        self.failures, self.max_failures = 0, max_failures
        self.by_hand, self.granted, self.verdict_due = by_hand, False, False
        if self.known and not by_hand:
            self.finish("STOPPED")

    @precondition(lambda self: self.episode.waiting_for_step)
    @rule()
    def ask_for_a_step(self):
        self.episode.grant()
        self.granted = True

    @rule()
    def a_task_is_set_up(self):
        self.episode.judged("x", Verdict.RUNNING, "")
        self.judging = True
        self.latest, self.early = "", None
        if self.verdict_due:
            self.verdict_due = False
            self.reach_limits()

    @rule(
        verdict=st.sampled_from(Verdict),
        prompt=st.sampled_from(["x", "x", "x", "of another task"]),
        mine=st.sampled_from([True, True, False]),
    )
    def the_judge_speaks(self, verdict, prompt, mine):
        command = (self.latest or "none") if mine else "another"
        self.episode.judged(prompt, verdict, "because", command)
        counts = self.running and prompt == "x" and command == self.latest
        self.judging = verdict == Verdict.RUNNING and prompt == "x"
        if counts and self.with_arm == command:
            self.early = verdict
        elif counts:
            self.take(verdict)

    def take(self, verdict):
        self.latest, self.early = "", None
        if verdict != Verdict.RUNNING:
            self.finish("SUCCESS" if verdict == Verdict.SUCCESS else "TASK_FAILED")
        elif self.verdict_due:
            self.verdict_due = False
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
        self.verdict_due = self.granted = False
        self.latest, self.early = "", None

    def reach_limits(self, how=None):
        if self.failures >= self.max_failures:
            self.finish("REFUSED" if how == REFUSED else "ARM_FAILED")
        elif self.step == self.max_steps:
            self.finish("STEP_LIMIT")

    @rule(age=st.sampled_from([0, 5, 15, 25, int(MAX_AGE * SECOND) + 1]))
    def see(self, age):
        stamp = self.now - age
        wanted = self.episode.wants(stamp, self.now, MAX_AGE)
        free = self.running and not self.with_arm and not self.paused and not self.verdict_due
        free = free and (not self.by_hand or self.granted)
        assert wanted == (free and stamp > self.newest and age <= MAX_AGE * SECOND)
        if wanted:
            self.episode.state = State.DECIDING
            self.with_arm = self.ours = self.latest = f"c{next(self.numbers)}"
            self.early = None
            self.episode.decided(self.with_arm, stamp)
            self.newest, self.granted = stamp, False

    @precondition(lambda self: self.with_arm)
    @rule()
    def arm_goes_on(self):
        report = (ArmReport.EXECUTING, self.tick(), self.with_arm)
        assert self.report(*report) == (False, False)

    @precondition(lambda self: not self.with_arm and not self.stopped)
    @rule()
    def someone_else_moves_the_arm(self):
        self.with_arm = f"other{next(self.numbers)}"
        if not self.verdict_due:
            self.latest = self.with_arm
        assert not self.report(ArmReport.EXECUTING, self.tick(), self.with_arm)[0]

    @precondition(lambda self: self.with_arm)
    @rule(
        how=st.sampled_from(ENDED),
        code=st.sampled_from(["OK", "STALE", "TIMEOUT", "NOT_PICKED", "DRY_RUN", "NOT_CONFIRMED"]),
    )
    def arm_ends(self, how, code):
        report = (how, self.tick(), self.with_arm, code)
        mine = bool(self.ours) and self.with_arm == self.ours
        carried_out, _ = self.report(*report)
        assert carried_out == (mine and how == SUCCEEDED)
        self.with_arm = self.ours = ""
        if mine:
            self.step += 1
            self.executed += carried_out
            if carried_out or code in ("OK", "NOT_PICKED"):
                self.failures = 0
            elif code != "DRY_RUN":
                self.failures += 1
            if code == "NOT_CONFIRMED":
                self.finish("REFUSED")
            elif how != REFUSED and (self.early is not None or (self.judging and self.latest)):
                self.verdict_due = True
            else:
                self.reach_limits(how)
        if self.early is not None:
            self.take(self.early)
        self.newest = self.now
        self.ended.append(report)

    @precondition(lambda self: self.with_arm)
    @rule()
    def gate_refuses_because_of_a_stop(self):
        at_once = self.running and bool(self.ours) and not (self.by_hand or self.step)
        self.take_stop((REFUSED, self.tick(), self.with_arm, "STOPPED"), at_once)

    @rule()
    def operator_stops(self):
        self.take_stop((ArmReport.STOPPED, self.tick(), "", "STOPPED"))

    def take_stop(self, report, at_once=False):
        assert not self.report(*report)[0]
        self.with_arm = self.ours = ""
        self.stopped = self.known = True
        self.paused = self.running
        early, self.early = self.early, None
        if early in (Verdict.SUCCESS, Verdict.FAILURE):
            self.take(early)
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
        self.episode.arm_lost()
        self.with_arm = self.ours = self.latest = ""
        self.early, self.known = None, False

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
        self.stops = []  # their stamps no longer tell whether they are lifted
        self.episode.forget_times()

    @invariant()
    def account_agrees(self):
        episode = self.episode
        assert 0 <= episode.executed <= episode.step <= episode.max_steps
        counted = episode.step, episode.executed, episode.max_steps
        assert counted == (self.step, self.executed, self.max_steps)
        if not self.begun:
            expected = State.IDLE
        elif self.over:
            failed = self.over not in ("SUCCESS", "STEP_LIMIT", "CANCELLED", "RESET")
            expected = State.FAILED if failed else State.FINISHED
            assert episode.code == self.over
        elif self.paused:
            expected = State.PAUSED
            assert episode.code == "STOPPED"
        else:
            expected = State.EXECUTING if self.with_arm else State.OBSERVING
            assert episode.code != "STOPPED"
        assert episode.state == expected


TestLife = Life.TestCase
TestLife.settings = settings(max_examples=60, stateful_step_count=30)


@pytest.mark.parametrize("how", [REFUSED, ABORTED])
def test_what_was_not_carried_out_uses_a_step_and_is_not_remembered(how):
    episode = begun()
    episode.decided("c", 10)
    assert tell(episode, how, 20, "c", "OUTSIDE_WORKSPACE") is False
    assert (episode.step, episode.executed) == (1, 0)
    assert (episode.code, episode.message) == ("OUTSIDE_WORKSPACE", "because")
    assert wants(episode, 21)


def test_what_was_carried_out_is_remembered_once():
    episode = begun()
    episode.decided("c", 10)
    assert tell(episode, SUCCEEDED, 20, "c") is True
    assert tell(episode, SUCCEEDED, 20, "c") is False
    assert tell(episode, SUCCEEDED, 30, "c") is False
    assert (episode.step, episode.executed) == (1, 1)


def test_the_last_step_finishes_the_episode():
    episode = begun(max_steps=2)
    for stamp, how in ((10, ABORTED), (30, SUCCEEDED)):
        assert wants(episode, stamp)
        episode.decided(f"c{stamp}", stamp)
        tell(episode, how, stamp + 10, f"c{stamp}")
    assert (episode.state, episode.step, episode.executed) == (State.FINISHED, 2, 1)
    assert episode.code == "STEP_LIMIT"
    assert "2" in episode.message
    assert not wants(episode, 50)


def test_only_observations_from_after_the_motion_count():
    episode = begun()
    episode.decided("c", 10)
    assert not wants(episode, 15)
    tell(episode, SUCCEEDED, 20, "c")
    assert [wants(episode, stamp) for stamp in (15, 20, 21)] == [False, False, True]


def test_no_observation_is_used_twice_even_where_clocks_differ():
    """The arm's clock is behind: its motion ends before the observation was taken."""
    episode = begun()
    episode.decided("c", 100)
    tell(episode, SUCCEEDED, 50, "c")
    assert [wants(episode, stamp) for stamp in (99, 100, 101)] == [False, False, True]


def test_an_observation_may_be_as_old_as_max_age():
    episode = begun()
    assert episode.wants(SECOND, 3 * SECOND, max_age=2.0)
    assert not episode.wants(SECOND, 3 * SECOND + 1, max_age=2.0)


def test_nothing_is_wanted_before_a_prompt_while_deciding_and_after_a_failure():
    assert not wants(Episode(), 10)
    episode = begun()
    episode.state = State.DECIDING
    assert not wants(episode, 10)
    episode.end("HISTORY_FULL", "513 tokens")
    assert (episode.state, episode.code, episode.message) == (
        State.FAILED,
        "HISTORY_FULL",
        "513 tokens",
    )
    assert not wants(episode, 10)
    assert wants(episode.begin("q", "again", 1), 11)


def test_a_motion_of_an_earlier_episode_is_waited_for_and_not_counted():
    episode = begun()
    episode.decided("old", 10)
    episode = episode.begin("q", "again", 3)
    assert episode.state == State.EXECUTING
    assert not wants(episode, 18)
    assert tell(episode, SUCCEEDED, 20, "another") is False
    assert not wants(episode, 22)
    assert tell(episode, SUCCEEDED, 30, "old") is False
    assert (episode.step, episode.executed) == (0, 0)
    assert [wants(episode, stamp) for stamp in (30, 31)] == [False, True]


def test_a_motion_nobody_here_asked_for_is_waited_for():
    episode = begun()
    tell(episode, ArmReport.EXECUTING, 5, "foreign")
    assert not wants(episode, 10)
    assert tell(episode, SUCCEEDED, 20, "foreign") is False
    assert episode.step == 0
    assert wants(episode, 21)


def test_a_stop_uses_up_nothing_and_what_ends_after_it_does_not_count():
    episode = begun()
    episode.decided("c", 10)
    stop(episode, 20)
    assert (episode.state, episode.code, episode.message) == (State.PAUSED, "STOPPED", "because")
    assert not wants(episode, 30)
    assert tell(episode, SUCCEEDED, 40, "c") is False
    resume(episode, 50)
    assert (episode.state, episode.step, episode.code) == (State.OBSERVING, 0, "OK")
    assert wants(episode, 60)


def test_a_refusal_because_of_a_stop_in_mid_episode_pauses_and_uses_up_nothing():
    episode = begun()
    episode.decided("first", 10)
    tell(episode, SUCCEEDED, 15, "first")
    episode.decided("c", 16)
    assert tell(episode, REFUSED, 20, "c", "STOPPED") is False
    assert (episode.state, episode.step) == (State.PAUSED, 1)


REFUSAL = "the arm is stopped (stop was called (twice)); call resume to go on"


def test_a_stop_that_was_missed_ends_an_episode_of_which_nothing_was_done_at_once():
    """As where the policy node was restarted: only the gate's refusal tells it of the stop."""
    episode = begun()
    episode.decided("c", 10)
    episode.arm_reported(REFUSED, "STOPPED", REFUSAL, "c", 20)
    assert (episode.state, episode.code, episode.step) == (State.FAILED, "STOPPED", 0)
    assert "stopped (stop was called (twice)); call resume" in episode.message
    again = episode.begin("q", "again", 1, now=30)
    assert (again.state, again.message) == (State.FAILED, episode.message)


def test_a_stop_that_comes_while_the_first_decision_is_with_the_gate_pauses():
    episode = begun()
    episode.decided("c", 10)
    stop(episode, 20)
    episode.arm_reported(REFUSED, "STOPPED", REFUSAL, "c", 21)
    assert (episode.state, episode.step) == (State.PAUSED, 0)
    resume(episode, 30)
    assert wants(episode, 40)


def test_a_stop_from_just_before_the_episode_that_is_heard_late_ends_it_at_once():
    episode = Episode().begin("p", "x", 3, now=15)
    stop(episode, 14)
    assert (episode.state, episode.code) == (State.FAILED, "STOPPED")
    later = Episode().begin("p", "x", 3, now=15)
    stop(later, 16)
    assert later.state == State.PAUSED


def test_by_hand_a_refusal_because_of_a_stop_pauses():
    episode = Episode().begin("p", "x", 3, by_hand=True)
    episode.grant()
    episode.decided("c", 10)
    episode.arm_reported(REFUSED, "STOPPED", REFUSAL, "c", 20)
    assert (episode.state, episode.code) == (State.PAUSED, "STOPPED")


def test_a_prompt_sent_while_stopped_ends_at_once_and_says_why_since_when_and_what_to_do():
    episode = Episode()
    stop(episode, 20 * SECOND)
    episode = episode.begin("q", "again", 1, now=23 * SECOND)
    assert (episode.state, episode.code, episode.step) == (State.FAILED, "STOPPED", 0)
    assert "stopped for 3.0 s (because); call resume" in episode.message
    assert not wants(episode, 24 * SECOND)
    by_hand = episode.begin("r", "again", 1, by_hand=True, now=24 * SECOND)
    assert by_hand.waiting_for_step
    resume(by_hand, 25 * SECOND)
    assert by_hand.begin("s", "again", 1, now=26 * SECOND).running


def test_a_lifted_stop_that_is_repeated_does_not_pause_again_a_new_one_does():
    episode = begun()
    stop(episode, 20)
    resume(episode, 30)
    stop(episode, 20)
    assert episode.state == State.OBSERVING
    stop(episode, 31)
    assert episode.state == State.PAUSED


def test_a_stop_at_the_very_time_of_the_resume_before_it_is_a_new_one():
    """As where the simulation is paused, or between two recordings."""
    episode = begun()
    for do, stamp, why in ((stop, 8, "because"), (resume, 10, ""), (stop, 10, "because")):
        do(episode, stamp)
        assert episode.stopped == why


def test_a_motion_reported_while_paused_is_waited_for_after_resume():
    episode = begun()
    stop(episode, 20)
    tell(episode, ArmReport.EXECUTING, 25, "foreign")
    resume(episode, 30)
    assert not wants(episode, 40)
    tell(episode, SUCCEEDED, 50, "foreign")
    assert wants(episode, 60)


def test_a_finished_episode_is_not_revived_by_stop_and_resume():
    episode = begun(max_steps=1)
    episode.decided("c", 10)
    tell(episode, SUCCEEDED, 20, "c")
    stop(episode, 30)
    resume(episode, 40)
    assert (episode.state, episode.code) == (State.FINISHED, "STEP_LIMIT")


def test_the_next_prompt_does_not_make_an_observation_new_again():
    episode = begun()
    episode.decided("c", 10)
    tell(episode, SUCCEEDED, 20, "c")
    again = episode.begin("q", "again", 3)
    assert [wants(again, stamp) for stamp in (10, 20, 21)] == [False, False, True]
    stop(again, 30)
    resume(again, 40)
    third = again.begin("r", "again", 3)
    stop(third, 30)  # a copy of the one that was lifted
    assert third.state == State.OBSERVING


def test_stamps_from_before_the_clock_jumped_back_are_forgotten():
    """As when a recording starts again: its clock jumps back by hours."""
    late = 9000 * SECOND
    episode = begun()
    episode.decided("c", late)
    tell(episode, SUCCEEDED, late + 1, "c")
    stop(episode, late + 2)
    resume(episode, late + 3)
    assert not wants(episode, SECOND)
    episode.forget_times()
    assert (episode.state, episode.step, episode.executed) == (State.OBSERVING, 1, 1)
    assert wants(episode, SECOND)
    stop(episode, SECOND)
    assert episode.state == State.PAUSED


@pytest.mark.parametrize(
    ("how", "code"), [(REFUSED, "REFUSED"), (ABORTED, "ARM_FAILED")], ids=["refused", "aborted"]
)
def test_failures_in_a_row_end_the_episode_and_say_the_last_reason(how, code):
    episode = Episode().begin("p", "x", 10, max_failures=2)
    for stamp, end in ((10, ABORTED), (30, SUCCEEDED), (50, ABORTED), (70, how)):
        assert wants(episode, stamp)
        episode.decided(f"c{stamp}", stamp)
        tell(episode, end, stamp + 10, f"c{stamp}", "OK" if end == SUCCEEDED else "UNREACHABLE")
    assert (episode.state, episode.code, episode.step) == (State.FAILED, code, 4)
    assert "UNREACHABLE: because" in episode.message


def test_decisions_that_stay_dry_go_on_to_the_step_limit_and_it_says_so():
    episode = Episode().begin("p", "x", 5, max_failures=1)
    for stamp in range(10, 60, 10):
        episode.decided(f"c{stamp}", stamp)
        tell(episode, REFUSED, stamp + 1, f"c{stamp}", "DRY_RUN")
    assert (episode.state, episode.code) == (State.FINISHED, "STEP_LIMIT")
    assert "0 carried out; the last: DRY_RUN" in episode.message


def test_a_persons_no_ends_the_episode_at_once():
    episode = begun()
    episode.decided("c", 10)
    tell(episode, REFUSED, 20, "c", "NOT_CONFIRMED")
    assert (episode.state, episode.code) == (State.FAILED, "REFUSED")


def test_by_hand_each_step_is_asked_for():
    episode = Episode().begin("p", "x", 3, by_hand=True)
    assert episode.waiting_for_step
    assert not wants(episode, 10)
    episode.grant()
    assert wants(episode, 10)
    episode.decided("c", 10)
    assert tell(episode, SUCCEEDED, 20, "c")
    assert episode.waiting_for_step
    assert not wants(episode, 30)


def test_the_judges_word_on_a_motion_is_waited_for_and_ends_the_episode():
    episode = Episode()
    episode.judged("x", Verdict.RUNNING, "")
    episode = episode.begin("p", "x", 1)
    episode.decided("c", 10)
    assert tell(episode, SUCCEEDED, 20, "c")
    assert not wants(episode, 30)
    assert episode.running, "the step limit is not reached before the judge has spoken"
    episode.judged("x", Verdict.SUCCESS, "", "c")
    assert (episode.state, episode.code, episode.executed) == (State.FINISHED, "SUCCESS", 1)


ARM = [
    (ArmReport.EXECUTING, "OK"),
    (SUCCEEDED, "OK"),
]
OTHERS = [(Verdict.RUNNING, "old"), (Verdict.SUCCESS, "old"), (Verdict.FAILURE, "another")]


@pytest.mark.parametrize("verdict", Verdict)
@pytest.mark.parametrize("max_steps", [1, 5])
def test_the_result_is_the_same_in_whichever_order_the_words_of_arm_and_judge_come(
    verdict, max_steps
):
    """With what the judge says of other commands at any time between, which counts for nothing."""
    words = [("arm", *word) for word in ARM] + [("judge", verdict, "c")]
    ends = set()
    for order in itertools.permutations(words):
        if order.index(words[0]) > order.index(words[1]):
            continue  # the arm's own two come in order
        for place, other in itertools.product(range(4), [None, *OTHERS]):
            play = list(order)
            if max_steps == 1 and other and other[0] != Verdict.RUNNING:
                place = 3  # after such a word a judge is silent: the limit does not wait for it
            if other:
                play.insert(place, ("judge", *other))
            episode = Episode()
            episode.judged("x", Verdict.RUNNING, "")
            episode = episode.begin("p", "x", max_steps)
            episode.decided("c", 10)
            recorded = 0
            for who, what, about in play:
                if who == "arm":
                    recorded += tell(episode, what, 20, "c", about)
                else:
                    episode.judged("x", what, "because", about)
            ends.add((episode.code, episode.state, episode.step, episode.executed, recorded))
            assert episode.running == wants(episode, 30), "nothing is waited for"
    running = ("OK", State.OBSERVING) if max_steps > 1 else ("STEP_LIMIT", State.FINISHED)
    codes = {
        Verdict.RUNNING: running,
        Verdict.SUCCESS: ("SUCCESS", State.FINISHED),
        Verdict.FAILURE: ("TASK_FAILED", State.FAILED),
    }
    assert ends == {(*codes[verdict], 1, 1, 1)}


@pytest.mark.parametrize("first", ["arm", "judge"])
def test_a_word_on_what_an_earlier_episode_began_is_not_this_ones_result(first):
    episode = Episode()
    episode.judged("x", Verdict.RUNNING, "")
    episode = episode.begin("p", "x", 2)
    episode.decided("old", 10)
    episode = episode.begin("q", "x", 2)
    for who in ("arm", "judge") if first == "arm" else ("judge", "arm"):
        if who == "arm":
            tell(episode, SUCCEEDED, 20, "old")
        else:
            episode.judged("x", Verdict.SUCCESS, "", "old")
    assert episode.running
    assert wants(episode, 30)


def test_success_whose_motion_a_stop_has_ended_is_success_in_either_order():
    for order in (("arm", "judge"), ("judge", "arm")):
        episode = Episode()
        episode.judged("x", Verdict.RUNNING, "")
        episode = episode.begin("p", "x", 2)
        episode.decided("c", 10)
        for who in order:
            if who == "arm":
                tell(episode, ArmReport.STOPPED, 20, "c", "STOPPED")
            else:
                episode.judged("x", Verdict.SUCCESS, "", "c")
        assert (episode.code, episode.executed) == ("SUCCESS", 0)


def test_a_task_set_up_anew_is_not_waited_for_any_more():
    episode = Episode()
    episode.judged("x", Verdict.RUNNING, "")
    episode = episode.begin("p", "x", 2)
    episode.decided("c", 10)
    tell(episode, ABORTED, 20, "c", "RESET")
    assert not wants(episode, 30)
    episode.judged("x", Verdict.RUNNING, "")
    assert wants(episode, 30)


def test_picks_that_find_nothing_go_on_to_the_step_limit():
    """As in VIMA-Bench and in ``evaluate``: a step like another, no failure of the arm."""
    episode = Episode().begin("p", "x", 7, max_failures=2)
    for stamp, code in zip(
        range(10, 80, 10), ["NOT_PICKED"] * 4 + ["BLOCKED", "NOT_PICKED", "BLOCKED"], strict=True
    ):
        assert wants(episode, stamp)
        episode.decided(f"c{stamp}", stamp)
        tell(episode, ABORTED, stamp + 1, f"c{stamp}", code)
    assert (episode.state, episode.code, episode.step) == (State.FINISHED, "STEP_LIMIT", 7)
    assert "0 carried out; the last: BLOCKED" in episode.message


def test_a_verdict_from_before_the_episode_does_not_count():
    episode = Episode()
    episode.judged("x", Verdict.SUCCESS, "the last episode's, latched", "old")
    episode = episode.begin("p", "x", 1)
    episode.judged("x", Verdict.SUCCESS, "repeated", "old")
    assert episode.running


def test_what_goes_on_is_told_by_stage():
    episode = begun()
    stages = [episode.stage]
    episode.decided("c", 10)
    stages.append(episode.stage)
    episode.to_confirm = "c"
    stages.append(episode.stage)
    tell(episode, ArmReport.EXECUTING, 15, "c")
    stages.append(episode.stage)
    stop(episode, 20)
    stages.append(episode.stage)
    assert stages == ["observing", "checking", "confirming", "moving", "paused"]


def until(episode, patience, seen=""):
    """Seconds after which ``patience`` is at an end, a tenth at a time."""
    for tenth in range(2000):
        patience.check(episode, 100 + tenth / 10, seen)
        if not episode.running:
            return tenth / 10
    return None


def test_without_observations_the_episode_ends_and_says_what_perception_says():
    episode = begun()
    assert until(episode, Patience(observation=3.0), "STALE: 9 s old") == pytest.approx(
        3.0, abs=0.2
    )
    assert (episode.state, episode.code) == (State.FAILED, "NO_OBSERVATION")
    assert "STALE: 9 s old" in episode.message
    assert until(begun(), Patience(observation=0.0)) is None


def test_who_waits_for_a_step_or_for_a_person_has_time():
    assert until(Episode().begin("p", "x", 3, by_hand=True), Patience()) is None
    episode = begun()
    episode.decided("c", 10)
    episode.to_confirm = "c"
    assert until(episode, Patience()) is None


def test_a_pause_that_is_not_lifted_ends_the_episode():
    episode = begun()
    stop(episode, 20)
    assert until(episode, Patience(pause=7.0)) == pytest.approx(7.0, abs=0.2)
    assert (episode.state, episode.code) == (State.FAILED, "STOPPED")


def test_an_arm_node_that_does_not_answer_ends_the_episode():
    episode = begun()
    episode.decided("c", 10)
    assert until(episode, Patience(answer=2.0)) == pytest.approx(2.0, abs=0.2)
    assert episode.code == "NODE_DIED"
    moving = begun()
    moving.decided("c", 10)
    tell(moving, ArmReport.EXECUTING, 15, "c")
    assert until(moving, Patience(answer=2.0)) is None


def test_a_decision_is_unheard_until_the_arm_says_something_of_it():
    episode = begun()
    assert not episode.unheard
    episode.decided("c", 10)
    assert episode.unheard
    tell(episode, ArmReport.EXECUTING, 15, "c")
    assert not episode.unheard
    episode.end("CANCELLED", "because")
    waiting = episode.begin("next", "x", 2)
    assert waiting.stage == "moving"
    assert not waiting.unheard, "a motion of the episode before"


@pytest.mark.parametrize("moving", [False, True])
def test_a_copy_that_the_arm_refuses_changes_nothing(moving):
    episode = begun()
    episode.decided("c", 10)
    if moving:
        tell(episode, ArmReport.EXECUTING, 15, "c")
    before = replace(episode)
    assert not tell(episode, ArmReport.REFUSED, 16, "c", code="DUPLICATE")
    assert episode == before
    assert tell(episode, SUCCEEDED, 20, "c")


def test_a_judge_that_says_nothing_is_not_waited_for_for_ever():
    episode = Episode()
    episode.judged("x", Verdict.RUNNING, "")
    episode = episode.begin("p", "x", 2)
    episode.decided("c", 10)
    tell(episode, SUCCEEDED, 20, "c")
    patience = Patience(verdict=2.0)
    patience.check(episode, 0.0)
    assert not wants(episode, 30)
    patience.check(episode, 2.1)
    assert wants(episode, 30)
