"""State of the ExecutePrompt goal that runs."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from rclpy.action.server import ServerGoalHandle
from rclpy.task import Future

from vima_msgs.msg import PromptTokens
from vima_ros.episode.state_machine import EpisodeStateMachine

# Prompts that may arrive before it is known which is the goal's; beyond that the oldest is
# dropped: where it was the goal's own, the goal ends with TIMEOUT.
MAX_RECEIVED = 10


@dataclass(eq=False)
class RunningGoal:
    """State of the running goal.

    ``prompt_id`` is empty until the prompt node has accepted the prompt; tokens that arrive before
    are ``received`` and may be those of another prompt. ``ended``: the goal's episode, at its end.
    """

    handle: ServerGoalHandle
    prompt_id: str = ""
    received: deque[PromptTokens] = field(default_factory=lambda: deque(maxlen=MAX_RECEIVED))
    tokens: Future[PromptTokens] = field(default_factory=Future)
    ended: Future[EpisodeStateMachine] = field(default_factory=Future)
    cancel_requested: bool = False
