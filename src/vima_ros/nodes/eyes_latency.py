"""How long each stage takes, over the last runs."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

import numpy as np

KEPT = 200  # runs


class Latencies:
    """Median and 99th percentile of each stage's last ``KEPT`` times."""

    def __init__(self) -> None:
        self._times: dict[str, deque[float]] = {}

    def add(self, times: Mapping[str, float]) -> None:
        """Times of one run [s], in the order in which they are to be told."""
        for stage, seconds in times.items():
            self._times.setdefault(stage, deque(maxlen=KEPT)).append(seconds)

    def clear(self) -> None:
        """Forget all."""
        self._times.clear()

    def summary(self) -> dict[str, str]:
        """{"STAGE [ms]": "median 3.1, p99 7.9"}."""
        told = {}
        for stage, times in self._times.items():
            median, worst = 1e3 * np.percentile(list(times), (50, 99))
            told[f"{stage} [ms]"] = f"median {median:.1f}, p99 {worst:.1f}"
        return told
