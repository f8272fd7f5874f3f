"""Pool of simulating processes, one thread each."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import Pipe, connection
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


@contextmanager
def worker_pool(count: int) -> Iterator[ProcessPoolExecutor]:
    """Give a pool of ``count`` processes, which ignore SIGINT.

    They end with their parent, and at once where the block is left by an exception, such as a
    signal's: what they were at work on is lost.
    """
    reads, writes = Pipe(duplex=False)
    with reads, writes, ProcessPoolExecutor(count, _Context(), _start, (reads,)) as pool:
        try:
            yield pool
        except BaseException:
            writes.close()
            pool.shutdown(cancel_futures=True)
            raise


def _start(reads: connection.Connection) -> None:
    os.environ.setdefault("LP_NUM_THREADS", "0")  # Mesa's software renderer: no threads of its own

    def end_with_parent() -> None:
        connection.wait([reads])  # it has nothing to read until its other end is closed
        os._exit(1)

    threading.Thread(target=end_with_parent, daemon=True).start()
