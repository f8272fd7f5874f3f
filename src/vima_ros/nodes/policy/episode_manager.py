"""Episodes of the policy node: their begin, their end and what happens to them between."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from rclpy.task import Future

from vima_msgs.msg import ArmState, EpisodeStatus, PolicyAction, PromptTokens, TaskStatus
from vima_msgs.srv import CancelMotion
from vima_ros.episode.history_rule import PolicyHistory, apply_arm_report
from vima_ros.episode.state_machine import EpisodeStateMachine
from vima_ros.episode.timeouts import EpisodeTimeouts
from vima_ros.episode.values import ArmReport, EpisodeState, TaskStatusOutcome
from vima_ros.errors import VimaError
from vima_ros.liveness import NodeStatus, Supervisor
from vima_ros.nodes.common import action_conversions, conversions
from vima_ros.nodes.common.lifecycle_node import VimaNode
from vima_ros.nodes.common.node_names import ARM, MANAGER, PERCEPTION
from vima_ros.nodes.policy.arm_client import ArmClient
from vima_ros.nodes.policy.episode_publisher import EpisodePublisher
from vima_ros.nodes.policy.parameters import PolicyParameters
from vima_ros.specs import Decision

REQUIRED_NODES = (ARM, PERCEPTION, MANAGER)  # their deaths end an episode


class EpisodeManager:
    """Manager of one episode at a time, for each prompt by topic, service or goal.

    It owns the episode, the latest decision on it and the latest prompt: others read them, and
    change them by its methods alone, all of which run in the executor's thread. Every change is
    published; at the end of an episode, the arm node gets a request to cancel its motion.
    ``reset_policy`` resets the policy with a prompt and may raise VimaError.
    """

    def __init__(
        self,
        node: VimaNode[PolicyParameters],
        arm: ArmClient,
        reset_policy: Callable[[PromptTokens], None],
    ) -> None:
        self._node, self._arm, self._reset_policy = node, arm, reset_policy
        self.episode = EpisodeStateMachine()
        self.action: PolicyAction | None = None  # the latest decision of this episode
        self.cancellation: Future[CancelMotion.Response] | None = None  # of the last motion
        self._prompt: PromptTokens | None = None  # the latest; step may begin it
        self._perception_status = ""
        self._listeners: list[Callable[[], None]] = []
        self._supervisor = Supervisor(REQUIRED_NODES, node.parameters.node_timeout, float("inf"))
        self._timeouts = EpisodeTimeouts()
        self._publisher = EpisodePublisher(node)
        node.subscribe_heartbeats(self._on_heartbeat)
        node.create_timer(0.1, self._check, clock=node.steady_clock)
        self._publish_changes()

    @property
    def nodes(self) -> Mapping[str, NodeStatus]:
        """Status of the required nodes, by name."""
        return self._supervisor.nodes

    def add_listener(self, listener: Callable[[], None]) -> None:
        """Call ``listener`` after each published change of the episode."""
        self._listeners.append(listener)

    def hold_prompt(self, message: PromptTokens) -> bool:
        """Keep a prompt for ``step`` to begin; return False if it is the one that is kept."""
        previous, self._prompt = self._prompt, message
        return previous is None or message.prompt_id != previous.prompt_id

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
        p, self.action, self.cancellation = self._node.parameters, None, None
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
        self._publish_changes()

    def restart(self) -> bool:
        """Begin a held or reset prompt in single steps; return True if an episode is running."""
        if not self.episode.running and self._prompt is not None:
            held = self._prompt.prompt_id != self.episode.prompt_id
            if held or self.episode.code == EpisodeStatus.RESET:
                self.begin(self._prompt, single_step=True)
        return self.episode.running

    def end(self, code: str, message: str, finish: bool = False) -> None:
        """End the episode by ``code`` of EpisodeStatus, and cancel its motion if it was running.

        ``finish``: a motion that has begun may end as planned.
        """
        was_running = self.episode.running
        self.episode.end(code, message)
        if was_running:
            self._cancel_motion(finish)
        self._publish_changes()

    def _cancel_motion(self, finish: bool) -> None:
        dead, name = self._supervisor.nodes[ARM].dead, self.episode.prompt_id
        self.cancellation = None if dead else self._arm.cancel_motion(name, finish)

    def start_decision(self, stamp: int) -> bool:
        """Return True if a decision is due on an observation of ``stamp`` [ns], now being made."""
        now, max_age = self._node.now_ns(), self._node.parameters.max_age
        if not self.episode.accepts_observation(stamp, now, max_age):
            return False
        self.episode.state = EpisodeState.DECIDING
        self._publish_changes()
        return True

    def on_decision(self, action: PolicyAction, observation_stamp: int) -> None:
        """Send a decision to the arm, again while it is unacknowledged."""
        self.action = action
        self.episode.on_decision(action_conversions.action_id(action), observation_stamp)
        self._arm.send(action)
        self._publish_changes()

    def allow_step(self) -> None:
        """Allow one decision of an episode that waits for ``step``."""
        self.action = None
        self.episode.allow_step()

    def withdraw_step(self, prompt_id: str) -> None:
        """Allow no decision any more, if the episode is still that of the prompt."""
        if self.episode.prompt_id == prompt_id:
            self.episode.step_allowed = False

    def on_arm_report(self, m: ArmState, policy: PolicyHistory, decision: Decision | None) -> None:
        """Process a report of the arm; ``decision``: the latest, for the policy's history."""
        report = ArmReport(m.state), m.code, m.message, m.command_id, conversions.since_ns(m)
        apply_arm_report(self.episode, policy, decision, *report)
        self._publish_changes()

    def on_task_status(self, m: TaskStatus) -> None:
        """Process a report of the task."""
        report = TaskStatusOutcome(m.outcome), m.reason, m.command_id
        self.episode.on_task_report(m.prompt, *report)
        self._publish_changes()

    def on_confirmation_request(self, command_id: str) -> None:
        """Note the command that waits for a confirmation; empty: none does."""
        self.episode.unconfirmed_command_id = command_id
        self._publish_changes()

    def on_perception_status(self, reason: str) -> None:
        """Note why perception publishes no observation; empty: it does."""
        self._perception_status = reason

    def forget_times(self) -> None:
        """Forget all stamps, after the clock has jumped back."""
        self.episode.forget_times()

    def _on_heartbeat(self, name: str, state: int, instance: str) -> None:
        self._supervisor.on_heartbeat(name, state, time.monotonic(), instance)

    def _check(self) -> None:
        now, p = time.monotonic(), self._node.parameters
        deaths = self._supervisor.find_dead(now)
        if any(death.name == ARM for death in deaths):
            self.episode.on_arm_lost()
        if deaths and self.episode.running:
            self.end(EpisodeStatus.NODE_DIED, "; ".join(map(str, deaths)))
        t = self._timeouts
        t.observation, t.pause = p.observation_timeout, p.pause_timeout
        t.response, t.task_status = p.response_timeout, p.task_status_timeout
        if self.episode.unacknowledged:
            self._arm.resend()
        was_running = self.episode.running
        t.check(self.episode, now, self._perception_status)
        if was_running and not self.episode.running:
            self._cancel_motion(finish=False)
        self._publish_changes()

    def _publish_changes(self) -> None:
        if self._publisher.publish(self.episode):
            for listener in self._listeners:
                listener()
