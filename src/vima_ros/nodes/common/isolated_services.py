"""Services in a thread of their own."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Mapping
from typing import Any

from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from rclpy.task import Future

from vima_ros.nodes.common.executor import make_executor, spin
from vima_ros.nodes.common.guarded_node import GuardedNode


class IsolatedServices:
    """Services of a node that respond while its callbacks compute, until ``close``.

    They have a node and an executor of their own, since rclpy's multi-threaded executor would take
    half a core. What their callbacks share with those of the node needs a lock.
    """

    def __init__(
        self,
        node: GuardedNode,
        suffix: str,
        services: Mapping[str, tuple[type, Callable[[Any, Any], Any]]],
    ) -> None:
        """Create the services and start the thread.

        ``suffix``: of their node's name, after that of ``node``; ``services``: type and callback
        by name. Where a callback raises, the response's success and message report the failure.
        """
        self._node = Node(
            f"{node.get_name()}_{suffix}",
            namespace=node.get_namespace(),
            context=node.context,
            use_global_arguments=False,  # they rename the node of the process
            start_parameter_services=False,
        )
        for name, (kind, callback) in services.items():
            self._node.create_service(
                kind, node.resolve_service_name(name), node.guard_service_callback(callback)
            )
        self._executor = make_executor(self._node, node.context)
        self._ended: Future[None] = Future()
        self._thread = threading.Thread(target=self._spin, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the thread and the services."""
        self._ended.set_result(None)
        self._thread.join()
        self._executor.shutdown()
        self._node.destroy_node()

    def _spin(self) -> None:
        with contextlib.suppress(ExternalShutdownException):
            spin(self._executor, self._ended)
