"""What a policy remembers of its decisions: one rule, for the nodes and for ``evaluate``."""

from __future__ import annotations

from typing import Any, Protocol

from vima_ros.episode.state_machine import ArmReport, Episode


class Memory(Protocol):
    """What a policy remembers of its decisions (``policy.engine.Policy``)."""

    def record(self, decision: Any) -> None: ...  # noqa: D102
    def miss(self, decision: Any) -> None: ...  # noqa: D102


def take_arm_report(
    episode: Episode,
    policy: Memory,
    decision: Any,
    report: ArmReport,
    code: str,
    message: str,
    command_id: str,
    stamp: int,
) -> None:
    """Take the arm's word into the episode, and what it means into the policy's history.

    ``decision``: the episode's latest. Carried out, it is recorded; where its pick found nothing,
    it is noted as missed; else it leaves no trace. The nodes and ``evaluate`` both go by this.
    """
    missed = code == "NOT_PICKED" and episode.asked_for(command_id)
    if episode.arm_reported(report, code, message, command_id, stamp):
        policy.record(decision)
    elif missed:
        policy.miss(decision)
