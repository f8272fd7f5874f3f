"""`demonstrate` on a disk that fills up, and once more when there is room; for tests."""

from __future__ import annotations

import hashlib
from pathlib import Path

from small_disks import program, run_until_full_and_again

from vima_ros.errors import VimaError
from vima_ros.training.data.shards import read_shard

TASKS = ("rotate", "twist")
SEEDS = ("--first-seed", "22", "--episodes", "6")  # each task in two shards, of 3 seeds each


def command(out: Path) -> list[str]:
    return program("demonstrate", "--tasks", *TASKS, *SEEDS, "--workers", "1", "--out", out)


def differences(whole: Path, folder: Path) -> tuple[str, list[str]]:
    """The last line on stderr on a disk with room for part of ``whole``, and what was wrong."""
    size = sum(path.stat().st_size for path in whole.rglob("*.npz"))
    copies, expected = folder / "copies", _digests(whole)
    ended = run_until_full_and_again(
        folder / "disk", int(0.7 * size), command(folder / "disk"), copies
    )
    code, said = ended["full"]
    full, resumed = _digests(copies / "full"), _digests(copies / "resumed")
    wrong = [] if code == 2 else [f"exit code {code} of the first run"]
    wrong += ["a traceback"] if "Traceback" in said else []
    wrong += [] if full and len(full) < len(expected) else [f"{len(full)} shards at the end"]
    wrong += [] if full.items() <= expected.items() else ["shards differ from those at once"]
    wrong += [f"left: {path.name}" for path in copies.rglob("*.part")]
    wrong += ["another run's shards differ"] if resumed != expected else []
    wrong += [] if ended["resumed"][0] == 0 else [f"the other run ended with {ended['resumed']}"]
    return said.splitlines()[-1], wrong


def _digests(folder: Path) -> dict[str, str]:
    """Of the shards, by their path in the folder; "damaged" for one that can't be read."""
    found = {}
    for path in folder.rglob("*.npz"):
        try:
            read_shard(path)
        except VimaError:
            found[str(path.relative_to(folder))] = "damaged"
        else:
            found[str(path.relative_to(folder))] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found
