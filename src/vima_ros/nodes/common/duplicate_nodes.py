"""Two nodes of one name in one namespace: which of them may run. Without ROS."""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass

UNCONFIGURED, ACTIVE, FINALIZED = 1, 3, 4  # lifecycle_msgs/State
RECENT = 1.0  # an instance that is silent for longer is gone: five heartbeats [s]


def new_instance_id() -> str:
    """A name for one run of a node: 32 hexadecimal digits, and those of a later run are larger."""
    return f"{time.time_ns():016x}{uuid.uuid4().hex[:16]}"


@dataclass(frozen=True)
class Instance:
    """One run of a node as its heartbeat describes it; ``state`` as in lifecycle_msgs/State."""

    id: str
    state: int
    host: str = ""
    process_id: int = 0

    @property
    def _rank(self) -> tuple[int, str]:
        return {ACTIVE: 0, UNCONFIGURED: 2}.get(self.state, 1), self.id

    def outranks(self, other: Instance) -> bool:
        """Whether this one may run and ``other`` may not.

        An active node outranks a configured one, that an unconfigured one; among equals the one
        that was started first.
        """
        return self._rank < other._rank

    def __str__(self) -> str:
        return f"process {self.process_id} on {self.host}"


class Namesakes:
    """The other instances of a node's name. Times [s] on one steady clock."""

    def __init__(self) -> None:
        self._heard: dict[str, tuple[Instance, float]] = {}

    def heard(self, other: Instance, now: float) -> bool:
        """Take in a heartbeat of another instance; whether it is the first from that one."""
        new = other.id not in self._heard
        self._heard[other.id] = other, now
        return new and other.state != FINALIZED

    def rival(self, own: Instance, now: float) -> Instance | None:
        """An instance that lives and outranks ``own``, if there is one."""
        for other, heard in self._heard.values():
            lives = other.state != FINALIZED and now - heard <= RECENT
            if lives and other.outranks(own):
                return other
        return None
