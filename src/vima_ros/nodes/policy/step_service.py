"""The services ``step``, one decision by hand, and ``reset_episode``."""

from __future__ import annotations

from typing import Any

from rclpy.task import Future
from std_srvs.srv import Trigger

from vima_msgs.msg import EpisodeStatus
from vima_msgs.srv import StepPolicy
from vima_ros.episode.state_machine import Episode, State
from vima_ros.errors import VimaError

PATIENCE = 60.0  # a person may have to confirm; other waits end sooner [s]


class StepServer:
    """Answers once the gate has let the decision pass, or has refused it."""

    def __init__(self, node: Any, desk: Any) -> None:
        self._node, self._desk = node, desk
        self._asked: tuple[str, int, Future] | None = None  # episode, its step, and the answer
        node.create_service(StepPolicy, "step", self._on_step)
        node.create_service(Trigger, "reset_episode", self._on_reset)

    async def _on_step(self, request: Any, response: Any) -> Any:
        try:
            response.code, response.message = await self._step()
        except VimaError as error:
            response.code, response.message = error.code, str(error)
        response.success = response.code == "OK"
        if self._desk.action is not None:
            response.action = self._desk.action
        return response

    async def _step(self) -> tuple[str, str]:
        """Code and message once the gate has answered; raises VimaError where it comes to none."""
        if not self._node.active:
            raise VimaError("NOT_ACTIVE", "the policy node is not active")
        if self._asked is not None:
            raise VimaError("BUSY", "a step is being made")
        stopped = self._desk.episode.why_stopped(self._node.now_ns())
        if stopped:
            raise VimaError("STOPPED", stopped)
        if not self._desk.begin_again():
            raise _ended(self._desk.episode)
        episode = self._desk.episode
        if not episode.waiting_for_step:
            how = f"is {episode.stage}" if episode.by_hand else "decides by itself"
            raise VimaError("BUSY", f"episode {episode.prompt_id} {how}")
        self._desk.action = None
        self._asked = episode.prompt_id, episode.step, Future()
        episode.grant()
        try:
            return await self._node.wait_for_response(self._asked[2], PATIENCE)
        finally:
            self._asked, episode.granted = None, False

    async def _on_reset(self, request: Any, response: Any) -> Any:
        e = self._desk.episode
        response.success = True
        if e.running:
            self._desk.end(EpisodeStatus.RESET, "reset_episode was called")
            await self._desk.motion_ended()
            response.message = f"episode {e.prompt_id} has ended; step begins it anew"
        elif e.prompt_id:
            e.end(EpisodeStatus.RESET, "reset_episode was called")
            self._desk.changed()
            response.message = f"no episode ran; step begins {e.prompt_id} anew"
        else:
            response.message = "there was no episode"
        return response

    def changed(self) -> None:
        """The episode has: answer once the step is decided and judged by the gate."""
        if self._asked is None or self._asked[2].done():
            return
        prompt_id, step, answer = self._asked
        e = self._desk.episode
        if (e.prompt_id, e.step) == (prompt_id, step) and e.running:
            if e.moving:
                answer.set_result(("OK", ""))
            elif e.state == State.PAUSED:
                answer.set_result((e.code, e.message))
        elif e.prompt_id == prompt_id:
            answer.set_result((e.code, e.message))
        else:
            answer.set_result((EpisodeStatus.REPLACED, f"by prompt {e.prompt_id}"))


def _ended(episode: Episode) -> VimaError:
    if not episode.prompt_id:
        return VimaError("NO_PROMPT", "there is no prompt; valid: set_prompt with hold true")
    told = f"episode {episode.prompt_id} has ended: {episode.message}"
    return VimaError(episode.code, f"{told}; reset_episode lets it begin anew")
