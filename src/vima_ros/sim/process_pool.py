"""Processes that simulate: as many as there are cores, one thread each."""

from __future__ import annotations

import os
import signal
import threading
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import connection, parent_process
from multiprocessing.context import SpawnContext, SpawnProcess


class _Worker(SpawnProcess):
    def start(self) -> None:
        # Inherited: a Ctrl-C while it is still importing would end it with a traceback.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
        try:
            super().start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


class _Context(SpawnContext):  # OpenGL survives no fork
    Process = _Worker


def worker_pool(count: int) -> ProcessPoolExecutor:
    """A pool of ``count`` processes. They ignore Ctrl-C and end when their parent does."""
    return ProcessPoolExecutor(count, _Context(), _start)


def _start() -> None:
    os.environ.setdefault("LP_NUM_THREADS", "0")  # Mesa's software renderer: draw in this thread
    parent = parent_process()
    assert parent is not None

    def follow() -> None:
        connection.wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()
