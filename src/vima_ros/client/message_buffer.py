"""Messages collected from a topic, and waits that report what they wait for."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from vima_ros.errors import WaitTimeoutError

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


class MessageBuffer:
    """Messages of one topic, in order of arrival."""

    def __init__(self, condition: threading.Condition) -> None:
        self._condition = condition
        self.messages: list[Any] = []

    def append(self, message: Any) -> None:
        """Add a message; called by the executor's thread."""
        with self._condition:
            self.messages.append(message)
            self._condition.notify_all()

    @property
    def count(self) -> int:
        """Number of messages; pass it to ``wait`` as ``after`` to wait for a new one."""
        with self._condition:
            return len(self.messages)

    def wait(
        self,
        predicate: Callable[[Any], bool],
        timeout: float,
        description: str | Callable[[], str],
        after: int = 0,
        *,
        quiet: bool = False,
        check: Callable[[], object] = lambda: None,
    ) -> Any:
        """Return the first message from number ``after`` on that the predicate accepts.

        ``description``, a noun phrase or a function that returns one, is reported while the wait
        takes long, unless ``quiet``. ``check`` is called every POLL_PERIOD and may raise.

        Raises WaitTimeoutError with the description and the last message instead.
        """
        describe = description if callable(description) else lambda: description
        checked = after
        found: list[Any] = []

        def find() -> bool:
            nonlocal checked
            while not found and checked < len(self.messages):
                if predicate(self.messages[checked]):
                    found.append(self.messages[checked])
                checked += 1
            return bool(found)

        def wait_for_message(seconds: float) -> bool:
            check()
            return self._condition.wait_for(find, seconds)

        with self._condition:
            if wait_with_progress(wait_for_message, timeout, None if quiet else describe):
                return found[0]
            last = str(self.messages[-1])[:500] if self.messages else "nothing"
        raise WaitTimeoutError(f"no {describe()} within {timeout:g} s; last came: {last}", timeout)
