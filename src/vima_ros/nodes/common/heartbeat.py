"""That a node lives, and how it is: its heartbeat and its diagnostics."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from lifecycle_msgs.msg import State
from rclpy.duration import Duration

from vima_msgs.msg import Heartbeat
from vima_ros.nodes.common import qos

HEARTBEAT_PERIOD = 0.2  # [s]
DIAGNOSTICS_PERIOD = 1.0  # [s]
ACKNOWLEDGE_TIMEOUT = 0.1  # for all to have received the last heartbeat [s]


class SignsOfLife:
    """Publishes ``heartbeat`` from a thread of its own, and ``/diagnostics``.

    A node that computes for seconds is not dead: only one whose process hangs is. ``state``: the
    lifecycle state; ``diagnose``: whether all is well, a sentence, and values.
    """

    def __init__(
        self,
        node: Any,
        state: Callable[[], int],
        diagnose: Callable[[], tuple[bool, str, Mapping[str, Any]]],
    ) -> None:
        self._node, self._state, self._diagnose = node, state, diagnose
        self._heartbeat = node.create_publisher(Heartbeat, "heartbeat", qos.RELIABLE)
        self._diagnostics = node.create_publisher(DiagnosticArray, "/diagnostics", qos.RELIABLE)
        node.every(DIAGNOSTICS_PERIOD, self._tell, clock=node.steady_clock)
        self._ended = threading.Event()
        self._pulse = threading.Thread(target=self._beat_on, daemon=True)
        self._pulse.start()

    def _beat_on(self) -> None:
        message = Heartbeat(
            node=self._node.get_fully_qualified_name(),
            instance_id=self._node.instance_id,
            host=socket.gethostname(),
            process_id=os.getpid(),
        )
        while not self._ended.wait(HEARTBEAT_PERIOD):
            self._publish(message, self._state())
        if self._node.context.ok():
            self._publish(message, State.PRIMARY_STATE_FINALIZED)
            self._heartbeat.wait_for_all_acked(Duration(seconds=ACKNOWLEDGE_TIMEOUT))

    def _publish(self, message: Heartbeat, state: int) -> None:
        message.state = state
        message.header.stamp = self._node.get_clock().now().to_msg()
        self._heartbeat.publish(message)

    def end(self) -> None:
        """Publish a last heartbeat, which reports that the node has ended."""
        self._ended.set()
        self._pulse.join()

    def _tell(self) -> None:
        well, sentence, values = self._diagnose()
        status = DiagnosticStatus(
            level=DiagnosticStatus.OK if well else DiagnosticStatus.WARN,
            name=self._node.get_fully_qualified_name(),
            hardware_id="vima_ros",
            message=sentence,
            values=[KeyValue(key=key, value=value) for key, value in _flat(values)],
        )
        message = DiagnosticArray(status=[status])
        message.header.stamp = self._node.get_clock().now().to_msg()
        self._diagnostics.publish(message)


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Key and text of each value; what a dict holds has keys such as ``config.embed_dim``."""
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", str(value)
