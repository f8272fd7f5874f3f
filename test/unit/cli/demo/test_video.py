"""The demo's video, which is written in the thread in which images arrive."""

import threading
from types import SimpleNamespace

import cv2
import pytest
from sensor_msgs.msg import Image

from vima_ros.cli.demo.video import VideoRecorder

VideoWriter = cv2.VideoWriter


class WatchedWriter:
    """Video writer that calls ``during_release`` in another thread, and counts late writes."""

    fourcc = VideoWriter.fourcc

    def __init__(self, *arguments):
        self._writer = VideoWriter(*arguments)
        self.isOpened = self._writer.isOpened
        self.written, self.late, self._released = 0, 0, False
        self.during_release = None
        WatchedWriter.latest = self

    def write(self, frame):
        self.written += 1
        self.late += self._released
        if not self._released:
            self._writer.write(frame)

    def release(self):
        self._released = True
        self.arrival = threading.Thread(target=self.during_release)
        self.arrival.start()
        self.arrival.join(0.2)
        self._writer.release()


@pytest.mark.parametrize("count", [1, 3])
def test_images_that_arrive_while_it_ends_are_left_out(count, tmp_path, monkeypatch):
    image = Image(height=480, width=640, encoding="rgb8", step=3 * 640)
    image.data = bytes(480 * image.step)
    callbacks = {}
    node = SimpleNamespace(
        create_subscription=lambda kind, topic, callback, profile: callbacks.update(
            {topic: callback}
        )
    )
    monkeypatch.setattr("vima_ros.cli.demo.video.cv2.VideoWriter", WatchedWriter)
    with VideoRecorder(SimpleNamespace(node=node), tmp_path / "demo.mp4", 5.0):
        writer = WatchedWriter.latest
        writer.during_release = lambda: callbacks["overview/image_raw"](image)
        for _ in range(count):
            callbacks["overview/image_raw"](image)
    writer.arrival.join()
    callbacks["overview/image_raw"](image)
    assert (writer.written, writer.late) == (count, 0)
    assert cv2.VideoCapture(str(tmp_path / "demo.mp4")).read()[0]
