"""Processes that simulate: as many as there are cores, one thread each."""

from __future__ import annotations

import os
import signal
import threading
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import connection, get_context, parent_process


def worker_pool(count: int) -> ProcessPoolExecutor:
    """A pool of ``count`` processes. They do not hear Ctrl-C, and end when their parent does."""
    return ProcessPoolExecutor(count, get_context("spawn"), _start)  # OpenGL survives no fork


def _start() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.environ.setdefault("LP_NUM_THREADS", "0")  # Mesa's software renderer: draw in this thread
    parent = parent_process()
    assert parent is not None

    def follow() -> None:
        connection.wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()
