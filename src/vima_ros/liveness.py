"""Liveness of nodes and of a robot: silence, deaths, duplicate nodes, start-up order. No ROS."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

UNCONFIGURED, INACTIVE, ACTIVE, FINALIZED = 1, 2, 3, 4  # lifecycle_msgs/State; 10 on: transitions
MAX_CHECK_GAP = 0.3  # a longer time between two checks means that this process was held up [s]
RETRY_DELAY = 3.0  # until a transition is requested again; doubled after each refusal [s]
MAX_RETRY_DELAY = 60.0  # [s]
TAKEOVER_SILENCE = 1.0  # silence after which another instance of a node replaces it [s]
MISSING_DELAY = 5.0  # until a missing node is reported [s]
MISSING_PERIOD = 30.0  # until it is reported again [s]


class SilenceDetector:
    """Time since each source was last received. Times [s] on one steady clock.

    A process that was held up cannot tell whether others were silent meanwhile: time in which
    ``silences`` was not called, beyond ``MAX_CHECK_GAP``, does not count as silence. ``sources``
    are expected from the start; others join when they are first received.
    """

    def __init__(self, sources: Iterable[str] = ()) -> None:
        self._received = dict.fromkeys(sources, -math.inf)
        self._checked = math.inf

    def receive(self, source: str, now: float) -> None:
        """Record that ``source`` sent something usable."""
        self._received[source] = now

    def restart(self, now: float) -> None:
        """Count silence from ``now`` on, for example when a motion begins."""
        self._received = {source: max(at, now) for source, at in self._received.items()}
        self._checked = now

    def silence(self, source: str, now: float) -> float:
        """Return the silence of one source, as of the last call of ``silences`` [s]."""
        return now - self._received[source]

    def silences(self, now: float) -> dict[str, float]:
        """Return the silence of each source [s]; call this several times per second."""
        held_up = max(now - self._checked - MAX_CHECK_GAP, 0.0)
        self._checked = now
        self._received = {source: min(at + held_up, now) for source, at in self._received.items()}
        return {source: now - at for source, at in self._received.items()}

    def find_silent(self, now: float, timeout: float) -> tuple[str, float] | None:
        """Return a source silent for longer than ``timeout`` and its silence [s], else None.

        Call this several times per second. A ``timeout`` of 0 never expires.
        """
        silent = [(s, silence) for s, silence in self.silences(now).items() if silence > timeout]
        return silent[0] if timeout and silent else None


@dataclass(frozen=True)
class NodeInstance:
    """One run of a node as its heartbeat describes it; ``state`` as in lifecycle_msgs/State."""

    id: str
    state: int
    host: str = ""
    process_id: int = 0

    @property
    def _rank(self) -> tuple[int, str]:
        return {ACTIVE: 0, UNCONFIGURED: 2}.get(self.state, 1), self.id

    def outranks(self, other: NodeInstance) -> bool:
        """Return True if this instance may run and ``other`` of the same name may not.

        An active node outranks a configured one, which outranks an unconfigured one; among equals,
        the one that was started first.
        """
        return self._rank < other._rank

    def __str__(self) -> str:
        return f"process {self.process_id} on {self.host}"


@dataclass(frozen=True)
class NodeDeath:
    """Death of the node ``name``, and ``how`` it came about: a verb phrase."""

    name: str
    how: str

    def __str__(self) -> str:
        return f"{self.name} {self.how}"


@dataclass
class NodeStatus:
    """Status of one supervised node. Times [s] on one steady clock."""

    instance_id: str = ""  # the run of the node whose heartbeats are followed
    state: int = 0  # 0: no heartbeat was received yet
    dead: bool = False
    was_active: bool = False
    primary_state: int = 0  # its last state that was no transition
    requested_at: float = -math.inf  # when a transition was last requested in that state
    request_pending: bool = False  # that request has no response yet
    refusals: int = 0  # of such requests

    @property
    def deactivated(self) -> bool:
        """True if a person deactivated the node: the manager never does."""
        return self.was_active and not self.dead and self.state in (UNCONFIGURED, INACTIVE)


@dataclass
class Supervisor:
    """Start-up of nodes in order, and detection of their deaths, from their heartbeats.

    ``timeout``: silence that means death [s]; ``transition_timeout``: the same during a
    transition, when a node may load weights for seconds [s].
    """

    names: tuple[str, ...]
    timeout: float
    transition_timeout: float
    nodes: dict[str, NodeStatus] = field(default_factory=dict)
    stop_required: bool = False  # a node that was active died; reset by whoever stops the arm
    _heartbeats: SilenceDetector = field(default_factory=SilenceDetector)
    _deaths: list[NodeDeath] = field(default_factory=list)
    _missing: tuple[str, ...] = ()
    _missing_since: float = 0.0
    _reported: tuple[tuple[str, ...], float] = ((), 0.0)  # what was missing, and when

    def __post_init__(self) -> None:
        self.nodes = {name: NodeStatus() for name in self.names}

    def on_heartbeat(self, name: str, state: int, now: float, instance_id: str = "") -> None:
        """Process a heartbeat; ``instance_id`` distinguishes two runs of a node."""
        node = self.nodes.get(name)
        if node is None:
            return
        if node.state and instance_id != node.instance_id:
            gone = node.dead or self._heartbeats.silence(name, now) > TAKEOVER_SILENCE
            followed = NodeInstance(node.instance_id, node.state)
            outranks = NodeInstance(instance_id, state).outranks(followed)
            if state == FINALIZED or not (gone or outranks):
                return  # another node of the same name, which may not run beside the one followed
            if not node.dead and node.was_active:
                self._record_death(name, "died and was restarted")
            node = self.nodes[name] = NodeStatus()
        node.instance_id = instance_id
        self._heartbeats.receive(name, now)
        if state == FINALIZED:
            if not node.dead:
                self._record_death(name, "ended")
        else:
            node.was_active = state == ACTIVE or (
                node.was_active and not (node.dead and state == UNCONFIGURED)
            )
            node.dead = False
        if state in (UNCONFIGURED, INACTIVE, ACTIVE) and state != node.primary_state:
            node.primary_state, node.requested_at = state, -math.inf
            node.request_pending, node.refusals = False, 0
        node.state = state

    def find_dead(self, now: float) -> list[NodeDeath]:
        """Return each node that died since the last call.

        Call this several times per second (see ``SilenceDetector``).
        """
        silences = self._heartbeats.silences(now)
        for name, node in self.nodes.items():
            silence = silences.get(name, 0.0)
            in_transition = node.state > FINALIZED or node.request_pending
            limit = self.transition_timeout if in_transition else self.timeout
            if not node.dead and silence > limit:
                self._record_death(name, f"died: no heartbeat for {silence:.1f} s")
        deaths, self._deaths = self._deaths, []
        return deaths

    def _record_death(self, name: str, how: str) -> None:
        node = self.nodes[name]
        node.dead, node.request_pending, node.requested_at = True, False, -math.inf
        self.stop_required = self.stop_required or node.was_active
        self._deaths.append(NodeDeath(name, how))

    def next_transition(self, now: float) -> tuple[str, str] | None:
        """Return the node and the transition (configure or activate) that is due, if there is one.

        A node's turn comes when all nodes before it are active, or deactivated by a person.
        """
        for name, node in self.nodes.items():
            if (node.state == ACTIVE and not node.dead) or node.deactivated:
                continue
            transition = {UNCONFIGURED: "configure", INACTIVE: "activate"}.get(node.state)
            delay = min(RETRY_DELAY * 2 ** max(node.refusals - 1, 0), MAX_RETRY_DELAY)
            if node.dead or transition is None or now - node.requested_at < delay:
                return None
            node.requested_at, node.request_pending = now, True
            return name, transition
        return None

    def on_response(self, name: str, success: bool) -> bool:
        """Process a transition's response; return True for the first refusal in this state."""
        node = self.nodes[name]
        node.request_pending = False
        node.refusals += not success
        return not success and node.refusals == 1

    def report_missing(self, now: float) -> str:
        """Return the nodes that are missing, 5 s after the last of them went missing, else "".

        The same nodes are reported again after 30 s.
        """
        missing = tuple(
            f"{name} ({'ended' if n.state == FINALIZED else 'died' if n.dead else 'no heartbeat'})"
            for name, n in self.nodes.items()
            if n.dead or not n.state
        )
        if missing != self._missing:
            self._missing, self._missing_since = missing, now
        last, when = self._reported
        repeated = missing == last and now - when < MISSING_PERIOD
        if not missing or repeated or now - self._missing_since < MISSING_DELAY:
            return ""
        self._reported = missing, now
        return ", ".join(missing)

    @property
    def deactivated(self) -> list[str]:
        """Names of the nodes that a person deactivated; they stay so until activated again."""
        return [name for name, node in self.nodes.items() if node.deactivated]

    @property
    def all_active(self) -> bool:
        """True if every node is active and alive."""
        return all(node.state == ACTIVE and not node.dead for node in self.nodes.values())
