"""Which nodes live, which died, what to do about it: the manager's judgement, without ROS."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from vima_ros.nodes.common.duplicate_nodes import Instance

UNCONFIGURED, INACTIVE, ACTIVE, FINALIZED = 1, 2, 3, 4  # lifecycle_msgs/State; 10 on: transitions
RETRY = 3.0  # until a transition is requested again; twice as long after each refusal [s]
MAX_RETRY = 60.0  # [s]
TAKEOVER = 1.0  # silence after which another instance of a node's name takes its place [s]
WAITING = 5.0  # until a missing node is reported [s]
STILL_WAITING = 30.0  # until it is reported again [s]
NAP = 0.3  # longer between two checks means that this process was held up [s]


@dataclass
class Watched:
    """What is known of one node. Times [s] on one steady clock."""

    instance: str = ""  # the run of the node whose heartbeats are followed
    state: int = 0  # 0: never heard
    heard: float = 0.0
    dead: bool = False
    was_active: bool = False
    settled: int = 0  # its last state that was no transition
    asked_at: float = -math.inf  # when a transition was last requested in that state
    unanswered: bool = False  # that request has no answer yet
    refusals: int = 0  # of such requests

    @property
    def deactivated(self) -> bool:
        """Whether someone else deactivated it: the manager never does."""
        return self.was_active and not self.dead and self.state in (UNCONFIGURED, INACTIVE)


@dataclass
class Supervisor:
    """Brings nodes up in order and notices deaths.

    ``timeout``: silence that means death [s]; ``transition_timeout``: the same during a
    transition, when a node may load weights for seconds [s].
    """

    names: tuple[str, ...]
    timeout: float
    transition_timeout: float
    nodes: dict[str, Watched] = field(default_factory=dict)
    checked: float = math.inf
    stop_due: bool = False  # a node that had been active died; whoever stops the arm resets it
    _deaths: list[str] = field(default_factory=list)
    _missing: tuple[str, ...] = ()
    _missing_since: float = 0.0
    _reported: tuple[tuple[str, ...], float] = ((), 0.0)  # what was missing, and when

    def __post_init__(self) -> None:
        self.nodes = {name: Watched() for name in self.names}

    def heard(self, name: str, state: int, now: float, instance: str = "") -> None:
        """Take in a heartbeat; ``instance`` tells two runs of a node apart."""
        node = self.nodes.get(name)
        if node is None:
            return
        if node.state and instance != node.instance:
            gone = node.dead or now - node.heard > TAKEOVER
            followed = Instance(node.instance, node.state)
            if state == FINALIZED or not (gone or Instance(instance, state).outranks(followed)):
                return  # another node of the same name, which may not run beside the one followed
            if not node.dead and node.was_active:
                self._note_death(name, "died and was restarted")
            node = self.nodes[name] = Watched()
        node.instance, node.heard = instance, now
        if state == FINALIZED:
            if not node.dead:
                self._note_death(name, "ended")
        else:
            node.was_active = state == ACTIVE or (
                node.was_active and not (node.dead and state == UNCONFIGURED)
            )
            node.dead = False
        if state in (UNCONFIGURED, INACTIVE, ACTIVE) and state != node.settled:
            node.settled, node.asked_at = state, -math.inf
            node.unanswered, node.refusals = False, 0
        node.state = state

    def find_dead(self, now: float) -> list[str]:
        """A sentence for each node that died since the last call; to be called often.

        Time in which this was not called does not count: who slept cannot say that others did.
        """
        slept = max(now - self.checked - NAP, 0.0)
        self.checked = now
        for name, node in self.nodes.items():
            under_way = node.state > FINALIZED or node.unanswered
            limit = self.transition_timeout if under_way else self.timeout
            node.heard = min(node.heard + slept, now)
            silence = now - node.heard
            if node.state and not node.dead and silence > limit:
                self._note_death(name, f"died: no heartbeat for {silence:.1f} s")
        deaths, self._deaths = self._deaths, []
        return deaths

    def _note_death(self, name: str, how: str) -> None:
        node = self.nodes[name]
        node.dead, node.unanswered, node.asked_at = True, False, -math.inf
        self.stop_due = self.stop_due or node.was_active
        self._deaths.append(f"{name} {how}")

    def next_transition(self, now: float) -> tuple[str, str] | None:
        """The node and the transition (configure or activate) that is due, in the stated order.

        A node's turn comes when all before it are active, or deactivated by someone else.
        """
        for name, node in self.nodes.items():
            if (node.state == ACTIVE and not node.dead) or node.deactivated:
                continue
            wanted = {UNCONFIGURED: "configure", INACTIVE: "activate"}.get(node.state)
            delay = min(RETRY * 2 ** max(node.refusals - 1, 0), MAX_RETRY)
            if node.dead or wanted is None or now - node.asked_at < delay:
                return None
            node.asked_at, node.unanswered = now, True
            return name, wanted
        return None

    def answered(self, name: str, success: bool) -> bool:
        """Take in the answer to a transition; whether it is the first refusal in this state."""
        node = self.nodes[name]
        node.unanswered = False
        node.refusals += not success
        return not success and node.refusals == 1

    def report_missing(self, now: float) -> str:
        """Nodes that are not there, 5 s after the last of them went missing, else empty.

        The same again after 30 s.
        """
        missing = tuple(
            f"{name} ({'ended' if n.state == FINALIZED else 'died' if n.dead else 'no heartbeat'})"
            for name, n in self.nodes.items()
            if n.dead or not n.state
        )
        if missing != self._missing:
            self._missing, self._missing_since = missing, now
        last, when = self._reported
        repeated = missing == last and now - when < STILL_WAITING
        if not missing or repeated or now - self._missing_since < WAITING:
            return ""
        self._reported = missing, now
        return ", ".join(missing)

    @property
    def deactivated(self) -> list[str]:
        """The nodes that someone else deactivated; they stay so until someone activates them."""
        return [name for name, node in self.nodes.items() if node.deactivated]

    @property
    def all_active(self) -> bool:
        """Whether every node is up."""
        return all(node.state == ACTIVE and not node.dead for node in self.nodes.values())
