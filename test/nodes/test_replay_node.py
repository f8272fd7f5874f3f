"""Recorded bags through the real nodes, step-locked and at a rate."""

import argparse
import json
from pathlib import Path

import cv2
import pytest
from conftest import STALL_TOLERANT
from helpers import BAGS, write_bag
from recordings import MS, SECOND, Recording, alone, since, write_recording
from rosbags.rosbag2 import StoragePlugin
from small_policies import write_policy
from std_srvs.srv import Trigger

from vima_msgs.msg import ArmState
from vima_ros.cli import replay as program
from vima_ros.cli.replay import main, replay
from vima_ros.client.bag_player.player import BagPlayer
from vima_ros.client.client import Client
from vima_ros.client.node_processes import NodeProcesses
from vima_ros.program import exit_code

WORKSPACE = ((0.25, 0.75), (-0.5, 0.5))
NODES = ["perception", "prompt", "policy", "arm", "manager"]


def run(*arguments):
    return exit_code("replay", main, [*arguments])


@pytest.fixture(scope="module")
def nodes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("logs")
    with NodeProcesses(folder, params_file="recording", use_sim_time=True) as processes:
        processes.start(NODES, STALL_TOLERANT)
        with Client("test") as client:
            client.wait_for_active(NODES, 120, processes.check_alive)
        yield processes
        processes.check_alive()


def options(bag: Path, out: Path, **changes) -> argparse.Namespace:
    values = {
        "bag": bag,
        "out": out,
        "rate": None,
        "bringup": False,
        "attention": False,
        "namespace": "/vima",
        "front": "/front/image_raw",
        "top": "/top/image_raw",
        "step_seconds": 1.0,
        "timeout": 15.0,
    }
    return argparse.Namespace(**(values | changes))


def check(records, report: Path, steps: int) -> None:
    assert [r.code for r in records] == ["OK"] * steps
    assert len({r.command_id for r in records}) == steps  # each step decided once
    for record in records:
        assert len(record.waypoints) in (4, 6)
        assert bool(record.picked_track_id) == (record.primitive == "PICK_PLACE")
        for waypoint in record.waypoints:
            for axis, (low, high) in zip("xy", WORKSPACE, strict=True):
                assert low - 1e-6 <= waypoint[axis] <= high + 1e-6
    written = json.loads(report.read_text())
    assert written["prompt"]["accepted"]
    assert [s["bins"] for s in written["steps"]] == [r.bins for r in records]


@pytest.mark.parametrize("bag", BAGS)
def test_every_recorded_bag_replays(nodes, tmp_path, bag):
    episode = bag.parents[2] / "episodes" / bag.parent.name / f"{bag.name}.json"
    records = replay(options(bag, tmp_path))
    check(records, tmp_path / "replay.json", json.loads(episode.read_text())["n_steps"])


@pytest.mark.parametrize("storage", [StoragePlugin.MCAP, StoragePlugin.SQLITE3])
@pytest.mark.parametrize("rate", [None, 4.0], ids=["locked", "at a rate"])
def test_our_own_bags_replay(nodes, tmp_path, storage, rate):
    bag = write_bag(tmp_path / "bag", storage, steps=3)
    records = replay(options(bag, tmp_path / "out", rate=rate))
    check(records, tmp_path / "out" / "replay.json", 3)
    assert all(r.objects == {"front": 2, "top": 2} for r in records)


@pytest.mark.slow
def test_a_recorded_bag_replays_with_a_policy_that_reads_whole_images(tmp_path):
    checkpoint = write_policy(tmp_path / "gato.safetensors", "gato")
    words = ["--bringup", "--checkpoint", str(checkpoint), "--namespace", "/whole", "--attention"]
    run(str(BAGS[0].values[0]), "--out", str(tmp_path), *words)
    written = json.loads((tmp_path / "replay.json").read_text())
    assert written["prompt"]["accepted"], written["prompt"]
    first = written["steps"][0]
    assert len(first["bins"]) == 12, first["message"]
    assert first["objects"] == {}, "no detector was run"
    assert {token["view"] for token in first["attention"]["observed"]} == {"front", "top"}
    assert cv2.imread(str(tmp_path / first["attention"]["image"])).std() > 10


def test_what_decisions_attended_to_is_reported(nodes, tmp_path):
    bag = write_bag(tmp_path / "bag", StoragePlugin.MCAP, steps=3)
    records = replay(options(bag, tmp_path, attention=True))
    check(records, tmp_path / "replay.json", 3)
    for step in json.loads((tmp_path / "replay.json").read_text())["steps"]:
        attention = step["attention"]
        assert cv2.imread(str(tmp_path / attention["image"])).std() > 10
        assert len(attention["observed"]) == 4
        assert sum(attention["action"]) == pytest.approx(1, abs=0.01)
        assert any(label.startswith("{") for label in attention["labels"])
    with Client("test") as client:  # as before
        assert client.get_parameters("policy", "publish_attention") == [False]
    assert not any(r.attention for r in replay(options(bag, tmp_path / "again")))


RECORDINGS = {
    "0.9 s late": {"latency": (900 * MS, 900 * MS), "rates": (30.0, 30.0), "frames": 15},
    "two rates, one camera later": {
        "rates": (30.0, 15.0),
        "offset": 8 * MS,
        "latency": (20 * MS, 400 * MS),
        "jitter": 5 * MS,
    },
    "simulation": {"clock": since(12 * SECOND), "clock_topic": True},
    "no stamps from above": {"unstamped": ("top",), "clock": since(0, 0.5)},
    "lost and out of order": {"lost": (4, 9, 13), "swapped": True, "latency": (MS, 150 * MS)},
    "compressed": {"compressed": ("front", "top"), "latency": (150 * MS, 150 * MS)},
    "our own": {"namespace": "/vima", "prompt": "message", "actions": "policy"},
}


@pytest.mark.parametrize("changes", RECORDINGS.values(), ids=RECORDINGS)
@pytest.mark.parametrize("rate", [[], ["--rate", "2"]], ids=["locked", "at a rate"])
def test_recordings_by_others_replay(nodes, tmp_path, changes, rate):
    bag = write_recording(tmp_path / "bag", Recording(steps=2, **changes))
    code = run(str(bag), "--out", str(tmp_path), "--timeout", "15", *rate)
    steps = json.loads((tmp_path / "replay.json").read_text())["steps"]
    assert [step["code"] for step in steps] == ["OK", "OK"]
    assert code == 0


def test_a_prompt_from_files_replaces_the_recorded_one(nodes, tmp_path):
    bag = write_recording(tmp_path / "bag", Recording(steps=1, prompt=None))
    cv2.imwrite(str(tmp_path / "block.png"), alone()[..., ::-1])
    words = ["--prompt", "Put the {thing} aside.", "--image", f"thing={tmp_path}/block.png"]
    assert run(str(bag), "--out", str(tmp_path), *words) == 0
    written = json.loads((tmp_path / "replay.json").read_text())
    assert written["prompt"]["text"] == "Put the {thing} aside."


def test_cameras_that_are_never_together_are_said_at_once(nodes, tmp_path):
    bag = write_recording(tmp_path / "bag", Recording(steps=1, offset=45 * MS))
    (record,) = replay(options(bag, tmp_path))
    assert not record.decided
    assert "the closest are 0.045 s apart" in record.message


def test_a_step_without_a_decision_makes_it_fail(nodes, tmp_path, capsys):
    bag = write_bag(tmp_path / "bag", StoragePlugin.MCAP, steps=2, empty_steps=(1,))
    assert run(str(bag), "--out", str(tmp_path / "out"), "--timeout", "3") == 1
    steps = json.loads((tmp_path / "out" / "replay.json").read_text())["steps"]
    assert [s["code"] for s in steps] == ["OK", "NO_DECISION"]
    assert "NO_OBJECT" in steps[1]["message"]


def stop_the_arm() -> None:
    with Client("operator") as client:
        assert client.call(Trigger, "stop", Trigger.Request()).success


@pytest.fixture
def resumed():
    """Lifts the test's own stop, whatever becomes of the test."""
    yield
    with Client("operator") as client:
        client.call(Trigger, "resume", Trigger.Request())


NEVER = 1000.0  # to wait for it hangs the test [s]


@pytest.mark.parametrize("rate", [None, 4.0], ids=["locked", "at a rate"])
def test_a_stopped_arm_is_reported_at_once(nodes, resumed, tmp_path, capsys, rate):
    stop_the_arm()
    bag = write_bag(tmp_path / "bag", StoragePlugin.MCAP, steps=2)
    records = replay(options(bag, tmp_path, rate=rate, timeout=NEVER))
    assert [(r.code, r.episode) for r in records] == [("NO_DECISION", "STOPPED")] * 2
    for record in records:
        assert record.objects == {"front": 2, "top": 2}
        assert "stop was called" in record.message
        assert "resume" in record.message
    assert capsys.readouterr().out.count("| NO_DECISION (STOPPED) |") == 2
    written = json.loads((tmp_path / "replay.json").read_text())["steps"]
    assert [step["message"] for step in written] == [record.message for record in records]


def test_a_stop_during_a_replay_is_reported_at_once(nodes, resumed, tmp_path, monkeypatch):
    class StoppedBeforeStep1(BagPlayer):
        def play_step(self, index, step):
            if index == 1:
                stop_the_arm()
            return super().play_step(index, step)

    monkeypatch.setattr(program, "BagPlayer", StoppedBeforeStep1)
    bag = write_bag(tmp_path / "bag", StoragePlugin.MCAP, steps=3)
    first, *others = replay(options(bag, tmp_path, timeout=NEVER))
    assert first.code == "OK"
    for record in others:
        assert (record.code, record.episode) == ("NO_DECISION", "STOPPED")
        assert "the arm is stopped (stop was called); resume" in record.message


def test_a_motion_that_a_killed_replay_has_left_keeps_no_other_waiting(
    nodes, tmp_path, monkeypatch
):
    bag = write_bag(tmp_path / "bag", StoragePlugin.MCAP, steps=1)
    with monkeypatch.context() as patched:
        patched.setattr(BagPlayer, "complete_commands", lambda self, before=None: None)
        check(replay(options(bag, tmp_path)), tmp_path / "replay.json", 1)
    check(replay(options(bag, tmp_path)), tmp_path / "replay.json", 1)


def test_an_interrupted_replay_leaves_no_motion(nodes, tmp_path, monkeypatch):
    class Interrupted(BagPlayer):
        def play_step(self, index, step):
            super().play_step(index, step)
            raise KeyboardInterrupt

    monkeypatch.setattr(program, "BagPlayer", Interrupted)
    bag = write_bag(tmp_path / "bag", StoragePlugin.MCAP, steps=2)
    with Client("operator") as client:
        states = client.subscribe(ArmState, "arm_state")
        client.wait_until_matched("stop")
        with pytest.raises(KeyboardInterrupt):
            replay(options(bag, tmp_path))
        ends = (ArmState.SUCCEEDED, ArmState.ABORTED, ArmState.STOPPED)
        end = states.wait(lambda m: m.judged and m.state in ends, 15, "end of motion")
        assert end.state == ArmState.SUCCEEDED


def test_what_is_no_bag_is_an_error_that_says_so(tmp_path, capsys):
    (tmp_path / "metadata.yaml").write_text("not: a bag")
    assert run(str(tmp_path)) == 2
    assert "BAD_BAG" in capsys.readouterr().err
