"""Rule of which decisions belong to the policy's history, for the nodes and the evaluation."""

from __future__ import annotations

from typing import Any, Protocol

from vima_ros.episode.state_machine import EpisodeStateMachine
from vima_ros.episode.values import ArmReport


class PolicyHistory(Protocol):
    """History of a policy's decisions (``policy.policy.Policy``)."""

    def record(self, decision: Any) -> None: ...  # noqa: D102
    def miss(self, decision: Any) -> None: ...  # noqa: D102


def apply_arm_report(
    episode: EpisodeStateMachine,
    policy: PolicyHistory,
    decision: Any,
    report: ArmReport,
    code: str,
    message: str,
    command_id: str,
    stamp: int,
) -> None:
    """Apply a report of the arm to the episode and to the policy's history.

    ``decision``: the episode's latest. If it was executed, it is recorded; if its pick found
    nothing, it is recorded as missed; else it leaves no trace.
    """
    missed = code == "NOT_PICKED" and episode.owns_command(command_id)
    if episode.on_arm_report(report, code, message, command_id, stamp):
        policy.record(decision)
    elif missed:
        policy.miss(decision)
