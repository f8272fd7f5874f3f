"""Subscriber to the heartbeats of a namespace, and the check for a second node of one's name."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from vima_msgs.msg import Heartbeat
from vima_ros.errors import VimaError
from vima_ros.liveness import ACTIVE, NodeInstance
from vima_ros.nodes.common import qos
from vima_ros.nodes.common.duplicate_nodes import DuplicateNodes
from vima_ros.nodes.common.heartbeat import HEARTBEAT_PERIOD

if TYPE_CHECKING:
    from vima_ros.nodes.common.lifecycle_node import VimaNode

# How long a node waits for heartbeats of another of its name before it configures [s].
DUPLICATE_WAIT = 3 * HEARTBEAT_PERIOD


class HeartbeatListener:
    """Passes heartbeats of the node's namespace to callbacks, and detects duplicates of the node.

    ``withdraw`` is called where the node is active and another of its name was so before.
    """

    def __init__(self, node: VimaNode, withdraw: Callable[[], None]) -> None:
        self._node, self._withdraw = node, withdraw
        self._duplicates, self._created = DuplicateNodes(), time.monotonic()
        self._callbacks: list[Callable[[str, int, str], None]] = []
        self._subscription = node.create_subscription(
            Heartbeat, "heartbeat", self._on_heartbeat, qos.RELIABLE
        )

    def add_callback(self, callback: Callable[[str, int, str], None]) -> None:
        """Call ``callback`` with name, state and instance id at each heartbeat."""
        self._callbacks.append(callback)

    def clear_callbacks(self) -> None:
        """Remove all callbacks."""
        self._callbacks.clear()

    def wait_for_duplicates(self) -> None:
        """Raise VimaError (DUPLICATE_NODE) where another node of this name has precedence.

        Soon after its start a node has not received all heartbeats yet: it waits, and takes the
        heartbeats that its executor cannot deliver meanwhile.
        """
        while True:
            handle = self._subscription.handle
            with handle:
                while taken := handle.take_message(Heartbeat, False):
                    self._on_heartbeat(taken[0])
            if time.monotonic() - self._created >= DUPLICATE_WAIT:
                break
            time.sleep(HEARTBEAT_PERIOD / 10)
        self.check_duplicates()

    def check_duplicates(self) -> None:
        """Raise VimaError (DUPLICATE_NODE) as above, from the heartbeats received so far."""
        rival = self._duplicates.find_rival(self._own, time.monotonic())
        if rival:
            raise self._refusal(rival)

    @property
    def _own(self) -> NodeInstance:
        return NodeInstance(self._node.instance_id, self._node.lifecycle_state)

    def _refusal(self, rival: NodeInstance) -> VimaError:
        return VimaError(
            "DUPLICATE_NODE",
            f"{rival} runs another {self._node.get_fully_qualified_name()}; valid: one node of a "
            "name in a namespace: end one of them, or give this one another namespace",
        )

    def _on_heartbeat(self, message: Heartbeat) -> None:
        namespace, _, name = message.node.rpartition("/")
        if namespace != self._node.get_namespace().rstrip("/"):
            return
        if name == self._node.get_name() and message.instance_id != self._node.instance_id:
            self._on_duplicate(
                NodeInstance(message.instance_id, message.state, message.host, message.process_id)
            )
        for callback in self._callbacks:
            callback(name, message.state, message.instance_id)

    def _on_duplicate(self, other: NodeInstance) -> None:
        """Log another node of this name once; where both are active, the later one withdraws."""
        log = self._node.get_logger()
        if self._duplicates.receive(other, time.monotonic()):
            name = self._node.get_fully_qualified_name()
            log.warning(f"{other} runs another {name}; only one of them can be configured")
        own = self._own
        if own.state == other.state == ACTIVE and other.outranks(own):
            error = self._refusal(other)
            log.error(f"no longer active: {error.code}: {error}")
            self._withdraw()
