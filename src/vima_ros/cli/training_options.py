"""Shared parts of `train_policy` and `train_detector`: options, recipes, interrupts, curves."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

from vima_ros.errors import VimaError
from vima_ros.paths import config_path, expand, path_argument, path_text_argument
from vima_ros.program import DONE, handled_signals

DEFAULT_RECIPE = "small"
CHECKPOINT_MINUTES = 3.0
OVERRIDES = ("steps", "batch_size", "learning_rate", "seed")  # of the recipe


def add_run_options(parser: argparse.ArgumentParser, kind: str, printing: bool) -> None:
    """Add the options of a run; ``kind``: of its recipes; ``printing``: with --print-config."""
    parser.add_argument(
        "--out",
        type=path_argument,
        required=not printing,
        metavar="DIR",
        help="Folder of the run; the same command resumes it from its checkpoint",
    )
    parser.add_argument(
        "--config",
        type=path_text_argument,
        default=DEFAULT_RECIPE,
        metavar="FILE",
        help=f"Recipe: a YAML file, or the name of a bundled one: "
        f"{', '.join(bundled_recipes(kind))}",
    )
    parser.add_argument(
        "--print-config",
        action="store_true",
        help="Printout of the recipe, every setting explained, as a file for --config",
    )
    parser.add_argument("--steps", type=int, help="Number of steps, instead of the recipe's")
    parser.add_argument("--batch-size", type=int, help="Batch size, instead of the recipe's")
    parser.add_argument(
        "--learning-rate", type=float, help="Peak learning rate, instead of the recipe's"
    )
    parser.add_argument("--seed", type=int, help="Random seed, instead of the recipe's")
    parser.add_argument(
        "--checkpoint-every",
        type=_minutes,
        default=CHECKPOINT_MINUTES,
        metavar="MINUTES",
        help="Period of checkpoints, which a killed run loses at most (SIGKILL, power). Ctrl-C "
        "and SIGTERM write one after the current step and lose nothing; a second one ends at once",
    )


def _minutes(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < 1e6:
        raise argparse.ArgumentTypeError(
            f"{text[:60]!r}; valid: a number of minutes above 0, below 1000000"
        )
    return value


def bundled_recipes(kind: str) -> list[str]:
    """List the names of the recipes config/training/KIND_NAME.yaml."""
    paths = config_path("training").glob(f"{kind}_*.yaml")
    return sorted(path.stem.removeprefix(f"{kind}_") for path in paths)


def find_recipe(kind: str, given: str) -> Path:
    """Find the file of a bundled recipe's name, or ``given`` as a path. Raises VimaError."""
    if given in bundled_recipes(kind):
        return config_path(f"training/{kind}_{given}.yaml")
    path = expand(given)
    if not path.is_file():
        fault = "is no file" if path.exists() else "no such file"
        raise VimaError(
            "BAD_CONFIG",
            f"--config {given}: {fault}; valid: a YAML file, or one of "
            f"{', '.join(bundled_recipes(kind))}",
        )
    return path


def with_overrides(recipe: Any, options: argparse.Namespace) -> Any:
    """Override settings by the command line's. Raises VimaError (BAD_CONFIG)."""
    given = {name: getattr(options, name) for name in OVERRIDES}
    return replace(recipe, **{name: value for name, value in given.items() if value is not None})


class StopRequest:
    """Signal handling in a ``with`` block: the first requests a stop, a second ends the process.

    Calling it returns whether there was one; ``number`` is the signal's.
    """

    def __init__(self) -> None:
        self.number = 0
        self._before: dict[signal.Signals, Any] = {}

    def __call__(self) -> bool:
        """Return whether there was a signal."""
        return bool(self.number)

    def __enter__(self) -> StopRequest:
        self._before = {n: signal.signal(n, self._note) for n in handled_signals()}
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.number:
            os._exit(128 + number)
        self.number = number


class CurveDrawer:
    """Periodic drawing of a run's curves; ``log`` gets the reason for a failure, once."""

    def __init__(self, folder: Path, period: float, log: Callable[[str], None]) -> None:
        self._folder, self._period, self._log = folder, period, log
        self._drawn = time.monotonic()
        self._failure_logged = False

    def draw(self, now: bool = False) -> None:
        """Draw if ``now``, or if the last drawing is older than the period [s]."""
        from vima_ros.training.evaluation.learning_curves import draw_curves
        from vima_ros.training.run_directory import read_progress

        if not now and time.monotonic() - self._drawn < self._period:
            return
        self._drawn = time.monotonic()
        if not read_progress(self._folder):  # interrupted before the first line
            return
        try:
            draw_curves(self._folder)
        except VimaError as error:
            if not self._failure_logged:
                self._log(f"{error.code}: {error}")
                self._failure_logged = True


def describe_progress(progress: Any, steps: int, per_step: int, rate: float, unit: str) -> str:
    """Format step, losses, accuracies of training and validation, rate and time left in a line."""
    losses = ", ".join(f"{name} {value:.3g}" for name, value in progress.losses.items())
    shares = ", ".join(
        f"{name} {_percent(progress.training.get(name))}/{_percent(share)}"
        for name, share in (progress.validation or progress.training).items()
    )
    left = (steps - progress.step) * per_step / max(rate, 1e-9)
    return (
        f"step {progress.step} of {steps}; losses: {losses}; accuracy [%], training/validation: "
        f"{shares}; {rate:.3g} {unit}/s, {_duration(left)} left"
    )


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.0f}"


def _duration(seconds: float) -> str:
    minutes = round(seconds / 60)
    if minutes < 1:
        return f"{seconds:.0f} s"
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min"


def run_training(
    name: str,
    folder: Path,
    minutes: float,
    train: Callable[[Any], Any],
    pause_at: int = 0,
    writes: bool = True,
) -> int:
    """Print the lines that ``train(schedule)`` yields until it ends; return the exit code.

    ``minutes``, ``pause_at``: of ``Schedule``. The code is 128 + its number after a signal, when
    the run has its checkpoint. ``writes``: False logs and draws nothing.
    """
    from vima_ros.training.run_progress import Schedule

    log = make_logger(name) if writes else lambda text: None
    curves = CurveDrawer(folder, 60 * minutes, log)
    with StopRequest() as stop:
        schedule = Schedule(checkpoint_period=60 * minutes, stop=stop, pause_at=pause_at, log=log)
        for line in train(schedule):
            log(line)
            curves.draw()
    if writes:
        curves.draw(now=True)
    return 128 + stop.number if stop() else DONE


def make_logger(name: str) -> Callable[[str], None]:
    """Return a function that prints lines of the program ``name`` to stderr."""
    return lambda text: print(f"{name}: {text}", file=sys.stderr, flush=True)
