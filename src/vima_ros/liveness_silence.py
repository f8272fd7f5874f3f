"""Who has to be heard while the arm moves, and how long silence may last."""

from __future__ import annotations

from collections.abc import Mapping

NAP = 0.3  # longer between two checks means that this process was held up [s]


class Watchdog:
    """Notices silence. Times [s] on one steady clock.

    ``limits``: how long each source may be silent while something moves [s]; 0: for ever.
    """

    def __init__(self, limits: Mapping[str, float]) -> None:
        self._limits = {source: limit for source, limit in limits.items() if limit > 0}
        self._heard = dict.fromkeys(self._limits, float("-inf"))
        self._checked = float("inf")

    def heard(self, source: str, now: float) -> None:
        """``source`` has said something usable."""
        if source in self._heard:
            self._heard[source] = now

    def begin(self, now: float) -> None:
        """A motion begins: silence counts from here on."""
        self._heard = {source: max(at, now) for source, at in self._heard.items()}
        self._checked = now

    def silent(self, now: float) -> tuple[str, float] | None:
        """Return a source that has been silent too long, and how long [s]; None: there is none.

        To be called a few times a second while something moves. Time in which it was not called
        does not count: who slept cannot say that others did.
        """
        slept = max(now - self._checked - NAP, 0.0)
        self._checked = now
        for source, limit in self._limits.items():
            self._heard[source] = min(self._heard[source] + slept, now)
            silence = now - self._heard[source]
            if silence > limit:
                return source, silence
        return None
