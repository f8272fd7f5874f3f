"""Heartbeat of a node: a sign, published from a thread of its own, that its process lives."""

from __future__ import annotations

import os
import socket
import threading
from typing import TYPE_CHECKING

from lifecycle_msgs.msg import State
from rclpy.duration import Duration

from vima_msgs.msg import Heartbeat
from vima_ros.nodes.common import qos

if TYPE_CHECKING:
    from vima_ros.nodes.common.lifecycle_node import VimaNode

HEARTBEAT_PERIOD = 0.2  # [s]
ACKNOWLEDGE_TIMEOUT = 0.5  # for an ending node's last messages to arrive, on busy machines too [s]
STATE_NAMES = {
    State.PRIMARY_STATE_UNKNOWN: "no heartbeat",
    State.PRIMARY_STATE_UNCONFIGURED: "unconfigured",
    State.PRIMARY_STATE_INACTIVE: "inactive",
    State.PRIMARY_STATE_ACTIVE: "active",
    State.PRIMARY_STATE_FINALIZED: "finalized",
    State.TRANSITION_STATE_CONFIGURING: "configuring",
    State.TRANSITION_STATE_ACTIVATING: "activating",
}


class HeartbeatPublisher:
    """Publishes ``heartbeat`` from a thread of its own.

    A node that computes for seconds is not dead: only one whose process hangs is.
    """

    def __init__(self, node: VimaNode) -> None:
        self._node = node
        self._publisher = node.create_publisher(Heartbeat, "heartbeat", qos.RELIABLE)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._publish_loop, daemon=True)
        self._thread.start()

    def _publish_loop(self) -> None:
        message = Heartbeat(
            node=self._node.get_fully_qualified_name(),
            instance_id=self._node.instance_id,
            host=socket.gethostname(),
            process_id=os.getpid(),
        )
        while not self._ended.wait(HEARTBEAT_PERIOD):
            self._publish(message, self._node.lifecycle_state)
        if self._node.context.ok():
            self._publish(message, State.PRIMARY_STATE_FINALIZED)
            self._publisher.wait_for_all_acked(Duration(seconds=ACKNOWLEDGE_TIMEOUT))

    def _publish(self, message: Heartbeat, state: int) -> None:
        message.state = state
        message.header.stamp = self._node.get_clock().now().to_msg()
        self._publisher.publish(message)

    def close(self) -> None:
        """Publish a last heartbeat, which reports that the node has ended."""
        self._ended.set()
        self._thread.join()
