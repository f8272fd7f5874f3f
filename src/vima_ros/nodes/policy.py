"""The policy node: prompt tokens and observations in, one action at a time out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from vima_msgs.msg import ArmState, EpisodeStatus, Observation, PolicyAction, PromptTokens
from vima_ros.errors import VimaError
from vima_ros.geometry import Workspace
from vima_ros.nodes import conversions, qos
from vima_ros.nodes.base import VimaNode, run
from vima_ros.nodes.parameters import parameter
from vima_ros.policy import load_policy
from vima_ros.policy.config import DTYPES
from vima_ros.policy.episode import ArmReport, Episode, State
from vima_ros.specs import EndEffector

UNTRAINED = "UNTRAINED policy: fixed random weights, its actions mean nothing"


@dataclass(frozen=True)
class PolicyParameters:
    """Read from config/policy.yaml."""

    checkpoint: str = parameter("file of weights; empty: untrained random ones", read_only=True)
    device: str = parameter("where torch computes: cpu, cuda, cuda:1 …", read_only=True)
    dtype: str = parameter(
        "what it computes in; int8 on a cpu only", choices=DTYPES, read_only=True
    )
    vit_heads: int = parameter(
        "heads of the checkpoint's vision transformer; 0: as the file says, else the published 24",
        low=0,
        high=1024,
        read_only=True,
    )
    max_steps: int = parameter("decisions an episode may take", low=1, high=500)
    max_age: float = parameter("oldest observation to decide on [s]", low=0.05, high=60)
    default_end_effector: str = parameter(
        "what is mounted, until arm_state says it; empty: wait for arm_state",
        choices=("", *(e.name.lower() for e in EndEffector)),
        read_only=True,
    )
    base_frame: str = parameter("frame of the poses", read_only=True)
    workspace_low: list[float] = parameter(
        "x, y of the workspace's low corner [m]", read_only=True
    )
    workspace_high: list[float] = parameter("x, y of the workspace, high [m]", read_only=True)


class PolicyNode(VimaNode):
    """One prompt, one episode: decides on the newest observation once the last motion ended."""

    name = "policy"
    parameters_type = PolicyParameters

    def configure(self) -> None:
        """Load the weights (seconds), then create the handles."""
        p = self.parameters
        self._workspace = Workspace(tuple(p.workspace_low), tuple(p.workspace_high))
        told = {"vit_heads": p.vit_heads} if p.vit_heads else {}
        self._policy = load_policy(
            p.checkpoint or None, device=p.device, dtype=p.dtype, config=told
        )
        if not self._policy.trained:
            self.get_logger().warning(UNTRAINED)
        self._episode = Episode()
        self._decision: Any = None
        mounted = p.default_end_effector
        self._end_effector = EndEffector[mounted.upper()] if mounted else None
        self._actions = self.create_publisher(PolicyAction, "action", qos.RELIABLE)
        self._status = self.create_publisher(EpisodeStatus, "episode", qos.LATCHED)
        self.listen(PromptTokens, "prompt_tokens", self._on_prompt, qos.LATCHED)
        self.listen(Observation, "observation", self._on_observation, qos.RELIABLE)
        self.listen(ArmState, "arm_state", self._on_arm_state, qos.RELIABLE)
        self._publish_status()

    def _on_prompt(self, message: PromptTokens) -> None:
        if message.prompt_id == self._episode.prompt_id:
            return
        self._episode = self._episode.begin(
            message.prompt_id, message.text, self.parameters.max_steps
        )
        try:
            self._check_vocabulary(message.vocabulary_size)
            self._policy.reset(conversions.prompt_from_message(message))
        except VimaError as error:
            self._episode.fail(error.code, str(error))
        self.get_logger().info(f"prompt {message.prompt_id}: {message.text}")
        self._publish_status()

    def _check_vocabulary(self, size: int) -> None:
        """Word tables have a few rows more than their tokenizer has words (T5: 32128, 32100)."""
        rows = self._policy.network.config.vocabulary
        if not 0.9 * rows <= size <= rows:
            raise VimaError(
                "WRONG_TOKENIZER",
                f"the prompt node's tokenizer has {size} words, the checkpoint {rows}; "
                "valid: the prompt node's parameter tokenizer set to the checkpoint's own",
            )

    def _on_observation(self, message: Observation) -> None:
        stamp = conversions.stamp_to_ns(message.header.stamp)
        episode = self._episode
        if not self.active or self._end_effector is None:
            return
        if not episode.wants(stamp, self.now_ns(), self.parameters.max_age):
            return
        episode.state = State.DECIDING
        try:
            observation = conversions.observation_from_message(message, self._end_effector)
            self._decision = self._policy.infer(observation)
        except VimaError as error:
            full = error.code == EpisodeStatus.HISTORY_FULL
            episode.fail(
                error.code if full else EpisodeStatus.POLICY_ERROR, f"{error.code}: {error}"
            )
            self._publish_status()
            return
        action = conversions.decision_to_message(
            self._decision, self._workspace, self.parameters.base_frame, stamp
        )
        action.prompt_id, action.step = episode.prompt_id, episode.step
        action.header.stamp = self.get_clock().now().to_msg()
        episode.decided(conversions.decision_id(episode.prompt_id, episode.step, stamp), stamp)
        self._actions.publish(action)
        self._publish_status()

    def _on_arm_state(self, message: ArmState) -> None:
        if message.state != ArmState.REFUSED and message.tool_pose.orientation.w != 0.0:
            self._end_effector = message.end_effector
        before = self._snapshot()
        carried_out = self._episode.arm_reported(
            ArmReport(message.state),
            message.code,
            message.message,
            message.command_id,
            conversions.stamp_to_ns(message.header.stamp),
        )
        if carried_out:
            self._policy.record(self._decision)
        if self._snapshot() != before:
            self._publish_status()

    def _snapshot(self) -> tuple:
        e = self._episode
        return e.prompt_id, e.state, e.step, e.executed, e.code, e.message

    def _publish_status(self) -> None:
        e = self._episode
        status = EpisodeStatus(
            prompt_id=e.prompt_id,
            text=e.text,
            state=int(e.state),
            step=e.step,
            executed=e.executed,
            max_steps=e.max_steps,
            code=e.code,
            message=e.message,
        )
        status.header.stamp = self.get_clock().now().to_msg()
        self._status.publish(status)
        if e.state in (State.PAUSED, State.FINISHED, State.FAILED):
            self.get_logger().info(f"episode {e.prompt_id} {e.state.name}: {e.code} {e.message}")

    def clock_jumped_back(self) -> None:
        """Nothing that was stamped before can be compared with what comes."""
        self._episode.forget_times()

    def diagnose(self) -> tuple[bool, str, dict[str, Any]]:
        """The model, and where the episode stands."""
        e = self._episode
        values = {**self._policy.description, "episode": e.prompt_id, "step": e.step}
        if self._decision is not None:
            values |= {
                f"time {k} [ms]": round(1e3 * t, 2) for k, t in self._decision.timings.items()
            }
        if not self._policy.trained:
            return False, f"{UNTRAINED}; {e.state.name.lower()}", values
        return e.state != State.FAILED, f"{e.state.name.lower()} {e.message}", values


def main(args: list[str] | None = None) -> None:
    """``ros2 run vima_ros policy``."""
    run(PolicyNode, args)
