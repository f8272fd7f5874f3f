"""Pool of simulating processes, one thread each."""

from __future__ import annotations

import os
import signal
import threading
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import connection, parent_process
from multiprocessing.context import SpawnContext, SpawnProcess


class _Worker(SpawnProcess):
    def start(self) -> None:
        # The child inherits it: a Ctrl-C during its imports would end it with a traceback.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
        try:
            super().start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


class _Context(SpawnContext):  # OpenGL does not survive a fork
    Process = _Worker


def worker_pool(count: int) -> ProcessPoolExecutor:
    """Return a pool of ``count`` processes, which ignore SIGINT and end with their parent."""
    return ProcessPoolExecutor(count, _Context(), _start)


def _start() -> None:
    os.environ.setdefault("LP_NUM_THREADS", "0")  # Mesa's software renderer: no threads of its own
    parent = parent_process()
    assert parent is not None

    def end_with_parent() -> None:
        connection.wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=end_with_parent, daemon=True).start()
