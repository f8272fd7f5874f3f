"""When a message was received and when it was stamped are two things: steps and their frames."""

import json

import pytest
from recordings import MS, SECOND, START, Messages, Recording, rewrite, since, write_recording

from vima_ros.client.bag_player.frame_pairs import pair_steps
from vima_ros.errors import VimaError
from vima_ros.replay.bag import Bag

SLOP = 20 * MS
FAST = {"rates": (30.0, 30.0), "frames": 15}
SIMULATION = since(12 * SECOND)
RECORDINGS = {
    "as received": {},
    **{
        f"{ms} ms late": {"latency": (ms * MS, ms * MS), **FAST} for ms in (20, 120, 150, 400, 900)
    },
    "one camera later": {"latency": (20 * MS, 120 * MS), **FAST},
    "one camera 0.9 s later": {"latency": (20 * MS, 900 * MS), **FAST},
    "two rates": {"rates": (30.0, 15.0), "frames": 8, "latency": (20 * MS, 90 * MS)},
    "two rates, apart": {"rates": (30.0, 15.0), "frames": 8, "offset": 16 * MS, "jitter": 10 * MS},
    "jitter": {"latency": (30 * MS, 30 * MS), "jitter": 40 * MS, **FAST},
    "lost frames": {"lost": (4, 9, 13), "latency": (150 * MS, 150 * MS)},
    "out of order": {"swapped": True, "latency": (50 * MS, 50 * MS)},
    "simulation": {"clock": SIMULATION},
    "simulation with /clock": {"clock": SIMULATION, "clock_topic": True},
    "simulation from zero": {"clock": since(0)},
    "slow simulation": {"clock": since(12 * SECOND, 0.3), "latency": (40 * MS, 40 * MS)},
    "simulation, 2 rates": {"clock": SIMULATION, "rates": (30.0, 15.0), "frames": 8},
    "no stamps from above": {"unstamped": ("top",), "latency": (120 * MS, 120 * MS)},
    "no stamps from the front": {"unstamped": ("front",), "clock": SIMULATION},
    "no stamps": {"unstamped": ("front", "top"), "jitter": 5 * MS},
    "no stamps, slow simulation": {"unstamped": ("top",), "clock": since(0, 0.3)},
    "own decisions": {"actions": "policy", "latency": (150 * MS, 150 * MS), **FAST},
    "own decisions, simulation": {"actions": "policy", "clock": SIMULATION},
    "own decisions, no stamps": {"actions": "policy", "unstamped": ("front", "top")},
    "one frame a step": {"frames": 1, "latency": (150 * MS, 150 * MS)},
}


def steps_of(path, **changes):
    with Bag(write_recording(path, Recording(**changes))) as bag:
        return bag.steps()


@pytest.mark.slow
@pytest.mark.parametrize("changes", RECORDINGS.values(), ids=RECORDINGS)
def test_each_step_has_pairs_of_its_own_to_decide_on(tmp_path, changes):
    steps = steps_of(tmp_path / "bag", **changes)
    assert len(steps) == 3
    paired = pair_steps(steps, SLOP)
    newest = 0
    for step in paired:
        assert step.pairs
        frames = [pair.frames for pair in step.pairs]
        assert {tuple(sorted(f.view for f in both)) for both in frames} == {("front", "top")}
        for first, last in frames:
            assert newest < first.stamp <= last.stamp <= first.stamp + SLOP
            newest = first.stamp
        assert step.frames[-1].stamp == step.pairs[-1].last.stamp


@pytest.mark.slow
@pytest.mark.parametrize("actions", ["oracle", "policy"])
@pytest.mark.parametrize("latency", [0, 20, 150, 900])
@pytest.mark.parametrize("clock", [since(START), SIMULATION], ids=["wall", "simulation"])
def test_the_pairs_are_those_of_a_recording_without_latency(tmp_path, actions, latency, clock):
    """Cut by what the recorder had received, or by what was decided on."""
    changes = {"clock": clock, "actions": actions, **FAST}
    late = steps_of(tmp_path / "late", latency=(latency * MS, latency * MS), **changes)
    at_once = steps_of(tmp_path / "at once", **changes)
    assert [[f.stamp for f in step.frames] for step in late] == [
        [f.stamp for f in step.frames] for step in at_once
    ]
    assert [step.settled for step in late] == [step.settled for step in at_once]


def test_an_own_decision_ends_its_step_at_what_it_was_made_on(tmp_path):
    """It was recorded 0.15 s later, when the cameras had gone on."""
    steps = steps_of(tmp_path / "bag", actions="policy", **FAST)
    newest = [step.frames[-1].stamp - START for step in steps]
    assert newest == [500 * MS, 1000 * MS, 1500 * MS]


def test_a_decision_that_was_sent_again_is_no_step(tmp_path):
    messages = Messages()
    recording = Recording(actions="policy")
    make = messages.policy_action
    messages.policy_action = lambda step, *stamps: make(
        0, *(min(s, START + SECOND) for s in stamps)
    )
    with Bag(write_recording(tmp_path / "bag", recording, messages=messages)) as bag:
        assert len(bag.steps()) == 2  # at 0.5 s and at 1 s; the third was the second again


@pytest.mark.parametrize("clock", [since(START), since(12 * SECOND)], ids=["wall", "simulation"])
def test_a_frame_without_a_stamp_gets_one_and_no_other_is_touched(tmp_path, clock):
    steps = steps_of(tmp_path / "bag", unstamped=("top",), clock=clock, latency=(MS, MS))
    messages = Messages()
    for frame in (frame for step in steps for frame in step.frames):
        header = messages.store.deserialize_cdr(frame.message, "sensor_msgs/msg/Image").header
        assert header.stamp.sec * SECOND + header.stamp.nanosec == frame.stamp
        assert frame.message[12:] == frame.data[12:]
        assert (frame.message == frame.data) == (frame.view == "front")
        assert abs(clock(frame.received - MS) - frame.stamp) <= MS


def test_a_clock_that_was_set_back_begins_anew(tmp_path):
    """A simulation that was reset between two steps."""

    def clock(shutter):
        since_start = shutter - START
        return 30 * SECOND + since_start if since_start <= 1000 * MS else since_start

    paired = pair_steps(steps_of(tmp_path / "bag", clock=clock), SLOP)
    assert [step.pairs[-1].first.stamp for step in paired] == [
        30 * SECOND + 500 * MS,
        31 * SECOND,
        1500 * MS,
    ]
    assert [step.pairs[-1].first.epoch for step in paired] == [0, 0, 1]


def test_cameras_that_are_never_together_have_no_pairs_but_a_gap(tmp_path):
    paired = pair_steps(steps_of(tmp_path / "bag", offset=45 * MS), SLOP)
    assert [(step.pairs, step.gap) for step in paired] == [([], 45 * MS)] * 3


def test_clocks_that_have_nothing_in_common_have_no_pairs(tmp_path):
    messages, recording = Messages(), Recording()
    make = messages.image

    def image(stamp, rgb):
        """Every other is a front image: on a simulation's clock."""
        image.front = not image.front
        return make(stamp - START + SECOND if image.front else stamp, rgb)

    image.front = False
    messages.image = image
    with Bag(write_recording(tmp_path / "bag", recording, messages=messages)) as bag:
        paired = pair_steps(bag.steps(), SLOP)
    assert [step.pairs for step in paired] == [[], [], []]


def test_a_received_time_beyond_any_stamp_is_refused(tmp_path):
    path = write_recording(tmp_path / "bag", Recording(start=2.0**32, clock=lambda _: SECOND))
    with Bag(path) as bag, pytest.raises(VimaError) as refused:
        bag.steps()
    assert refused.value.code == "BAD_BAG"


def test_rewriting_changes_the_stamps_alone(tmp_path):
    path = write_recording(tmp_path / "bag", Recording())
    other = rewrite(path, tmp_path / "other", lambda received: received - 150 * MS)
    with Bag(path) as bag, Bag(other) as late:
        assert json.dumps(bag.prompt().text) == json.dumps(late.prompt().text)
        for one, two in zip(bag.steps(), late.steps(), strict=True):
            assert [f.stamp - 150 * MS for f in one.frames] == [f.stamp for f in two.frames]
            assert [f.received for f in one.frames] == [f.received for f in two.frames]
