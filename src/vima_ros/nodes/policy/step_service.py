"""Services of the policy node: ``step``, one decision on request, and ``reset_episode``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rclpy.task import Future
from std_srvs.srv import Trigger

from vima_msgs.msg import EpisodeStatus
from vima_msgs.srv import StepPolicy
from vima_ros.episode.state_machine import EpisodeStateMachine
from vima_ros.episode.values import EpisodeState
from vima_ros.errors import VimaError

if TYPE_CHECKING:
    from vima_ros.nodes.policy.episode_manager import EpisodeManager
    from vima_ros.nodes.policy.node import PolicyNode

STEP_TIMEOUT = 60.0  # a person may have to confirm; other waits end sooner [s]


class StepServer:
    """Servers of ``step``, which responds once the gate has passed or refused the decision."""

    def __init__(self, node: PolicyNode, episodes: EpisodeManager) -> None:
        self._node, self._episodes = node, episodes
        self._requested: tuple[str, int, Future] | None = None  # prompt id, step, response
        node.create_service(StepPolicy, "step", self._on_step)
        node.create_service(Trigger, "reset_episode", self._on_reset)

    async def _on_step(self, request: Any, response: Any) -> Any:
        try:
            response.code, response.message = await self._step()
        except VimaError as error:
            response.code, response.message = error.code, str(error)
        response.success = response.code == "OK"
        if self._episodes.action is not None:
            response.action = self._episodes.action
        return response

    async def _step(self) -> tuple[str, str]:
        """Return code and message of one step; raises VimaError if no step can be made."""
        if not self._node.active:
            raise VimaError("NOT_ACTIVE", "the policy node is not active")
        if self._requested is not None:
            raise VimaError("BUSY", "another step is being made")
        stop = self._episodes.episode.describe_stop(self._node.now_ns())
        if stop:
            raise VimaError("STOPPED", stop)
        if not self._episodes.restart():
            raise _ended(self._episodes.episode)
        episode = self._episodes.episode
        if not episode.waiting_for_step:
            how = f"is {episode.stage}" if episode.single_step else "decides by itself"
            raise VimaError("BUSY", f"episode {episode.prompt_id} {how}")
        self._episodes.action = None
        self._requested = episode.prompt_id, episode.step, Future()
        episode.allow_step()
        try:
            return await self._node.wait_for_response(self._requested[2], STEP_TIMEOUT)
        finally:
            self._requested, episode.step_allowed = None, False

    async def _on_reset(self, request: Any, response: Any) -> Any:
        e = self._episodes.episode
        response.success = True
        if e.running:
            self._episodes.end(EpisodeStatus.RESET, "reset_episode was called")
            await self._episodes.wait_for_cancel()
            response.message = f"episode {e.prompt_id} has ended; step restarts it"
        elif e.prompt_id:
            e.end(EpisodeStatus.RESET, "reset_episode was called")
            self._episodes.publish_changes()
            response.message = f"no episode was running; step restarts {e.prompt_id}"
        else:
            response.message = "there was no episode"
        return response

    def on_change(self) -> None:
        """Respond to ``step`` once the gate has checked the decision."""
        if self._requested is None or self._requested[2].done():
            return
        prompt_id, step, response = self._requested
        e = self._episodes.episode
        if (e.prompt_id, e.step) == (prompt_id, step) and e.running:
            if e.moving:
                response.set_result(("OK", ""))
            elif e.state == EpisodeState.PAUSED:
                response.set_result((e.code, e.message))
        elif e.prompt_id == prompt_id:
            response.set_result((e.code, e.message))
        else:
            response.set_result((EpisodeStatus.REPLACED, f"by prompt {e.prompt_id}"))


def _ended(episode: EpisodeStateMachine) -> VimaError:
    if not episode.prompt_id:
        return VimaError("NO_PROMPT", "there is no prompt; valid: set_prompt with hold true")
    ended = f"episode {episode.prompt_id} has ended: {episode.message}"
    return VimaError(episode.code, f"{ended}; reset_episode lets it restart")
