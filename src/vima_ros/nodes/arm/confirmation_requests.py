"""Requests to a person to confirm a motion."""

from __future__ import annotations

from collections.abc import Sequence

from vima_msgs.msg import ConfirmationRequest
from vima_ros.arm.primitives import Waypoint
from vima_ros.arm.safety_gate import Request
from vima_ros.nodes.arm.parameters import ArmParameters
from vima_ros.nodes.common import action_conversions, qos
from vima_ros.nodes.common.lifecycle_node import VimaNode


class ConfirmationRequests:
    """Publisher of ``confirmation_request``; an empty one says that no motion waits."""

    def __init__(self, node: VimaNode[ArmParameters]) -> None:
        self._node = node
        self._publisher = node.create_publisher(
            ConfirmationRequest, "confirmation_request", qos.LATCHED
        )

    def request(self, request: Request, waypoints: Sequence[Waypoint]) -> None:
        """Publish a request to confirm a motion."""
        (ax, ay), (bx, by) = request.pose0.position[:2], request.pose1.position[:2]
        text = f"{request.primitive.name.lower()} from ({ax:.2f}, {ay:+.2f}) to "
        text += f"({bx:.2f}, {by:+.2f}) m"
        timeout = self._node.parameters.confirmation_timeout
        message = ConfirmationRequest(command_id=request.command_id, text=text, timeout=timeout)
        message.waypoints = action_conversions.waypoints_to_message(tuple(waypoints))
        self._publish(message)
        self._node.get_logger().info(f"waiting for confirmation: {text} [{request.command_id}]")

    def clear(self) -> None:
        """Publish that no motion waits for a confirmation."""
        self._publish(ConfirmationRequest())

    def _publish(self, message: ConfirmationRequest) -> None:
        message.header.stamp = self._node.get_clock().now().to_msg()
        message.header.frame_id = self._node.parameters.table_frame
        self._publisher.publish(message)
