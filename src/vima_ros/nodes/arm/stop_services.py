"""Services of the arm node that end motion."""

from __future__ import annotations

from collections.abc import Callable

from std_srvs.srv import Trigger

from vima_msgs.srv import CancelMotion
from vima_ros.nodes.arm.motion_control import MotionControl
from vima_ros.nodes.common.guarded_node import GuardedNode
from vima_ros.nodes.common.isolated_services import IsolatedServices


class StopServices:
    """Servers of ``stop``, ``resume`` and ``cancel_motion``, which respond during planning too.

    ``describe_stop_call``: returns the reason of a stop, from any thread.
    """

    def __init__(
        self, node: GuardedNode, motion: MotionControl, describe_stop_call: Callable[[], str]
    ) -> None:
        self._motion, self._describe_stop_call = motion, describe_stop_call
        self._services = IsolatedServices(
            node,
            "stop",
            {
                "stop": (Trigger, self._on_stop),
                "resume": (Trigger, self._on_resume),
                "cancel_motion": (CancelMotion, self._on_cancel),
            },
        )

    def close(self) -> None:
        """End the thread and the services."""
        self._services.close()

    def _on_stop(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        self._motion.stop(self._describe_stop_call())
        response.success, response.message = True, "stopped; call resume to go on"
        return response

    def _on_resume(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        response.success, response.message = True, self._motion.resume()
        return response

    def _on_cancel(
        self, request: CancelMotion.Request, response: CancelMotion.Response
    ) -> CancelMotion.Response:
        if not request.prompt_id:
            response.message = "no prompt_id; valid: that of an episode"
            return response
        response.success = True
        response.message = self._motion.cancel(request.prompt_id, request.finish_motion)
        return response
