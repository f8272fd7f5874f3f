"""Messages about the episode: its state, and the history of its changes."""

from __future__ import annotations

from collections import deque

from vima_msgs.msg import EpisodeHistory, EpisodeStatus
from vima_ros.episode.state_machine import EpisodeStateMachine
from vima_ros.episode.values import EpisodeState
from vima_ros.nodes.common import action_conversions, qos
from vima_ros.nodes.common.guarded_node import GuardedNode

HISTORY_LENGTH = 20  # of episode_history [changes]
LOGGED_STATES = (EpisodeState.PAUSED, EpisodeState.FINISHED, EpisodeState.FAILED)


class EpisodePublisher:
    """Publisher of each change of the episode on ``episode`` and ``episode_history``."""

    def __init__(self, node: GuardedNode) -> None:
        self._node = node
        self._status = node.create_publisher(EpisodeStatus, "episode", qos.LATCHED)
        self._history = node.create_publisher(EpisodeHistory, "episode_history", qos.LATCHED)
        self._changes: deque[EpisodeStatus] = deque(maxlen=HISTORY_LENGTH)
        self._published: tuple = ()

    def publish(self, e: EpisodeStateMachine) -> bool:
        """Publish the state of the episode if it has changed; return True if it has."""
        now = (e.prompt_id, e.stage, e.step, e.executed, e.code, e.message, e.waiting_for_step)
        if now == self._published:
            return False
        self._published = now
        status = action_conversions.episode_to_message(e, self._node.now_ns())
        self._changes.append(status)
        self._status.publish(status)
        self._history.publish(EpisodeHistory(statuses=list(self._changes)))
        if e.state in LOGGED_STATES:
            text = f"episode {e.prompt_id} {e.state.name}: {e.code} {e.message}"
            self._node.get_logger().info(text.strip())
        return True
