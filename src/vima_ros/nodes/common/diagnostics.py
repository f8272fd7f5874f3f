"""Diagnostics of a node: a status of each of its functions, its rate and latencies.

With the names and rules of diagnostic_updater, which is on no package index.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue

from vima_ros.nodes.common import qos

if TYPE_CHECKING:
    from vima_ros.nodes.common.lifecycle_node import VimaNode

DIAGNOSTICS_PERIOD = 1.0  # [s]
MAX_SAMPLES = 200  # results that the latencies are computed from
RATE_WINDOW = 10.0  # [s]
LATENCY, MEDIAN, P99 = "latency.", ".median [ms]", ".p99 [ms]"  # parts of keys
OK, WARN, ERROR = DiagnosticStatus.OK, DiagnosticStatus.WARN, DiagnosticStatus.ERROR
STALE = DiagnosticStatus.STALE  # nothing is received by which to judge


@dataclass(frozen=True)
class FunctionStatus:
    """Status of one function of a node; ``level``: OK, WARN, ERROR or STALE.

    ``message``: a sentence for a person; keys of nested ``values`` are joined by dots.
    """

    function: str
    level: bytes
    message: str
    values: Mapping[str, Any] = field(default_factory=dict)  # of any type that has a text


class PerformanceStatistics:
    """Rate and latencies of a node's results, and its last refusal.

    ``clock`` returns seconds that only go forward.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._results: deque[float] = deque(maxlen=1000)
        self._durations: dict[str, deque[float]] = {}
        self._refusal: tuple[str, str, float] | None = None  # code, message, time

    def record_result(self, durations: Mapping[str, float]) -> None:
        """Record a result and the durations of its stages [s], in the order to publish them in."""
        self._results.append(self._clock())
        for stage, seconds in durations.items():
            self._durations.setdefault(stage, deque(maxlen=MAX_SAMPLES)).append(seconds)

    def record_refusal(self, code: str, message: str) -> None:
        """Record that something was refused."""
        self._refusal = code, message, self._clock()

    def clear(self) -> None:
        """Discard everything recorded."""
        self._results.clear()
        self._durations.clear()
        self._refusal = None

    def values(self) -> dict[str, Any]:
        """Return the values for diagnostics, without those of which nothing is recorded.

        ``rate [Hz]`` over the last RATE_WINDOW, ``age [s]`` of the latest result, of the last
        MAX_SAMPLES results ``latency.STAGE.median [ms]`` and ``latency.STAGE.p99 [ms]``, and of
        the ``last refusal`` its code, message and age.
        """
        now = self._clock()
        values: dict[str, Any] = {}
        if self._results:
            recent = sum(now - at <= RATE_WINDOW for at in self._results)
            values["rate [Hz]"] = round(recent / RATE_WINDOW, 2)
            values["age [s]"] = round(now - self._results[-1], 1)
        if self._refusal:
            code, message, at = self._refusal
            values["last refusal"] = {"code": code, "message": message, "age [s]": round(now - at)}
        for stage, durations in self._durations.items():
            median, p99 = 1e3 * np.percentile(list(durations), (50, 99))
            values[f"{LATENCY}{stage}{MEDIAN}"] = f"{median:.1f}"
            values[f"{LATENCY}{stage}{P99}"] = f"{p99:.1f}"
        return values


class DiagnosticUpdater:
    """Publishes ``/diagnostics`` once per DIAGNOSTICS_PERIOD; ``diagnose``: the node's functions.

    The name of a status is ``/NAMESPACE/NODE: FUNCTION``, as diagnostic_updater makes it with
    ``use_fqn``: two robots have two namespaces.
    """

    def __init__(
        self,
        node: VimaNode,
        diagnose: Callable[[], Iterable[FunctionStatus]],
        hardware_id: str = "vima_ros",
    ) -> None:
        self._node, self._diagnose, self._hardware_id = node, diagnose, hardware_id
        self._publisher = node.create_publisher(DiagnosticArray, "/diagnostics", qos.RELIABLE)
        node.create_timer(DIAGNOSTICS_PERIOD, self._publish, clock=node.steady_clock)

    def _publish(self) -> None:
        message = DiagnosticArray(status=[self._to_message(each) for each in self._diagnose()])
        message.header.stamp = self._node.get_clock().now().to_msg()
        self._publisher.publish(message)

    def _to_message(self, status: FunctionStatus) -> DiagnosticStatus:
        return DiagnosticStatus(
            level=status.level,
            name=f"{self._node.get_fully_qualified_name()}: {status.function}",
            hardware_id=self._hardware_id,
            message=status.message,
            values=[KeyValue(key=key, value=value) for key, value in _flatten(status.values)],
        )


def _flatten(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield key and text of each value; nested keys are joined, as in ``config.embed_dim``."""
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", str(value)
