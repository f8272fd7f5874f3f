import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("vima_msgs")

from vima_ros.nodes.supervision import (
    ACTIVE,
    INACTIVE,
    RETRY,
    UNCONFIGURED,
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
    return [watcher.heard(name, state, now) for name in names]


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
    assert watcher.next_transition(0.2) == ("policy", "activate")
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


@pytest.mark.parametrize("state", [UNCONFIGURED, INACTIVE, 10])
def test_a_node_that_is_not_active_may_be_silent_for_longer(state):
    watcher = supervisor(state)
    assert watch(watcher, 0.0, TRANSITION_TIMEOUT - PERIOD) == []
    assert len(watch(watcher, TRANSITION_TIMEOUT - PERIOD, TRANSITION_TIMEOUT + 1)) == len(NAMES)


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
    assert watcher.heard("policy", UNCONFIGURED, 3.0) == ""  # its death was told
    assert watcher.next_transition(3.0) == ("policy", "configure")
    watcher.heard("policy", INACTIVE, 3.1)
    assert watcher.next_transition(3.1) == ("policy", "activate")
    watcher.heard("policy", ACTIVE, 3.2)
    assert watcher.all_active
    assert len(watch(watcher, 3.2, 6.0, living)) == 1


def test_a_restart_faster_than_the_timeout_is_a_death_told_once():
    watcher = supervisor(ACTIVE)
    assert watcher.heard("arm", UNCONFIGURED, 0.5) == "arm died and was restarted"
    assert watcher.heard("arm", UNCONFIGURED, 0.7) == ""
    assert watcher.next_transition(0.8) == ("arm", "configure")


def test_coming_up_for_the_first_time_is_no_restart():
    watcher = supervisor()
    for now, state in enumerate((UNCONFIGURED, 10, INACTIVE, 13, ACTIVE, ACTIVE)):
        assert watcher.heard("arm", state, now) == ""


def test_a_restart_after_a_pause_is_a_death_too():
    watcher = supervisor(ACTIVE)
    assert watcher.heard("arm", INACTIVE, 0.2) == ""
    assert watcher.heard("arm", UNCONFIGURED, 0.4) == "arm died and was restarted"


def test_strangers_do_not_matter():
    watcher = supervisor(ACTIVE)
    assert watcher.heard("camera", UNCONFIGURED, 0.1) == ""
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
