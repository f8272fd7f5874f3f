"""The policy's episode during a replay: its state, and motion left by an earlier replay."""

from __future__ import annotations

from vima_msgs.msg import EpisodeStatus
from vima_msgs.srv import CancelMotion
from vima_ros.client.client import Client
from vima_ros.errors import VimaError

STATE_NAMES = {
    EpisodeStatus.IDLE: "idle",
    EpisodeStatus.OBSERVING: "observing",
    EpisodeStatus.DECIDING: "deciding",
    EpisodeStatus.EXECUTING: "waiting for the arm",
}


class BagEpisode:
    """Follows the episode of the prompt that is played.

    Create it after the player's other subscriptions: the executor takes what has arrived in that
    order, so that no end overtakes the decision before it.
    """

    def __init__(self, client: Client) -> None:
        self._client, self._changes, self._prompt_id = client, client.subscribe_episodes(), ""
        self._latest: EpisodeStatus | None = None  # change of the episode that is followed
        self._read = 0  # changes

    def cancel_earlier_motion(self) -> None:
        """Cancel a motion that a killed replay has left active: no robot will end it."""
        self._changes.wait(lambda _: True, 15, "episode_history")
        changes = self._changes.messages
        latest = changes[-1]
        if latest.state == EpisodeStatus.EXECUTING and not latest.by_goal:
            # The motion may be of an episode before the latest, which waits for its end.
            for prompt_id in sorted({change.prompt_id for change in changes} - {""}):
                request = CancelMotion.Request(prompt_id=prompt_id)
                self._client.call(CancelMotion, "cancel_motion", request)

    def follow(self, prompt_id: str) -> None:
        """Follow the episode of this prompt from now on."""
        self._prompt_id, self._latest, self._read = prompt_id, None, self._changes.dropped

    def find_end(self) -> VimaError | None:
        """Return why no decision can come, by a code of EpisodeStatus; None while one can."""
        latest = self._read_latest()
        if latest is None or latest.state in STATE_NAMES:
            return None
        message = latest.message
        if latest.state == EpisodeStatus.PAUSED:
            message = (
                f"the arm is stopped ({message}); resume (a service of the arm node, and a "
                "program) lets it go on"
            )
        return VimaError(latest.code, message)

    def describe(self) -> str:
        """Return a clause with the state of the episode."""
        latest = self._read_latest()
        if latest is None:
            return "the policy has not begun an episode of the prompt"
        return f"the episode is {STATE_NAMES.get(latest.state, latest.code)}"

    def _read_latest(self) -> EpisodeStatus | None:
        new = self._changes.since(self._read)
        self._read += len(new)
        ours = (each for each in reversed(new) if each.prompt_id == self._prompt_id)
        self._latest = next(ours, self._latest)
        return self._latest
