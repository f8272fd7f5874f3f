"""Worker processes leave Ctrl-C to their parent, from their first moment on, and end with it."""

import os
import signal
import threading

import pytest

from vima_ros.sim.process_pool import worker_pool

# Imported by the worker before anything of ours runs in it: what the mask is by then.
MASK_AT_START = signal.pthread_sigmask(signal.SIG_BLOCK, [])


def mask_at_start() -> set[int]:
    return {int(number) for number in MASK_AT_START}


def test_workers_block_an_interrupt_before_they_import_anything():
    with worker_pool(1) as pool:
        assert signal.SIGINT in pool.submit(mask_at_start).result(60)
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, [])


def work_for_ever(fifo):
    with open(fifo, "w"):
        threading.Event().wait()


def leave_at_work(fifo):
    """Leave a pool as a signal does while it works; its process is then returned in the error."""
    with worker_pool(1) as pool:
        worker = pool.submit(os.getpid).result(60)
        pool.submit(work_for_ever, fifo)
        with open(fifo):  # waits until the worker has opened it
            raise SystemExit(worker)


def test_an_exception_ends_what_workers_are_at_work_on(tmp_path):
    os.mkfifo(tmp_path / "begun")
    with pytest.raises(SystemExit) as left:
        leave_at_work(tmp_path / "begun")
    with pytest.raises(ProcessLookupError):
        os.kill(left.value.code, 0)
