"""Measurement in turns, and the spread of what was measured."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from vima_ros.benchmarks.policy.cases import Times

Spread = dict[str, float]


def spread(values: Sequence[float]) -> Spread:
    """Return median and quartiles."""
    low, median, high = np.percentile(values, (25, 50, 75)).tolist()
    return {"median": median, "low": low, "high": high}


def by_stage(times: Sequence[Times]) -> dict[str, Spread]:
    """Return median and quartiles of each stage."""
    return {stage: spread([time[stage] for time in times]) for stage in times[0]}


def in_turns(
    groups: Sequence[Mapping[str, Callable[[], Times]]], repeat: int
) -> dict[str, list[Times]]:
    """Run every case once in each of ``repeat`` turns, after a warm-up turn.

    The cases of a group share weights. At the start of each turn its first runs once without
    counting, so that it finds the weights in the caches as the others do.
    """
    samples: dict[str, list[Times]] = {name: [] for group in groups for name in group}
    for _ in range(1 + repeat):
        for group in groups:
            next(iter(group.values()))()
            for name, case in group.items():
                samples[name].append(case())
    return {name: times[1:] for name, times in samples.items()}
