"""Services of the policy node: ``step``, one decision on request, and ``reset_episode``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from rclpy.task import Future
from std_srvs.srv import Trigger

from vima_msgs.msg import EpisodeStatus, PolicyAction
from vima_msgs.srv import StepPolicy
from vima_ros.episode.state_machine import EpisodeStateMachine
from vima_ros.episode.values import EpisodeState
from vima_ros.errors import VimaError
from vima_ros.nodes.common.lifecycle_node import VimaNode
from vima_ros.nodes.policy.arm_client import ArmClient
from vima_ros.nodes.policy.episode_manager import EpisodeManager
from vima_ros.nodes.policy.parameters import PolicyParameters

STEP_TIMEOUT = 60.0  # a person may have to confirm; other waits end sooner [s]


@dataclass(frozen=True)
class StepResult:
    """Result of a step: its code and message, and its decision if one was made."""

    code: str
    message: str
    action: PolicyAction | None = None


class StepServer:
    """Servers of ``step``, which responds once the gate has passed or refused the decision.

    It owns the step that is being made, one at a time. ``goal_runs`` returns True while a goal of
    ``execute_prompt`` runs.
    """

    def __init__(
        self,
        node: VimaNode[PolicyParameters],
        arm: ArmClient,
        episodes: EpisodeManager,
        goal_runs: Callable[[], bool],
    ) -> None:
        self._node, self._arm, self._episodes, self._goal_runs = node, arm, episodes, goal_runs
        self._requested: tuple[str, int, Future[StepResult]] | None = None  # prompt id, step
        node.create_service(StepPolicy, "step", self._on_step)
        node.create_service(Trigger, "reset_episode", self._on_reset)
        episodes.add_listener(self._on_change)

    async def _on_step(
        self, request: StepPolicy.Request, response: StepPolicy.Response
    ) -> StepPolicy.Response:
        try:
            result = await self._step()
        except VimaError as error:
            result = StepResult(error.code, str(error))
        response.code, response.message = result.code, result.message
        response.success = response.code == "OK"
        if result.action is not None:
            response.action = result.action
        return response

    async def _step(self) -> StepResult:
        """Make one step; raises VimaError if none can be made."""
        if not self._node.active:
            raise VimaError("NOT_ACTIVE", "the policy node is not active")
        if self._requested is not None:
            raise VimaError("BUSY", "another step is being made")
        stop = self._episodes.episode.describe_stop(self._node.now_ns())
        if stop:
            raise VimaError("STOPPED", stop)
        if self._goal_runs() and not self._episodes.episode.running:  # it begins, or has ended
            raise VimaError("BUSY", "an ExecutePrompt goal is running")
        if not self._episodes.restart():
            raise _ended(self._episodes.episode)
        episode = self._episodes.episode
        if not episode.waiting_for_step:
            how = f"is {episode.stage}" if episode.single_step else "decides by itself"
            raise VimaError("BUSY", f"episode {episode.prompt_id} {how}")
        result: Future[StepResult] = Future()
        self._requested = episode.prompt_id, episode.step, result
        self._episodes.allow_step()
        try:
            return await self._node.wait_for_response(result, STEP_TIMEOUT)
        finally:
            self._requested = None
            self._episodes.withdraw_step(episode.prompt_id)

    async def _on_reset(
        self, request: Trigger.Request, response: Trigger.Response
    ) -> Trigger.Response:
        e = self._episodes.episode
        was_running, response.success = e.running, True
        if e.prompt_id:
            self._episodes.end(EpisodeStatus.RESET, "reset_episode was called")
        if was_running:
            await self._arm.wait_for_cancel(self._episodes.cancellation)
            response.message = f"episode {e.prompt_id} has ended; step restarts it"
        elif e.prompt_id:
            response.message = f"no episode was running; step restarts {e.prompt_id}"
        else:
            response.message = "there was no episode"
        return response

    def _on_change(self) -> None:
        """Respond to ``step`` once the gate has checked the decision."""
        if self._requested is None or self._requested[2].done():
            return
        prompt_id, step, result = self._requested
        e, action = self._episodes.episode, self._episodes.action
        if e.prompt_id != prompt_id:
            result.set_result(StepResult(EpisodeStatus.REPLACED, f"by prompt {e.prompt_id}"))
        elif e.step != step or not e.running or e.state == EpisodeState.PAUSED:
            result.set_result(StepResult(e.code, e.message, action))
        elif e.moving:
            result.set_result(StepResult("OK", "", action))


def _ended(episode: EpisodeStateMachine) -> VimaError:
    if not episode.prompt_id:
        return VimaError("NO_PROMPT", "there is no prompt; valid: set_prompt with hold true")
    ended = f"episode {episode.prompt_id} has ended: {episode.message}"
    return VimaError(episode.code, f"{ended}; reset_episode lets it restart")
