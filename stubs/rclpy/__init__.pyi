from rclpy.context import Context
from rclpy.executors import Executor
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions

def init(
    *,
    args: list[str] | None = None,
    context: Context | None = None,
    domain_id: int | None = None,
    signal_handler_options: SignalHandlerOptions | None = None,
) -> object: ...
def spin(node: Node, executor: Executor | None = None) -> None: ...
def try_shutdown(*, context: Context | None = None) -> None: ...
