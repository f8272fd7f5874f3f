"""The policy node: prompt tokens and observations in, one action at a time out."""

from __future__ import annotations

from typing import Any

from rclpy.lifecycle import LifecycleState, TransitionCallbackReturn

from vima_msgs.msg import (
    ArmState,
    ConfirmationRequest,
    EpisodeStatus,
    Observation,
    PerceptionStatus,
    PromptTokens,
    TaskStatus,
)
from vima_ros.episode.history_rule import take_arm_report
from vima_ros.episode.state_machine import ArmReport, State, Verdict
from vima_ros.errors import VimaError
from vima_ros.geometry import Workspace
from vima_ros.nodes.common import conversions, qos
from vima_ros.nodes.common.lifecycle_node import VimaNode
from vima_ros.nodes.common.main import run
from vima_ros.nodes.common.prompt_conversions import prompt_from_message
from vima_ros.nodes.policy.episode_manager import EpisodeDesk
from vima_ros.nodes.policy.parameters import PolicyParameters
from vima_ros.policy import load_policy
from vima_ros.specs import EndEffector

UNTRAINED = "UNTRAINED policy: fixed random weights, its actions mean nothing"


class PolicyNode(VimaNode):
    """Decides on the newest observation once the last motion has ended."""

    name = "policy"
    parameters_type = PolicyParameters

    def configure(self) -> None:
        """Load the weights (seconds), then create the handles."""
        p = self.parameters
        self._workspace = Workspace(tuple(p.workspace_min), tuple(p.workspace_max))
        told = {"vit_heads": p.vit_heads} if p.vit_heads else {}
        self._policy = load_policy(
            p.checkpoint or None, device=p.device, dtype=p.dtype, config=told, threads=p.threads
        )
        if not self._policy.trained:
            self.get_logger().warning(UNTRAINED)
        self._decision: Any = None
        mounted = p.default_end_effector
        self._end_effector = EndEffector[mounted.upper()] if mounted else None
        self._desk = EpisodeDesk(self, self._read_prompt)
        self.create_subscription(PromptTokens, "prompt_tokens", self._desk.on_prompt, qos.LATCHED)
        self.create_subscription(Observation, "observation", self._on_observation, qos.RELIABLE)
        self.create_subscription(ArmState, "arm_state", self._on_arm_state, qos.RELIABLE)
        self.create_subscription(TaskStatus, "task_status", self._on_task_status, qos.LATCHED)
        self.create_subscription(
            ConfirmationRequest, "confirmation_request", self._on_confirmation, qos.LATCHED
        )
        self.create_subscription(
            PerceptionStatus, "perception_status", self._on_perception, qos.LATCHED
        )

    def _read_prompt(self, message: PromptTokens) -> None:
        """Forget the last episode and read the prompt; raises VimaError."""
        self._decision = None
        # Word tables have a few rows more than their tokenizer has words (T5: 32128, 32100).
        rows = self._policy.network.config.vocabulary
        if not 0.9 * rows <= message.vocabulary_size <= rows:
            raise VimaError(
                "WRONG_TOKENIZER",
                f"the prompt node's tokenizer has {message.vocabulary_size} words, the checkpoint "
                f"{rows}; valid: the prompt node's parameter tokenizer set to the checkpoint's "
                "own",
            )
        self._policy.reset(prompt_from_message(message))

    def _on_observation(self, message: Observation) -> None:
        stamp = conversions.stamp_to_ns(message.header.stamp)
        episode, now = self._desk.episode, self.now_ns()
        if not self.active or self._end_effector is None:
            return
        if not episode.wants(stamp, now, self.parameters.max_age):
            return
        episode.state = State.DECIDING
        self._desk.changed()
        try:
            observation = conversions.observation_from_message(message, self._end_effector)
            self._decision = self._policy.infer(observation)
        except VimaError as error:
            full = error.code == EpisodeStatus.HISTORY_FULL
            code = error.code if full else EpisodeStatus.POLICY_ERROR
            self._desk.end(code, f"{error.code}: {error}")
            return
        action = conversions.decision_to_message(
            self._decision, self._workspace, self.parameters.table_frame, message
        )
        action.prompt_id, action.step = episode.prompt_id, episode.step
        action.header.stamp = self.get_clock().now().to_msg()
        self._desk.decided(action, stamp)
        times = {"wait": (now - stamp) / 1e9, **self._decision.timings}
        self.statistics.record_result(
            times | {"observation to action": (self.now_ns() - stamp) / 1e9}
        )

    def _on_arm_state(self, message: ArmState) -> None:
        if not message.judged:  # the robot's own word; what became of a command is the arm node's
            self._end_effector = EndEffector(message.end_effector)
            return
        if message.state == ArmState.REFUSED:
            self.statistics.record_refusal(message.code, message.message)
        take_arm_report(
            self._desk.episode,
            self._policy,
            self._decision,
            ArmReport(message.state),
            message.code,
            message.message,
            message.command_id,
            conversions.since_ns(message),
        )
        self._desk.changed()

    def _on_task_status(self, message: TaskStatus) -> None:
        self._desk.episode.judged(
            message.prompt, Verdict(message.outcome), message.reason, message.command_id
        )
        self._desk.changed()

    def _on_confirmation(self, message: ConfirmationRequest) -> None:
        self._desk.episode.to_confirm = message.command_id
        self._desk.changed()

    def _on_perception(self, message: PerceptionStatus) -> None:
        good = message.code == PerceptionStatus.OK
        self._desk.perception_says = "" if good else f"{message.code}: {message.message}"

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """End the episode, keep the handles."""
        if self._desk.episode.running:
            self._desk.end(EpisodeStatus.CANCELLED, "the policy node was deactivated")
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Destroy what configure created."""
        self._desk.destroy()
        return super().on_cleanup(state)

    def on_clock_jump_back(self) -> None:
        """Nothing that was stamped before can be compared with what comes."""
        self._desk.episode.forget_times()

    def diagnose(self) -> tuple[bool, str, dict[str, Any]]:
        """The model, and where the episode stands."""
        e = self._desk.episode
        values = {**self._policy.description, "episode": e.prompt_id, "stage": e.stage}
        values |= {"step": f"{e.step} of {e.max_steps}, {e.executed} carried out"}
        values |= {"prompt time [ms]": round(1e3 * self._policy.prompt_time, 1)}
        told = f"{e.state.name.lower()} {e.message}".strip()
        if not self._policy.trained:
            return False, f"{UNTRAINED}; {told}", values
        return e.state != State.FAILED, told, values


def main(args: list[str] | None = None) -> None:
    """``ros2 run vima_ros policy``."""
    run(PolicyNode, args)
