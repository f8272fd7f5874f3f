"""The policy node's episode: what begins it, what ends it, and who is told."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from vima_msgs.msg import EpisodeHistory, EpisodeStatus, PolicyAction, PromptTokens
from vima_msgs.srv import CancelMotion
from vima_ros.episode.state_machine import Episode, State
from vima_ros.episode.timeouts import Patience
from vima_ros.errors import VimaError
from vima_ros.liveness import NodeStatus, Supervisor
from vima_ros.nodes.common import conversions, qos
from vima_ros.nodes.policy.execute_prompt_server import GoalServer
from vima_ros.nodes.policy.step_service import StepServer

SEND_AGAIN = 1.0  # what the arm says nothing of: a restarted one may not have been connected [s]
HISTORY_LENGTH = 20  # of episode_history [changes]
NEEDED = ("arm", "perception", "manager")  # without these, once heard, no episode goes on


class EpisodeDesk:
    """Begins an episode for each prompt, by topic, service or goal; one at a time.

    ``read`` lets the policy read a prompt and raises VimaError. Every change is published on
    ``episode`` and in ``episode_history``; at the end, the arm node is told that the episode has
    no more motions.
    """

    def __init__(self, node: Any, read: Callable[[PromptTokens], None]) -> None:
        self._node, self._read = node, read
        self.episode = Episode()
        self.perception_says = ""
        self.action: PolicyAction | None = None  # the latest decision of this episode
        self.prompt: PromptTokens | None = None  # the latest; step may begin it
        self._sent = 0.0  # when that left last [s, steady clock]
        self._told: tuple = ()
        self._arm_answer: Any = None
        timeout = node.parameters.node_timeout
        self._watched = Supervisor(NEEDED, timeout, float("inf"))
        self._patience = Patience()
        self._actions = node.create_publisher(PolicyAction, "action", qos.RELIABLE)
        self._status = node.create_publisher(EpisodeStatus, "episode", qos.LATCHED)
        self._history = node.create_publisher(EpisodeHistory, "episode_history", qos.LATCHED)
        self._changes: deque[EpisodeStatus] = deque(maxlen=HISTORY_LENGTH)
        self._canceller = node.create_client(CancelMotion, "cancel_motion")
        self.goals = GoalServer(node, self)
        self.steps = StepServer(node, self)
        node.subscribe_heartbeats(self._on_beat)
        node.create_timer(0.1, self._watch, clock=node.steady_clock)
        self.changed()

    # --- what begins it

    def on_prompt(self, message: PromptTokens) -> None:
        """A prompt was accepted: begin, unless it is held for somebody to ask for it."""
        if self.prompt is not None and message.prompt_id == self.prompt.prompt_id:
            return
        self.prompt = message
        if self.goals.wants(message.prompt_id):
            self.goals.take(message)
        elif self.goals.busy and not self.goals.sending:  # else it may be the goal's own
            self._node.get_logger().warning(
                f"prompt {message.prompt_id} waits for step: an ExecutePrompt goal runs"
            )
        elif not self.goals.busy:
            self.begin(message, by_hand=message.hold)

    def begin(
        self,
        message: PromptTokens,
        *,
        by_goal: bool = False,
        by_hand: bool = False,
        steps: int = 0,
    ) -> None:
        """Begin an episode; one that runs ends as REPLACED. ``steps`` 0: the configured limit."""
        if self.episode.running:
            self.end(EpisodeStatus.REPLACED, f"by prompt {message.prompt_id}", finish=True)
        p, self.action, self._arm_answer = self._node.parameters, None, None
        self.episode = self.episode.begin(
            message.prompt_id,
            message.text,
            steps or p.max_steps,
            p.max_failures,
            by_goal=by_goal,
            by_hand=by_hand,
            now=self._node.now_ns(),
        )
        self._node.get_logger().info(f"prompt {message.prompt_id}: {message.text}")
        try:
            if self.episode.running:  # else the arm is stopped
                self._read(message)
        except VimaError as error:
            self.end(error.code, str(error))
        self.changed()

    @property
    def nodes(self) -> Mapping[str, NodeStatus]:
        """What is known of the nodes without which no episode goes on, by name."""
        return self._watched.nodes

    def begin_again(self) -> bool:
        """The same prompt from its first step, by hand; False if that was not asked for."""
        again = self.prompt is not None and self.episode.code == EpisodeStatus.RESET
        held = self.prompt is not None and self.prompt.prompt_id != self.episode.prompt_id
        if not self.episode.running and (again or held):
            self.begin(self.prompt, by_hand=True)
        return self.episode.running

    # --- what ends it

    def end(self, code: str, message: str, finish: bool = False) -> None:
        """End it by ``code`` of EpisodeStatus, and the arm's part in it.

        ``finish``: a motion that has begun may end as planned.
        """
        self.episode.end(code, message)
        self._end_motion(finish)
        self.changed()

    def _end_motion(self, finish: bool) -> None:
        self._arm_answer = None
        if self._canceller.service_is_ready() and not self._watched.nodes["arm"].dead:
            request = CancelMotion.Request(prompt_id=self.episode.prompt_id, finish_motion=finish)
            self._arm_answer = self._canceller.call_async(request)

    async def motion_ended(self) -> None:
        """Until the arm node has answered that the ended episode moves nothing any more."""
        if self._arm_answer is None:
            return
        try:
            await self._node.wait_for_response(
                self._arm_answer, self._node.parameters.response_timeout
            )
        except VimaError as error:
            self._node.get_logger().error(f"cancel_motion: {error}")

    def _on_beat(self, name: str, state: int, instance: str) -> None:
        self._watched.on_heartbeat(name, state, time.monotonic(), instance)

    def _mourn(self, deaths: list[str]) -> None:
        if any(sentence.startswith("arm ") for sentence in deaths):
            self.episode.arm_lost()
        if deaths and self.episode.running:
            self.end(EpisodeStatus.NODE_DIED, "; ".join(deaths))

    def _watch(self) -> None:
        now, p = time.monotonic(), self._node.parameters
        self._mourn(self._watched.find_dead(now))
        limits = self._patience
        limits.observation, limits.pause = p.observation_timeout, p.pause_timeout
        limits.answer, limits.verdict = p.response_timeout, p.task_status_timeout
        if self.episode.unheard and now - self._sent > SEND_AGAIN:
            self._send()
        was_running = self.episode.running
        limits.check(self.episode, now, self.perception_says)
        if was_running and not self.episode.running:
            self._end_motion(finish=False)
        self.changed()

    # --- who is told

    def decided(self, action: PolicyAction, observation_stamp: int) -> None:
        """A decision goes to the arm; again where that says nothing of it."""
        self.action = action
        self.episode.decided(conversions.action_id(action), observation_stamp)
        self._send()
        self.changed()

    def _send(self) -> None:
        self._sent = time.monotonic()
        self._actions.publish(self.action)

    def changed(self) -> None:
        """Tell of what is new, if anything is."""
        e = self.episode
        now = (e.prompt_id, e.stage, e.step, e.executed, e.code, e.message, e.waiting_for_step)
        if now == self._told:
            return
        self._told = now
        status = conversions.episode_to_message(e, self._node.now_ns())
        self._changes.append(status)
        self._status.publish(status)
        self._history.publish(EpisodeHistory(statuses=list(self._changes)))
        if e.state in (State.PAUSED, State.FINISHED, State.FAILED):
            text = f"episode {e.prompt_id} {e.state.name}: {e.code} {e.message}"
            self._node.get_logger().info(text.strip())
        self.goals.changed()
        self.steps.changed()

    def destroy(self) -> None:
        """Let go of what the node does not release by itself."""
        self.goals.destroy()
