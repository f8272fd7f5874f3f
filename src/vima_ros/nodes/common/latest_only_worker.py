"""A worker thread with a queue of depth one that drops the older item."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class LatestOnlyWorker(Generic[T]):
    """Calls ``work`` with the latest item that was put, in a thread named ``name``.

    One item is ``waiting`` at most: an item put while another waits replaces it, and ``dropped``
    counts that. The last item is always processed, unless cleared, or ``closed``, before its turn.
    ``work`` must not raise.
    """

    def __init__(self, work: Callable[[T], None], name: str) -> None:
        self.dropped, self.closed = 0, False
        self.waiting: T | None = None
        self._work = work
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def put(self, item: T) -> None:
        """Queue an item and return at once; ``work`` gets it when it is done with the present."""
        with self._changed:
            self.dropped += self.waiting is not None
            self.waiting = item
            self._changed.notify()

    def clear(self) -> None:
        """Discard the item that waits."""
        with self._changed:
            self.waiting = None

    def close(self) -> None:
        """Discard the item that waits, and return once ``work`` is done with the present one."""
        with self._changed:
            self.closed = True
            self._changed.notify()
        self._thread.join()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self.closed or self.waiting is not None)
                if self.closed:
                    return
                item, self.waiting = self.waiting, None
            assert item is not None  # wait_for
            self._work(item)
