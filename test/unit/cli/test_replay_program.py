"""Why a step of a recording has no pair of frames, in a sentence."""

from recordings import SECOND, Recording, write_recording

from vima_ros.cli.replay import unpaired
from vima_ros.client.bag_player.frame_pairs import pair_steps
from vima_ros.replay.bag import Bag

MILLISECOND = 1_000_000


def test_the_reason_for_no_pair_is_named(tmp_path):
    recording = Recording(offset=50 * MILLISECOND, frames=3)
    with Bag(write_recording(tmp_path / "bag", recording)) as bag:
        (step, *_) = steps = bag.steps()
    paired = pair_steps(steps, 20 * MILLISECOND)
    assert not any(step.pairs for step in paired)
    assert "larger sync_slop" in unpaired(step, paired[0].gap, 20 * MILLISECOND)
    assert "clocks 3600 s apart" in unpaired(step, 3600 * SECOND, 20 * MILLISECOND)


def test_stamps_that_stand_still_are_named(tmp_path):
    recording = Recording(clock=lambda received: 12 * SECOND + received % 2)
    with Bag(write_recording(tmp_path / "bag", recording)) as bag:
        (step, *_) = bag.steps()
    assert "stand still at 12.000 s" in unpaired(step, 0, 20 * MILLISECOND)
