from collections.abc import Callable
from enum import Enum
from typing import Any

from rclpy.callback_groups import CallbackGroup
from rclpy.node import Node
from rclpy.qos import QoSProfile
from rclpy.task import Future

class GoalResponse(Enum):
    REJECT = 1
    ACCEPT = 2

class CancelResponse(Enum):
    REJECT = 1
    ACCEPT = 2

class ActionServer:
    def __init__(
        self,
        node: Node,
        action_type: type,
        action_name: str,
        execute_callback: Callable[[Any], Any],
        *,
        callback_group: CallbackGroup | None = None,
        goal_callback: Callable[[Any], GoalResponse] = ...,
        handle_accepted_callback: Callable[[Any], None] = ...,
        cancel_callback: Callable[[Any], CancelResponse] = ...,
        result_timeout: int = ...,
    ) -> None: ...
    def destroy(self) -> None: ...

class ActionClient:
    def __init__(
        self,
        node: Node,
        action_type: type,
        action_name: str,
        *,
        callback_group: CallbackGroup | None = None,
        feedback_sub_qos_profile: QoSProfile = ...,
    ) -> None: ...
    def server_is_ready(self) -> bool: ...
    def send_goal_async(
        self, goal: Any, feedback_callback: Callable[[Any], None] | None = None
    ) -> Future: ...
    def destroy(self) -> None: ...
