"""Client of the arm node: it sends decisions, and requests to cancel a motion."""

from __future__ import annotations

import time

from rclpy.task import Future

from vima_msgs.msg import PolicyAction
from vima_msgs.srv import CancelMotion
from vima_ros.errors import WaitTimeoutError
from vima_ros.nodes.common import qos
from vima_ros.nodes.common.lifecycle_node import VimaNode
from vima_ros.nodes.policy.parameters import PolicyParameters

RESEND_PERIOD = 1.0  # of a decision that the arm, perhaps restarted, has not acknowledged [s]


class ArmClient:
    """Publisher of ``action`` and client of ``cancel_motion``."""

    def __init__(self, node: VimaNode[PolicyParameters]) -> None:
        self._node = node
        self._action, self._sent_at = PolicyAction(), 0.0  # the latest decision [s, steady clock]
        self._actions = node.create_publisher(PolicyAction, "action", qos.RELIABLE)
        self._cancel_client = node.create_client(CancelMotion, "cancel_motion")

    def send(self, action: PolicyAction) -> None:
        """Send a decision."""
        self._action = action
        self._publish()

    def resend(self) -> None:
        """Send the latest decision again, once per RESEND_PERIOD at most."""
        if time.monotonic() - self._sent_at > RESEND_PERIOD:
            self._publish()

    def _publish(self) -> None:
        self._sent_at = time.monotonic()
        self._actions.publish(self._action)

    def cancel_motion(self, prompt_id: str, finish: bool) -> Future[CancelMotion.Response] | None:
        """Request the end of a prompt's motion; return the future response, None: no server.

        ``finish``: a motion that has begun may end as planned.
        """
        if not self._cancel_client.service_is_ready():
            return None
        request = CancelMotion.Request(prompt_id=prompt_id, finish_motion=finish)
        return self._cancel_client.call_async(request)

    async def wait_for_cancel(self, cancellation: Future[CancelMotion.Response] | None) -> None:
        """Wait for a response to ``cancel_motion``; log that none came in time."""
        if cancellation is None:
            return
        try:
            timeout = self._node.parameters.response_timeout
            await self._node.wait_for_response(cancellation, timeout)
        except WaitTimeoutError as error:
            self._node.get_logger().error(f"cancel_motion: {error}")
