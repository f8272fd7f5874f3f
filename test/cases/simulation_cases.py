"""The environment in other processes, and programs that can't write what they are to leave.

    ./vima exec python test/cases/simulation_cases.py [CASE ...]

Prints a table; exit code 1 when a case ends otherwise than expected.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import full_demonstrations
import small_disks
import table
import vector_environments

TIMEOUT = 300.0  # for a program to end, which takes seconds [s]
Seen = tuple[str, list[str]]


@dataclass(frozen=True)
class Case:
    """``expected``, in words; ``run`` in a folder of its own."""

    expected: str
    run: Callable[[Path], Seen]


def in_processes(way: str, ends: Callable[[int, str], bool], expected: str) -> Case:
    def run(folder: Path) -> Seen:
        try:
            code, output = vector_environments.outcome(way)
        except TimeoutError as error:
            return str(error)[-200:], ["it hangs, or leaves orphans"]
        last = output.splitlines()[-1] if output else ""
        return f"exit code {code}: {last}", [] if ends(code, output) else ["another end"]

    return Case(expected, run)


def refused(*words: str, expected: str) -> Case:
    """A program whose --out is a file; it must say so in its first line."""

    def run(folder: Path) -> Seen:
        (folder / "file").touch()
        return _one_sentence(small_disks.program(*words, "--out", folder / "file" / "out"))

    return Case(expected, run)


def _one_sentence(command: list[str]) -> Seen:
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT)
    lines = done.stderr.splitlines()
    wrong = [] if done.returncode == 2 else [f"exit code {done.returncode}"]
    wrong += [] if len(lines) == 1 else [f"{len(lines)} lines on stderr"]
    wrong += [] if any("BAD_FOLDER" in line for line in lines) else ["no BAD_FOLDER"]
    return done.stderr[-300:], wrong


def full_disk(folder: Path) -> Seen:
    if why := small_disks.why_not():
        return f"not tried: {why}", []
    whole = folder / "whole"
    subprocess.run(full_demonstrations.command(whole), check=True, capture_output=True)
    return full_demonstrations.differences(whole, folder)


def no_room(folder: Path) -> Seen:
    """`bench simulation` where there is no room from the start."""
    if why := small_disks.why_not():
        return f"not tried: {why}", []
    disk = folder / "disk"
    fill = 'head -c 1M /dev/zero >"$1/rest" 2>/dev/null; shift; exec "$@"'
    command = small_disks.program("bench", "simulation", "--out", disk)
    done = small_disks.run_on_small_disk(
        disk,
        8192,
        ["sh", "-c", fill, "sh", disk, *command],
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
    )
    wrong = [] if done.returncode == 2 else [f"exit code {done.returncode}"]
    wrong += [] if "No space left" in done.stderr else ["another reason"]
    wrong += ["a traceback"] if "Traceback" in done.stderr else []
    return done.stderr[-300:], wrong


REFUSAL = 'vector_kwargs={"context": "spawn"}'
NO_FOLDER = "BAD_FOLDER, exit code 2, before any work"
CASES = {
    way.__name__: in_processes(way.__name__, lambda code, _: code == 0, "works")
    for way in vector_environments.WORKING
}
CASES |= {
    way.__name__: in_processes(
        way.__name__, lambda code, output: code == 1 and REFUSAL in output, "refused with a remedy"
    )
    for way in vector_environments.REFUSED
}
CASES |= {
    way.__name__: in_processes(way.__name__, lambda code, _: code != 0, "no orphan")
    for way in vector_environments.ENDING
}
CASES |= {
    "demonstrate_full_disk": Case("CANNOT_WRITE, exit code 2, resumable", full_disk),
    "bench_no_room": Case("the disk is full, exit code 2, before any work", no_room),
    "demonstrate_no_folder": refused("demonstrate", "--episodes", "9", expected=NO_FOLDER),
    "evaluate_detector_no_folder": refused("evaluate_detector", expected=NO_FOLDER),
    "bench_no_folder": refused("bench", "simulation", expected=NO_FOLDER),
    "calibrate_no_folder": refused("calibrate", "board", expected=NO_FOLDER),
}


def run(name: str, folder: Path) -> Seen:
    """What was seen of a case, and what of it is wrong."""
    return CASES[name].run(folder)


def expected(case: Case) -> str:
    return case.expected


if __name__ == "__main__":
    table.main(sys.modules[__name__])
