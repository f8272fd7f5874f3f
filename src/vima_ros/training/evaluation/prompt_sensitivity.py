"""Prompt sensitivity: what a policy solves with a varied prompt beside what it solves without.

Every varied episode has its pair, the episode of the same task, seed and detector as written.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from vima_ros.errors import VimaError
from vima_ros.sim.prompt_variations import PromptVariation
from vima_ros.sim.tasks import find_task
from vima_ros.tables import format_table
from vima_ros.training.evaluation.paired_comparison import PairedOutcomes
from vima_ros.training.evaluation.policy_rollouts import Attempt, Job

ALL_TASKS = "all of these tasks"
SENSITIVITY_NOTE = (
    "Paired by seed. difference: percentage points, with Newcombe's 95 % interval for pairs; "
    "lost, gained: episodes solved only as written, only with the variation; p: McNemar's exact "
    "test. Tasks with a single image have none to swap."
)


@dataclass(frozen=True)
class PromptComparison:
    """Outcomes of one task with the prompt as written (first) and with a variation (second)."""

    task: str
    detector: str
    variation: PromptVariation
    outcomes: PairedOutcomes

    def describe(self) -> dict[str, Any]:
        """Return the counts with their rates, intervals and p value, for JSON."""
        pairs = self.outcomes
        return {
            "task": self.task,
            "detector": self.detector,
            "variation": self.variation.value,
            "solved_both": pairs.both,
            "solved_only_as_written": pairs.only_first,
            "solved_only_varied": pairs.only_second,
            "solved_neither": pairs.neither,
            "as_written_interval": pairs.first.interval,
            "varied_interval": pairs.second.interval,
            "difference": pairs.difference,
            "difference_interval": pairs.interval,
            "p_value": pairs.p_value,
        }

    def summary(self) -> str:
        """Return the counts and the difference in one line, for a model card."""
        pairs = self.outcomes
        low, high = (round(100 * end) for end in pairs.interval)
        return (
            f"{pairs.second.successes} of {pairs.episodes}, as written {pairs.first.successes}; "
            f"difference {100 * pairs.difference:+.0f} points, 95 %: {low:+d} to {high:+d}"
        )


def add_variations(jobs: Sequence[Job], variations: Sequence[PromptVariation]) -> list[Job]:
    """Return the jobs, each followed by one per variation that applies to its task.

    Raises VimaError (INVALID_VALUE) for SWAPPED_IMAGES where no task has several images.
    """
    tasks = {job.task: find_task(job.task) for job in jobs}
    swapped = PromptVariation.SWAPPED_IMAGES
    if jobs and swapped in variations and not any(map(swapped.applies_to, tasks.values())):
        raise VimaError(
            "INVALID_VALUE",
            f"--swap-pictures with {', '.join(tasks)}, whose prompts have one image each; "
            "valid: a task with several",
        )
    return [
        replace(job, variation=variation)
        for job in jobs
        for variation in (PromptVariation.AS_WRITTEN, *variations)
        if variation.applies_to(tasks[job.task])
    ]


def compare_prompts(attempts: Sequence[Attempt]) -> list[PromptComparison]:
    """Compare each variation with the prompt as written: by task, and over all of its tasks."""
    written = {
        _episode(a.job): a.success
        for a in attempts
        if a.job.variation == PromptVariation.AS_WRITTEN
    }
    pairs: dict[tuple[str, PromptVariation, str], list[tuple[bool, bool]]] = {}
    for attempt in sorted(attempts, key=lambda a: _episode(a.job)):
        job = attempt.job
        if job.variation == PromptVariation.AS_WRITTEN:
            continue
        outcome = written[_episode(job)], attempt.success
        for task in (job.task, ALL_TASKS):
            pairs.setdefault((job.detector, job.variation, task), []).append(outcome)
    order = list(PromptVariation)
    ranked = sorted(
        pairs.items(),
        key=lambda item: (
            item[0][0],
            order.index(item[0][1]),
            item[0][2] == ALL_TASKS,
            item[0][2],
        ),
    )
    return [
        PromptComparison(task, detector, variation, PairedOutcomes.count(found))
        for (detector, variation, task), found in ranked
    ]


def sensitivity_table(comparisons: Sequence[PromptComparison]) -> str:
    """Format a row per comparison."""
    columns = ["prompt", "task", "objects by", "as written", "varied", "95 %", "difference"]
    columns += ["95 %", "lost", "gained", "p"]
    return format_table(columns, [_row(comparison) for comparison in comparisons])


def summaries(comparisons: Sequence[PromptComparison]) -> dict[str, dict[str, dict[str, str]]]:
    """Return {detector: {variation: {task: summary}}} for a model card."""
    found: dict[str, dict[str, dict[str, str]]] = {}
    for c in comparisons:
        by_task = found.setdefault(c.detector, {}).setdefault(c.variation.value, {})
        by_task[c.task] = c.summary()
    return found


def _row(comparison: PromptComparison) -> list[str]:
    pairs = comparison.outcomes
    low, high = (round(100 * end) for end in pairs.interval)
    varied_low, varied_high = (round(100 * end) for end in pairs.second.interval)
    return [
        comparison.variation.value,
        comparison.task,
        comparison.detector,
        f"{pairs.first.successes}/{pairs.episodes}",
        f"{pairs.second.successes}/{pairs.episodes}",
        f"{varied_low} to {varied_high} %",
        f"{100 * pairs.difference:+.0f}",
        f"{low:+d} to {high:+d}",
        str(pairs.only_first),
        str(pairs.only_second),
        f"{pairs.p_value:.2g}",
    ]


def _episode(job: Job) -> tuple[str, str, int]:
    return job.task, job.detector, job.seed
