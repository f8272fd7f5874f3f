"""Every program and node refuses an environment in which ROS cannot run: a sentence, code 2."""

import os
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from ament_index_python.packages import get_package_prefix
from conftest import ALL_NODES

from vima_msgs.msg import Heartbeat
from vima_ros.client.client import Client
from vima_ros.client.node_processes import NodeProcesses
from vima_ros.nodes.common.dds import PROFILE_VARIABLES
from vima_ros.paths import config_path

PROGRAMS = Path(get_package_prefix("vima_ros")) / "lib" / "vima_ros"
# Words with which a program would begin to talk to ROS.
WITH_ROS = {
    **{name: [] for name in [*ALL_NODES, "stop", "resume", "sim"]},
    "assets": ["list"],
    "send_prompt": ["Put it there."],
    "oracle": ["--tasks", "rotate"],
    "demo": ["--tasks", "rotate"],
    "bench": ["episode"],
    "evaluate_robot": ["--tasks", "rotate", "--out", "out"],
    "grab_image": ["front/image_raw", "--out", "front.png"],
}
WITHOUT_HOME = {name: value for name, value in os.environ.items() if name not in ("HOME", "USER")}


def run(name: str, words: list[str], environment: dict[str, str], folder: Path):
    folder.mkdir(parents=True)
    return subprocess.run(
        [PROGRAMS / name, *words],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        cwd=folder,
        env=environment,
        timeout=120,
    )


def check_refused(programs: dict, environment: dict[str, str], words: str, folder: Path) -> None:
    with ThreadPoolExecutor(2) as pool:
        running = {
            name: pool.submit(run, name, arguments, environment, folder / name)
            for name, arguments in programs.items()
        }
    for name, future in running.items():
        done = future.result()
        assert done.returncode == 2, (name, done.returncode, done.stderr)
        (sentence,) = done.stderr.splitlines()
        assert sentence.startswith(f"{name}: "), sentence
        assert words in sentence
        assert "valid: " in sentence


def test_a_middleware_that_is_not_installed_is_refused(tmp_path):
    """rcl ends the process with code 102 while it is imported."""
    programs = {path.name: [] for path in PROGRAMS.iterdir()}
    environment = {**os.environ, "RMW_IMPLEMENTATION": "rmw_absent_cpp"}
    check_refused(programs, environment, "RMW_IMPLEMENTATION is 'rmw_absent_cpp'", tmp_path)


def test_the_middleware_finds_all_that_it_looks_for_in_the_messages(tmp_path):
    """It prints every failed search on stderr, for each topic of each node."""
    source = (
        "import rclpy; from vima_msgs.msg import Heartbeat; rclpy.init(); "
        "node = rclpy.create_node('alone'); node.create_publisher(Heartbeat, 'topic', 1); "
        "node.create_publisher(Heartbeat, 'another', 1)"
    )
    done = subprocess.run(
        [sys.executable, "-c", source], capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_ros_arguments_that_cannot_be_read_are_refused(tmp_path):
    words = ["--ros-args", "--params-file", str(tmp_path / "absent.yaml")]
    for name in ("tabletop", "stop"):
        done = run(name, words, dict(os.environ), tmp_path / name)
        assert done.returncode == 2, done.stderr
        assert done.stderr.splitlines()[-1].startswith(f"{name}: BAD_")
        assert "absent.yaml" in done.stderr
        assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_an_environment_without_a_folder_for_logs_is_refused(tmp_path):
    check_refused(WITH_ROS, WITHOUT_HOME, "HOME is not set", tmp_path)


def test_no_home_is_needed_with_another_folder_for_logs(tmp_path):
    environment = {**WITHOUT_HOME, "ROS_LOG_DIR": str(tmp_path / "log"), "ROS_DOMAIN_ID": "233"}
    names = ("prompt", "policy", "stop", "sim")
    programs = {name: WITH_ROS[name] for name in names}
    check_refused(programs, environment, "ROS_DOMAIN_ID is '233'", tmp_path)


def test_an_output_folder_that_cannot_be_written_is_refused(tmp_path):
    (tmp_path / "file").touch()
    out = str(tmp_path / "file" / "out")
    programs = {
        name: [*WITH_ROS.get(name, []), "--out", out]
        for name in ("sim", "oracle", "demo", "bench", "evaluate_robot")
    }
    programs["replay"] = [str(tmp_path), "--out", out]
    programs["evaluate_policy"] = ["--tasks", "rotate", "--out", out]
    check_refused(programs, {**os.environ}, out, tmp_path / "run")


SMALL = """
mount --make-rprivate / && mount -t tmpfs -o size={size} tmpfs /dev/shm && exec "$@"
"""


@pytest.mark.parametrize(
    ("size", "code", "words"),
    [("64m", None, "images of more than 3 MB"), ("20m", 2, "docker run --shm-size=1g")],
)
def test_a_small_dev_shm_is_reported_with_its_remedy(size, code, words, tmp_path):
    """In a mount namespace of its own, where that is allowed."""
    if not shutil.which("unshare") or subprocess.run(["unshare", "-m", "true"]).returncode:
        pytest.skip("needs `unshare -m`, which only root may call")
    command = ["unshare", "-m", "sh", "-c", SMALL.format(size=size), "sh", PROGRAMS / "stop"]
    node = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=tmp_path)
    try:
        sentence = node.stderr.readline()
        assert sentence.startswith("stop: ")
        assert f"/dev/shm has {size[:-1]} MiB" in sentence
        assert words in sentence
        if code is not None:
            assert node.wait(60) == code
            assert not node.stderr.read()
    finally:
        node.kill()
        node.communicate()


def own_segments(pid: int) -> set[int]:
    """Sizes of the shared memory segments that a process has made, whose locks it has open."""
    files = [os.path.realpath(path) for path in Path(f"/proc/{pid}/fd").iterdir()]
    locks = [Path(file) for file in files if re.fullmatch(r"/dev/shm/\w+_[0-9a-f]{16}_el", file)]
    return {lock.with_name(lock.name.removesuffix("_el")).stat().st_size for lock in locks}


@pytest.mark.parametrize("name", PROFILE_VARIABLES)
def test_the_users_profile_wins(name, tmp_path, monkeypatch):
    large, own = 2**25, 7 * 2**20
    profile = tmp_path / "own.xml"
    profile.write_text(config_path("fastdds.xml").read_text().replace(str(large), str(own)))
    with Client("test") as client:
        assert max(own_segments(os.getpid())) > large
        for variable in PROFILE_VARIABLES:
            monkeypatch.delenv(variable, raising=False)
        monkeypatch.setenv(name, str(profile))
        with NodeProcesses(tmp_path, params_file="example") as processes:
            processes.start(["prompt"])
            beats = client.subscribe(Heartbeat, "heartbeat")
            beats.wait(lambda m: m.node == "/vima/prompt", 60, "heartbeat")
            assert own < max(own_segments(processes.pid("prompt"))) < 2 * own
