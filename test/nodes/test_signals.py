"""Every node and program ends on a signal: its exit code, no traceback, whatever it was doing."""

import os
import random
import re
import signal
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest
from ament_index_python.packages import get_package_prefix
from conftest import ALL_NODES

from vima_msgs.msg import Heartbeat
from vima_ros.client.client import Client
from vima_ros.client.node_processes import NodeProcesses
from vima_ros.program import END_WITH

PROGRAMS = Path(get_package_prefix("vima_ros")) / "lib" / "vima_ros"
NODES = (*ALL_NODES, "vima_bench")
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
# What a program needs to run for longer than the test takes.
ARGUMENTS = {
    "assets": ["objects"],
    "grab_image": ["front/image_raw", "--out", "{out}/front.png"],
    "calibrate": [
        "view",
        "front",
        "--image",
        "{out}/image.png",
        "--click",
        "--out",
        "{out}/v.yaml",
    ],
    "convert_checkpoint": ["absent", "absent"],
    "demo": ["--out", "{out}"],
    "bench": ["episode", "--out", "{out}"],
    "demonstrate": ["--out", "{out}", "--episodes", "1000"],
    "evaluate_policy": ["--seeds", "1000", "--out", "{out}"],
    "evaluate_robot": ["--seeds", "1000", "--out", "{out}"],
    "evaluate_detector": ["--frames", "1000", "--out", "{out}"],
    "oracle": ["--out", "{out}"],
    "replay": ["{out}"],
    "send_prompt": ["Put the {a} into the {b}.", "--watch"],
    "sim": ["--out", "{out}"],
    "stop": [],
    "resume": [],
    "train_detector": ["--data", "{out}", "--out", "{out}"],
    "train_policy": ["--data", "{out}", "--out", "{out}"],
}


def own_segments(pid: int) -> set[Path]:
    """The shared memory that a process has made; Fast DDS keeps its locks open."""
    files = [os.path.realpath(path) for path in Path(f"/proc/{pid}/fd").iterdir()]
    return {
        Path(f[: -len("_el")]) for f in files if re.fullmatch(r"/dev/shm/\w+_[0-9a-f]{16}_el", f)
    }


def handles_signals(pid: int) -> bool:
    """Whether a program has installed its handlers; until then Python ends by any signal."""
    status = Path(f"/proc/{pid}/status").read_text()
    caught = int(re.search(r"^SigCgt:\s*(\w+)", status, re.MULTILINE)[1], 16)
    return bool(caught >> (signal.SIGTERM - 1) & 1)


def end(
    name: str, number: signal.Signals, moment: float, out: Path
) -> tuple[int, str, bool, list[Path]]:
    """Exit code and output of a program signalled ``moment`` [s] after it handles signals.

    Also whether it ran then, and what it left in /dev/shm.
    """
    out.mkdir()
    cv2.imwrite(str(out / "image.png"), np.zeros((480, 640, 3), np.uint8))
    arguments = [a.replace("{out}", str(out)) for a in ARGUMENTS.get(name, [])]
    process = subprocess.Popen(
        [PROGRAMS / name, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=out,
        start_new_session=True,
    )
    try:
        while process.poll() is None and not handles_signals(process.pid):
            threading.Event().wait(0.01)
        threading.Event().wait(moment)
        ran = process.poll() is None
        made = own_segments(process.pid) if ran else set()
        if ran and number == signal.SIGINT:
            os.killpg(process.pid, number)  # as a terminal does, to workers and nodes too
        elif ran:
            process.send_signal(number)
        output = process.communicate(timeout=60)[0]
    finally:
        process.kill()
        process.wait()
    return process.returncode, output, ran, [path for path in made if path.exists()]


def test_every_installed_program_is_among_them():
    assert {p.name for p in PROGRAMS.iterdir()} == {*NODES, *ARGUMENTS}


@pytest.mark.slow
@pytest.mark.parametrize("number", SIGNALS, ids=lambda s: s.name)
def test_a_signal_at_a_random_moment_ends_each_with_its_exit_code(number, tmp_path):
    pick = random.Random(number)
    names = sorted({*NODES, *ARGUMENTS})
    with ThreadPoolExecutor(4) as pool:
        running = {
            name: pool.submit(end, name, number, pick.uniform(0.0, 4.6), tmp_path / name)
            for name in names
        }
    for name, future in running.items():
        code, output, ran, left = future.result()
        assert not left, name
        assert "Traceback" not in output, (name, output)
        expected = {0} if name in NODES else {128 + number}
        if (
            f"{name}: " in output or "usage: " in output
        ):  # it was about to end for a reason of its own
            expected |= {1, 2, -number}
        if ran:
            assert code in expected, (name, code, output)


def test_under_nohup_a_node_outlives_its_terminal(tmp_path):
    with Client("test") as client:
        beats = client.subscribe(Heartbeat, "heartbeat")
        node = subprocess.Popen(
            ["nohup", PROGRAMS / "prompt"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=tmp_path,
        )
        try:
            beats.wait(lambda m: m.process_id == node.pid, 60, "heartbeat")
            node.send_signal(signal.SIGHUP)
            for _ in range(5):
                beats.wait(lambda m: m.process_id == node.pid, 60, "heartbeat", beats.count)
            node.send_signal(signal.SIGTERM)
            assert node.wait(30) == 0
        finally:
            node.kill()
            node.wait()


def test_a_node_ends_with_the_process_that_it_was_told_to_end_with(tmp_path):
    starter = subprocess.Popen(["sleep", "1000"])
    node = subprocess.Popen(
        [PROGRAMS / "prompt"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, END_WITH: str(starter.pid)},
    )
    try:
        with pytest.raises(subprocess.TimeoutExpired):
            node.wait(2.0)
        starter.kill()
        starter.wait()
        output = node.communicate(timeout=30)[0]
    finally:
        starter.kill()
        node.kill()
        node.wait()
    assert node.returncode == 0
    assert "Traceback" not in output


def test_a_node_whose_starter_is_gone_already_ends_at_once():
    starter = subprocess.Popen(["true"])
    starter.wait()
    node = subprocess.run(
        [PROGRAMS / "prompt"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, END_WITH: str(starter.pid)},
        check=False,
    )
    assert node.returncode == 0, node.stderr


def shared_memory(pid: int) -> set[str]:
    """The files of Fast DDS in /dev/shm that a process has mapped."""
    lines = Path(f"/proc/{pid}/maps").read_text().splitlines()
    return {line.split()[-1] for line in lines if "/dev/shm/fastdds" in line}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda s: s.name)
@pytest.mark.parametrize("name", ["arm", "manager"])
def test_a_node_gives_its_shared_memory_back(name, number, tmp_path):
    with NodeProcesses(tmp_path, params_file="example") as processes, Client("test") as client:
        processes.start([name])
        beats = client.subscribe(Heartbeat, "heartbeat")
        beats.wait(lambda m: m.node == f"/vima/{name}", 60, "heartbeat")
        others = shared_memory(os.getpid())
        own = shared_memory(processes.pid(name)) - others
        assert own
        processes.signal(name, number)
        client.wait_until(lambda: processes.ended() == [name], "the end")
        # Also the client lets go of it, a moment later.
        client.wait_until(lambda: not any(Path(path).exists() for path in own), "its removal")
