"""Messages collected from a topic, and waits that report what they wait for."""

from __future__ import annotations

import itertools
import os
import sys
import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

from vima_ros.errors import VimaError, WaitTimeoutError

T = TypeVar("T")
CAPACITY = 10_000  # messages of a buffer: half an hour at 5 Hz, and images need a smaller one
REPORT_DELAY = 2.0  # wait before the first report on stderr [s]
REPORT_PERIOD = 10.0  # [s]
POLL_PERIOD = 0.5  # [s]


def wait_with_progress(
    wait: Callable[[float], bool], timeout: float, describe: Callable[[], str] | None
) -> bool:
    """Return whether ``wait`` became true within ``timeout`` [s]; report progress on stderr.

    ``wait`` is called with at most POLL_PERIOD [s] at a time. ``describe`` returns a noun phrase
    for what is waited for, printed after REPORT_DELAY, then every REPORT_PERIOD; None for a wait
    that is normally long.
    """
    now = time.monotonic()
    deadline, report_at = now + timeout, now + REPORT_DELAY
    while not wait(max(0.0, min(deadline - now, report_at - now, POLL_PERIOD))):
        now = time.monotonic()
        if now >= deadline:
            return False
        if now >= report_at:
            report_at = now + REPORT_PERIOD
            if describe is not None:
                domain = os.environ.get("ROS_DOMAIN_ID", "0")
                print(f"waiting for {describe()} (ROS_DOMAIN_ID={domain})", file=sys.stderr)
    return True


class MessageBuffer(Generic[T]):
    """Messages of one topic, numbered from 0 in order of arrival.

    It keeps the latest ``capacity`` messages. Older ones are dropped, and counted by ``dropped``;
    to ask for one of them is an error (MESSAGES_DROPPED), so that none is missed silently. The
    client's thread appends, any thread reads: the lock of ``condition``, which all buffers of a
    client share, guards the messages and ``dropped``. A context manager, as ``close`` ends it.
    """

    def __init__(
        self,
        condition: threading.Condition,
        capacity: int = CAPACITY,
        unsubscribe: Callable[[], object] = lambda: None,
    ) -> None:
        self._condition, self._capacity, self._unsubscribe = condition, capacity, unsubscribe
        self._kept: list[T] = []
        self.dropped = 0

    def __enter__(self) -> MessageBuffer[T]:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the subscription; what was received stays."""
        self._unsubscribe()

    def append(self, message: T) -> None:
        """Add a message; called by the executor's thread."""
        with self._condition:
            if len(self._kept) == self._capacity:
                del self._kept[0]
                self.dropped += 1
            self._kept.append(message)
            self._condition.notify_all()

    @property
    def count(self) -> int:
        """Number of messages that have arrived: the number of the next one."""
        with self._condition:
            return self.dropped + len(self._kept)

    @property
    def messages(self) -> list[T]:
        """All messages. Raises VimaError (MESSAGES_DROPPED) if some are not kept any more."""
        return self.since(0)

    def since(self, number: int) -> list[T]:
        """Return the messages from this number on.

        Raises VimaError (MESSAGES_DROPPED) if some are not kept any more.
        """
        with self._condition:
            if number < self.dropped:
                raise VimaError(
                    "MESSAGES_DROPPED",
                    f"messages from number {number} on, of which the first "
                    f"{self.dropped - number} were dropped; valid: number {self.dropped} or "
                    f"later, or a buffer of more than {self._capacity} messages",
                )
            return self._kept[number - self.dropped :]

    def wait(
        self,
        predicate: Callable[[T], object],
        timeout: float,
        description: str | Callable[[], str],
        after: int | None = None,
        *,
        quiet: bool = False,
        check: Callable[[], object] = lambda: None,
    ) -> T:
        """Return the first message from number ``after`` on that the predicate accepts.

        ``after`` None: the first of those that are kept. ``description``, a noun phrase or a
        function that returns one, is reported while the wait takes long, unless ``quiet``.
        ``check`` is called every POLL_PERIOD and may raise.

        Raises WaitTimeoutError with the description and the last message; VimaError
        (MESSAGES_DROPPED) if messages from ``after`` on were dropped before they were checked.
        """
        describe = description if callable(description) else lambda: description
        checked = after or 0
        found: list[T] = []

        def find() -> bool:
            nonlocal checked
            new = self.since(max(checked, self.dropped) if after is None else checked)
            checked = max(checked, self.dropped + len(self._kept))  # it may be a later one
            found.extend(itertools.islice(filter(predicate, new), 1))
            return bool(found)

        def wait_for_message(seconds: float) -> bool:
            check()
            return self._condition.wait_for(find, seconds)

        with self._condition:
            if wait_with_progress(wait_for_message, timeout, None if quiet else describe):
                return found[0]
            last = str(self._kept[-1])[:500] if self._kept else "nothing"
            dropped = f"; {self.dropped} were dropped before" if self.dropped else ""
        message = f"no {describe()} within {timeout:g} s; last came: {last}{dropped}"
        raise WaitTimeoutError(message, timeout)
