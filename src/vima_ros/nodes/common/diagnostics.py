"""What a node tells of its work in diagnostics: how often, how long ago, how long, refused why."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

KEPT = 200  # runs
RATE_WINDOW = 10.0  # [s]


class Meter:
    """Counts a node's results and refusals; ``clock`` gives seconds that only go forward."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._done: deque[float] = deque(maxlen=1000)
        self._times: dict[str, deque[float]] = {}
        self._refusal, self._refused_at = "", 0.0

    def worked(self, times: Mapping[str, float]) -> None:
        """One result, and how long its stages took [s], in the order in which to tell them."""
        self._done.append(self._clock())
        for stage, seconds in times.items():
            self._times.setdefault(stage, deque(maxlen=KEPT)).append(seconds)

    def refused(self, code: str, message: str) -> None:
        """Something was refused."""
        self._refusal, self._refused_at = f"{code}: {message}", self._clock()

    def clear(self) -> None:
        """Forget all."""
        self.__init__(self._clock)  # type: ignore[misc]

    def values(self) -> dict[str, Any]:
        """For diagnostics; what never happened is left out.

        ``rate [Hz]`` over the last RATE_WINDOW, ``age [s]`` of the latest result, ``latency``:
        {"STAGE [ms]": "median 3.1, p99 7.9"} of the last KEPT results, ``last refusal``.
        """
        now, told = self._clock(), {}
        if self._done:
            recent = sum(now - at <= RATE_WINDOW for at in self._done)
            told["rate [Hz]"] = round(recent / RATE_WINDOW, 2)
            told["age [s]"] = round(now - self._done[-1], 1)
        if self._refusal:
            told["last refusal"] = f"{self._refusal} ({now - self._refused_at:.0f} s ago)"
        latency = {}
        for stage, times in self._times.items():
            median, worst = 1e3 * np.percentile(list(times), (50, 99))
            latency[f"{stage} [ms]"] = f"median {median:.1f}, p99 {worst:.1f}"
        return told | ({"latency": latency} if latency else {})
