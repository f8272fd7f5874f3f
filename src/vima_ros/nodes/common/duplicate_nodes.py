"""Two nodes of one name in one namespace: which of them may run. Without ROS."""

from __future__ import annotations

import time
import uuid

from vima_ros.liveness import FINALIZED, NodeInstance

RECENT = 1.0  # an instance that is silent for longer is gone: five heartbeats [s]


def new_instance_id() -> str:
    """A name for one run of a node: 32 hexadecimal digits, and those of a later run are larger."""
    return f"{time.time_ns():016x}{uuid.uuid4().hex[:16]}"


class Namesakes:
    """The other instances of a node's name. Times [s] on one steady clock."""

    def __init__(self) -> None:
        self._heard: dict[str, tuple[NodeInstance, float]] = {}

    def heard(self, other: NodeInstance, now: float) -> bool:
        """Take in a heartbeat of another instance; whether it is the first from that one."""
        new = other.id not in self._heard
        self._heard[other.id] = other, now
        return new and other.state != FINALIZED

    def rival(self, own: NodeInstance, now: float) -> NodeInstance | None:
        """An instance that lives and outranks ``own``, if there is one."""
        for other, heard in self._heard.values():
            lives = other.state != FINALIZED and now - heard <= RECENT
            if lives and other.outranks(own):
                return other
        return None
