"""Evaluate policies of several conditionings on the same episodes, and write the table.

``./vima exec python tools/compare_conditionings.py --policies vima=runs/vima/policy.safetensors
gpt=runs/gpt/policy.safetensors --out comparison``

Each ended episode is a line of OUT/attempts.jsonl; called again with the same folder it continues,
and episodes of a checkpoint that has changed since are run again. OUT/conditioning.md has the
success rates with Wilson's 95 % intervals. It trains nothing: docs/results/conditioning.md has the
commands that do.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vima_ros.files import prepare_folder, write_atomic
from vima_ros.policy.checkpoints.load import load_policy
from vima_ros.sim.tasks.base import Level
from vima_ros.tables import format_table
from vima_ros.training.evaluation.detector_frames import FIRST_EVALUATION_SEED
from vima_ros.training.evaluation.policy_rollouts import NO_DETECTOR, Job, Rate, attempt_all

TASKS = ("visual_manipulation", "rotate", "novel_noun", "rearrange", "follow_order")
LEVELS = (Level.PLACEMENT.value, Level.NOVEL_OBJECT.value)  # 1 and 3
ATTEMPTS, PAGE = "attempts.jsonl", "conditioning.md"


@dataclass(frozen=True)
class Contender:
    """A policy to compare: its name in the table, its file and what is known of it."""

    name: str
    path: str
    sha256: str
    detector: str
    card: Mapping[str, Any]


def main() -> None:
    """Evaluate what is not evaluated yet, then write the page."""
    options = parse(sys.argv[1:])
    prepare_folder(options.out)
    contenders = [contender(text, options.detector) for text in options.policies]
    record = options.out / ATTEMPTS
    known = read(record)
    jobs = {}
    for c in contenders:
        for level in options.levels:
            for task in options.tasks:
                for seed in range(options.first_seed, options.first_seed + options.seeds):
                    key = (c.sha256, c.detector, level, task, seed)
                    if key not in known:
                        jobs[key] = Job(task, level, seed, c.path, c.detector)
    print(f"{len(known)} episodes known, {len(jobs)} to run", file=sys.stderr)
    keys = {job: key for key, job in jobs.items()}
    with record.open("a") as file:
        for ended in attempt_all(list(keys), options.workers):
            known[keys[ended.job]] = fact = {
                "key": keys[ended.job],
                "code": ended.code,
                "steps": ended.steps,
                "seconds": ended.seconds,
            }
            file.write(json.dumps(fact) + "\n")
            file.flush()
    page = format_page(contenders, known, options)
    write_atomic(options.out / PAGE, page.encode())
    print(page)


def parse(args: Sequence[str]) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--policies", nargs="+", required=True, metavar="NAME=FILE")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--tasks", nargs="+", default=TASKS)
    parser.add_argument("--levels", nargs="+", default=LEVELS)
    parser.add_argument("--seeds", type=int, default=50)
    parser.add_argument("--first-seed", type=int, default=FIRST_EVALUATION_SEED)
    parser.add_argument(
        "--detector",
        default="ground_truth_masks",
        help="Detector of the policies that read objects",
    )
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    return parser.parse_args(args)


def contender(text: str, detector: str) -> Contender:
    """Load what is compared from NAME=FILE. Raises SystemExit for anything else."""
    name, equals, path = text.partition("=")
    if not equals:
        raise SystemExit(f"--policies {text}; valid: NAME=FILE")
    policy = load_policy(Path(path))
    of_images = policy.inputs.observation == "images"
    sha256 = policy.description["sha256"][:12]
    used = NO_DETECTOR if of_images else detector
    return Contender(name, path, sha256, used, policy.description["card"])


def read(record: Path) -> dict[tuple, dict[str, Any]]:
    """Read the episodes that have ended before; remove a line that was cut off."""
    text = record.read_text() if record.exists() else ""
    whole, newline, cut = text.rpartition("\n")
    if cut:
        write_atomic(record, (whole + newline).encode())
    facts = [json.loads(line) for line in whole.splitlines()]
    return {tuple(fact["key"]): fact for fact in facts}


def format_page(
    contenders: Iterable[Contender],
    known: Mapping[tuple, Mapping[str, Any]],
    options: argparse.Namespace,
) -> str:
    """Format the success rates by level and task, and what was compared."""
    parts, seconds = [], 0.0
    for level in options.levels:
        rows = []
        for c in contenders:
            total, row = 0, [c.name]
            for task in options.tasks:
                facts = [
                    known[c.sha256, c.detector, level, task, seed]
                    for seed in range(options.first_seed, options.first_seed + options.seeds)
                ]
                solved = sum(fact["code"] == "SUCCESS" for fact in facts)
                seconds += sum(fact["seconds"] for fact in facts)
                total += solved
                row.append(share(Rate(solved, len(facts))))
            rows.append([*row, share(Rate(total, len(options.tasks) * options.seeds))])
        parts += [f"### `{level}`", format_table(["policy", *options.tasks, "all"], rows)]
    rows = []
    for c in contenders:
        trained = (c.card.get("run") or {}).get("configuration", {})
        demonstrations = trained.get("data", {}).get("episodes", {})
        rows.append(
            [
                c.name,
                f"{c.card['parameters'] / 1e6:.2f} M",
                str(sum(demonstrations.values())),
                str(c.card.get("step", "")),
                str(trained.get("recipe", {}).get("batch_size", "")),
                c.detector,
                c.sha256,
            ]
        )
    columns = ["policy", "parameters", "demonstrations", "steps", "batch", "objects by", "sha256"]
    last = options.first_seed + options.seeds - 1
    parts.append("### Policies")
    parts.append(format_table(columns, rows))
    parts.append(
        f"Seeds {options.first_seed} to {last} of each task, {seconds / 3600:.1f} hours of "
        "episodes. In brackets Wilson's 95 % interval."
    )
    return "\n\n".join(parts) + "\n"


def share(rate: Rate) -> str:
    """Format a success rate and its interval [%]."""
    low, high = rate.interval
    return f"{100 * rate.share:.0f} ({100 * low:.0f} to {100 * high:.0f})"


if __name__ == "__main__":
    main()
