"""Timeouts of an episode."""

from __future__ import annotations

from dataclasses import dataclass

from vima_ros.episode.state_machine import RESUME_HINT, EpisodeStateMachine
from vima_ros.episode.values import EpisodeState


@dataclass
class EpisodeTimeouts:
    """Timeouts of an episode's stages [s, steady clock].

    ``observation``: without a usable observation; ``pause``: stopped and not resumed (both 0:
    never); ``response``: without the arm node's report on a decision; ``task_status``: without the
    task's report on a motion.
    """

    observation: float = 10.0
    pause: float = 60.0
    response: float = 5.0
    task_status: float = 5.0
    _last: tuple = ()
    _since: float = 0.0

    def check(self, episode: EpisodeStateMachine, now: float, perception_status: str = "") -> None:
        """End ``episode`` if a timeout has expired, or continue without the task's report.

        Call this several times per second. ``perception_status``: why perception publishes no
        observation.
        """
        e = episode
        current = (
            *(e.prompt_id, e.stage, e.step, e.waiting_for_step),
            *(e.task_report_pending, e.last_used_stamp),
        )
        if current != self._last:
            self._last, self._since = current, now
        waited = now - self._since
        observing = e.state == EpisodeState.OBSERVING and not e.waiting_for_step
        if e.task_report_pending:
            if waited > self.task_status:
                e.stop_waiting_for_task()
        elif observing and 0 < self.observation < waited:
            reason = f"; perception reports {perception_status}" if perception_status else ""
            e.end("NO_OBSERVATION", f"no usable observation for {self.observation:g} s{reason}")
        elif e.stage == "checking" and waited > self.response:
            e.end("NODE_DIED", f"the arm node has not responded for {self.response:g} s")
        elif e.state == EpisodeState.PAUSED and 0 < self.pause < waited:
            reason = f"not resumed within {self.pause:g} s"
            e.end("STOPPED", f"{e.message}; {reason}; {RESUME_HINT}")
