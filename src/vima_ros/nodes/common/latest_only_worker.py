"""A thread that works on the newest item only."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class NewestOnly(Generic[T]):
    """Calls ``work`` with the newest item that was put, in one thread of its own.

    There is one place to wait: an item put while another waits there replaces it, and ``dropped``
    counts it. The last one put is always worked on, unless cleared or closed before its turn.
    ``work`` must not raise.
    """

    def __init__(self, work: Callable[[T], None]) -> None:
        self.dropped = 0
        self._work = work
        self._waiting: T | None = None
        self._closed = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="eyes", daemon=True)
        self._thread.start()

    def put(self, item: T) -> None:
        """Return at once; ``work`` has it as soon as it is done with what it is at."""
        with self._changed:
            self.dropped += self._waiting is not None
            self._waiting = item
            self._changed.notify()

    def clear(self) -> None:
        """Forget what waits."""
        with self._changed:
            self._waiting = None

    def close(self) -> None:
        """Forget what waits, and return once ``work`` is done with what it is at."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._closed or self._waiting is not None)
                if self._closed:
                    return
                item, self._waiting = self._waiting, None
            assert item is not None  # wait_for
            self._work(item)
