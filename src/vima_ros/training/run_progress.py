"""Progress of a training run: reports, checkpoints, resuming."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel

from vima_ros.errors import VimaError
from vima_ros.training.run_directory import (
    append_progress,
    cut_progress,
    load_checkpoint,
    lock,
    save_checkpoint,
)


@dataclass(frozen=True)
class Schedule:
    """Schedule of a run's reports, checkpoints and stop.

    It reports after ``report_every`` steps or ``report_period`` [s], whichever is first, once
    already ``first_report`` [s] after its start. It is saved every ``checkpoint_period`` [s], at
    the end, and at the end of the step during which ``stop`` becomes true. ``pause_at``: the step
    after which it pauses, 0: none. ``log`` is called with what a person should know.
    """

    report_every: int = 100
    report_period: float = 50.0
    first_report: float = 15.0
    checkpoint_period: float = 180.0
    stop: Callable[[], bool] = lambda: False
    pause_at: int = 0
    log: Callable[[str], None] = lambda text: None


class Run:
    """A run in a folder locked against other processes, from its checkpoint on.

    ``writes``: False in a process that trains together with the one that writes and has the lock.

    Raises VimaError: RUN_IN_USE, BAD_CHECKPOINT, CANNOT_WRITE.
    """

    def __init__(
        self,
        folder: Path,
        steps: int,
        model: torch.nn.Module,
        averaged: AveragedModel,
        optimizer: torch.optim.Optimizer,
        schedule: Schedule,
        writes: bool = True,
    ) -> None:
        self._lock = lock(folder) if writes else None
        self._writes = writes
        self._folder, self._steps, self._schedule = folder, steps, schedule
        self._state = model, averaged, optimizer
        self.step, sums = load_checkpoint(folder, *self._state)
        self._count = sums.pop("", 0.0)
        self._sums: dict[str, Any] = dict(sums)
        if writes:
            cut_progress(folder, self.step)
        if self.step:
            schedule.log(f"resumed at step {self.step} of {steps}")
        else:
            schedule.log(f"no checkpoint in {folder}: begins at step 0 of {steps}")
        self.end = min(steps, schedule.pause_at or steps)  # where this piece of the run ends
        self._saved_step, self._saved = self.step, time.monotonic()
        self._reported_step, self._reported = self.step, time.monotonic()
        self._next_report = self._reported + min(schedule.first_report, schedule.report_period)

    def add(self, losses: Mapping[str, Tensor]) -> None:
        """Add the losses of a batch to the next report. Does not wait for a GPU."""
        for name, value in losses.items():
            self._sums[name] = self._sums.get(name, 0.0) + value.detach().double()
        self._count += 1.0

    def ends_step(self) -> bool:
        """Count a step; return whether a report is due."""
        self.step += 1
        return (
            self.step == self.end
            or self.step % self._schedule.report_every == 0
            or time.monotonic() >= self._next_report
        )

    def take_losses(self) -> dict[str, float]:
        """Return and reset the mean losses since the last report."""
        means = {name: value / self._count for name, value in self._loss_sums().items()}
        self._sums, self._count = {}, 0.0
        return means

    def steps_per_s(self) -> float:
        """Compute the steps per second since the last report [1/s]."""
        seconds = time.monotonic() - self._reported
        return (self.step - self._reported_step) / max(seconds, 1e-9)

    def report(self, progress: Mapping[str, Any]) -> None:
        """Append ``progress`` to the run's file."""
        try:
            append_progress(self._folder, progress)
        except VimaError as error:
            self._schedule.log(f"{error.code}: {error}; training goes on")
        self._reported_step, self._reported = self.step, time.monotonic()
        self._next_report = self._reported + self._schedule.report_period

    def goes_on(self, stop: bool | None = None) -> bool:
        """Save a checkpoint where one is due; return whether there is another step to do.

        ``stop``: of all processes together; None: the schedule's.

        Raises VimaError (CANNOT_WRITE) where the last one cannot be written.
        """
        stop = self._schedule.stop() if stop is None else stop
        last = stop or self.step == self.end
        due = time.monotonic() - self._saved >= self._schedule.checkpoint_period
        if self._writes and (last or due):
            self._save(last)
        if last and self.step < self._steps:
            self._schedule.log(
                f"{'interrupted' if stop else 'paused'}: checkpoint of step {self.step} of "
                f"{self._steps} is in {self._folder}; the same command resumes there"
            )
        if last and self._lock is not None:
            self._lock.close()
        return not last

    def _save(self, last: bool) -> None:
        try:
            save_checkpoint(
                self._folder, self.step, *self._state, {**self._loss_sums(), "": self._count}
            )
        except VimaError as error:
            kept = f"the checkpoint of step {self._saved_step} stays"
            kept = kept if self._saved_step else "there is no checkpoint before"
            if last:
                raise VimaError(error.code, f"{error}; {kept}") from error
            self._schedule.log(f"{error.code}: {error}; {kept}; training goes on")
        else:
            self._saved_step = self.step
        self._saved = time.monotonic()

    def _loss_sums(self) -> dict[str, float]:
        return {name: float(value) for name, value in self._sums.items()}


def seed_step(seed: int, step: int, part: int = 0) -> None:
    """Seed all random number generators from ``seed``, ``step`` and the part of its batch."""
    number = seed * 1_000_003 + step + part * 2**40
    torch.manual_seed(number)
    random.seed(number)
    np.random.seed(number % 2**32)
