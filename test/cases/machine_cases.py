"""Machines on which ROS or its shared memory is not as usual, and what must come of it.

    ./vima exec python test/cases/machine_cases.py [CASE ...]

Those with a /dev/shm of their own need `unshare -m`, which only root may call. Prints a table;
exit code 1 when a case ends otherwise than expected.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import table
from ament_index_python.packages import get_package_prefix

PROGRAMS = Path(get_package_prefix("vima_ros")) / "lib" / "vima_ros"
OWN_SHM = """
mount --make-rprivate / && mount -t tmpfs -o size={} tmpfs /dev/shm || exit
if [ "{}" ]; then cat /dev/zero >"/dev/shm/{}" 2>/dev/null; sleep 1.5; fi
exec "$@"
"""
TIMEOUT = 60.0  # [s]


@dataclass(frozen=True)
class Case:
    """``run``: returns what was seen, and what of it is wrong; ``words``: what is expected."""

    words: str
    run: Callable[[Case, Path], tuple[str, list[str]]]
    program: tuple[str, ...] = ("prompt",)
    unset: tuple[str, ...] = ()
    environment: dict[str, str] = field(default_factory=dict)
    size: str = ""  # of a /dev/shm of its own
    full_of: str = ""  # a file in it that takes all of its room


def command(case: Case, *words: str | Path) -> list[str | Path]:
    script = OWN_SHM.format(case.size, case.full_of, case.full_of)
    return [*(["unshare", "-m", "sh", "-c", script, "sh"] if case.size else []), *words]


def environment(case: Case) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name not in case.unset}
    return kept | case.environment


def refused(case: Case, folder: Path) -> tuple[str, list[str]]:
    """The program ends with code 2 and one sentence that has the words."""
    name, *words = case.program
    words = [word.replace("{folder}", str(folder)) for word in words]
    (folder / "file").touch()
    done = subprocess.run(
        command(case, PROGRAMS / name, *words),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        cwd=folder,
        env=environment(case),
        timeout=TIMEOUT,
    )
    wrong = [] if done.returncode == 2 else ["exit code is not 2"]
    wrong += [] if len(done.stderr.splitlines()) == 1 else ["not one line"]
    wrong += [] if case.words in done.stderr else ["not those words"]
    return f"exit code {done.returncode}: {done.stderr[-250:]}", wrong


def files() -> set[str]:
    return {name for name in os.listdir("/dev/shm") if "fastdds" in name}


def made_by(process: subprocess.Popen) -> set[str]:
    """Names of the shared memory segments that a node has made, and of their locks."""
    links = [os.path.realpath(path) for path in Path(f"/proc/{process.pid}/fd").iterdir()]
    locks = {Path(link).name for link in links if link.startswith("/dev/shm/fastdds_")}
    return locks | {lock.removesuffix("_el") for lock in locks}


def start_node(case: Case, folder: Path) -> tuple[subprocess.Popen, set[str]]:
    """A node that has its shared memory, and the names of its files."""
    with (folder / "node.log").open("a") as log:
        node = subprocess.Popen(
            [PROGRAMS / case.program[0]], stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
    deadline = time.monotonic() + TIMEOUT
    while not (made := made_by(node)) and node.poll() is None and time.monotonic() < deadline:
        time.sleep(0.1)
    time.sleep(2.0)  # as long as a lock has to be old to be taken for a dead process's
    return node, made | made_by(node)


def left_behind(*signals: int) -> Callable[[Case, Path], tuple[str, list[str]]]:
    """A node ended by each signal in turn; the end of the last leaves nothing."""

    def run(case: Case, folder: Path) -> tuple[str, list[str]]:
        made: set[str] = set()
        for number in signals:
            node, own = start_node(case, folder)
            made |= own
            node.send_signal(number)
            node.wait(TIMEOUT)
        left = sorted(made & files())
        return f"{len(made)} files made, left: {left or 'none'}", left if made else ["none made"]

    return run


def images_arrive(case: Case, folder: Path) -> tuple[str, list[str]]:
    """Most of 60 best-effort 640x480 images reach another process; the room is reported."""
    done = subprocess.run(
        command(case, PROGRAMS / "bench", "transport", "--out", folder),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        cwd=folder,
        env=environment(case),
        timeout=4 * TIMEOUT,
    )
    if done.returncode:
        return f"exit code {done.returncode}: {done.stderr[-250:]}", ["it does not run"]
    (measured,) = (
        each
        for each in json.loads((folder / "bench.json").read_text())["transport"]
        if each["profile"].startswith("fastdds") and each["reliability"] == "best effort"
    )
    arrived, sent = len(measured["ages"]), measured["sent"]
    reported = next((line for line in done.stderr.splitlines() if case.words in line), "")
    wrong = [] if arrived > sent / 2 else ["images do not arrive"]
    wrong += [] if reported else ["not those words"]
    return f"{arrived} of {sent} images; {reported}", wrong


NO_HOME = ("HOME", "USER", "ROS_LOG_DIR", "ROS_HOME")
REMEDY = "docker run --shm-size=1g"
CASES = {
    "rmw_absent": Case(
        "RMW_IMPLEMENTATION is 'rmw_absent_cpp'",
        refused,
        environment={"RMW_IMPLEMENTATION": "rmw_absent_cpp"},
    ),
    "rmw_absent_training": Case(
        "RMW_IMPLEMENTATION is 'rmw_absent_cpp'",
        refused,
        ("train_policy", "--help"),
        environment={"RMW_IMPLEMENTATION": "rmw_absent_cpp"},
    ),
    "no_home": Case("HOME is not set", refused, unset=NO_HOME),
    "no_home_program": Case("HOME is not set", refused, ("stop",), unset=NO_HOME),
    "no_home_but_log_folder": Case(
        "ROS_DOMAIN_ID is '233'",  # the next thing that is wrong
        refused,
        ("policy",),
        unset=NO_HOME,
        environment={"ROS_LOG_DIR": "log", "ROS_DOMAIN_ID": "233"},
    ),
    "log_folder_unwritable": Case(
        "/proc/log (by ROS_LOG_DIR)", refused, environment={"ROS_LOG_DIR": "/proc/log"}
    ),
    "ros_home_unwritable": Case(
        "/proc/ros/log (by ROS_HOME)",
        refused,
        unset=NO_HOME,
        environment={"ROS_HOME": "/proc/ros"},
    ),
    "domain_beyond": Case(
        "from 0 to 232", refused, ("arm",), environment={"ROS_DOMAIN_ID": "233"}
    ),
    "domain_no_number": Case(
        "from 0 to 232", refused, ("sim",), environment={"ROS_DOMAIN_ID": "lab"}
    ),
    "profile_absent": Case(
        "'/no/such.xml': no file",
        refused,
        environment={"FASTDDS_DEFAULT_PROFILES_FILE": "/no/such.xml"},
    ),
    "out_unwritable": Case("file/out", refused, ("sim", "--out", "{folder}/file/out")),
    "out_a_file": Case("nothing can be written", refused, ("bench", "--out", "{folder}/file")),
    "shm_after_sigint": Case("nothing left", left_behind(signal.SIGINT)),
    "shm_after_sigterm": Case("nothing left", left_behind(signal.SIGTERM), ("arm",)),
    "shm_after_sigkill_and_a_start": Case(
        "nothing left", left_behind(signal.SIGKILL, signal.SIGKILL, signal.SIGINT)
    ),
    "shm_64m": Case("images of more than 3 MB", images_arrive, size="64m"),
    "shm_32m": Case("images of more than 3 MB", images_arrive, size="32m"),
    "shm_20m": Case(REMEDY, refused, size="20m"),
    "shm_4k": Case(REMEDY, refused, ("stop",), size="4k"),  # LTTng would crash
    "shm_full_of_dead_processes": Case(
        "images of more than 3 MB", images_arrive, size="64m", full_of="fastdds_0123456789abcdef"
    ),
    "shm_full_of_other_files": Case(REMEDY, refused, size="64m", full_of="notes"),
}


def run(name: str, folder: Path) -> tuple[str, list[str]]:
    """What was seen of a case, and what of it is wrong."""
    return CASES[name].run(CASES[name], folder)


def expected(case: Case) -> str:
    return case.words


if __name__ == "__main__":
    table.main(sys.modules[__name__])
