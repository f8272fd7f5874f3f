"""The suite started and ended by turns of signals: what stays in /dev/shm, and which processes.

    ./vima exec python test/faults/shared_memory.py --times 40

prints a table; exit code 1 where something stayed. ``SIGKILL all`` also kills the nodes: what they
leave is cleared by the next start.
"""

import argparse
import contextlib
import itertools
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from ament_index_python.packages import get_package_prefix

from vima_ros.nodes.common.ros_domain import isolate_ros_domain
from vima_ros.program import END_WITH

FOLDER = Path("/dev/shm")
FIRST_PORT, DOMAIN_PORTS = 7400, 250  # of domain 0, and per domain, DDSI-RTPS 9.6.1.1
WAYS = ("SIGINT", "SIGTERM", "SIGKILL")
START_TIMEOUT, END_TIMEOUT = 180.0, 30.0  # [s]
COLUMNS = ("round", "way", "exit code", "held [MB]", "left [MB]", "orphans")


@dataclass(frozen=True)
class Round:
    """``held``, ``left``: files in /dev/shm while the suite ran and after; ``size`` [bytes]."""

    way: str
    code: int
    held: frozenset[str]
    size: int
    left: tuple[str, ...]
    orphans: tuple[int, ...]


def segments_of(process: int) -> set[str]:
    """Names of the segments of Fast DDS in /dev/shm that a process has mapped."""
    with contextlib.suppress(OSError):
        return {
            *re.findall(
                r"/dev/shm/(fast\w+_[0-9a-f]{16})", Path(f"/proc/{process}/maps").read_text()
            )
        }
    return set()


def nodes_of(program: int) -> list[int]:
    """Ids of the living processes that end with ``program``."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if f"{END_WITH}={program}".encode() in (folder / "environ").read_bytes().split(b"\0"):
                found.append(int(folder.name))
    return found


def holders(name: str) -> str:
    """Say who keeps a file in /dev/shm: its age, locks, and the processes that have it open."""
    told = []
    for file in (FOLDER / name, FOLDER / f"{name}_el"):
        with contextlib.suppress(FileNotFoundError):
            found = file.stat()
            age = time.time() - found.st_ctime
            locks = Path("/proc/locks").read_text().splitlines()
            flocks = [line for line in locks if f":{found.st_ino} " in line]
            told.append(f"{file.name}: changed {age:.1f} s ago, flocks {flocks}")
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            files = [os.readlink(link) for link in (folder / "fd").iterdir()]
            if name in (folder / "maps").read_text() or any(name in file for file in files):
                command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                status = (folder / "stat").read_text().rpartition(")")[2].split()[0]
                told.append(f"process {folder.name} ({status}): {command}")
    return "\n".join(told)


def of_domain() -> set[str]:
    """The files of our ROS domain's ports; nothing else runs there."""
    first = FIRST_PORT + DOMAIN_PORTS * int(os.environ["ROS_DOMAIN_ID"])
    ports = range(first, first + DOMAIN_PORTS)
    return {path.name for port in ports for path in FOLDER.glob(f"*fastdds_port{port}[!0-9]*")} | {
        f"fastdds_port{port}" for port in ports if (FOLDER / f"fastdds_port{port}").exists()
    }


def end_once(way: str, arguments: list[str], delay: float, folder: Path) -> Round:
    """Start `sim`, end it ``delay`` [s] after its nodes are active; what was and what stays."""
    program = Path(get_package_prefix("vima_ros")) / "lib" / "vima_ros" / "sim"
    with (folder / "sim.log").open("w") as log:
        sim = subprocess.Popen(
            [program, "--out", str(folder), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    nodes: list[int] = []
    try:
        deadline = time.monotonic() + START_TIMEOUT
        while "all active" not in (folder / "sim.log").read_text():
            assert sim.poll() is None, (folder / "sim.log").read_text()
            assert time.monotonic() < deadline, "not active in time"
            time.sleep(0.1)
        time.sleep(delay)
        nodes = nodes_of(sim.pid)
        held = of_domain().union(*map(segments_of, [sim.pid, *nodes]))
        size = sum((FOLDER / n).stat().st_size for n in held if (FOLDER / n).exists())
        sim.send_signal(getattr(signal, way.split()[0]))
        if way.endswith("all"):
            for node in nodes:
                os.kill(node, signal.SIGKILL)
        code = sim.wait(END_TIMEOUT)
        deadline = time.monotonic() + END_TIMEOUT
        while (orphans := nodes_of(sim.pid)) and time.monotonic() < deadline:
            time.sleep(0.05)
        left = tuple(sorted(name for name in held | of_domain() if (FOLDER / name).exists()))
        return Round(way, code, frozenset(held), size, left, tuple(orphans))
    finally:
        for process in [sim.pid, *nodes_of(sim.pid)]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        sim.wait()


def run(times: int, ways: tuple[str, ...], arguments: list[str], folder: Path, seed: int):
    """A round after the other."""
    pick = random.Random(seed)
    for number, way in zip(range(times), itertools.cycle(ways)):
        own = folder / f"round{number}"
        own.mkdir()
        yield end_once(way, arguments, pick.uniform(0.0, 1.0), own)


def row(number: int, done: Round) -> str:
    left = sum((FOLDER / n).stat().st_size for n in done.left if (FOLDER / n).exists())
    cells = [number, done.way, done.code, f"{done.size / 1e6:.0f}", f"{left / 1e6:.1f}"]
    return "| " + " | ".join(map(str, [*cells, len(done.orphans)])) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--times", type=int, default=40)
    parser.add_argument("--ways", nargs="+", default=WAYS, choices=[*WAYS, "SIGKILL all"])
    parser.add_argument("--seed", type=int, default=1)
    options, arguments = parser.parse_known_args()  # the others are sim's
    isolate_ros_domain()
    before, rounds = {*os.listdir(FOLDER)}, []
    print("| " + " | ".join(COLUMNS) + " |\n" + "|---" * len(COLUMNS) + "|")
    with tempfile.TemporaryDirectory() as folder:
        ways = tuple(options.ways)
        for done in run(options.times, ways, arguments, Path(folder), options.seed):
            rounds.append(done)
            print(row(len(rounds), done), flush=True)
    held = set().union(*(done.held for done in rounds))
    left = sorted(name for name in held | of_domain() if (FOLDER / name).exists())
    orphans = sum(len(done.orphans) for done in rounds)
    others = len({*os.listdir(FOLDER)} - before - set(left))
    print(f"\nleft in {FOLDER}: {len(left)} files of {len(held)}, {orphans} orphans")
    print(f"files there by others since then: {others}")
    sys.exit(1 if left or orphans else 0)


if __name__ == "__main__":
    main()
