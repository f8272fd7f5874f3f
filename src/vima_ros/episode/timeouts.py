"""How long an episode may stay as it is."""

from __future__ import annotations

from dataclasses import dataclass

from vima_ros.episode.state_machine import RESUME, Episode, State


@dataclass
class Patience:
    """How long an episode may stay as it is [s, steady clock].

    ``observation``: without anything to decide on, ``pause``: stopped and not resumed (of both 0:
    for ever); ``answer``: without the arm node's word on a decision; ``verdict``: without the
    judge's on a motion.
    """

    observation: float = 10.0
    pause: float = 60.0
    answer: float = 5.0
    verdict: float = 5.0
    _was: tuple = ()
    _since: float = 0.0

    def check(self, episode: Episode, now: float, seen: str = "") -> None:
        """End ``episode`` if it has stayed as it is for too long, or let it go on unjudged.

        To be called a few times a second. ``seen``: why perception hands nothing on.
        """
        e = episode
        is_now = (e.prompt_id, e.stage, e.step, e.waiting_for_step, e.verdict_due, e.newest_used)
        if is_now != self._was:
            self._was, self._since = is_now, now
        waited = now - self._since
        if e.verdict_due:
            if waited > self.verdict:
                e.verdict_came()
        elif (
            e.state == State.OBSERVING and not e.waiting_for_step and 0 < self.observation < waited
        ):
            why = f"; perception says {seen}" if seen else ""
            e.end("NO_OBSERVATION", f"nothing to decide on for {self.observation:g} s{why}")
        elif e.state == State.EXECUTING and e.stage == "checking" and waited > self.answer:
            e.end("NODE_DIED", f"the arm node has not answered for {self.answer:g} s")
        elif e.state == State.PAUSED and 0 < self.pause < waited:
            e.end("STOPPED", f"{e.message}; not resumed within {self.pause:g} s; {RESUME}")
