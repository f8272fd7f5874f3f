"""End of a launch: with its program, or by a signal that its nodes get at once.

``launch`` is imported where it is used: it comes with a distribution. Its own types are ``Any``
here for that reason.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import threading
import time
from collections.abc import Iterable
from typing import Any

from vima_ros.errors import VimaError

NODE_EXIT_TIMEOUT = 4.0  # a node that does not end in order ends itself before that [s]


def end_launch(event: Any, context: Any) -> Any:  # of launch
    """End the launch when its program exits (``on_exit``); fail it where the program failed.

    Raises VimaError (PROGRAM_FAILED), at which launch shuts down and exits with code 1.
    """
    if event.returncode and not context.is_shutdown:
        raise VimaError(
            "PROGRAM_FAILED", f"{event.process_name} ended with exit code {event.returncode}"
        )
    from launch.actions import Shutdown

    return Shutdown(reason=f"{event.process_name} has ended")


def stop_nodes() -> Any:
    """Return the launch action that forwards SIGINT and SIGTERM to the nodes at once.

    launch itself expects a terminal to pass SIGINT on and signals its processes only 5 s later; a
    node that gets it from both takes it once. On SIGTERM launch just ends. Where it is the first
    process of a container (`docker stop`), the kernel keeps that signal from it, and kills all
    nodes with it: so it waits for their end first.
    """
    from launch.actions import EmitEvent, OpaqueFunction, RegisterEventHandler
    from launch.event_handlers import OnProcessStart, OnShutdown
    from launch.events.process import SignalProcess

    started: list[int] = []  # process file descriptors

    def is_ours(action: Any) -> bool:  # of launch
        return getattr(action, "node_package", "") == "vima_ros"

    def note(event: Any, context: Any) -> None:  # of launch
        if is_ours(event.action):
            with contextlib.suppress(ProcessLookupError):
                started.append(os.pidfd_open(event.pid))

    def on_sigterm(*_: object) -> None:
        _interrupt_and_wait(started)

    def follow(context: Any) -> list[Any]:  # of launch
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, on_sigterm)
        interrupt = SignalProcess(signal_number=signal.SIGINT, process_matcher=is_ours)
        return [
            RegisterEventHandler(OnShutdown(on_shutdown=[EmitEvent(event=interrupt)])),
            RegisterEventHandler(OnProcessStart(on_start=note)),
        ]

    return OpaqueFunction(function=follow)


def _interrupt_and_wait(processes: Iterable[int]) -> None:
    """Send SIGINT to each process and wait for their ends, at most NODE_EXIT_TIMEOUT [s].

    ``processes``: their file descriptors, which never come to mean another process.
    """
    left = list(processes)
    for process in left:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(process, signal.SIGINT)
    deadline = time.monotonic() + NODE_EXIT_TIMEOUT
    while left and (seconds := deadline - time.monotonic()) > 0:
        ended = select.select(left, [], [], seconds)[0]
        left = [process for process in left if process not in ended]
