"""The arm node's report that a command has ended."""

from __future__ import annotations

from vima_msgs.msg import ArmState

ENDED = (ArmState.SUCCEEDED, ArmState.REFUSED, ArmState.ABORTED, ArmState.STOPPED)


def ends_command(message: ArmState, command_id: str) -> bool:
    """Return whether the message is the arm node's result of this command."""
    return message.judged and message.command_id == command_id and message.state in ENDED
