"""Inference in a thread of its own: what it may not hold up, lose, or be ended by.

The node runs in this process, so that its detector can be told when to go on.
"""

import threading

import numpy as np
import pytest
import rclpy
from played_cameras import UNHURRIED, PlayedCameras, image
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.signals import SignalHandlerOptions
from rclpy.task import Future

from vima_msgs.msg import PerceptionStatus
from vima_ros.client.client import Client
from vima_ros.nodes.common.dds import use_fastdds_profile
from vima_ros.nodes.common.executor import make_executor, spin
from vima_ros.nodes.common.latest_only_worker import LatestOnlyWorker
from vima_ros.nodes.perception import node
from vima_ros.perception.detectors.base import Detector
from vima_ros.perception.detectors.instances import Instances

TIMEOUT = 20.0  # [s] only reached by a failure
SMALL = {"width": 256, "height": 128}


class Slow(Detector):
    """Sees one object, when it is told to go on; raises what it was told to raise."""

    def __init__(self):
        super().__init__()
        self.min_score = 0.0
        self.begun, self.go_on = threading.Semaphore(0), threading.Semaphore(0)
        self.error = None

    def _find_views(self, images_rgb, masks):
        self.begun.release()
        assert self.go_on.acquire(timeout=TIMEOUT)
        if self.error is not None:
            raise self.error
        return super()._find_views(images_rgb, masks)

    def _find(self, image_rgb, view, mask):
        mask = np.zeros((128, 256), np.uint16)
        mask[40:60, 30:60] = 1
        return Instances(mask, np.array([1]), np.array([0.9], np.float32))

    def wait_for_begin(self):
        assert self.begun.acquire(timeout=TIMEOUT)


class Inside:
    """The node, spun by a thread, its detector, its workers so far, and cameras."""

    def __init__(self, detector, workers):
        self.detector, self.workers, self.node = detector, workers, node.PerceptionNode()
        self.executor = make_executor(self.node, self.node.context)
        self.ended = Future()
        self.thread = threading.Thread(target=spin, args=(self.executor, self.ended))
        self.thread.start()
        self.client = Client("camera", "/inside")
        self.cameras = PlayedCameras(self.client)

    def do(self, callback):
        """Run ``callback`` in the executor's thread, as a service of the node would."""
        task = self.executor.create_task(callback)
        self.client.wait_until(task.done, f"the end of {callback.__name__}", TIMEOUT)
        return task.result()

    def activate(self):
        for change in (self.node.trigger_configure, self.node.trigger_activate):
            assert self.do(change) == TransitionCallbackReturn.SUCCESS
        self.client.wait_until(
            lambda: all(p.get_subscription_count() for p in self.cameras.publishers.values()),
            "perception's subscriptions",
        )

    def show(self):
        return self.cameras.show(image(**SMALL), image(**SMALL))

    def show_until_begun(self):
        """Best effort loses what comes before the node knows the cameras; the first one seen."""
        shown = []

        def begun():
            shown.append(self.show())
            return self.detector.begun.acquire(timeout=0.2)

        self.client.wait_until(begun, "the detector to begin")
        self.client.wait_until(lambda: self.workers[-1].waiting is None, "an empty queue", 1)

    def close(self):
        self.detector.go_on.release(1000)
        self.ended.set_result(None)
        self.thread.join()
        self.node.end()
        self.client.close()
        self.node.destroy_node()


@pytest.fixture
def inside(monkeypatch):
    use_fastdds_profile()
    detector = Slow()
    monkeypatch.setattr(node, "make_detector", lambda name, settings: detector)
    workers = []

    def make_worker(work, name):
        workers.append(LatestOnlyWorker(work, name))
        return workers[-1]

    monkeypatch.setattr(node, "LatestOnlyWorker", make_worker)
    overrides = [
        f"{name}:={value}" for name, value in {**UNHURRIED, "enable_tracking": False}.items()
    ]
    arguments = [word for item in overrides for word in ("-p", item.lower())]
    rclpy.init(
        args=["--ros-args", "-r", "__ns:=/inside", *arguments],
        signal_handler_options=SignalHandlerOptions.NO,
    )
    running = Inside(detector, workers)
    try:
        running.activate()
        yield running
    finally:
        running.close()
        rclpy.shutdown()


def worker_threads():
    return [thread for thread in threading.enumerate() if thread.name == "perception"]


def test_inference_keeps_no_callback_waiting_and_the_newest_pair_comes_next(inside):
    inside.show_until_begun()
    dropped = inside.workers[-1].dropped
    shown = [inside.show() for _ in range(4)]
    # While the detector is at work: the cameras are heard, and what else there is to do is done.
    inside.client.wait_until(lambda: inside.workers[-1].dropped == dropped + 3, "dropped pairs")
    inside.do(inside.node.now_ns)
    assert inside.cameras.observations.count == 0
    inside.detector.go_on.release(2)
    last = inside.cameras.observations.wait(
        lambda m: m.header.stamp == shown[-1], TIMEOUT, "the newest pair's observation"
    )
    assert last.front.objects[0].track_id == 1
    status = inside.cameras.statuses.wait(
        lambda m: m.header.stamp == shown[-1], TIMEOUT, "perception_status"
    )
    assert status.dropped_frames == dropped + 3
    seen = [m.header.stamp for m in inside.cameras.observations.messages]
    assert len(seen) == 2
    assert not any(stamp in seen for stamp in shown[:3])


def test_an_unexpected_error_is_reported_and_the_next_pair_is_processed(inside):
    inside.detector.error = ZeroDivisionError("a fault")
    inside.show_until_begun()
    inside.detector.go_on.release()
    status = inside.cameras.statuses.wait(
        lambda m: m.code == PerceptionStatus.INTERNAL_ERROR, TIMEOUT, "INTERNAL_ERROR"
    )
    assert "ZeroDivisionError: a fault" in status.message
    inside.detector.error = None
    inside.detector.go_on.release()
    stamp = inside.show()
    inside.cameras.observations.wait(lambda m: m.header.stamp == stamp, TIMEOUT, "observation")


def test_deactivation_ends_the_thread_and_hands_on_nothing_more(inside):
    inside.show_until_begun()
    inside.show()
    worker = inside.workers[-1]
    ending = inside.executor.create_task(inside.node.trigger_deactivate)
    inside.client.wait_until(lambda: worker.closed, "the end of the thread to be asked for")
    inside.detector.go_on.release()
    inside.client.wait_until(ending.done, "the end of the thread", TIMEOUT)
    assert worker_threads() == []
    assert inside.cameras.observations.count == 0
    inside.do(inside.node.trigger_cleanup)
    inside.activate()
    inside.detector.go_on.release(1000)
    inside.show_until_begun()
    inside.cameras.observations.wait(lambda m: True, TIMEOUT, "observation")
    inside.do(inside.node.trigger_shutdown)
    assert worker_threads() == []


def test_results_from_before_a_clock_jump_are_not_published(inside):
    inside.show_until_begun()
    inside.do(inside.node.on_clock_jump_back)
    inside.detector.go_on.release(2)
    stamp = inside.show()
    inside.cameras.observations.wait(lambda m: m.header.stamp == stamp, TIMEOUT, "observation")
    assert inside.cameras.observations.count == 1
