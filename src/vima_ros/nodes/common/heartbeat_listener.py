"""The heartbeats of the nodes beside one, and what a second node of its own name means."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from vima_msgs.msg import Heartbeat
from vima_ros.errors import VimaError
from vima_ros.liveness import ACTIVE, NodeInstance
from vima_ros.nodes.common import qos
from vima_ros.nodes.common.duplicate_nodes import Namesakes
from vima_ros.nodes.common.heartbeat import HEARTBEAT_PERIOD

LISTENING = 3 * HEARTBEAT_PERIOD  # for another node of the same name, before configuring [s]


class HeartbeatListener:
    """Passes heartbeats of the node's namespace to followers, and looks for the node's own name.

    ``state``: the node's lifecycle state; ``withdraw``: called where the node is active and
    another of its name was so before.
    """

    def __init__(self, node: Any, state: Callable[[], int], withdraw: Callable[[], None]) -> None:
        self._node, self._state, self._withdraw = node, state, withdraw
        self._namesakes, self._created = Namesakes(), time.monotonic()
        self._followers: list[Callable[[str, int, str], None]] = []
        self._subscription = node.listen(Heartbeat, "heartbeat", self._take, qos.RELIABLE)

    def follow(self, heard: Callable[[str, int, str], None]) -> None:
        """Call ``heard`` with name, state and instance id at each heartbeat."""
        self._followers.append(heard)

    def forget_followers(self) -> None:
        """Call nobody any more."""
        self._followers.clear()

    def wait_for_namesakes(self) -> None:
        """Raise VimaError (DUPLICATE_NODE) where another node of this name has precedence.

        Soon after its start a node has not heard from all others yet: it waits, and takes the
        heartbeats that its executor cannot deliver meanwhile.
        """
        while True:
            handle = self._subscription.handle
            with handle:
                while taken := handle.take_message(Heartbeat, False):
                    self._take(taken[0])
            if time.monotonic() - self._created >= LISTENING:
                break
            time.sleep(HEARTBEAT_PERIOD / 10)
        self.check_namesakes()

    def check_namesakes(self) -> None:
        """The same by what was heard so far."""
        rival = self._namesakes.rival(self._own, time.monotonic())
        if rival:
            raise self._refusal(rival)

    @property
    def _own(self) -> NodeInstance:
        return NodeInstance(self._node.instance_id, self._state())

    def _refusal(self, rival: NodeInstance) -> VimaError:
        return VimaError(
            "DUPLICATE_NODE",
            f"{rival} runs another {self._node.get_fully_qualified_name()}; valid: one node of a "
            "name in a namespace: end one of them, or give this one another namespace",
        )

    def _take(self, message: Heartbeat) -> None:
        namespace, _, name = message.node.rpartition("/")
        if namespace != self._node.get_namespace().rstrip("/"):
            return
        if name == self._node.get_name() and message.instance_id != self._node.instance_id:
            self._meet(
                NodeInstance(message.instance_id, message.state, message.host, message.process_id)
            )
        for heard in self._followers:
            heard(name, message.state, message.instance_id)

    def _meet(self, other: NodeInstance) -> None:
        """Log another node of this name once; where both are active, the later one withdraws."""
        log = self._node.get_logger()
        if self._namesakes.heard(other, time.monotonic()):
            name = self._node.get_fully_qualified_name()
            log.warning(f"{other} runs another {name}; only one of them can be configured")
        own = self._own
        if own.state == other.state == ACTIVE and other.outranks(own):
            error = self._refusal(other)
            log.error(f"no longer active: {error.code}: {error}")
            self._withdraw()
