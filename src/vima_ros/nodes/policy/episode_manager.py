"""Episodes of the policy node: their begin, their end and the messages about them."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from vima_msgs.msg import EpisodeHistory, EpisodeStatus, PolicyAction, PromptTokens
from vima_msgs.srv import CancelMotion
from vima_ros.episode.state_machine import EpisodeStateMachine
from vima_ros.episode.timeouts import EpisodeTimeouts
from vima_ros.episode.values import EpisodeState
from vima_ros.errors import VimaError
from vima_ros.liveness import NodeDeath, NodeStatus, Supervisor
from vima_ros.nodes.common import action_conversions, qos
from vima_ros.nodes.common.node_names import ARM, MANAGER, PERCEPTION
from vima_ros.nodes.policy.execute_prompt_server import ExecutePromptServer
from vima_ros.nodes.policy.step_service import StepServer

if TYPE_CHECKING:
    from vima_ros.nodes.policy.node import PolicyNode

RESEND_PERIOD = 1.0  # of a decision that the arm, perhaps restarted, has not acknowledged [s]
HISTORY_LENGTH = 20  # of episode_history [changes]
REQUIRED_NODES = (ARM, PERCEPTION, MANAGER)  # their deaths end an episode


class EpisodeManager:
    """Manager of one episode at a time, for each prompt by topic, service or goal.

    ``reset_policy`` resets the policy with a prompt and may raise VimaError. Every change is
    published on ``episode`` and ``episode_history``; at the end of an episode, the arm node gets a
    request to cancel its motion.
    """

    def __init__(self, node: PolicyNode, reset_policy: Callable[[PromptTokens], None]) -> None:
        self._node, self._reset_policy = node, reset_policy
        self.episode = EpisodeStateMachine()
        self.perception_status = ""
        self.action: PolicyAction | None = None  # the latest decision of this episode
        self.prompt: PromptTokens | None = None  # the latest; step may begin it
        self._sent_at = 0.0  # [s, steady clock]
        self._published: tuple = ()
        self._cancel_response: Any = None
        timeout = node.parameters.node_timeout
        self._supervisor = Supervisor(REQUIRED_NODES, timeout, float("inf"))
        self._timeouts = EpisodeTimeouts()
        self._actions = node.create_publisher(PolicyAction, "action", qos.RELIABLE)
        self._status = node.create_publisher(EpisodeStatus, "episode", qos.LATCHED)
        self._history = node.create_publisher(EpisodeHistory, "episode_history", qos.LATCHED)
        self._changes: deque[EpisodeStatus] = deque(maxlen=HISTORY_LENGTH)
        self._cancel_client = node.create_client(CancelMotion, "cancel_motion")
        self.goals = ExecutePromptServer(node, self)
        self.steps = StepServer(node, self)
        node.subscribe_heartbeats(self._on_heartbeat)
        node.create_timer(0.1, self._check, clock=node.steady_clock)
        self.publish_changes()

    def on_prompt(self, message: PromptTokens) -> None:
        """Begin an episode with an accepted prompt, unless it is held until requested."""
        if self.prompt is not None and message.prompt_id == self.prompt.prompt_id:
            return
        self.prompt = message
        if self.goals.owns_prompt(message.prompt_id):
            self.goals.on_tokens(message)
        elif self.goals.busy and not self.goals.sending:  # else it may be that of the goal
            self._node.get_logger().warning(
                f"prompt {message.prompt_id} waits for step: an ExecutePrompt goal is running"
            )
        elif not self.goals.busy:
            self.begin(message, single_step=message.hold)

    def begin(
        self,
        message: PromptTokens,
        *,
        by_goal: bool = False,
        single_step: bool = False,
        steps: int = 0,
    ) -> None:
        """Begin an episode; a running one ends as REPLACED. ``steps`` 0: the configured limit."""
        if self.episode.running:
            self.end(EpisodeStatus.REPLACED, f"by prompt {message.prompt_id}", finish=True)
        p, self.action, self._cancel_response = self._node.parameters, None, None
        self.episode = self.episode.begin(
            message.prompt_id,
            message.text,
            steps or p.max_steps,
            p.max_failures,
            by_goal=by_goal,
            single_step=single_step,
            now=self._node.now_ns(),
        )
        self._node.get_logger().info(f"prompt {message.prompt_id}: {message.text}")
        try:
            if self.episode.running:  # else the arm is stopped
                self._reset_policy(message)
        except VimaError as error:
            self.end(error.code, str(error))
        self.publish_changes()

    @property
    def nodes(self) -> Mapping[str, NodeStatus]:
        """Status of the required nodes, by name."""
        return self._supervisor.nodes

    def restart(self) -> bool:
        """Begin a held or reset prompt in single steps; return True if an episode is running."""
        again = self.prompt is not None and self.episode.code == EpisodeStatus.RESET
        held = self.prompt is not None and self.prompt.prompt_id != self.episode.prompt_id
        if not self.episode.running and (again or held):
            self.begin(self.prompt, single_step=True)
        return self.episode.running

    def end(self, code: str, message: str, finish: bool = False) -> None:
        """End the episode by ``code`` of EpisodeStatus, and cancel its motion.

        ``finish``: a motion that has begun may end as planned.
        """
        self.episode.end(code, message)
        self._cancel_motion(finish)
        self.publish_changes()

    def _cancel_motion(self, finish: bool) -> None:
        self._cancel_response = None
        if self._cancel_client.service_is_ready() and not self._supervisor.nodes[ARM].dead:
            request = CancelMotion.Request(prompt_id=self.episode.prompt_id, finish_motion=finish)
            self._cancel_response = self._cancel_client.call_async(request)

    async def wait_for_cancel(self) -> None:
        """Wait until the arm node has cancelled the motion of the ended episode."""
        if self._cancel_response is None:
            return
        try:
            await self._node.wait_for_response(
                self._cancel_response, self._node.parameters.response_timeout
            )
        except VimaError as error:
            self._node.get_logger().error(f"cancel_motion: {error}")

    def _on_heartbeat(self, name: str, state: int, instance: str) -> None:
        self._supervisor.on_heartbeat(name, state, time.monotonic(), instance)

    def _handle_dead_nodes(self, deaths: list[NodeDeath]) -> None:
        if any(death.name == "arm" for death in deaths):
            self.episode.on_arm_lost()
        if deaths and self.episode.running:
            self.end(EpisodeStatus.NODE_DIED, "; ".join(map(str, deaths)))

    def _check(self) -> None:
        now, p = time.monotonic(), self._node.parameters
        self._handle_dead_nodes(self._supervisor.find_dead(now))
        timeouts = self._timeouts
        timeouts.observation, timeouts.pause = p.observation_timeout, p.pause_timeout
        timeouts.response, timeouts.task_status = p.response_timeout, p.task_status_timeout
        if self.episode.unacknowledged and now - self._sent_at > RESEND_PERIOD:
            self._send()
        was_running = self.episode.running
        timeouts.check(self.episode, now, self.perception_status)
        if was_running and not self.episode.running:
            self._cancel_motion(finish=False)
        self.publish_changes()

    def on_decision(self, action: PolicyAction, observation_stamp: int) -> None:
        """Send a decision to the arm, again while it is unacknowledged."""
        self.action = action
        self.episode.on_decision(action_conversions.action_id(action), observation_stamp)
        self._send()
        self.publish_changes()

    def _send(self) -> None:
        self._sent_at = time.monotonic()
        self._actions.publish(self.action)

    def publish_changes(self) -> None:
        """Publish the state of the episode if it has changed."""
        e = self.episode
        now = (e.prompt_id, e.stage, e.step, e.executed, e.code, e.message, e.waiting_for_step)
        if now == self._published:
            return
        self._published = now
        status = action_conversions.episode_to_message(e, self._node.now_ns())
        self._changes.append(status)
        self._status.publish(status)
        self._history.publish(EpisodeHistory(statuses=list(self._changes)))
        if e.state in (EpisodeState.PAUSED, EpisodeState.FINISHED, EpisodeState.FAILED):
            text = f"episode {e.prompt_id} {e.state.name}: {e.code} {e.message}"
            self._node.get_logger().info(text.strip())
        self.goals.on_change()
        self.steps.on_change()

    def destroy(self) -> None:
        """Destroy the handles that the node does not destroy by itself."""
        self.goals.destroy()
