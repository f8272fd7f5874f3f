"""The launch files run by the real launch, where it is installed: it comes with a distribution."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from helpers import ROOT, write_bag
from rosbags.rosbag2 import StoragePlugin

pytest.importorskip("launch_ros", reason="no launch_ros: it comes with a distribution")

from vima_ros.nodes.common.dds import PROFILE_VARIABLES
from vima_ros.nodes.common.ros_domain import free_domain

# As `ros2 launch` does it; SIGINT ends it in order.
LAUNCH = """
import sys
from launch import LaunchDescription, LaunchService
from launch.actions import IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource

file, *words = sys.argv[1:]
given = [word.split(":=", 1) for word in words]
source = PythonLaunchDescriptionSource(file)
service = LaunchService(argv=words, noninteractive=True)
service.include_launch_description(
    LaunchDescription([IncludeLaunchDescription(source, launch_arguments=given)])
)
sys.exit(service.run())
"""


@pytest.fixture(autouse=True)
def domain(monkeypatch):
    monkeypatch.setenv("ROS_DOMAIN_ID", str(free_domain()))
    monkeypatch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")


def launch(name: str, *words: str, folder=ROOT / "launch") -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-c", LAUNCH, str(folder / f"{name}.launch.py"), *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=150,
    )


@pytest.mark.parametrize(
    ("name", "word", "sentence"),
    [
        ("sim", "seed:=abc", "launch argument seed is 'abc'; valid: a whole number from 0 to"),
        ("sim", "task:=rotat", "launch argument task is 'rotat'; valid: nothing, visual"),
        ("sim", "device:=gpu", "launch argument device is 'gpu'; valid: cpu, cuda, or cuda:N"),
        ("sim", "sede:=3", "no launch argument 'sede'; did you mean seed?"),
        (
            "bringup",
            "params_file:=/no/such.yaml",
            "launch argument params_file is '/no/such.yaml': no file",
        ),
        ("bringup", "use_sim_time:=2", "launch argument use_sim_time is '2'; valid: true, false"),
        ("bringup", "namespace:=//right", "launch argument namespace is '//right'; valid: words"),
        ("replay", "bag:=/no/bag", "launch argument bag is '/no/bag': no file"),
    ],
)
def test_a_bad_argument_ends_the_launch_before_a_node_starts(name, word, sentence):
    done = launch(name, word)
    assert done.returncode == 1
    assert sentence in done.stdout
    assert "process started" not in done.stdout
    assert "Traceback" not in done.stdout


PARENT = """
from launch import LaunchDescription
from launch.actions import IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource as Source

def generate_launch_description():
    return LaunchDescription(
        [IncludeLaunchDescription(Source("{file}"), launch_arguments=[("device", "gpu")])]
    )
"""


def test_a_file_that_includes_ours_has_arguments_of_its_own(tmp_path):
    file = ROOT / "launch" / "sim.launch.py"
    (tmp_path / "mine.launch.py").write_text(PARENT.format(file=file))
    done = launch("mine", "sede:=3", folder=tmp_path)
    assert done.returncode == 1
    assert "launch argument device is 'gpu'" in done.stdout


LEAKS = """
from launch import LaunchDescription
from launch.actions import EmitEvent, ExecuteProcess, IncludeLaunchDescription
from launch.actions import RegisterEventHandler
from launch.event_handlers import OnProcessExit
from launch.events import Shutdown
from launch.launch_description_sources import PythonLaunchDescriptionSource as Source

def generate_launch_description():
    after = ExecuteProcess(cmd=["env"], output="screen")
    ended = OnProcessExit(target_action=after, on_exit=[EmitEvent(event=Shutdown())])
    ours = IncludeLaunchDescription(Source("{file}"))
    return LaunchDescription([RegisterEventHandler(ended), ours, after])
"""


def test_a_launch_that_includes_ours_keeps_its_environment(tmp_path, monkeypatch):
    """The user's Fast DDS profile too, whatever the distribution calls its variable."""
    for variable in PROFILE_VARIABLES:
        monkeypatch.delenv(variable, raising=False)
    own = PROFILE_VARIABLES[1]
    monkeypatch.setenv(own, "/my/profile.xml")
    (tmp_path / "mine.launch.py").write_text(
        LEAKS.format(file=ROOT / "launch" / "bringup.launch.py")
    )
    done = launch("mine", folder=tmp_path)
    printed = [line.partition("[env-6] ")[2] for line in done.stdout.splitlines()]
    seen = dict(word.split("=", 1) for word in printed if "=" in word)
    added = {name for name in seen if os.environ.get(name) != seen[name]}
    assert seen.get(own) == "/my/profile.xml", done.stdout
    assert not {name for name in added if name.startswith(("FAST", "RMW", "ROS", "VIMA"))}


def test_a_bad_recording_fails_the_launch(tmp_path):
    """Its folder looks like one; the program finds out."""
    bag = write_bag(tmp_path / "bag", StoragePlugin.MCAP, steps=1)
    (recording,) = bag.glob("*.mcap")
    recording.write_bytes(b"cut off")
    done = launch("replay", f"bag:={bag}", f"out:={tmp_path}", "checkpoint:=random")
    assert done.returncode == 1, done.stdout
    assert "BAD_BAG" in done.stdout
    assert "ended with exit code 2" in done.stdout


@pytest.mark.parametrize("namespace", ["/right", "cell/right/"])
def test_a_recording_replays_in_a_namespace_of_any_spelling(tmp_path, namespace):
    bag = write_bag(tmp_path / "bag", StoragePlugin.MCAP, steps=1)
    words = [f"bag:={bag}", f"out:={tmp_path}", f"namespace:={namespace}"]
    done = launch("replay", *words, "checkpoint:=random")
    assert "replay.json" in done.stdout, done.stdout
    (step,) = json.loads((tmp_path / "replay.json").read_text())["steps"]
    assert done.returncode == (0 if step["command_id"] else 1), done.stdout


def test_paths_may_begin_with_the_home_folder(tmp_path, monkeypatch):
    """Which no shell expands after ``:=``."""
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "policy.ckpt").write_text("<html>Sign in</html>")
    (tmp_path / "robot.yaml").write_text("/**/manager:\n  ros__parameters:\n    nodes: [policy]\n")
    file = ROOT / "launch" / "bringup.launch.py"
    words = ["params_file:=~/robot.yaml", "checkpoint:=~/policy.ckpt"]
    process = subprocess.Popen(
        [sys.executable, "-c", LAUNCH, str(file), *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    seen = []
    try:
        for line in process.stdout:
            seen.append(line)
            if "cannot configure" in line:
                break
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
    assert "policy.ckpt cannot be read: it is an HTML page" in seen[-1], "".join(seen)


def lives(process_id: str) -> bool:
    try:
        return "State:\tZ" not in Path(f"/proc/{process_id}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_at_sigterm_the_launch_outlives_its_nodes():
    """Else they could hold nothing where it is the first process of a container."""
    file = ROOT / "launch" / "bringup.launch.py"
    process = subprocess.Popen(
        [sys.executable, "-c", LAUNCH, str(file), "checkpoint:=random"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        started = []
        for line in process.stdout:
            started += re.findall(r"process started with pid \[(\d+)\]", line)
            if len(started) == 5 and "active" in line:
                break
        process.send_signal(signal.SIGTERM)
        process.wait(30)
        left = [each for each in started if lives(each)]
        output = process.stdout.read()
    finally:
        process.kill()
        process.wait()
    assert left == []
    assert "Traceback" not in output
