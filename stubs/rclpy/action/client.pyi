from typing import Any

from rclpy.task import Future

class ClientGoalHandle:
    def cancel_goal_async(self) -> Future[Any]: ...
    def get_result_async(self) -> Future[Any]: ...
