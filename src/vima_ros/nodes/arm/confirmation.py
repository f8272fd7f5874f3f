"""Confirmation of each motion by a person."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from vima_msgs.msg import Confirmation, ConfirmationRequest
from vima_msgs.srv import ConfirmMotion
from vima_ros.arm.primitives import Waypoint
from vima_ros.arm.safety_gate import Request
from vima_ros.errors import GateCode, VimaError
from vima_ros.nodes.common import action_conversions, qos

if TYPE_CHECKING:
    from vima_ros.nodes.arm.node import ArmNode


class ConfirmationServer:
    """Publisher of ``confirmation_request``; takes the response by service or topic.

    ``timeout`` [s]: a motion that nobody confirmed is refused after it.
    """

    def __init__(self, node: ArmNode, timeout: float) -> None:
        self._node, self._timeout = node, timeout
        self._requests = node.create_publisher(
            ConfirmationRequest, "confirmation_request", qos.LATCHED
        )
        node.create_service(ConfirmMotion, "confirm", self._on_confirm)
        node.create_subscription(Confirmation, "confirmation", self._on_confirmation, qos.RELIABLE)
        node.create_timer(0.1, self._check_timeout, clock=node.steady_clock)

    def request(self, request: Request, waypoints: Sequence[Waypoint]) -> None:
        """Publish a request to confirm a motion."""
        (ax, ay), (bx, by) = request.pose0.position[:2], request.pose1.position[:2]
        text = f"{request.primitive.name.lower()} from ({ax:.2f}, {ay:+.2f}) to "
        text += f"({bx:.2f}, {by:+.2f}) m"
        message = ConfirmationRequest(
            command_id=request.command_id, text=text, timeout=self._timeout
        )
        message.waypoints = action_conversions.waypoints_to_message(tuple(waypoints))
        self._publish(message)
        self._node.get_logger().info(f"waiting for confirmation: {text} [{request.command_id}]")

    def clear(self) -> None:
        """Publish that no motion waits for a confirmation."""
        self._publish(ConfirmationRequest())

    def _publish(self, message: ConfirmationRequest) -> None:
        message.header.stamp = self._node.get_clock().now().to_msg()
        message.header.frame_id = self._node.parameters.table_frame
        self._requests.publish(message)

    def _on_confirm(self, request: Any, response: Any) -> Any:
        response.success, response.message = self._confirm(request.command_id, request.accept)
        return response

    def _on_confirmation(self, message: Confirmation) -> None:
        done, why = self._confirm(message.command_id, message.accept)
        if not done:
            self._node.get_logger().warning(f"confirmation: {why}")

    def _confirm(self, command_id: str, accept: bool) -> tuple[bool, str]:
        """Accept or refuse the waiting motion; return success and a message."""
        waiting = self._node.motion.active
        if waiting is None or waiting.sent or waiting.request.command_id != command_id:
            other = waiting.request.command_id if waiting and not waiting.sent else "no motion"
            return False, f"{command_id!r} does not wait for a confirmation; {other} does"
        if not accept:
            self._node.motion.discard(
                VimaError(GateCode.NOT_CONFIRMED.value, "refused by a person")
            )
            return True, "refused"
        self.clear()
        self._node.gate.on_confirmed(waiting)
        return True, "confirmed"

    def _check_timeout(self) -> None:
        waiting = self._node.motion.active
        if waiting is None or waiting.sent:
            return
        if time.monotonic() - waiting.since > self._timeout:
            reason = f"nobody confirmed it within {self._timeout:g} s"
            self._node.motion.discard(VimaError(GateCode.NOT_CONFIRMED.value, reason))
        elif not self._node.active:
            self._node.motion.discard(
                VimaError(GateCode.NOT_ACTIVE.value, "the arm node was deactivated")
            )
