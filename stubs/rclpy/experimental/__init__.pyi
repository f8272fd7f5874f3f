from rclpy.context import Context
from rclpy.executors import Executor

class EventsExecutor(Executor):
    def __init__(self, *, context: Context | None = None) -> None: ...
