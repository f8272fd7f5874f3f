"""What is kept of every training run: its configuration, its revision, its progress and curves."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch.optim.swa_utils import AveragedModel

from vima_ros.errors import VimaError
from vima_ros.weight_files import TORCH, file_kind, why_not_loaded

PROGRESS, CONFIGURATION, CURVES = "progress.jsonl", "run.json", "curves.png"
CHECKPOINT = "checkpoint.pt"


def start_run(folder: Path, configuration: Mapping[str, Any]) -> None:
    """Note ``configuration``, revision and machine in ``folder``.

    A resumed run has to go on as it began: VimaError (OTHER_RUN) names what differs.
    """
    folder.mkdir(parents=True, exist_ok=True)
    configuration = json.loads(json.dumps(configuration, default=str))
    path = folder / CONFIGURATION
    if path.exists():
        before = json.loads(path.read_text())["configuration"]
        keys = before.keys() | configuration.keys()
        changed = sorted(k for k in keys if before.get(k) != configuration.get(k))
        if changed:
            raise VimaError(
                "OTHER_RUN",
                f"{path} was begun with other {', '.join(changed)}; valid: the same, or a "
                "new folder",
            )
        return
    facts = {"configuration": configuration, "revision": revision(), "machine": machine()}
    path.write_text(json.dumps(facts, indent=2) + "\n")


def revision() -> str:
    """The git revision of this code, ``+`` where it has changes; "unknown" outside a clone."""
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
    """Where it runs, as far as it matters for speed and for rounding."""
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "gpu": gpu,
    }


def note_progress(folder: Path, progress: Mapping[str, Any]) -> None:
    """A line of ``folder``'s progress.jsonl."""
    with (folder / PROGRESS).open("a") as file:
        file.write(json.dumps(progress) + "\n")


def save_checkpoint(
    folder: Path,
    step: int,
    model: torch.nn.Module,
    averaged: AveragedModel,
    optimizer: torch.optim.Optimizer,
) -> None:
    """Where ``folder``'s run stands, for ``load_checkpoint``; whole or not at all."""
    state = {
        "step": step,
        "model": model.state_dict(),
        "averaged": averaged.state_dict(),
        "optimizer": optimizer.state_dict(),
    }
    torch.save(state, folder / f"{CHECKPOINT}.part")
    os.replace(folder / f"{CHECKPOINT}.part", folder / CHECKPOINT)


def load_checkpoint(
    folder: Path,
    model: torch.nn.Module,
    averaged: AveragedModel,
    optimizer: torch.optim.Optimizer | None,
    needed: bool = False,
) -> int:
    """Load ``folder``'s checkpoint into all three; its step, 0 where there is none.

    Raises VimaError (BAD_CHECKPOINT) for another network's, and where a ``needed`` one is missing.
    """
    path = folder / CHECKPOINT
    if not needed and not path.exists():
        return 0
    try:
        if file_kind(path).name != TORCH:
            raise ValueError(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
        model.load_state_dict(state["model"])
        averaged.load_state_dict(state["averaged"])
        if optimizer is not None:
            optimizer.load_state_dict(state["optimizer"])
        return int(state["step"])
    except (OSError, EOFError, KeyError, RuntimeError, ValueError, UnpicklingError) as error:
        raise VimaError(
            "BAD_CHECKPOINT",
            f"{path}: {why_not_loaded(path, error)}; valid: a checkpoint of this network",
        ) from error


def draw_curves(folder: Path) -> Path:
    """``folder``'s losses by step as a picture; its path.

    Raises VimaError (NO_MATPLOTLIB, NO_PROGRESS).
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise VimaError(
            "NO_MATPLOTLIB", "curves need matplotlib: requirements/torchvision.txt"
        ) from error
    path = folder / PROGRESS
    lines = path.read_text().splitlines() if path.exists() else []
    if not lines:
        raise VimaError("NO_PROGRESS", f"{path} has no line yet")
    records = {record["step"]: record for record in map(json.loads, lines)}  # the latest of each
    steps = sorted(records)
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.subplots()
    for name in records[steps[-1]]["losses"]:
        axes.plot(steps, [records[step]["losses"].get(name) for step in steps], label=name)
    axes.set(xlabel="step", ylabel="loss", yscale="log")
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(folder / CURVES, dpi=110)
    return folder / CURVES
