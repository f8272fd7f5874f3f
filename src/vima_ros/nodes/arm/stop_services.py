"""Services of the arm node that end motion, in a thread of their own."""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING, Any

from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from std_srvs.srv import Trigger

from vima_msgs.msg import ArmState
from vima_msgs.srv import CancelMotion
from vima_ros.errors import GateCode, VimaError

if TYPE_CHECKING:
    from vima_ros.nodes.arm.node import ArmNode


class StopServices:
    """Servers of ``stop``, ``resume`` and ``cancel_motion``, which respond during planning too."""

    def __init__(self, node: ArmNode) -> None:
        self._node = node
        # A node of their own, since rclpy's multi-threaded executor would take half a core.
        self._service_node = Node(
            f"{node.get_name()}_stop",
            namespace=node.get_namespace(),
            context=node.context,
            use_global_arguments=False,  # they rename the node of the process
            start_parameter_services=False,
        )
        for kind, name, callback in (
            (Trigger, "stop", self._on_stop),
            (Trigger, "resume", self._on_resume),
            (CancelMotion, "cancel_motion", self._on_cancel),
        ):
            self._service_node.create_service(
                kind, node.resolve_service_name(name), node.guard_service_callback(callback)
            )
        self._executor = SingleThreadedExecutor(context=node.context)
        self._executor.add_node(self._service_node)
        self._thread = threading.Thread(target=self._spin, daemon=True)
        self._thread.start()

    def _spin(self) -> None:
        with contextlib.suppress(ExternalShutdownException):
            self._executor.spin()

    def close(self) -> None:
        """End the thread and the services."""
        self._executor.shutdown()
        self._thread.join()
        self._service_node.destroy_node()

    def _on_stop(self, request: Any, response: Any) -> Any:
        self._node.motion.stop(self._node.watchdog.describe_stop_call())
        response.success, response.message = True, "stopped; call resume to go on"
        return response

    def _on_resume(self, request: Any, response: Any) -> Any:
        reason = self._node.motion.resume()
        response.success = True
        response.message = (
            f"resumed after a stop: {reason}" if reason else "resumed; was not stopped"
        )
        return response

    def _on_cancel(self, request: Any, response: Any) -> Any:
        if not request.prompt_id:
            response.message = "no prompt_id; valid: that of an episode"
            return response
        response.success = True
        with self._node.motion.lock:
            self._node.motion.cancelled_prompt_ids.append(request.prompt_id)
            response.message = self._cancel(request.prompt_id, request.finish_motion)
        return response

    def _cancel(self, prompt_id: str, finish: bool) -> str:
        """End the motion of a prompt; return a message for the response."""
        motion = self._node.motion
        command = motion.active
        if command is None or command.request.prompt_id != prompt_id:
            return "the prompt had no active command"
        command_id = command.request.command_id
        if not command.sent:
            reason = "its episode ended before a person confirmed it"
            motion.discard(VimaError(GateCode.CANCELLED.value, reason))
            return f"{command_id} is discarded"
        if finish:
            return f"{command_id} finishes its motion"
        motion.hold()
        motion.end(ArmState.ABORTED, ArmState.CANCELLED, "its episode has ended")
        return f"{command_id} was aborted"
