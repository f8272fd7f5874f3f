"""The main function of every node: start, spin, end in order on a signal or an error."""

from __future__ import annotations

import sys
import traceback

import rclpy
from rclpy.lifecycle import TransitionCallbackReturn

from vima_ros.errors import VimaError
from vima_ros.nodes.common import parameter_files
from vima_ros.nodes.common.dds import prepare_ros
from vima_ros.nodes.common.executor import make_executor, spin
from vima_ros.nodes.common.lifecycle_node import VimaNode
from vima_ros.program import BAD_INPUT, print_error, watch_signals


def run(node_type: type[VimaNode], args: list[str] | None = None, autostart: bool = False) -> None:
    """Spin a node until a signal ends it.

    Exit code 0 after a signal, 1 on an unexpected error, 2 on a bad parameter. With ``autostart``
    the node configures and activates itself at once instead of waiting for the manager; where it
    refuses, it ends with exit code 2.
    """
    signals = watch_signals()
    node = executor = None
    try:
        prepare_ros()
        overrides = parameter_files.init(args)
        node = node_type()
        node.parameter_overrides = overrides
        signals.on_end(node.stop_spinning)
        for transition in (node.trigger_configure, node.trigger_activate) if autostart else ():
            if transition() != TransitionCallbackReturn.SUCCESS and not node.ending:
                sys.exit(2)
        executor = make_executor(node, node.context, node.message_info)
        spin(executor, node.spinning_ended)
    except VimaError as error:
        print_error(node_type.name, error)
        sys.exit(BAD_INPUT)
    except Exception:
        if node is None or not node.ending:
            traceback.print_exc()
            if node is not None:
                node.stop_spinning("unexpected error")
            sys.exit(1)
    finally:
        if node is not None:
            try:
                node.end()
            finally:
                if executor is not None:
                    executor.shutdown()
                node.destroy_node()
        rclpy.try_shutdown()
        # DDS frees its shared memory in /dev/shm with the last reference to the node's handles;
        # a garbage collection of the whole heap would take seconds on a busy machine.
        signals.forget()
        if node is not None:
            vars(node).clear()
