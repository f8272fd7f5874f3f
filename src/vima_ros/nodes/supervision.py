"""Who lives, who died, what to do about it: the manager's judgement, without ROS."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

UNCONFIGURED, INACTIVE, ACTIVE = 1, 2, 3  # lifecycle_msgs/State; 10 and more: in transition
RETRY = 3.0  # a transition that was refused, or whose request was lost, is asked again after this
NAP = 0.3  # longer between two checks means that this process was held up [s]


@dataclass
class Watched:
    """What is known of one node. Times [s] on one steady clock."""

    state: int = 0  # 0: never heard
    heard: float = 0.0
    dead: bool = False
    asked_at: float = -math.inf  # when a transition was last asked for
    was_active: bool = False


@dataclass
class Supervisor:
    """Brings nodes up in order and notices deaths.

    ``timeout``: silence that means death [s]; ``transition_timeout``: the same before a node is
    active, when it may load weights for seconds [s].
    """

    names: tuple[str, ...]
    timeout: float
    transition_timeout: float
    nodes: dict[str, Watched] = field(default_factory=dict)
    checked: float = math.inf

    def __post_init__(self) -> None:
        self.nodes = {name: Watched() for name in self.names}

    def heard(self, name: str, state: int, now: float) -> str:
        """Take in a heartbeat; a sentence where it tells of a death, else empty."""
        node = self.nodes.get(name)
        if node is None:
            return ""
        restarted = node.was_active and state == UNCONFIGURED and not node.dead
        if state != node.state:
            node.asked_at = -math.inf
        node.state, node.heard, node.dead = state, now, False
        node.was_active = state == ACTIVE or (node.was_active and not restarted)
        return f"{name} died and was restarted" if restarted else ""

    def find_dead(self, now: float) -> list[str]:
        """A sentence for each node that fell silent since the last call, a few times a second.

        Time in which this was not called does not count: who slept cannot say that others did.
        """
        slept = max(now - self.checked - NAP, 0.0)
        self.checked = now
        deaths = []
        for name, node in self.nodes.items():
            limit = self.timeout if node.state == ACTIVE else self.transition_timeout
            node.heard = min(node.heard + slept, now)
            silence = now - node.heard
            if node.state and not node.dead and silence > limit:
                node.dead, node.was_active, node.asked_at = True, False, -math.inf
                deaths.append(f"{name} died: no heartbeat for {silence:.1f} s")
        return deaths

    def next_transition(self, now: float) -> tuple[str, str] | None:
        """The node and the transition (configure or activate) that is due, in the stated order.

        A node's turn comes when all before it are active.
        """
        for name, node in self.nodes.items():
            if node.state == ACTIVE and not node.dead:
                continue
            wanted = {UNCONFIGURED: "configure", INACTIVE: "activate"}.get(node.state)
            if node.dead or wanted is None or now - node.asked_at < RETRY:
                return None
            node.asked_at = now
            return name, wanted
        return None

    @property
    def all_active(self) -> bool:
        """Whether every node is up."""
        return all(node.state == ACTIVE and not node.dead for node in self.nodes.values())
