"""Changes of the episode, each once, from the messages on ``episode_history``."""

from __future__ import annotations

from collections.abc import Sequence

from vima_msgs.msg import EpisodeStatus


class EpisodeChanges:
    """Distinguishes the new changes in each EpisodeHistory from those of earlier ones."""

    def __init__(self) -> None:
        self._known: list[EpisodeStatus] = []  # as many as a message holds

    def new_in(self, statuses: Sequence[EpisodeStatus]) -> list[EpisodeStatus]:
        """Return the changes after the last call's; all, where none of those is left."""
        known, self._known = self._known, list(statuses)
        for dropped in range(len(known) + 1):
            kept = known[dropped:]
            if kept == self._known[: len(kept)]:
                break
        return self._known[len(kept) :]
