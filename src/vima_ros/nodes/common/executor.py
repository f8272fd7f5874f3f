"""Executor of every node and client: one thread that waits for events."""

from __future__ import annotations

import contextlib
import sys
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from rclpy.context import Context
from rclpy.executors import Executor, SingleThreadedExecutor
from rclpy.task import Future

if TYPE_CHECKING:
    from rclpy.node import Node

# Without a timeout, EventsExecutor of rclpy 9.1.2 calls no callback and takes a whole core [s].
SPIN_PERIOD = 86400.0


def make_executor(node: Node, context: Context, message_info: bool = False) -> Executor:
    """Return an executor of one thread, with the node added.

    ROS 2 Kilted and later: rclpy's EventsExecutor, with which an idle suite takes half as much of
    the processor. SingleThreadedExecutor where subscriptions' callbacks take ``message_info``,
    which raises SystemError in the other (rclpy 9.1.2), and on Jazzy, whose EventsExecutor runs no
    coroutines before rclpy 7.1.11.
    """
    if int(version("rclpy").split(".")[0]) >= 9 and not message_info:
        from rclpy.experimental import EventsExecutor

        with contextlib.redirect_stderr(sys.__stderr__):  # it has faulthandler write there
            executor: Executor = EventsExecutor(context=context)
    else:
        executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)
    return executor


def spin(executor: Executor, ended: Future[Any]) -> None:
    """Call callbacks in this thread until ``ended`` is done or the context is shut down.

    Not by ``spin_once``: while a coroutine waits, EventsExecutor would return at once each time.
    """
    while executor.context.ok() and not ended.done():
        executor.spin_until_future_complete(ended, timeout_sec=SPIN_PERIOD)
