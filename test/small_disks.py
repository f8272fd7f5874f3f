"""A disk too small for what is written to it: a tmpfs that only the commands run on it see."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

_MOUNT = 'mount -t tmpfs -o size="$1" tmpfs "$2" && shift 2 && exec "$@"'
_TWICE = """
disk="$1" copies="$2"; shift 2
"$@" 2>"$copies/full.txt"; echo $? >"$copies/full.code"
cp -r "$disk" "$copies/full"
mount -o remount,size=256m "$disk"
"$@" 2>"$copies/resumed.txt"; echo $? >"$copies/resumed.code"
cp -r "$disk" "$copies/resumed"
"""


_PROGRAM = "import sys; sys.argv.pop(0); from vima_ros.program import run_program; run_program()"


def program(*words: str | Path) -> list[str]:
    """The command line of a program of the suite, as its executable runs it; its name first."""
    return [sys.executable, "-c", _PROGRAM, *map(str, words)]


def why_not() -> str:
    """Why no small disk can be mounted here; empty: it can."""
    if shutil.which("unshare") is None:
        return "no unshare"
    command = ["unshare", "--mount", "sh", "-c", "mount -t tmpfs tmpfs /mnt"]
    done = subprocess.run(command, capture_output=True, text=True)
    return done.stderr.strip() if done.returncode else ""


def run_on_small_disk(
    disk: Path, size: int, command: Sequence[str | Path], **options
) -> subprocess.CompletedProcess:
    """Run ``command`` while a disk of ``size`` bytes is mounted at the folder ``disk``.

    It is gone afterwards, with what was written to it.
    """
    disk.mkdir(exist_ok=True)
    size += -size % os.sysconf("SC_PAGE_SIZE")
    return subprocess.run(
        ["unshare", "--mount", "sh", "-c", _MOUNT, "sh", str(size), disk, *command], **options
    )


def run_until_full_and_again(
    disk: Path, size: int, command: Sequence[str | Path], copies: Path
) -> dict[str, tuple[int, str]]:
    """Run ``command`` twice, on a disk of ``size`` bytes and on the same once it has more room.

    Returns exit code and stderr of both, "full" and "resumed"; the folder ``copies`` has under
    these names what was on the disk afterwards.
    """
    copies.mkdir()
    twice = ["sh", "-c", _TWICE, "sh", disk, copies, *command]
    run_on_small_disk(disk, size, twice, check=True, stdout=subprocess.DEVNULL)
    return {
        name: (
            int((copies / f"{name}.code").read_text()),
            (copies / f"{name}.txt").read_text(),
        )
        for name in ("full", "resumed")
    }
