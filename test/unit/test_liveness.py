from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vima_ros.liveness import (
    ACTIVE,
    FINALIZED,
    INACTIVE,
    MAX_RETRY_DELAY,
    MISSING_DELAY,
    MISSING_PERIOD,
    RETRY_DELAY,
    TAKEOVER_SILENCE,
    UNCONFIGURED,
    NodeDeath,
    SilenceDetector,
    Supervisor,
)

NAMES = ("perception", "policy", "arm")
TIMEOUT, TRANSITION_TIMEOUT = 1.5, 60.0
PERIOD = 0.1  # [s] between checks


def make_supervisor(state=None):
    """Supervisor of all nodes, received at time 0 in ``state`` and checked then."""
    made = Supervisor(NAMES, TIMEOUT, TRANSITION_TIMEOUT)
    if state is not None:
        beat(made, 0.0, state)
    made.find_dead(0.0)
    return made


def beat(supervisor, now, state=ACTIVE, names=NAMES):
    for name in names:
        supervisor.on_heartbeat(name, state, now)


def watch(supervisor, start, end, living=()):
    """Check from ``start`` to ``end``, the ``living`` beating: [(time, sentence)]."""
    found = []
    for tick in range(1, round((end - start) / PERIOD) + 1):
        now = start + tick * PERIOD
        beat(supervisor, now, names=living)
        found += [(now, str(death)) for death in supervisor.find_dead(now)]
    return found


# --- start-up


@given(st.lists(st.booleans(), max_size=12))
def test_nodes_start_in_order_and_a_lost_request_is_repeated_after_3_s(answered):
    supervisor = make_supervisor(UNCONFIGURED)
    states = dict.fromkeys(NAMES, UNCONFIGURED)
    after = {"configure": INACTIVE, "activate": ACTIVE}
    answers = iter(answered)
    asked, done = {}, []
    for tick in range(500):
        now = tick * PERIOD
        for name, state in states.items():
            supervisor.on_heartbeat(name, state, now)
        due = supervisor.next_transition(now)
        if due is None:
            continue
        name, transition = due
        before = NAMES[: NAMES.index(name)]
        assert all(states[other] == ACTIVE for other in before)
        if due in asked:
            assert now - asked[due] == pytest.approx(RETRY_DELAY, abs=1.5 * PERIOD)
        asked[due] = now
        if next(answers, True):
            states[name] = after[transition]
            done.append(due)
    assert done == [(name, t) for name in NAMES for t in ("configure", "activate")]
    assert supervisor.all_active


def test_a_request_is_not_repeated_within_3_s():
    supervisor = make_supervisor(UNCONFIGURED)
    assert supervisor.next_transition(0.0) == ("perception", "configure")
    assert supervisor.next_transition(2.99) is None
    assert supervisor.next_transition(3.0) == ("perception", "configure")


@pytest.mark.parametrize("state", [0, 4, 10, 13])
def test_a_node_without_heartbeat_finalized_or_in_transition_is_waited_for(state):
    supervisor = make_supervisor()
    if state:
        supervisor.on_heartbeat("perception", state, 0.0)
    beat(supervisor, 0.0, UNCONFIGURED, NAMES[1:])
    assert supervisor.next_transition(5.0) is None


def test_all_active_needs_every_node_active_and_alive():
    supervisor = make_supervisor(ACTIVE)
    assert supervisor.all_active
    assert supervisor.next_transition(0.0) is None
    supervisor.on_heartbeat("policy", INACTIVE, 0.1)
    assert not supervisor.all_active
    supervisor.on_heartbeat("policy", ACTIVE, 0.3)
    assert supervisor.all_active
    watch(supervisor, 0.3, 3.0, living=("perception", "policy"))
    assert not supervisor.all_active


# --- death


def test_silence_is_death_reported_once():
    supervisor = make_supervisor(ACTIVE)
    deaths = watch(supervisor, 0.0, 5.0, living=("perception", "arm"))
    ((when, sentence),) = deaths
    assert TIMEOUT < when <= TIMEOUT + 2 * PERIOD
    assert sentence.startswith("policy died")
    assert watch(supervisor, 5.0, 8.0, living=("perception", "arm")) == []


def test_heartbeats_keep_nodes_alive():
    assert watch(make_supervisor(ACTIVE), 0.0, 10.0, living=NAMES) == []


@pytest.mark.parametrize("state", [UNCONFIGURED, INACTIVE])
def test_death_of_an_inactive_node_is_reported_as_soon_but_requires_no_stop(state):
    supervisor = make_supervisor(state)
    deaths = watch(supervisor, 0.0, 5.0)
    assert len(deaths) == len(NAMES)
    assert all(TIMEOUT < when <= TIMEOUT + 2 * PERIOD for when, _ in deaths)
    assert not supervisor.stop_required


@pytest.mark.parametrize("by", ["its state", "the request"])
def test_a_node_in_a_transition_may_be_silent_for_longer(by):
    supervisor = make_supervisor(UNCONFIGURED)
    if by == "its state":
        supervisor.on_heartbeat("perception", 10, 0.0)
    else:
        assert supervisor.next_transition(0.0) == ("perception", "configure")
    deaths = watch(supervisor, 0.0, TRANSITION_TIMEOUT - PERIOD)
    assert not any(sentence.startswith("perception") for _, sentence in deaths)
    ((_, sentence),) = watch(supervisor, TRANSITION_TIMEOUT - PERIOD, TRANSITION_TIMEOUT + 1)
    assert sentence.startswith("perception died")


def test_a_request_with_a_response_is_no_transition_any_more():
    supervisor = make_supervisor(UNCONFIGURED)
    supervisor.next_transition(0.0)
    supervisor.on_response("perception", success=True)
    assert len(watch(supervisor, 0.0, TIMEOUT + 1)) == len(NAMES)


def test_a_node_without_any_heartbeat_is_not_dead():
    assert watch(make_supervisor(), 0.0, 2 * TRANSITION_TIMEOUT) == []


def test_no_transition_is_requested_of_dead_nodes_nor_of_those_after_them():
    supervisor = make_supervisor(ACTIVE)
    watch(supervisor, 0.0, 3.0, living=("perception", "arm"))
    supervisor.on_heartbeat("arm", INACTIVE, 3.0)
    assert supervisor.next_transition(10.0) is None
    supervisor = make_supervisor(INACTIVE)
    assert len(watch(supervisor, 0.0, TRANSITION_TIMEOUT + 1)) == len(NAMES)
    assert supervisor.next_transition(TRANSITION_TIMEOUT + 1) is None


def test_a_restarted_node_is_activated_again_and_can_die_again():
    supervisor = make_supervisor(ACTIVE)
    living = ("perception", "arm")
    assert len(watch(supervisor, 0.0, 3.0, living)) == 1
    supervisor.on_heartbeat("policy", UNCONFIGURED, 3.0)  # its death was deaths
    assert supervisor.next_transition(3.0) == ("policy", "configure")
    supervisor.on_heartbeat("policy", INACTIVE, 3.1)
    assert supervisor.next_transition(3.1) == ("policy", "activate")
    supervisor.on_heartbeat("policy", ACTIVE, 3.2)
    assert supervisor.all_active
    assert len(watch(supervisor, 3.2, 6.0, living)) == 1


def test_the_first_start_is_no_restart():
    supervisor = make_supervisor()
    for now, state in enumerate((UNCONFIGURED, 10, INACTIVE, 13, ACTIVE, ACTIVE)):
        supervisor.on_heartbeat("arm", state, now / 2)
        assert supervisor.find_dead(now / 2) == []


# --- instances of one node


def test_a_restart_faster_than_the_timeout_is_a_death_reported_once():
    supervisor = make_supervisor(ACTIVE)
    assert TAKEOVER_SILENCE < TIMEOUT
    watch(supervisor, 0.0, 1.2, living=("perception", "policy"))
    supervisor.on_heartbeat("arm", UNCONFIGURED, 1.2, "second")
    assert supervisor.find_dead(1.2) == [NodeDeath("arm", "died and was restarted")]
    assert supervisor.stop_required
    supervisor.on_heartbeat("arm", UNCONFIGURED, 1.4, "second")
    assert supervisor.find_dead(1.4) == []
    assert supervisor.next_transition(1.4) == ("arm", "configure")


def test_a_duplicate_node_is_not_taken_for_the_first():
    supervisor = make_supervisor(ACTIVE)
    for tick in range(100):
        now = tick * PERIOD
        beat(supervisor, now)
        supervisor.on_heartbeat("arm", FINALIZED if tick % 7 == 0 else UNCONFIGURED, now, "second")
        assert supervisor.find_dead(now) == []
        assert supervisor.all_active
        assert supervisor.next_transition(now) is None
    supervisor.on_heartbeat(
        "arm", UNCONFIGURED, now + TAKEOVER_SILENCE + PERIOD, "second"
    )  # the first is gone
    assert supervisor.next_transition(now + TAKEOVER_SILENCE + PERIOD) == ("arm", "configure")


@pytest.mark.parametrize("first", ["a", "b"])
def test_with_two_suites_started_at_once_the_nodes_that_may_run_are_followed(first):
    """Both hear each transition that is requested; the later node, b, refuses to configure."""
    supervisor, states = Supervisor(("arm",), TIMEOUT, TRANSITION_TIMEOUT), dict.fromkeys("ab", 1)
    for tick in range(100):
        now = tick * PERIOD
        for instance in sorted(states, reverse=first == "b"):
            supervisor.on_heartbeat("arm", states[instance], now, instance)
        assert supervisor.find_dead(now) == []
        due = supervisor.next_transition(now)
        if due:
            supervisor.on_response("arm", first == "a")
            states["a"] = INACTIVE if due[1] == "configure" else ACTIVE
    assert supervisor.all_active
    supervisor.on_heartbeat("arm", FINALIZED, now, "b")
    assert supervisor.find_dead(now) == []


@pytest.mark.parametrize(("state", "stops"), [(ACTIVE, True), (INACTIVE, False), (10, False)])
def test_an_orderly_end_is_reported_at_once_and_once(state, stops):
    supervisor = make_supervisor(state)
    supervisor.on_heartbeat("arm", FINALIZED, 0.1)
    assert supervisor.find_dead(0.1) == [NodeDeath("arm", "ended")]
    assert supervisor.stop_required is stops
    supervisor.on_heartbeat("arm", FINALIZED, 0.3)  # as after `ros2 lifecycle set arm shutdown`
    assert watch(supervisor, 0.3, 5.0, ("perception", "policy")) == []
    assert not supervisor.all_active
    assert supervisor.next_transition(5.0) is None
    supervisor.on_heartbeat("arm", UNCONFIGURED, 5.1, "second")
    assert supervisor.find_dead(5.1) == []
    assert supervisor.next_transition(5.1) == ("arm", "configure")


# --- deactivated by a person


@pytest.mark.parametrize("state", [INACTIVE, UNCONFIGURED])
def test_a_deactivated_node_stays_inactive_until_a_person_activates_it(state):
    supervisor = make_supervisor(ACTIVE)
    supervisor.on_heartbeat("policy", state, 0.1)
    assert supervisor.deactivated == ["policy"]
    assert watch(supervisor, 0.1, 1.0, ("perception", "arm")) == []
    for tick in range(600):
        now = 1.0 + tick * PERIOD
        supervisor.on_heartbeat("policy", state, now)
        assert supervisor.next_transition(now) is None
    supervisor.on_heartbeat("policy", ACTIVE, 70.0)
    assert supervisor.deactivated == []
    assert supervisor.all_active


def test_the_nodes_after_a_deactivated_one_are_activated():
    supervisor = make_supervisor(ACTIVE)
    supervisor.on_heartbeat("policy", INACTIVE, 0.1)
    supervisor.on_heartbeat("arm", UNCONFIGURED, 3.0, "second")
    assert supervisor.next_transition(3.0) == ("arm", "configure")


def test_a_deactivated_node_that_is_restarted_is_configured():
    supervisor = make_supervisor(ACTIVE)
    supervisor.on_heartbeat("policy", INACTIVE, 0.1)
    supervisor.on_heartbeat("policy", UNCONFIGURED, 3.0, "second")
    assert supervisor.deactivated == []
    assert supervisor.next_transition(3.0) == ("policy", "configure")


def test_a_failed_start_is_no_deactivation():
    supervisor = make_supervisor(UNCONFIGURED)
    supervisor.on_heartbeat("perception", INACTIVE, 0.1)
    supervisor.on_heartbeat("perception", UNCONFIGURED, 0.3)
    assert supervisor.deactivated == []
    assert supervisor.next_transition(0.3) == ("perception", "configure")


# --- refusals and missing nodes


def test_a_refused_configure_is_repeated_less_and_less_often():
    supervisor = make_supervisor(UNCONFIGURED)
    asked, news = [], []
    for tick in range(4000):
        now = tick * PERIOD
        beat(
            supervisor, now, 10 if tick % 5 == 0 else UNCONFIGURED
        )  # seen configuring now and then
        if supervisor.next_transition(now):
            asked.append(now)
            news.append(supervisor.on_response("perception", success=False))
    waits = [later - earlier for earlier, later in pairwise(asked)]
    expected = [3, 6, 12, 24, 48, *[MAX_RETRY_DELAY] * len(waits)][: len(waits)]
    assert waits == pytest.approx(expected, abs=1.5 * PERIOD)
    assert news == [True] + [False] * (len(news) - 1)
    supervisor.on_heartbeat("perception", INACTIVE, now)
    assert supervisor.next_transition(now) == ("perception", "activate")
    assert supervisor.on_response("perception", success=False)  # a new state is news


def test_a_missing_node_is_reported_once_and_again_when_it_changes():
    supervisor = make_supervisor()
    reports = []
    for tick in range(1000):
        now = tick * PERIOD
        names = NAMES[:2] if now > 20.0 else NAMES[:1]
        beat(supervisor, now, names=names)
        supervisor.find_dead(now)
        reports += [(now, report) for report in [supervisor.report_missing(now)] if report]
    both, arm = "policy (no heartbeat), arm (no heartbeat)", "arm (no heartbeat)"
    assert [report for _, report in reports] == [both, arm, arm, arm]
    first = 20.0 + MISSING_DELAY
    times = [MISSING_DELAY, first, first + MISSING_PERIOD, first + 2 * MISSING_PERIOD]
    assert [when for when, _ in reports] == pytest.approx(times, abs=2 * PERIOD)


def test_dead_and_ended_nodes_are_reported_as_such():
    supervisor = make_supervisor(ACTIVE)
    supervisor.on_heartbeat("arm", FINALIZED, 0.1)
    reports = []
    for tick in range(1, 100):
        supervisor.on_heartbeat("perception", ACTIVE, tick * PERIOD)
        supervisor.find_dead(tick * PERIOD)
        reports.append(supervisor.report_missing(tick * PERIOD))
    assert list(filter(None, reports)) == ["policy (died), arm (ended)"]
    beat(supervisor, 10.0)
    assert supervisor.report_missing(20.0) == ""


def test_heartbeats_of_unsupervised_nodes_are_ignored():
    supervisor = make_supervisor(ACTIVE)
    supervisor.on_heartbeat("camera", UNCONFIGURED, 0.1)
    supervisor.on_heartbeat("camera", FINALIZED, 0.3)
    assert supervisor.find_dead(0.3) == []
    assert supervisor.all_active
    assert "camera" not in supervisor.nodes


# --- a supervisor that was held up itself


@given(st.floats(0.5, 1000))
def test_a_supervisor_that_was_held_up_reports_no_death(slept):
    supervisor = make_supervisor(ACTIVE)
    assert supervisor.find_dead(slept) == []
    assert watch(supervisor, slept, slept + 1.0) == []


@given(st.floats(0.5, 1000), st.floats(0, 1.0))
def test_silence_before_and_after_being_held_up_adds_up(slept, silent):
    supervisor = make_supervisor(ACTIVE)
    ticks = int(silent / PERIOD)
    assert watch(supervisor, 0.0, ticks * PERIOD) == []
    awake = ticks * PERIOD + slept
    deaths = supervisor.find_dead(awake)
    deaths += watch(supervisor, awake, awake + TIMEOUT - ticks * PERIOD + 2 * PERIOD)
    assert len(deaths) == len(NAMES)


@given(st.floats(0.5, 1000))
def test_a_death_after_being_held_up_is_reported_in_time(slept):
    """Heartbeats that waited meanwhile are handled before the first check."""
    supervisor = make_supervisor(ACTIVE)
    beat(supervisor, slept)
    deaths = supervisor.find_dead(slept)
    deaths += watch(supervisor, slept, slept + TIMEOUT + 3 * PERIOD)
    assert len(deaths) == len(NAMES)


# --- the silence detector


def detector(*sources):
    made = SilenceDetector(sources or ("arm_state", "joint_states"))
    made.restart(100.0)
    return made


def first_silent(silence, until, received=(), timeout=1.0):
    """Time and source of the first report, checked at 10 Hz while ``received`` arrive."""
    for tick in range(round((until - 100) * 10)):
        now = 100 + tick / 10
        for source in received:
            silence.receive(source, now)
        found = silence.find_silent(now, timeout)
        if found:
            return now, found[0]
    return None


def test_silence_counts_from_the_restart():
    silence = SilenceDetector(["arm_state"])
    silence.receive("arm_state", 1.0)
    silence.restart(100.0)
    when, source = first_silent(silence, 110)
    assert when == pytest.approx(101.1, abs=0.11)
    assert source == "arm_state"


def test_each_source_is_monitored_separately():
    assert first_silent(detector(), 110, ("arm_state", "joint_states")) is None
    _, source = first_silent(detector(), 110, ("arm_state",))
    assert source == "joint_states"


def test_a_timeout_of_zero_never_expires():
    assert first_silent(detector(), 200, timeout=0.0) is None


def test_time_without_checks_is_no_silence():
    silence = detector()
    assert not silence.find_silent(100.1, 1.0)
    assert not silence.find_silent(160.0, 1.0), "this process was held up, not the robot"
    found = [bool(silence.find_silent(160 + tick / 10, 1.0)) for tick in range(1, 10)]
    assert (found[0], found[-1]) == (False, True)
