"""Response of a person to the request to confirm a motion."""

from __future__ import annotations

import time
from collections.abc import Callable

from vima_msgs.msg import Confirmation
from vima_msgs.srv import ConfirmMotion
from vima_ros.errors import GateCode, VimaError
from vima_ros.nodes.arm.confirmation_requests import ConfirmationRequests
from vima_ros.nodes.arm.motion_control import MotionControl
from vima_ros.nodes.arm.motion_state import ActiveCommand
from vima_ros.nodes.arm.parameters import ArmParameters
from vima_ros.nodes.common import qos
from vima_ros.nodes.common.lifecycle_node import VimaNode


class ConfirmationServer:
    """Server of ``confirm`` and subscriber to ``confirmation``.

    ``on_confirmed``: called with a command that a person accepted. One that nobody accepts within
    confirmation_timeout is refused.
    """

    def __init__(
        self,
        node: VimaNode[ArmParameters],
        motion: MotionControl,
        requests: ConfirmationRequests,
        on_confirmed: Callable[[ActiveCommand], None],
    ) -> None:
        self._node, self._motion = node, motion
        self._requests, self._on_confirmed = requests, on_confirmed
        node.create_service(ConfirmMotion, "confirm", self._on_confirm)
        node.create_subscription(Confirmation, "confirmation", self._on_confirmation, qos.RELIABLE)
        node.create_timer(0.1, self._check_timeout, clock=node.steady_clock)

    def _on_confirm(
        self, request: ConfirmMotion.Request, response: ConfirmMotion.Response
    ) -> ConfirmMotion.Response:
        response.success, response.message = self._confirm(request.command_id, request.accept)
        return response

    def _on_confirmation(self, message: Confirmation) -> None:
        done, why = self._confirm(message.command_id, message.accept)
        if not done:
            self._node.get_logger().warning(f"confirmation: {why}")

    def _confirm(self, command_id: str, accept: bool) -> tuple[bool, str]:
        """Accept or refuse the waiting motion; return success and a message."""
        waiting = self._motion.snapshot().waiting
        if waiting is None or waiting.command_id != command_id:
            other = waiting.command_id if waiting else "no motion"
            return False, f"{command_id!r} does not wait for a confirmation; {other} does"
        if not accept:
            self._discard(waiting, GateCode.NOT_CONFIRMED, "refused by a person")
            return True, "refused"
        self._requests.clear()
        self._on_confirmed(waiting)
        return True, "confirmed"

    def _check_timeout(self) -> None:
        waiting = self._motion.snapshot().waiting
        if waiting is None:
            return
        timeout = self._node.parameters.confirmation_timeout
        if time.monotonic() - waiting.since > timeout:
            reason = f"nobody confirmed it within {timeout:g} s"
            self._discard(waiting, GateCode.NOT_CONFIRMED, reason)
        elif not self._node.active:
            self._discard(waiting, GateCode.NOT_ACTIVE, "the arm node was deactivated")

    def _discard(self, command: ActiveCommand, code: GateCode, reason: str) -> None:
        self._motion.discard(command.command_id, VimaError(code.value, reason))
