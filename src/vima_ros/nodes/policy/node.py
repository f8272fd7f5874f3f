"""Policy node: prompt tokens and observations to actions, one at a time."""

from __future__ import annotations

from collections.abc import Iterator

from vima_msgs.msg import (
    ArmState,
    ConfirmationRequest,
    EpisodeStatus,
    Observation,
    PerceptionStatus,
    PromptTokens,
    TaskStatus,
)
from vima_ros.episode.values import EpisodeState
from vima_ros.nodes.common import action_conversions, conversions, node_names, qos
from vima_ros.nodes.common.diagnostics import OK, WARN, FunctionStatus
from vima_ros.nodes.common.lifecycle_node import VimaNode
from vima_ros.nodes.common.main import run
from vima_ros.nodes.common.policy_inputs import InputsDeclaration
from vima_ros.nodes.common.prompt_conversions import prompt_from_message
from vima_ros.nodes.policy.arm_client import ArmClient
from vima_ros.nodes.policy.attention_publisher import AttentionPublisher
from vima_ros.nodes.policy.decision import decide, ungrounded_reason
from vima_ros.nodes.policy.episode_manager import EpisodeManager
from vima_ros.nodes.policy.execute_prompt_server import ExecutePromptServer
from vima_ros.nodes.policy.parameters import PolicyParameters
from vima_ros.nodes.policy.step_service import StepServer
from vima_ros.policy import load_policy
from vima_ros.policy.tokenizer import TokenizerIdentity
from vima_ros.specs import Decision, EndEffector

UNTRAINED = "UNTRAINED policy: fixed random weights, its actions are meaningless"


def begin_or_hold(
    message: PromptTokens, goals: ExecutePromptServer, episodes: EpisodeManager
) -> None:
    """Begin an episode, unless a goal runs, or the prompt is held until requested."""
    if not goals.take_tokens(message) and episodes.hold_prompt(message):
        episodes.begin(message, single_step=message.hold)


class PolicyNode(VimaNode[PolicyParameters]):
    """Decides on the latest observation once the last motion has ended."""

    name = node_names.POLICY
    parameters_type = PolicyParameters

    def configure(self) -> None:
        """Load the checkpoint (seconds), then create the handles."""
        p = self.parameters
        self._workspace = p.workspace
        config = {"vit_heads": p.vit_heads} if p.vit_heads else {}
        self._policy = load_policy(
            p.checkpoint or None,
            device=p.device,
            dtype=p.dtype,
            config=config,
            threads=p.threads,
            pick=p.pick,
        )
        if not self._policy.trained:
            self.get_logger().warning(UNTRAINED)
        network = self._policy.network
        self._declaration = InputsDeclaration(
            self,
            self._policy.inputs,
            network.max_prompt,
            network.image_tokens or 0,
        )
        self._declaration.publish()
        self._decision: Decision | None = None  # the latest of the episode
        mounted = p.default_end_effector
        self._end_effector = EndEffector[mounted.upper()] if mounted else None
        arm = ArmClient(self)
        self._episodes = EpisodeManager(self, arm, self._reset_policy)
        self._goals = ExecutePromptServer(self, arm, self._episodes)
        self._attention = AttentionPublisher(self)
        StepServer(self, arm, self._episodes, lambda: self._goals.busy)
        self.create_subscription(PromptTokens, "prompt_tokens", self._on_prompt, qos.LATCHED)
        self.create_subscription(Observation, "observation", self._on_observation, qos.RELIABLE)
        self.create_subscription(ArmState, "arm_state", self._on_arm_state, qos.RELIABLE)
        self.create_subscription(
            TaskStatus, "task_status", self._episodes.on_task_status, qos.LATCHED
        )
        self.create_subscription(
            ConfirmationRequest, "confirmation_request", self._on_confirmation_request, qos.LATCHED
        )
        self.create_subscription(
            PerceptionStatus, "perception_status", self._on_perception_status, qos.LATCHED
        )

    def _reset_policy(self, message: PromptTokens) -> None:
        """Reset the policy with a prompt; raises VimaError."""
        self._decision = None
        self._policy.check_tokenizer(
            TokenizerIdentity(message.tokenizer_sha256, message.vocabulary_size)
        )
        self._policy.reset(prompt_from_message(message))
        self._attention.begin(message)

    def _on_prompt(self, message: PromptTokens) -> None:
        begin_or_hold(message, self._goals, self._episodes)

    def _on_observation(self, message: Observation) -> None:
        stamp, now = conversions.stamp_to_ns(message.header.stamp), self.now_ns()
        if not self.active or self._end_effector is None:
            return
        form = "images" if message.images.front else "objects"
        if form != self._policy.inputs.observation:  # made before perception knew the declaration
            return
        if not self._episodes.start_decision(stamp):
            return
        effector = self._end_effector
        self._decision = decide(lambda: self._infer(message, effector), self._episodes)
        if self._decision is None:
            return
        action = action_conversions.decision_to_message(
            self._decision, self._workspace, self.parameters.table_frame, message
        )
        episode = self._episodes.episode
        action.prompt_id, action.step = episode.prompt_id, episode.step
        action.header.stamp = self.get_clock().now().to_msg()
        self._episodes.on_decision(action, stamp)
        self._attention.publish(self._decision, action)
        times = {"wait": (now - stamp) / 1e9, **self._decision.timings}
        self.statistics.record_result(
            times | {"observation to action": (self.now_ns() - stamp) / 1e9}
        )

    def _infer(self, message: Observation, end_effector: EndEffector) -> Decision:
        seen = conversions.observation_from_message(message, end_effector)
        decision = self._policy.infer(seen, self.parameters.publish_attention)
        if reason := ungrounded_reason(self._policy.pick, decision, seen.top):
            self.get_logger().warning(f"pick by the bins alone: {reason}")
        return decision

    def _on_arm_state(self, message: ArmState) -> None:
        if not message.judged:  # published by the robot; results of commands are the arm node's
            self._end_effector = EndEffector(message.end_effector)
            return
        if message.state == ArmState.REFUSED:
            self.statistics.record_refusal(message.code, message.message)
        self._episodes.on_arm_report(message, self._policy, self._decision)

    def _on_confirmation_request(self, message: ConfirmationRequest) -> None:
        self._episodes.on_confirmation_request(message.command_id)

    def _on_perception_status(self, message: PerceptionStatus) -> None:
        ok, read = message.code == PerceptionStatus.OK, self._policy.inputs.observation
        reason = "" if ok else f"{message.code}: {message.message}"
        if ok and message.observation != read:
            reason = f"{message.observation}, and this policy reads {read}"
        self._episodes.on_perception_status(reason)

    def activated(self) -> None:
        """Declare the inputs again: of two policies, perception serves the latest activated."""
        self._declaration.publish()

    def deactivated(self, how: str) -> None:
        """End the episode."""
        if self._episodes.episode.running:
            self._episodes.end(EpisodeStatus.CANCELLED, f"the policy node was {how}")

    def on_clock_jump_back(self) -> None:
        """Forget the stamps of the episode, which cannot be compared with later ones."""
        self._episodes.forget_times()

    def diagnose(self) -> Iterator[FunctionStatus]:
        """Report the model and the state of the episode."""
        model = {
            **self._policy.description,
            "prompt time [ms]": round(1e3 * self._policy.prompt_time, 1),
        }
        trained = self._policy.trained
        yield FunctionStatus("model", OK if trained else WARN, "" if trained else UNTRAINED, model)
        e = self._episodes.episode
        values = {"episode": e.prompt_id, "stage": e.stage, "step": e.step}
        values |= {"max_steps": e.max_steps, "executed": e.executed}
        level = WARN if e.state == EpisodeState.FAILED else OK
        yield FunctionStatus(
            "episode", level, f"{e.state.name.lower()} {e.message}".strip(), values
        )


def main(args: list[str] | None = None) -> None:
    """Run the policy node (``ros2 run vima_ros policy``)."""
    run(PolicyNode, args)
