from typing import Any

from rclpy.task import Future

class Client:
    def call_async(self, request: Any) -> Future[Any]: ...
    def service_is_ready(self) -> bool: ...
