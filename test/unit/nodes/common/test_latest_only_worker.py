"""The thread that works on the newest item only."""

import threading

from hypothesis import given
from hypothesis import strategies as st

from vima_ros.nodes.common.latest_only_worker import LatestOnlyWorker

TIMEOUT = 10.0  # [s] only reached by a failure


class Slow:
    """Work that takes until it is told to go on."""

    def __init__(self):
        self.begun, self.go_on = threading.Semaphore(0), threading.Semaphore(0)
        self.done = []

    def __call__(self, item):
        self.begun.release()
        assert self.go_on.acquire(timeout=TIMEOUT)
        self.done.append(item)

    def wait_for_begin(self):
        assert self.begun.acquire(timeout=TIMEOUT)


def test_what_waits_is_replaced_by_what_is_newer_and_counted():
    slow = Slow()
    worker = LatestOnlyWorker(slow, "test")
    worker.put("first")
    slow.wait_for_begin()
    for item in ("second", "third", "last"):
        worker.put(item)  # returns although the work goes on
    assert (slow.done, worker.dropped) == ([], 2)
    slow.go_on.release(2)
    slow.wait_for_begin()
    worker.close()
    assert slow.done == ["first", "last"]


@given(st.lists(st.integers(), min_size=1, max_size=50))
def test_the_last_item_is_always_worked_on_and_order_is_kept(items):
    done, last = [], threading.Event()

    def work(numbered):
        done.append(numbered)
        if numbered[0] == len(items) - 1:
            last.set()

    worker = LatestOnlyWorker(work, "test")
    for numbered in enumerate(items):
        worker.put(numbered)
    assert last.wait(TIMEOUT)
    worker.close()
    assert done == sorted(done)
    assert len(done) + worker.dropped == len(items)


def test_closing_waits_for_the_work_and_forgets_what_waits():
    slow = Slow()
    worker = LatestOnlyWorker(slow, "test")
    worker.put(1)
    slow.wait_for_begin()
    worker.put(2)
    closing = threading.Thread(target=worker.close)
    closing.start()
    slow.go_on.release(2)
    closing.join(TIMEOUT)
    assert not closing.is_alive()
    assert slow.done == [1]
    worker.close()  # once more does no harm


def test_what_was_cleared_is_not_worked_on():
    slow = Slow()
    worker = LatestOnlyWorker(slow, "test")
    worker.put(1)
    slow.wait_for_begin()
    worker.put(2)
    worker.clear()
    worker.put(3)
    slow.go_on.release(3)
    slow.wait_for_begin()
    worker.close()
    assert slow.done == [1, 3]
    assert worker.dropped == 0
