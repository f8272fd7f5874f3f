"""Decisions of the policy, and the ends of episodes by its errors."""

from __future__ import annotations

from collections.abc import Callable

from vima_msgs.msg import EpisodeStatus
from vima_ros.errors import HistoryFullError, VimaError
from vima_ros.nodes.policy.episode_manager import EpisodeManager
from vima_ros.policy.action_selection import GROUNDED
from vima_ros.specs import Decision, Primitive, ViewObjects


def decide(infer: Callable[[], Decision], episodes: EpisodeManager) -> Decision | None:
    """Return the policy's decision, or None where an error of the policy ended the episode.

    An error other than VimaError ends the episode, too, and is raised.
    """
    try:
        return infer()
    except VimaError as error:
        full = isinstance(error, HistoryFullError)
        code = EpisodeStatus.HISTORY_FULL if full else EpisodeStatus.POLICY_ERROR
        episodes.end(code, f"{error.code}: {error}")
        return None
    except Exception as error:
        reason = f"unexpected {type(error).__name__}: {error}; see the policy node's log"
        episodes.end(EpisodeStatus.POLICY_ERROR, reason)
        raise


def ungrounded_reason(pick: str, decision: Decision, top: ViewObjects) -> str:
    """Return why a policy of grounded picks made one by the bins alone; empty: it did not.

    ``pick``: of the policy; ``top``: the objects of the top view that it decided on.
    """
    picks = decision.action.primitive is Primitive.PICK_PLACE
    if pick != GROUNDED or decision.picked is not None or not picks:
        return ""
    if not len(top):
        return "no object in the top view"
    if not top.has_outlines:
        return "the observation has no outlines; a perception node of this version sends them"
    return "no outline has a bin left that was not missed"
