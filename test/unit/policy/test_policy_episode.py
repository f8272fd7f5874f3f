import itertools

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from vima_ros.policy.episode import ENDED, ArmReport, Episode, State

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
        self.begun = self.stopped = self.paused = False
        self.step = self.executed = self.max_steps = 0
        self.with_arm = self.ours = ""
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

    @precondition(lambda self: not self.stopped)
    @rule(max_steps=st.integers(1, 3))
    def send_prompt(self, max_steps):
        number = next(self.numbers)
        self.episode = self.episode.begin(f"p{number}", "x", max_steps)
        self.begun, self.paused, self.ours = True, False, ""
        self.step, self.executed, self.max_steps = 0, 0, max_steps

    @rule(age=st.sampled_from([0, 5, 15, 25, int(MAX_AGE * SECOND) + 1]))
    def see(self, age):
        stamp = self.now - age
        wanted = self.episode.wants(stamp, self.now, MAX_AGE)
        free = self.begun and not self.with_arm and not self.paused
        free = free and self.step < self.max_steps
        assert wanted == (free and stamp > self.newest and age <= MAX_AGE * SECOND)
        if wanted:
            self.episode.state = State.DECIDING
            self.with_arm = self.ours = f"c{next(self.numbers)}"
            self.episode.decided(self.with_arm, stamp)
            self.newest = stamp

    @precondition(lambda self: self.with_arm)
    @rule()
    def arm_goes_on(self):
        report = (ArmReport.EXECUTING, self.tick(), self.with_arm)
        assert self.report(*report) == (False, False)

    @precondition(lambda self: not self.with_arm and not self.stopped)
    @rule()
    def someone_else_moves_the_arm(self):
        self.with_arm = f"other{next(self.numbers)}"
        assert not self.report(ArmReport.EXECUTING, self.tick(), self.with_arm)[0]

    @precondition(lambda self: self.with_arm)
    @rule(how=st.sampled_from(ENDED), code=st.sampled_from(["OK", "STALE", "TIMEOUT"]))
    def arm_ends(self, how, code):
        report = (how, self.tick(), self.with_arm, code)
        mine = self.with_arm == self.ours
        carried_out, _ = self.report(*report)
        assert carried_out == (mine and how == SUCCEEDED)
        self.step += mine
        self.executed += carried_out
        self.with_arm = self.ours = ""
        self.newest = self.now
        self.ended.append(report)

    @precondition(lambda self: self.with_arm)
    @rule()
    def gate_refuses_because_of_a_stop(self):
        self.take_stop((REFUSED, self.tick(), self.with_arm, "STOPPED"))

    @rule()
    def operator_stops(self):
        self.take_stop((ArmReport.STOPPED, self.tick(), "", "STOPPED"))

    def take_stop(self, report):
        assert not self.report(*report)[0]
        self.with_arm = self.ours = ""
        self.stopped = True
        self.paused = self.begun and self.step < self.max_steps
        self.newest = self.now
        self.stops.append(report)

    @rule()
    def operator_resumes(self):
        assert not self.report(ArmReport.IDLE, self.tick(), "", "RESUMED")[0]
        self.stopped = self.paused = False

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
        elif self.step == self.max_steps:
            expected = State.FINISHED
            assert episode.code == "STEP_LIMIT"
        elif self.paused:
            expected = State.PAUSED
            assert episode.code == "STOPPED"
        else:
            expected = State.EXECUTING if self.with_arm else State.OBSERVING
            assert episode.code != "STOPPED"
        assert episode.state == expected


TestLife = Life.TestCase
TestLife.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)


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
    episode.fail("HISTORY_FULL", "513 tokens")
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


def test_a_refusal_because_of_a_stop_pauses_and_uses_up_nothing():
    episode = begun()
    episode.decided("c", 10)
    assert tell(episode, REFUSED, 20, "c", "STOPPED") is False
    assert (episode.state, episode.step) == (State.PAUSED, 0)


def test_a_prompt_sent_while_stopped_uses_up_nothing():
    episode = begun()
    stop(episode, 20)
    episode = episode.begin("q", "again", 1)
    if wants(episode, 40):
        episode.decided("c", 40)
        tell(episode, REFUSED, 50, "c", "STOPPED")
    assert (episode.state, episode.step) == (State.PAUSED, 0)
    resume(episode, 60)
    assert wants(episode, 70)


def test_a_lifted_stop_that_is_repeated_does_not_pause_again_a_new_one_does():
    episode = begun()
    stop(episode, 20)
    resume(episode, 30)
    stop(episode, 20)
    assert episode.state == State.OBSERVING
    stop(episode, 31)
    assert episode.state == State.PAUSED


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
    stop(third, 30)
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
