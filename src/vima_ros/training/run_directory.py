"""Folder of a training run: its configuration, revision, progress and checkpoint.

Files are written whole or not at all, and are on the disk before their names change.
"""

from __future__ import annotations

import fcntl
import json
import os
import platform
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, BinaryIO

import torch
from torch.optim.swa_utils import AveragedModel

from vima_ros.errors import VimaError
from vima_ros.files import cannot_write, open_atomic, prepare_folder, write_atomic, write_json
from vima_ros.weight_files import TORCH, file_kind, why_not_loaded

PROGRESS, CONFIGURATION, CURVES = "progress.jsonl", "run.json", "curves.png"
CHECKPOINT = "checkpoint.pt"
LOCK = ".lock"


def start_run(folder: Path, configuration: Mapping[str, Any]) -> None:
    """Write ``configuration``, revision and machine to ``folder``.

    A resumed run has to go on as it began. Raises VimaError: OTHER_RUN naming what differs,
    BAD_RUN for a file that is damaged, BAD_FOLDER, CANNOT_WRITE.
    """
    prepare_folder(folder)
    configuration = json.loads(json.dumps(configuration, default=str))
    path = folder / CONFIGURATION
    if path.exists():
        before = _configuration(path)
        changed = "; ".join(_differences(before, configuration))
        if changed:
            raise VimaError(
                "OTHER_RUN",
                f"{folder} holds a run of another configuration: {changed}; valid: the same, to "
                "resume it, or a new folder",
            )
        return
    facts = {"configuration": configuration, "revision": revision(), "machine": machine()}
    write_json(path, facts)


def _configuration(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text())["configuration"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise VimaError(
            "BAD_RUN", f"{path} is damaged ({error}); valid: as it was written, or a new folder"
        ) from error


def _differences(before: Any, now: Any, name: str = "") -> Iterator[str]:
    """List the settings that differ, with both values."""
    if isinstance(before, dict) and isinstance(now, dict):
        for key in [*before, *(key for key in now if key not in before)]:
            full = f"{name}.{key}" if name else key
            yield from _differences(before.get(key), now.get(key), full)
    elif before != now:
        yield f"{name} was {_short(before)}, is {_short(now)}"


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def revision() -> str:
    """Return the git revision of this code, ``+`` where it has changes, or "unknown"."""
    git = ["git", "-C", str(Path(__file__).parent)]
    try:
        described = subprocess.run(
            [*git, "describe", "--always", "--dirty=+", "--abbrev=12"],
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return described.stdout.strip()


def machine() -> dict[str, Any]:
    """Describe the machine, as far as it matters for speed and rounding."""
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "gpu": gpu,
    }


def lock(folder: Path) -> BinaryIO:
    """Keep other processes out of ``folder`` until the returned file is closed.

    Worker processes do not inherit the lock, and it ends with this process, however that ends.
    Raises VimaError (RUN_IN_USE) where another process has it, CANNOT_WRITE.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / LOCK).open("wb")
    except OSError as error:
        raise cannot_write(folder, error) from error
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError) as error:
        file.close()
        raise VimaError(
            "RUN_IN_USE", f"another process trains in {folder}; valid: its end, or another folder"
        ) from error
    except OSError:
        pass  # a file system without locks
    return file


# --- progress


def append_progress(folder: Path, progress: Mapping[str, Any]) -> None:
    """Append a line to progress.jsonl, or leave it as it was. Raises VimaError (CANNOT_WRITE)."""
    path = folder / PROGRESS
    size = path.stat().st_size if path.exists() else 0
    try:
        with path.open("ab") as file:
            file.write(json.dumps(progress).encode() + b"\n")
    except OSError as error:
        with suppress(OSError):
            os.truncate(path, size)
        raise cannot_write(path, error) from error


def read_progress(folder: Path) -> list[dict[str, Any]]:
    """Read the lines of progress.jsonl; a truncated one is left out."""
    path = folder / PROGRESS
    records = []
    for line in path.read_bytes().splitlines() if path.exists() else []:
        with suppress(ValueError, RecursionError):
            record = json.loads(line)
            if isinstance(record, dict) and isinstance(record.get("step"), int):
                records.append(record)
    return records


def cut_progress(folder: Path, step: int) -> None:
    """Remove later steps from progress.jsonl: they are trained once more."""
    path = folder / PROGRESS
    if path.exists():
        records = [record for record in read_progress(folder) if record["step"] <= step]
        text = "".join(json.dumps(record) + "\n" for record in records)
        write_atomic(path, text.encode())


# --- checkpoint


def save_checkpoint(
    folder: Path,
    step: int,
    model: torch.nn.Module,
    averaged: AveragedModel,
    optimizer: torch.optim.Optimizer,
    sums: Mapping[str, float],
) -> None:
    """Write the state of ``folder``'s run, for ``load_checkpoint``.

    ``sums``: of the losses since the last report. No state of a random number generator is in it:
    all of them follow from the recipe's seed and the step. Raises VimaError (CANNOT_WRITE); then
    the checkpoint before is still there.
    """
    state = {
        "step": step,
        "model": model.state_dict(),
        "averaged": averaged.state_dict(),
        "optimizer": optimizer.state_dict(),
        "sums": dict(sums),
    }
    with open_atomic(folder / CHECKPOINT) as file:
        torch.save(state, file)


def load_checkpoint(
    folder: Path,
    model: torch.nn.Module,
    averaged: AveragedModel,
    optimizer: torch.optim.Optimizer | None,
    needed: bool = False,
) -> tuple[int, dict[str, float]]:
    """Load ``folder``'s checkpoint into all three; return its step (0: none) and sums.

    Raises VimaError (BAD_CHECKPOINT) for a damaged one, another network's, and where a ``needed``
    one is missing.
    """
    path = folder / CHECKPOINT
    if not path.exists():
        if needed:
            raise VimaError("BAD_CHECKPOINT", f"no {path}; valid: the folder of a run (--out)")
        return 0, {}
    remedy = "valid: this run's own; without that file training begins at step 0"
    try:
        if file_kind(path).name != TORCH:
            raise ValueError(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
        parts = {name: state[name] for name in ("model", "averaged", "optimizer")}
        step, sums = int(state["step"]), dict(state["sums"])
    except (
        *(OSError, EOFError, KeyError, TypeError, RuntimeError, ValueError, UnpicklingError),
    ) as error:
        raise VimaError(
            "BAD_CHECKPOINT", f"{path}: {why_not_loaded(path, error)}; {remedy}"
        ) from error
    try:
        model.load_state_dict(parts["model"])
        averaged.load_state_dict(parts["averaged"])
        if optimizer is not None:
            optimizer.load_state_dict(parts["optimizer"])
    except (KeyError, TypeError, RuntimeError, ValueError) as error:
        raise VimaError("BAD_CHECKPOINT", f"{path} is another network's; {remedy}") from error
    return step, sums
