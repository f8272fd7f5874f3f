"""Plan of the policy benchmark: each size and dtype in a process of its own.

Nothing here imports torch; the processes do (``measures.py``).
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from vima_ros.errors import VimaError
from vima_ros.policy import BUNDLED
from vima_ros.policy.config import PUBLISHED

# What is decided: an episode of random observations, and its prompt.
STEPS, OBJECTS = 8, 8  # of the episode; in each view of a step
HIDDEN = 3  # objects that the front view does not show, in the case of that name
WORDS, IMAGES = 22, 2  # of the prompt; an image has one object in each view: 26 tokens

# How many prompt images, steps of an episode, and objects in each view latents are measured on.
LATENT_COUNTS = {
    "prompt images": (2, 8, 32, 128),
    "frames": (1, 4, 16, 64),
    "objects": (4, 16, 64, 256),
}

BUNDLED_SIZE = "bundled"  # the policy that the node loads by default

DTYPES = {"cpu": ("float32", "bfloat16", "int8"), "cuda": ("float32", "bfloat16")}

Results = dict[str, Any]  # what bench.json holds under "policy"


@dataclass(frozen=True)
class BenchmarkPlan:
    """Settings of the benchmark; ``threads`` 0: PyTorch's default.

    ``sizes``: of the published ones, with random weights, and BUNDLED_SIZE.
    """

    sizes: Sequence[str] = (BUNDLED_SIZE, "2M", "20M", "200M")
    dtypes: Sequence[str] = DTYPES["cpu"]
    device: str = "cpu"
    threads: int = 0
    repeat: int = 15  # turns
    agreement_size: str = "2M"
    agreement_decisions: int = 200

    def __post_init__(self) -> None:
        choices: list[tuple[str, Sequence[str], Collection[str]]] = [
            ("sizes", self.sizes, (BUNDLED_SIZE, *PUBLISHED)),
            ("device", [self.device], DTYPES),
            ("dtypes", self.dtypes, DTYPES.get(self.device, ())),
            ("agreement_size", [self.agreement_size], PUBLISHED),
        ]
        for name, got, valid in choices:
            if not got or not set(got) <= set(valid):
                raise VimaError("BAD_PLAN", f"{name}: {', '.join(got)}; valid: {', '.join(valid)}")
        if self.threads < 0 or self.repeat < 1 or self.agreement_decisions < 1:
            raise VimaError(
                "BAD_PLAN",
                f"{self.threads} threads, {self.repeat} turns, {self.agreement_decisions} "
                "decisions; valid: 0 or more threads, 1 or more of the others",
            )


def run(plan: BenchmarkPlan, progress: Callable[[str], None]) -> Results:
    """Measure everything, one process after the other; ``progress`` gets the next task's name.

    Raises VimaError (BENCH_FAILED) where a process fails; its own words are on stderr.
    """
    machine = {
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "load": os.getloadavg()[0],
        **run_in_process(plan, "describe", device=plan.device),
    }
    cases = []
    for size in plan.sizes:
        with prepare_weights(plan, size, progress) as path:
            for dtype in plan.dtypes:
                progress(f"{size} {dtype}")
                case = run_in_process(
                    plan,
                    "measure_size",
                    path=path,
                    dtype=dtype,
                    device=plan.device,
                    repeat=plan.repeat,
                )
                cases.append({"size": size, "dtype": dtype, **case})
    agreement = {}
    if others := [dtype for dtype in plan.dtypes if dtype != "float32"]:
        progress(f"{plan.agreement_size}: {', '.join(others)} against float32")
        with prepare_weights(plan, plan.agreement_size, progress) as path:
            agreement = run_in_process(
                plan,
                "measure_agreement",
                path=path,
                dtypes=others,
                device=plan.device,
                decisions=plan.agreement_decisions,
            )
    progress("four conditionings at equal size")
    device, repeat = plan.device, plan.repeat
    alike = run_in_process(plan, "measure_conditionings", device=device, repeat=repeat)
    progress("latents over many tokens")
    latents = run_in_process(plan, "measure_latents", device=device, counts=LATENT_COUNTS)
    return {
        "machine": machine,
        "plan": asdict(plan),
        "cases": cases,
        "agreement": agreement,
        "conditionings": alike,
        "latents": latents,
    }


@contextmanager
def prepare_weights(
    plan: BenchmarkPlan, size: str, progress: Callable[[str], None]
) -> Iterator[str]:
    """Yield the bundled weights, or a temporary file of random ones."""
    if size == BUNDLED_SIZE:
        yield str(BUNDLED)
        return
    progress(f"{size}: writing random weights")
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / f"{size}.ckpt")
        run_in_process(plan, "write_checkpoint", path=path, config=asdict(PUBLISHED[size]))
        yield path


def run_in_process(plan: BenchmarkPlan, task: str, **arguments: Any) -> Any:
    """Run the task in a fresh process with the same module path."""
    order = {"task": task, "threads": plan.threads, "arguments": arguments}
    done = subprocess.run(
        [sys.executable, "-m", "vima_ros.benchmarks.policy.measure", json.dumps(order)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        stdout=subprocess.PIPE,
        check=False,
    )
    if done.returncode:
        raise VimaError("BENCH_FAILED", f"{task} ended with code {done.returncode}")
    return json.loads(done.stdout)


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(": ")[1] for line in lines if line.startswith("model name"))
    except (OSError, IndexError, StopIteration):
        return platform.processor() or platform.machine()
