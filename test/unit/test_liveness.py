from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("vima_msgs")

from vima_ros.liveness import (
    ACTIVE,
    FINALIZED,
    INACTIVE,
    MAX_RETRY,
    RETRY,
    STILL_WAITING,
    TAKEOVER,
    UNCONFIGURED,
    WAITING,
    Supervisor,
)

NAMES = ("perception", "policy", "arm")
TIMEOUT, TRANSITION_TIMEOUT = 1.5, 60.0
PERIOD = 0.1  # [s] between checks


def supervisor(state=None):
    """All nodes heard at time 0 in ``state``, and checked then."""
    made = Supervisor(NAMES, TIMEOUT, TRANSITION_TIMEOUT)
    if state is not None:
        beat(made, 0.0, state)
    made.find_dead(0.0)
    return made


def beat(watcher, now, state=ACTIVE, names=NAMES):
    for name in names:
        watcher.heard(name, state, now)


def watch(watcher, start, end, living=()):
    """Check from ``start`` to ``end``, the ``living`` beating: [(time, sentence)]."""
    found = []
    for tick in range(1, round((end - start) / PERIOD) + 1):
        now = start + tick * PERIOD
        beat(watcher, now, names=living)
        found += [(now, sentence) for sentence in watcher.find_dead(now)]
    return found


# --- bringing up


@given(st.lists(st.booleans(), max_size=12))
def test_nodes_come_up_in_order_and_a_lost_request_is_asked_again_after_3_s(answered):
    watcher = supervisor(UNCONFIGURED)
    states = dict.fromkeys(NAMES, UNCONFIGURED)
    after = {"configure": INACTIVE, "activate": ACTIVE}
    answers = iter(answered)
    asked, done = {}, []
    for tick in range(500):
        now = tick * PERIOD
        for name, state in states.items():
            watcher.heard(name, state, now)
        due = watcher.next_transition(now)
        if due is None:
            continue
        name, transition = due
        before = NAMES[: NAMES.index(name)]
        assert all(states[other] == ACTIVE for other in before)
        if due in asked:
            assert now - asked[due] == pytest.approx(RETRY, abs=1.5 * PERIOD)
        asked[due] = now
        if next(answers, True):
            states[name] = after[transition]
            done.append(due)
    assert done == [(name, t) for name in NAMES for t in ("configure", "activate")]
    assert watcher.all_active


def test_a_request_is_not_repeated_within_3_s():
    watcher = supervisor(UNCONFIGURED)
    assert watcher.next_transition(0.0) == ("perception", "configure")
    assert watcher.next_transition(2.99) is None
    assert watcher.next_transition(3.0) == ("perception", "configure")


@pytest.mark.parametrize("state", [0, 4, 10, 13])
def test_a_node_never_heard_finalized_or_in_transition_is_waited_for(state):
    watcher = supervisor()
    if state:
        watcher.heard("perception", state, 0.0)
    beat(watcher, 0.0, UNCONFIGURED, NAMES[1:])
    assert watcher.next_transition(5.0) is None


def test_all_are_active_only_when_each_is_and_lives():
    watcher = supervisor(ACTIVE)
    assert watcher.all_active
    assert watcher.next_transition(0.0) is None
    watcher.heard("policy", INACTIVE, 0.1)
    assert not watcher.all_active
    watcher.heard("policy", ACTIVE, 0.3)
    assert watcher.all_active
    watch(watcher, 0.3, 3.0, living=("perception", "policy"))
    assert not watcher.all_active


# --- death


def test_silence_is_death_told_once():
    watcher = supervisor(ACTIVE)
    told = watch(watcher, 0.0, 5.0, living=("perception", "arm"))
    ((when, sentence),) = told
    assert TIMEOUT < when <= TIMEOUT + 2 * PERIOD
    assert sentence.startswith("policy died")
    assert watch(watcher, 5.0, 8.0, living=("perception", "arm")) == []


def test_heartbeats_keep_alive():
    assert watch(supervisor(ACTIVE), 0.0, 10.0, living=NAMES) == []


@pytest.mark.parametrize("state", [UNCONFIGURED, INACTIVE])
def test_a_node_that_is_not_active_is_missed_as_soon_but_stops_nothing(state):
    watcher = supervisor(state)
    told = watch(watcher, 0.0, 5.0)
    assert len(told) == len(NAMES)
    assert all(TIMEOUT < when <= TIMEOUT + 2 * PERIOD for when, _ in told)
    assert not watcher.stop_due


@pytest.mark.parametrize("by", ["its state", "the request"])
def test_a_node_in_a_transition_may_be_silent_for_longer(by):
    watcher = supervisor(UNCONFIGURED)
    if by == "its state":
        watcher.heard("perception", 10, 0.0)
    else:
        assert watcher.next_transition(0.0) == ("perception", "configure")
    told = watch(watcher, 0.0, TRANSITION_TIMEOUT - PERIOD)
    assert not any(sentence.startswith("perception") for _, sentence in told)
    ((_, sentence),) = watch(watcher, TRANSITION_TIMEOUT - PERIOD, TRANSITION_TIMEOUT + 1)
    assert sentence.startswith("perception died")


def test_an_answered_request_is_no_transition_any_more():
    watcher = supervisor(UNCONFIGURED)
    watcher.next_transition(0.0)
    watcher.answered("perception", success=True)
    assert len(watch(watcher, 0.0, TIMEOUT + 1)) == len(NAMES)


def test_who_was_never_heard_is_not_dead():
    assert watch(supervisor(), 0.0, 2 * TRANSITION_TIMEOUT) == []


def test_nothing_is_asked_of_the_dead_nor_of_those_after_them():
    watcher = supervisor(ACTIVE)
    watch(watcher, 0.0, 3.0, living=("perception", "arm"))
    watcher.heard("arm", INACTIVE, 3.0)
    assert watcher.next_transition(10.0) is None
    watcher = supervisor(INACTIVE)
    assert len(watch(watcher, 0.0, TRANSITION_TIMEOUT + 1)) == len(NAMES)
    assert watcher.next_transition(TRANSITION_TIMEOUT + 1) is None


def test_who_comes_back_is_brought_up_again_and_can_die_again():
    watcher = supervisor(ACTIVE)
    living = ("perception", "arm")
    assert len(watch(watcher, 0.0, 3.0, living)) == 1
    watcher.heard("policy", UNCONFIGURED, 3.0)  # its death was told
    assert watcher.next_transition(3.0) == ("policy", "configure")
    watcher.heard("policy", INACTIVE, 3.1)
    assert watcher.next_transition(3.1) == ("policy", "activate")
    watcher.heard("policy", ACTIVE, 3.2)
    assert watcher.all_active
    assert len(watch(watcher, 3.2, 6.0, living)) == 1


def test_coming_up_for_the_first_time_is_no_restart():
    watcher = supervisor()
    for now, state in enumerate((UNCONFIGURED, 10, INACTIVE, 13, ACTIVE, ACTIVE)):
        watcher.heard("arm", state, now / 2)
        assert watcher.find_dead(now / 2) == []


# --- instances of one node


def test_a_restart_faster_than_the_timeout_is_a_death_told_once():
    watcher = supervisor(ACTIVE)
    assert TAKEOVER < TIMEOUT
    watch(watcher, 0.0, 1.2, living=("perception", "policy"))
    watcher.heard("arm", UNCONFIGURED, 1.2, "second")
    assert watcher.find_dead(1.2) == ["arm died and was restarted"]
    assert watcher.stop_due
    watcher.heard("arm", UNCONFIGURED, 1.4, "second")
    assert watcher.find_dead(1.4) == []
    assert watcher.next_transition(1.4) == ("arm", "configure")


def test_a_second_node_of_a_name_is_not_taken_for_the_first():
    watcher = supervisor(ACTIVE)
    for tick in range(100):
        now = tick * PERIOD
        beat(watcher, now)
        watcher.heard("arm", FINALIZED if tick % 7 == 0 else UNCONFIGURED, now, "second")
        assert watcher.find_dead(now) == []
        assert watcher.all_active
        assert watcher.next_transition(now) is None
    watcher.heard("arm", UNCONFIGURED, now + TAKEOVER + PERIOD, "second")  # the first is gone
    assert watcher.next_transition(now + TAKEOVER + PERIOD) == ("arm", "configure")


@pytest.mark.parametrize("first", ["a", "b"])
def test_of_two_suites_that_start_at_once_the_nodes_that_may_run_are_followed(first):
    """Both hear each transition that is requested; the later node, b, refuses to configure."""
    watcher, states = Supervisor(("arm",), TIMEOUT, TRANSITION_TIMEOUT), dict.fromkeys("ab", 1)
    for tick in range(100):
        now = tick * PERIOD
        for instance in sorted(states, reverse=first == "b"):
            watcher.heard("arm", states[instance], now, instance)
        assert watcher.find_dead(now) == []
        due = watcher.next_transition(now)
        if due:
            watcher.answered("arm", first == "a")
            states["a"] = INACTIVE if due[1] == "configure" else ACTIVE
    assert watcher.all_active
    watcher.heard("arm", FINALIZED, now, "b")
    assert watcher.find_dead(now) == []


@pytest.mark.parametrize(("state", "stops"), [(ACTIVE, True), (INACTIVE, False), (10, False)])
def test_an_orderly_end_is_known_at_once_and_told_once(state, stops):
    watcher = supervisor(state)
    watcher.heard("arm", FINALIZED, 0.1)
    assert watcher.find_dead(0.1) == ["arm ended"]
    assert watcher.stop_due is stops
    watcher.heard("arm", FINALIZED, 0.3)  # as after `ros2 lifecycle set arm shutdown`
    assert watch(watcher, 0.3, 5.0, ("perception", "policy")) == []
    assert not watcher.all_active
    assert watcher.next_transition(5.0) is None
    watcher.heard("arm", UNCONFIGURED, 5.1, "second")
    assert watcher.find_dead(5.1) == []
    assert watcher.next_transition(5.1) == ("arm", "configure")


# --- what a person did


@pytest.mark.parametrize("state", [INACTIVE, UNCONFIGURED])
def test_what_a_person_deactivated_stays_so_until_a_person_activates_it(state):
    watcher = supervisor(ACTIVE)
    watcher.heard("policy", state, 0.1)
    assert watcher.deactivated == ["policy"]
    assert watch(watcher, 0.1, 1.0, ("perception", "arm")) == []
    for tick in range(600):
        now = 1.0 + tick * PERIOD
        watcher.heard("policy", state, now)
        assert watcher.next_transition(now) is None
    watcher.heard("policy", ACTIVE, 70.0)
    assert watcher.deactivated == []
    assert watcher.all_active


def test_the_nodes_after_a_deactivated_one_are_brought_up():
    watcher = supervisor(ACTIVE)
    watcher.heard("policy", INACTIVE, 0.1)
    watcher.heard("arm", UNCONFIGURED, 3.0, "second")
    assert watcher.next_transition(3.0) == ("arm", "configure")


def test_a_deactivated_node_that_is_started_anew_is_brought_up():
    watcher = supervisor(ACTIVE)
    watcher.heard("policy", INACTIVE, 0.1)
    watcher.heard("policy", UNCONFIGURED, 3.0, "second")
    assert watcher.deactivated == []
    assert watcher.next_transition(3.0) == ("policy", "configure")


def test_a_failed_start_is_no_deactivation():
    watcher = supervisor(UNCONFIGURED)
    watcher.heard("perception", INACTIVE, 0.1)
    watcher.heard("perception", UNCONFIGURED, 0.3)
    assert watcher.deactivated == []
    assert watcher.next_transition(0.3) == ("perception", "configure")


# --- refusals, and who is missing


def test_a_refused_configure_is_asked_again_less_and_less_often():
    watcher = supervisor(UNCONFIGURED)
    asked, news = [], []
    for tick in range(4000):
        now = tick * PERIOD
        beat(watcher, now, 10 if tick % 5 == 0 else UNCONFIGURED)  # seen configuring now and then
        if watcher.next_transition(now):
            asked.append(now)
            news.append(watcher.answered("perception", success=False))
    waits = [later - earlier for earlier, later in pairwise(asked)]
    expected = [3, 6, 12, 24, 48, *[MAX_RETRY] * len(waits)][: len(waits)]
    assert waits == pytest.approx(expected, abs=1.5 * PERIOD)
    assert news == [True] + [False] * (len(news) - 1)
    watcher.heard("perception", INACTIVE, now)
    assert watcher.next_transition(now) == ("perception", "activate")
    assert watcher.answered("perception", success=False)  # a new state is news


def test_a_missing_node_is_reported_once_and_again_when_it_changes():
    watcher = supervisor()
    reports = []
    for tick in range(1000):
        now = tick * PERIOD
        names = NAMES[:2] if now > 20.0 else NAMES[:1]
        beat(watcher, now, names=names)
        watcher.find_dead(now)
        reports += [(now, report) for report in [watcher.report_missing(now)] if report]
    both, arm = "policy (no heartbeat), arm (no heartbeat)", "arm (no heartbeat)"
    assert [report for _, report in reports] == [both, arm, arm, arm]
    first = 20.0 + WAITING
    times = [WAITING, first, first + STILL_WAITING, first + 2 * STILL_WAITING]
    assert [when for when, _ in reports] == pytest.approx(times, abs=2 * PERIOD)


def test_what_died_or_ended_is_reported_as_that():
    watcher = supervisor(ACTIVE)
    watcher.heard("arm", FINALIZED, 0.1)
    reports = []
    for tick in range(1, 100):
        watcher.heard("perception", ACTIVE, tick * PERIOD)
        watcher.find_dead(tick * PERIOD)
        reports.append(watcher.report_missing(tick * PERIOD))
    assert list(filter(None, reports)) == ["policy (died), arm (ended)"]
    beat(watcher, 10.0)
    assert watcher.report_missing(20.0) == ""


def test_strangers_do_not_matter():
    watcher = supervisor(ACTIVE)
    watcher.heard("camera", UNCONFIGURED, 0.1)
    watcher.heard("camera", FINALIZED, 0.3)
    assert watcher.find_dead(0.3) == []
    assert watcher.all_active
    assert "camera" not in watcher.nodes


# --- a watcher that was held up itself


@given(st.floats(0.5, 1000))
def test_a_sleeping_watcher_blames_nobody(slept):
    watcher = supervisor(ACTIVE)
    assert watcher.find_dead(slept) == []
    assert watch(watcher, slept, slept + 1.0) == []


@given(st.floats(0.5, 1000), st.floats(0, 1.0))
def test_silence_before_and_after_a_sleep_adds_up(slept, silent):
    watcher = supervisor(ACTIVE)
    ticks = int(silent / PERIOD)
    assert watch(watcher, 0.0, ticks * PERIOD) == []
    awake = ticks * PERIOD + slept
    told = watcher.find_dead(awake)
    told += watch(watcher, awake, awake + TIMEOUT - ticks * PERIOD + 2 * PERIOD)
    assert len(told) == len(NAMES)


@given(st.floats(0.5, 1000))
def test_a_death_after_a_sleep_is_told_in_time(slept):
    """Heartbeats that waited meanwhile are handled before the first check."""
    watcher = supervisor(ACTIVE)
    beat(watcher, slept)
    told = watcher.find_dead(slept)
    told += watch(watcher, slept, slept + TIMEOUT + 3 * PERIOD)
    assert len(told) == len(NAMES)
