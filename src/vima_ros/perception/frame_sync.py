"""Synchronization of the images of several cameras by their stamps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from vima_ros.errors import VimaError

RESET_NS = 2_000_000_000  # [ns] late arrival is milliseconds; further back, the clock was set


class StampSynchronizer:
    """Joins items of several ``keys`` whose stamps lie within ``slop_ns`` of each other.

    At most ``depth`` items wait per key; the oldest goes first. An item is used at most once.
    An item not newer than the one of its key in the last set comes too late and is dropped. A
    stamp more than ``reset_ns`` older than the newest of its key means that the clock was set
    back: everything waiting is forgotten and the item starts afresh.

    Pure and not thread-safe. Raises VimaError (INVALID_VALUE) for settings or keys it cannot use.
    """

    def __init__(
        self, keys: Sequence[str], slop_ns: int, depth: int = 10, *, reset_ns: int = RESET_NS
    ) -> None:
        if len(keys) == 0 or len(set(keys)) != len(keys):
            raise VimaError("INVALID_VALUE", f"keys {list(keys)}; valid: one or more, each once")
        for name, value, minimum in (("slop_ns", slop_ns, 0), ("depth", depth, 1)):
            if value < minimum:
                raise VimaError("INVALID_VALUE", f"{name} is {value}; valid: {minimum} or more")
        if reset_ns <= slop_ns:
            raise VimaError(
                "INVALID_VALUE", f"reset_ns is {reset_ns}; valid: more than slop_ns {slop_ns}"
            )
        self._keys = tuple(keys)
        self._slop_ns = slop_ns
        self._depth = depth
        self._reset_ns = reset_ns
        self.clear()

    def clear(self) -> None:
        """Return to the initial state."""
        self._waiting: dict[str, dict[int, Any]] = {key: {} for key in self._keys}
        self._used: dict[str, int] = {}  # stamps of the last set
        self._newest: dict[str, int] = {}

    def add(self, key: str, stamp_ns: int, item: Any) -> dict[str, tuple[int, Any]] | None:
        """Add ``item``; return the newest complete set {key: (stamp, item)} if there is one.

        Newest: the largest stamp in it is as large as possible, and each key gives its newest
        item up to that stamp. Everything older than the set is dropped. A second item with the
        key and stamp of a waiting one replaces it.
        """
        if key not in self._waiting:
            raise VimaError("INVALID_VALUE", f"key {key!r}; valid: {', '.join(self._keys)}")
        if stamp_ns < self._newest.get(key, stamp_ns) - self._reset_ns:
            self.clear()
        self._newest[key] = max(stamp_ns, self._newest.get(key, stamp_ns))
        if key in self._used and stamp_ns <= self._used[key]:
            return None
        waiting = self._waiting[key]
        waiting[stamp_ns] = item
        if len(waiting) > self._depth:
            del waiting[min(waiting)]
        return self._take()

    def _take(self) -> dict[str, tuple[int, Any]] | None:
        """Remove and return the newest complete set, None if there is none."""
        every = {stamp for waiting in self._waiting.values() for stamp in waiting}
        for last in sorted(every, reverse=True):
            stamps = {
                key: max((stamp for stamp in waiting if stamp <= last), default=None)
                for key, waiting in self._waiting.items()
            }
            chosen = {key: stamp for key, stamp in stamps.items() if stamp is not None}
            if len(chosen) < len(self._keys):
                return None  # nor will smaller stamps do
            if last - min(chosen.values()) <= self._slop_ns:
                found = {key: (stamp, self._waiting[key][stamp]) for key, stamp in chosen.items()}
                self._drop(chosen)
                return found
        return None

    def _drop(self, stamps: dict[str, int]) -> None:
        self._used = stamps
        for key, used in stamps.items():
            waiting = self._waiting[key]
            self._waiting[key] = {stamp: waiting[stamp] for stamp in waiting if stamp > used}
