"""Report of a policy's evaluation: tables, images of failures, JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from vima_ros.files import write_atomic, write_image, write_json
from vima_ros.sim.prompt_variations import PromptVariation
from vima_ros.sim.tasks.base import Level
from vima_ros.tables import format_table
from vima_ros.training.evaluation.policy_rollouts import Attempt, rate
from vima_ros.training.evaluation.prompt_sensitivity import (
    SENSITIVITY_NOTE,
    compare_prompts,
    sensitivity_table,
)
from vima_ros.training.evaluation.vima_bench_first_actions import NEAR

REPORT, NUMBERS = "report.md", "report.json"
MAX_IMAGES = 2  # of failures, of each task and detector


def write_report(
    attempts: Sequence[Attempt],
    firsts: Sequence[Mapping[str, Any]],
    facts: Mapping[str, Any],
    out: Path,
) -> str:
    """Write report.md, report.json and images of failures to ``out``; return the report's text.

    Raises VimaError (CANNOT_WRITE).
    """
    groups = _groups(attempts)
    comparisons = compare_prompts(attempts)
    parts = ["# Policy evaluation"]
    if groups:
        parts += ["## Episodes", _episodes(groups), "## What became of the others"]
        parts += [_failures(groups, out)]
    if comparisons:
        parts += ["## Prompt sensitivity", sensitivity_table(comparisons), SENSITIVITY_NOTE]
    if firsts:
        parts += ["## First actions on recorded VIMA-Bench episodes", _firsts(firsts)]
    text = "\n\n".join(parts) + "\n"
    write_atomic(out / REPORT, text.encode())
    numbers = {
        "facts": {key: str(value) for key, value in facts.items()},
        "episodes": [
            {**asdict(a.job), "code": a.code, "reason": a.reason, "steps": a.steps}
            for a in sorted(attempts, key=_order)
        ],
        "prompt_sensitivity": [comparison.describe() for comparison in comparisons],
        "first_actions": list(firsts),
    }
    write_json(out / NUMBERS, numbers)
    return text


def shares_by_task(attempts: Sequence[Attempt]) -> dict[str, dict[str, str]]:
    """Return {detector: {task: success rate with its 95 % interval}} for a model card."""
    shares: dict[str, dict[str, str]] = {}
    for (task, detector), group in _groups(attempts).items():
        score = rate(group)
        low, high = (round(100 * end) for end in score.interval)
        text = f"{score.successes} of {score.episodes}, 95 %: {low} to {high} %"
        shares.setdefault(detector, {})[task] = text
    return shares


def _groups(attempts: Sequence[Attempt]) -> dict[tuple[str, str], list[Attempt]]:
    """Group those with the prompt as written by task (and level, of several) and detector."""
    several = len({attempt.job.level for attempt in attempts}) > 1
    groups: dict[tuple[str, str], list[Attempt]] = {}
    for attempt in sorted(attempts, key=_order):
        if attempt.job.variation == PromptVariation.AS_WRITTEN:
            job = attempt.job
            name = f"{job.level}: {job.task}" if several else job.task
            groups.setdefault((name, job.detector), []).append(attempt)
    return groups


def _order(attempt: Attempt) -> tuple[int, str, str, int, str]:
    job = attempt.job
    return list(Level).index(Level(job.level)), job.task, job.detector, job.seed, job.variation


def _episodes(groups: Mapping[tuple[str, str], list[Attempt]]) -> str:
    """Format the success rate of each task, and the mean over tasks, by detector."""
    rows = []
    for (task, detector), group in groups.items():
        score = rate(group)
        low, high = score.interval
        steps = [a.steps for a in group if a.success]
        rows.append(
            [
                task,
                detector,
                f"{score.successes}/{score.episodes}",
                f"{100 * score.share:.0f} %",
                f"{100 * low:.0f} to {100 * high:.0f} %",
                f"{np.mean(steps):.1f}" if steps else "-",
            ]
        )
    means: dict[tuple[str, str], list[float]] = {}
    for (name, detector), group in groups.items():
        level = name.rpartition(": ")[0]
        means.setdefault((level, detector), []).append(rate(group).share)
    for (level, detector), shares in sorted(means.items()):
        mean = f"{level}: mean of tasks" if level else "mean of tasks"
        rows.append([mean, detector, "", f"{100 * np.mean(shares):.0f} %", "", ""])
    return format_table(["task", "objects by", "solved", "share", "95 %", "steps"], rows)


def _failures(groups: Mapping[tuple[str, str], list[Attempt]], out: Path) -> str:
    lines = []
    for (task, detector), group in groups.items():
        failed = [attempt for attempt in group if not attempt.success]
        codes = Counter(attempt.code for attempt in failed)
        if not failed:
            continue
        counts = ", ".join(f"{code} {count}" for code, count in codes.most_common())
        lines.append(f"- {task}, {detector}: {counts}")
        for attempt in failed[:MAX_IMAGES]:
            name = f"{task.replace(': ', '_')}_{detector}_{attempt.job.seed}.png"
            if attempt.image is not None:
                write_image(out / name, attempt.image)
            lines.append(f"  - [seed {attempt.job.seed}]({name}): {attempt.reason}")
    return "\n".join(lines) or "There were none."


def _firsts(firsts: Sequence[Mapping[str, Any]]) -> str:
    rows = []
    tasks = sorted({first["task"] for first in firsts})
    for task in [*tasks, "all"]:
        of_task = [f for f in firsts if task in (f["task"], "all")]
        near = np.array([[d <= NEAR for d in f["distances"]] for f in of_task]).mean(0)
        right = [f["right_object"] for f in of_task if f["right_object"] is not None]
        rows.append(
            [
                task,
                str(len(of_task)),
                f"{100 * near[0]:.0f} %",
                f"{100 * near[1]:.0f} %",
                f"{100 * np.mean(right):.0f} %" if right else "-",
            ]
        )
    columns = ["task", "episodes", "first pose within 4 cm", "second", "right object"]
    return format_table(columns, rows)
