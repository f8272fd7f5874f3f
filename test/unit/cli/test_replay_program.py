"""Why a step of a recording has no pair of frames, in a sentence."""

from types import SimpleNamespace

from recordings import SECOND, Recording, write_recording

from vima_ros.cli.replay import play, unpaired
from vima_ros.client.bag_player.frame_pairs import pair_steps
from vima_ros.replay.bag import Bag
from vima_ros.replay.report import StepRecord

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


def test_lines_end_without_blanks_where_a_code_has_no_message(tmp_path, capsys):
    with Bag(write_recording(tmp_path / "bag", Recording())) as bag:
        steps = bag.steps()
    player = SimpleNamespace(
        start=lambda stamp: None,
        send_prompt=lambda *_: {"text": "Put it.", "code": "OK", "message": "", "accepted": True},
        sync_slop=lambda: 20 * MILLISECOND,
        play_step=lambda index, step: StepRecord(index, step.settled, code="OK"),
        complete_commands=lambda: None,
    )
    _, records = play(player, steps, None, None)
    lines = capsys.readouterr().out.splitlines()
    assert lines[:3] == ["prompt: Put it.", "  OK", "  step 0: OK"]
    assert len(lines) == 2 + len(records)
