"""Every change of the episode, once each, from what is published on ``episode_history``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


class EpisodeChanges:
    """Tells the new changes in each EpisodeHistory from those that earlier ones had."""

    def __init__(self) -> None:
        self._seen: list[Any] = []

    def new_in(self, statuses: Sequence[Any]) -> list[Any]:
        """Those that came after the last call's; all, where none of that is left."""
        seen, self._seen = self._seen, list(statuses)
        for dropped in range(len(seen) + 1):
            kept = seen[dropped:]
            if kept == self._seen[: len(kept)]:
                break
        return self._seen[len(kept) :]
