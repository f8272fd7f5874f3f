"""Training interrupted at random moments and resumed each time, beside the same in one go.

    ./vima exec python test/faults/training_interrupts.py --steps 300 --interrupts 30 --seed 1
    ./vima --train exec python test/faults/training_interrupts.py --program train_detector

prints a table; exit code 1 where the weights differ in a bit, or something else went wrong.
"""

import argparse
import collections
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import torch
import yaml
from ament_index_python.packages import get_package_prefix
from safetensors.torch import load_file

from vima_ros.policy.checkpoints.load import SMALL
from vima_ros.training.data.collect import CollectionPlan, collect
from vima_ros.training.run_directory import CHECKPOINT, read_progress

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGKILL)
START_SHARE = 0.2  # of the interrupts come before training begins
CHECKPOINT_EVERY = 0.02  # [min]
TIMEOUT = 600.0  # of one call [s]
WEIGHTS = {"train_policy": "policy.safetensors", "train_detector": "detector.safetensors"}
RECIPES = {
    "train_policy": {
        "network": SMALL,
        "recipe": {"batch_size": 4, "micro_batches": 2, "warmup_steps": 5, "learning_rate": 3e-3},
    },
    "train_detector": {"recipe": {"batch_size": 1, "warmup_steps": 5}},
}
BEGUN = re.compile(r"(?:resumed at|begins at) step (\d+)")
KEPT = re.compile(r"interrupted: checkpoint of step (\d+)")


class Call:
    """A running training program; ``begun`` is set when its first step begins."""

    def __init__(self, command: list[str]) -> None:
        self.lines: list[str] = []
        self.begun = threading.Event()
        self._process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"},
        )  # fmt: skip
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        for line in self._process.stderr:
            self.lines.append(line)
            if BEGUN.search(line):
                self.begun.set()
        self.begun.set()

    def wait(self, timeout: float) -> int | None:
        """The exit code; None where it still runs."""
        try:
            return self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            return None

    def end(self, number: signal.Signals) -> int:
        self._process.send_signal(number)
        code = self.wait(TIMEOUT)
        self.close()
        return code

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        self._reader.join()

    def step(self, pattern: re.Pattern) -> int | None:
        found = [pattern.search(line) for line in self.lines]
        return next((int(match[1]) for match in found if match), None)


class TrainingInterrupts:
    """``run`` fills ``faults``, and ``table`` shows what happened."""

    def __init__(self, program: str, steps: int, interrupts: int, seed: int, folder: Path) -> None:
        self.program, self.steps, self.interrupts = program, steps, interrupts
        self.random, self.folder = random.Random(seed), folder
        self.faults: list[str] = []
        self.counts = collections.Counter()
        self.compared = 0  # runs with the one in one go

    def run(self) -> None:
        content = "crops" if self.program == "train_policy" else "masks"
        tasks = ("visual_manipulation", "rotate")
        for _ in collect(
            CollectionPlan(
                self.folder / "data", tasks, 4, 10, content=content, deterministic_oracle=True
            )
        ):
            pass
        (self.folder / "recipe.yaml").write_text(yaml.safe_dump(RECIPES[self.program]))
        began = time.monotonic()
        whole = self._call("whole", CHECKPOINT_EVERY * 1000)
        whole.begun.wait(TIMEOUT)
        self.starting, begun = time.monotonic() - began, time.monotonic()
        self._finish(whole)
        self.seconds_per_step = (time.monotonic() - begun) / self.steps
        step, number = 0, 0
        while number < self.interrupts:
            reached = self._interrupt(number, step)
            if reached is None:  # all was trained before the signal: compare, and once more
                self._compare()
                step = 0
            else:
                step, number = reached, number + 1
        self._finish(self._call(self.parts, CHECKPOINT_EVERY))
        self._compare()

    def _call(self, name: str, minutes: float) -> Call:
        program = Path(get_package_prefix("vima_ros")) / "lib" / "vima_ros" / self.program
        command = [sys.executable, program, "--data", self.folder / "data"]
        command += ["--out", self.folder / name, "--config", self.folder / "recipe.yaml"]
        command += ["--steps", self.steps, "--checkpoint-every", minutes]
        if self.program == "train_policy":
            command += ["--workers", self.random.choice((0, 1))]
        return Call([str(word) for word in command])

    def _finish(self, call: Call) -> None:
        code = call.wait(TIMEOUT)
        call.close()
        self._check(call, code == 0, f"exit code {code}, not 0")

    def _interrupt(self, number: int, before: int) -> int | None:
        """One call, ended at a random moment; the step that its checkpoint has at least.

        None: it had ended before.
        """
        chosen = SIGNALS[number % len(SIGNALS)]
        call = self._call(self.parts, CHECKPOINT_EVERY)
        if self.random.random() < START_SHARE:
            code = call.wait(self.random.uniform(0.0, self.starting))
        else:
            call.begun.wait(TIMEOUT)
            left = (self.steps - before) * self.seconds_per_step
            code = call.wait(self.random.uniform(0.0, 2 * left / (self.interrupts + 1 - number)))
        if code is not None:
            call.close()
            self._check(call, code == 0, f"exit code {code} before any signal")
            return None
        code = call.end(chosen)
        self.counts[chosen.name] += 1
        expected = -chosen if chosen == signal.SIGKILL else 128 + chosen
        # A signal in the last moments comes too late to change anything.
        self._check(call, code in (expected, 0), f"exit code {code} after {chosen.name}")
        begun, kept = call.step(BEGUN), call.step(KEPT)
        if begun is not None:
            self._check(call, begun >= before, f"resumed at step {begun}, had reached {before}")
            there = (self.folder / self.parts / CHECKPOINT).exists()
            self._check(call, there or chosen == signal.SIGKILL, f"{chosen.name}: no checkpoint")
        return max(before, begun or 0, kept or 0)

    def _check(self, call: Call, right: bool, fault: str) -> None:
        output = "".join(call.lines)
        if not right:
            self.faults.append(f"{fault}:\n{output}")
        if "Traceback" in output:
            self.faults.append(f"traceback:\n{output}")

    def _compare(self) -> None:
        whole, parts = (
            self.folder / name / WEIGHTS[self.program] for name in ("whole", self.parts)
        )
        if not (whole.exists() and parts.exists()):
            self.faults.append("no weights written")
        else:
            one, other = load_file(whole), load_file(parts)
            different = [name for name in one if not torch.equal(one[name], other[name])]
            if different or one.keys() != other.keys():
                self.faults.append(f"{len(different)} weights differ: {different[:3]}")
        steps = [record["step"] for record in read_progress(self.folder / self.parts)]
        if steps != sorted(set(steps)):
            self.faults.append(f"steps in progress.jsonl: {steps}")
        self.compared += 1

    @property
    def parts(self) -> str:
        """The folder of the present interrupted run."""
        return f"parts{self.compared}"

    def table(self) -> str:
        rows = [f"| {name} | {count} |" for name, count in sorted(self.counts.items())]
        right = f"{self.compared} interrupted run(s) ended with the same weights, bit by bit"
        result = "; ".join(self.faults) or right
        return "\n".join(["| ended by | times |", "|---|---|", *rows, "", result])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--program", choices=sorted(WEIGHTS), default="train_policy")
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--interrupts", type=int, default=30)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        interrupts = TrainingInterrupts(
            options.program, options.steps, options.interrupts, options.seed, Path(folder)
        )
        interrupts.run()
        print(interrupts.table())
    sys.exit(1 if interrupts.faults else 0)


if __name__ == "__main__":
    main()
