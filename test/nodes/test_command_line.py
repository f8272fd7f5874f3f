"""The programs as a person calls them: `assets` and `send_prompt` against the running suite."""

import re
import signal
import socket
import subprocess
from pathlib import Path

import cv2
import pytest
from ament_index_python.packages import get_package_prefix
from conftest import ALL_NODES
from helpers import write_bag
from rosbags.rosbag2 import StoragePlugin

from vima_msgs.msg import ArmState, EpisodeStatus

PROGRAMS = Path(get_package_prefix("vima_ros")) / "lib" / "vima_ros"
TEXT = "Put the {all} aside."


def run(name, *arguments, entered=""):
    return subprocess.run(
        [PROGRAMS / name, *arguments], input=entered, capture_output=True, text=True, timeout=120
    )


@pytest.fixture(scope="module")
def all_captured(suite):
    done = run("assets", "capture", "all", "--scene")
    assert done.returncode == 0, done.stderr
    return suite


def test_what_is_seen_is_printed_and_drawn(suite, tmp_path):
    done = run("assets", "objects", "--out", str(tmp_path))
    assert done.returncode == 0, done.stderr
    lines = [line.split() for line in done.stdout.splitlines() if " top " in line]
    assert lines
    assert cv2.imread(str(tmp_path / "top.png")).shape == (384, 768, 3)
    captured = run("assets", "capture", "thing", "--id", lines[0][0])
    assert captured.returncode == 0, captured.stderr
    assert "{thing}" in run("assets", "list").stdout


@pytest.mark.parametrize("how", [["--interval", "0.3"], []], ids=["by time", "by Enter"])
def test_frames_of_a_demonstration_are_captured_in_a_row(suite, how):
    name = f"frame{len(how)}"
    done = run("assets", "capture", name, "--scene", "--frames", "3", *how, entered="\n\n\n")
    assert done.returncode == 0, done.stderr
    listed = run("assets", "list").stdout
    assert all(f"{{{name}_{number}}}" in listed for number in range(3))
    text = f"Do as in {{{name}_0}} {{{name}_1}} {{{name}_2}}."
    assert run("send_prompt", text).returncode == 0


def test_deleting_twice_is_refused(suite):
    assert run("assets", "capture", "brief", "--scene").returncode == 0
    assert run("assets", "delete", "brief").returncode == 0
    again = run("assets", "delete", "brief")
    assert again.returncode == 1
    assert "UNKNOWN_PLACEHOLDER" in again.stderr


def test_a_watched_prompt_tells_its_stages_and_ends_with_its_code(all_captured):
    done = run("send_prompt", TEXT, "--watch", "--max-steps", "1")
    assert done.returncode == 4, done.stdout + done.stderr
    assert "step 0: checking" in done.stdout
    assert "STEP_LIMIT: 1 decisions were made" in done.stdout


def test_control_c_cancels(all_captured):
    episodes = all_captured.client.subscribe_episodes()
    program = subprocess.Popen(
        [PROGRAMS / "send_prompt", TEXT, "--watch", "--max-steps", "50"],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert any("checking" in line for line in program.stdout)  # reads up to that line
        program.send_signal(signal.SIGINT)
        told, _ = program.communicate(timeout=60)
    finally:
        program.kill()
        program.wait()
    assert program.returncode == 130, told
    assert "CANCELLED: the goal was cancelled" in told
    episodes.wait(lambda m: m.code == EpisodeStatus.CANCELLED and m.by_goal, 15, "CANCELLED")


def test_a_preview_is_saved_and_nothing_begins(all_captured, tmp_path):
    episodes = all_captured.client.subscribe_episodes()
    path = tmp_path / "preview.png"
    done = run("send_prompt", "Only show {all}.", "--preview", str(path))
    assert done.returncode == 0, done.stderr
    assert cv2.imread(str(path)).shape[1] == 1024
    assert run("send_prompt", "Move {all} now.").returncode == 0
    episodes.wait(lambda m: m.text == "Move {all} now.", 15, "the prompt after it")
    assert "Only show {all}." not in {m.text for m in episodes.messages}


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["Put the {moon} aside."], 1, "UNKNOWN_PLACEHOLDER"),
        (["Put the {moon} aside.", "--watch"], 1, "moon"),
        ([TEXT, "--image", "all=/no/such.png"], 2, "BAD_IMAGE"),
        ([TEXT, "--capture", "x=nine"], 2, "NAME=front:120,60"),
        ([TEXT, "--capture", "x=65000"], 1, "UNKNOWN_TRACK"),
    ],
)
def test_what_cannot_be_is_told_with_an_exit_code(all_captured, arguments, code, told):
    done = run("send_prompt", *arguments)
    assert done.returncode == code
    assert told in done.stderr + done.stdout


def test_an_object_is_captured_on_the_way(all_captured):
    done = run("send_prompt", "Put the {b} aside.", "--capture", "b=1")
    assert done.returncode == 0, done.stderr
    assert "accepted as" in done.stdout


def test_who_stops_the_arm_is_told_to_whoever_prompts_it_and_resume_lifts_the_stop(all_captured):
    stopped = run("stop")
    assert stopped.returncode == 0, stopped.stderr
    for watch in ([], ["--watch"]):
        done = run("send_prompt", TEXT, *watch)
        assert done.returncode == 12, (done.stdout, done.stderr)
        assert "stop was called" in done.stdout + done.stderr
        assert "call resume" in done.stdout + done.stderr
    resumed = run("resume")
    assert resumed.returncode == 0
    assert "stop was called" in resumed.stdout
    assert run("send_prompt", TEXT, "--watch", "--max-steps", "1").returncode != 12


@pytest.mark.parametrize(
    "words",
    [
        ["sim"],
        ["oracle", "--tasks", "rotate"],
        ["demo", "--tasks", "rotate"],
        ["bench", "episode"],
        ["replay", "{bag}", "--bringup"],
        ["evaluate_robot", "--seeds", "1", "--tasks", "rotate"],
    ],
    ids=lambda words: words[0],
)
def test_a_program_starts_no_nodes_beside_a_running_suite(suite, tmp_path, words):
    if "{bag}" in words:
        write_bag(tmp_path / "bag", StoragePlugin.MCAP, steps=1)
    words = [word.replace("{bag}", str(tmp_path / "bag")) for word in words]
    states = suite.client.subscribe(ArmState, "arm_state")
    done = run(*words, "--out", str(tmp_path / "out"))
    assert done.returncode == 2, (done.stdout, done.stderr)
    (sentence,) = [line for line in done.stderr.splitlines() if "SUITE_RUNNING" in line]
    named = re.findall(r"/vima/(\w+) \(process (\d+) on (\S+)\)", sentence)
    host = socket.gethostname()
    known = {(name, str(suite.processes.pid(name)), host) for name in ALL_NODES}
    assert named
    assert {*named} <= known
    assert "Traceback" not in done.stderr
    assert not [*(tmp_path / "out").glob("**/*.log")]
    assert not [m for m in states.messages if m.state == ArmState.STOPPED]
