"""Diagnostics of a node: its health, its rate and latencies, its last refusal."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue

from vima_ros.nodes.common import qos

if TYPE_CHECKING:
    from vima_ros.nodes.common.lifecycle_node import VimaNode

DIAGNOSTICS_PERIOD = 1.0  # [s]
MAX_SAMPLES = 200  # results that the latencies are computed from
RATE_WINDOW = 10.0  # [s]


class PerformanceStatistics:
    """Rate and latencies of a node's results, and its last refusal.

    ``clock`` returns seconds that only go forward.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._results: deque[float] = deque(maxlen=1000)
        self._durations: dict[str, deque[float]] = {}
        self._refusal, self._refused_at = "", 0.0

    def record_result(self, durations: Mapping[str, float]) -> None:
        """Record a result and the durations of its stages [s], in the order to publish them in."""
        self._results.append(self._clock())
        for stage, seconds in durations.items():
            self._durations.setdefault(stage, deque(maxlen=MAX_SAMPLES)).append(seconds)

    def record_refusal(self, code: str, message: str) -> None:
        """Record that something was refused."""
        self._refusal, self._refused_at = f"{code}: {message}", self._clock()

    def clear(self) -> None:
        """Discard everything recorded."""
        self._results.clear()
        self._durations.clear()
        self._refusal = ""

    def values(self) -> dict[str, Any]:
        """Return the values for diagnostics, without those of which nothing is recorded.

        ``rate [Hz]`` over the last RATE_WINDOW, ``age [s]`` of the latest result, ``latency``:
        {"STAGE [ms]": "median 3.1, p99 7.9"} of the last MAX_SAMPLES results, ``last refusal``.
        """
        now = self._clock()
        values: dict[str, Any] = {}
        if self._results:
            recent = sum(now - at <= RATE_WINDOW for at in self._results)
            values["rate [Hz]"] = round(recent / RATE_WINDOW, 2)
            values["age [s]"] = round(now - self._results[-1], 1)
        if self._refusal:
            values["last refusal"] = f"{self._refusal} ({now - self._refused_at:.0f} s ago)"
        latency = {}
        for stage, durations in self._durations.items():
            median, p99 = 1e3 * np.percentile(list(durations), (50, 99))
            latency[f"{stage} [ms]"] = f"median {median:.1f}, p99 {p99:.1f}"
        return values | ({"latency": latency} if latency else {})


class DiagnosticsPublisher:
    """Publishes ``/diagnostics`` once per DIAGNOSTICS_PERIOD.

    ``diagnose`` returns whether the node is healthy, a sentence for a person, and values.
    """

    def __init__(
        self, node: VimaNode, diagnose: Callable[[], tuple[bool, str, Mapping[str, Any]]]
    ) -> None:
        self._node, self._diagnose = node, diagnose
        self._publisher = node.create_publisher(DiagnosticArray, "/diagnostics", qos.RELIABLE)
        node.create_timer(DIAGNOSTICS_PERIOD, self._publish, clock=node.steady_clock)

    def _publish(self) -> None:
        healthy, sentence, values = self._diagnose()
        status = DiagnosticStatus(
            level=DiagnosticStatus.OK if healthy else DiagnosticStatus.WARN,
            name=self._node.get_fully_qualified_name(),
            hardware_id="vima_ros",
            message=sentence,
            values=[KeyValue(key=key, value=value) for key, value in _flatten(values)],
        )
        message = DiagnosticArray(status=[status])
        message.header.stamp = self._node.get_clock().now().to_msg()
        self._publisher.publish(message)


def _flatten(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield key and text of each value; nested keys are joined, as in ``config.embed_dim``."""
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", str(value)
