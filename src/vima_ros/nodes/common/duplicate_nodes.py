"""Detection of two nodes of one name in one namespace, of which one may run. Without ROS."""

from __future__ import annotations

import time
import uuid

from vima_ros.liveness import FINALIZED, NodeInstance

INSTANCE_TIMEOUT = 1.0  # silence after which an instance is gone: five heartbeats [s]


def new_instance_id() -> str:
    """Return an id for one run of a node: 32 hexadecimal digits, larger for a later run."""
    return f"{time.time_ns():016x}{uuid.uuid4().hex[:16]}"


class DuplicateNodes:
    """Other instances of a node's name. Times [s] on one steady clock."""

    def __init__(self) -> None:
        self._received: dict[str, tuple[NodeInstance, float]] = {}

    def receive(self, other: NodeInstance, now: float) -> bool:
        """Record a heartbeat of another instance; return True if it is its first."""
        new = other.id not in self._received
        self._received[other.id] = other, now
        return new and other.state != FINALIZED

    def find_rival(self, own: NodeInstance, now: float) -> NodeInstance | None:
        """Return an instance that lives and outranks ``own``, if there is one."""
        for other, received in self._received.values():
            lives = other.state != FINALIZED and now - received <= INSTANCE_TIMEOUT
            if lives and other.outranks(own):
                return other
        return None
