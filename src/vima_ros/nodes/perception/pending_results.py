"""Results on their way from the worker's thread to the executor's, which publishes them."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator

from vima_ros.nodes.perception.image_pair import ImagePair
from vima_ros.perception.pipeline import PerceptionResult

MAX_PENDING = 10  # where the executor is held up


class PendingResults:
    """Queue of the results to publish.

    The worker's thread puts, the executor's takes and clears; a deque needs no lock for either.
    At most MAX_PENDING wait: beyond that the oldest is dropped, which ``dropped`` counts.
    """

    def __init__(self) -> None:
        self.dropped = 0
        self._queue: deque[tuple[ImagePair, PerceptionResult, float]] = deque(maxlen=MAX_PENDING)

    def put(self, pair: ImagePair, result: PerceptionResult) -> None:
        """Queue a result."""
        self.dropped += len(self._queue) == MAX_PENDING
        self._queue.append((pair, result, time.monotonic()))

    def take(self) -> Iterator[tuple[ImagePair, PerceptionResult]]:
        """Yield each result and remove it, with the time that it waited as ``handover``."""
        while self._queue:
            pair, result, done = self._queue.popleft()
            result.times["handover"] = time.monotonic() - done
            yield pair, result

    def clear(self) -> None:
        """Discard the results that wait."""
        self._queue.clear()
