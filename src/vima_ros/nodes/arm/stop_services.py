"""The arm node's services that end motion, in a thread of their own."""

from __future__ import annotations

import contextlib
import threading
from typing import Any

from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from std_srvs.srv import Trigger

from vima_msgs.msg import ArmState
from vima_msgs.srv import CancelMotion
from vima_ros.errors import GateCode, VimaError


class ArmServices:
    """``stop``, ``resume`` and ``cancel_motion``: no planning keeps them waiting."""

    def __init__(self, node: Any) -> None:
        self._node = node
        # A node of their own, since rclpy's multi-threaded executor would take half a core.
        self._side = Node(
            f"{node.get_name()}_stop",
            namespace=node.get_namespace(),
            context=node.context,
            use_global_arguments=False,  # that rename the process's node
            start_parameter_services=False,
        )
        for kind, name, callback in (
            (Trigger, "stop", self._on_stop),
            (Trigger, "resume", self._on_resume),
            (CancelMotion, "cancel_motion", self._on_cancel),
        ):
            self._side.create_service(
                kind, node.resolve_service_name(name), node.guard_service_callback(callback)
            )
        self._executor = SingleThreadedExecutor(context=node.context)
        self._executor.add_node(self._side)
        self._thread = threading.Thread(target=self._answer, daemon=True)
        self._thread.start()

    def _answer(self) -> None:
        with contextlib.suppress(ExternalShutdownException):
            self._executor.spin()

    def close(self) -> None:
        """End the thread and the services."""
        self._executor.shutdown()
        self._thread.join()
        self._side.destroy_node()

    def _on_stop(self, request: Any, response: Any) -> Any:
        self._node.motion.stop(self._node.stop_reason())
        response.success, response.message = True, "stopped; call resume to go on"
        return response

    def _on_resume(self, request: Any, response: Any) -> Any:
        was = self._node.motion.resume()
        response.success, response.message = (
            True,
            f"resumed; had been stopped: {was or 'it was not'}",
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
        motion = self._node.motion
        under_way = motion.under_way
        if under_way is None or under_way.request.prompt_id != prompt_id:
            return "nothing of it was under way"
        command_id = under_way.request.command_id
        if not under_way.sent:
            why = "its episode ended before a person said yes"
            motion.drop(VimaError(GateCode.CANCELLED.value, why))
            return f"{command_id} is dropped"
        if finish:
            return f"{command_id} goes on to its end"
        motion.hold()
        motion.end(ArmState.ABORTED, ArmState.CANCELLED, "its episode has ended")
        return f"{command_id} has ended where it was"
