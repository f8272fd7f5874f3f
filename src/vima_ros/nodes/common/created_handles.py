"""Release of the publishers, subscriptions, services, clients and timers of a configuration."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from rclpy.node import Node


class CreatedHandles:
    """The handles that ``node`` creates from now on; rclpy keeps no list of them by origin."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._before = {id(handle) for handle, _ in self._existing()}

    def _existing(self) -> list[tuple[Any, Callable[[Any], object]]]:
        """Return each handle of the node and what destroys it; Any: handles of five types."""
        n = self._node
        # That to /clock is of rclpy, made whenever use_sim_time is set.
        subscriptions = [s for s in n.subscriptions if s.topic_name != "/clock"]
        kinds: tuple[tuple[Iterable[Any], Callable[[Any], object]], ...] = (
            (n.publishers, n.destroy_publisher),
            (subscriptions, n.destroy_subscription),
            (n.services, n.destroy_service),
            (n.clients, n.destroy_client),
            (n.timers, n.destroy_timer),
        )
        return [(handle, destroy) for handles, destroy in kinds for handle in handles]

    def release(self) -> None:
        """Destroy them."""
        for handle, destroy in self._existing():
            if id(handle) not in self._before:
                destroy(handle)
