from collections.abc import Callable
from enum import Enum
from typing import Any

from rclpy.action.client import ClientGoalHandle
from rclpy.action.server import ServerGoalHandle
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
        execute_callback: Callable[[ServerGoalHandle], Any],
        *,
        callback_group: CallbackGroup | None = None,
        goal_callback: Callable[[Any], GoalResponse] = ...,
        handle_accepted_callback: Callable[[ServerGoalHandle], None] = ...,
        cancel_callback: Callable[[ServerGoalHandle], CancelResponse] = ...,
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
    ) -> Future[ClientGoalHandle]: ...
    def destroy(self) -> None: ...
