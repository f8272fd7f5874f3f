"""Video of the demo: the overview and the images of the policy's two cameras."""

from __future__ import annotations

import textwrap
import threading
from pathlib import Path

import cv2
import numpy as np
from sensor_msgs.msg import Image

from vima_ros.client.client import Client
from vima_ros.errors import VimaError
from vima_ros.nodes.common import image_conversion, qos
from vima_ros.specs import VIEWS

OVERVIEW_SIZE = (640, 480)  # width, height [px]
VIEW_SIZE = (400, 200)
_WHITE, _GREY, _DARK = (235, 235, 235), (150, 150, 150), 24
_FONT = cv2.FONT_HERSHEY_SIMPLEX


class VideoRecorder:
    """Recorder of an MP4 file with one frame per image of the overview camera.

    ``caption``: text beside the images of the next frames. Raises VimaError: NO_ENCODER;
    CANNOT_WRITE at the end.
    """

    def __init__(self, client: Client, path: Path, frames_per_second: float) -> None:
        self.caption, self._path = "", path
        self._lock, self._ended = threading.Lock(), False  # images arrive in the client's thread
        width, height = OVERVIEW_SIZE
        self._blank = np.full((height, width + VIEW_SIZE[0], 3), _DARK, np.uint8)
        self._views: dict[str, np.ndarray] = {}
        codec = cv2.VideoWriter.fourcc(*"mp4v")
        self._writer = cv2.VideoWriter(
            str(path), codec, frames_per_second, self._blank.shape[1::-1]
        )
        if not self._writer.isOpened():
            raise VimaError(
                "NO_ENCODER", f"OpenCV cannot write {path}; valid: an OpenCV with FFmpeg"
            )
        create = client.node.create_subscription
        for view in VIEWS:
            create(
                Image, f"{view}/image_raw", lambda m, v=view: self._store(v, m), qos.SENSOR_DATA
            )
        self._overview = create(Image, "overview/image_raw", self._on_overview, qos.SENSOR_DATA)

    def __enter__(self) -> VideoRecorder:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        with self._lock:
            self._ended = True
            self._writer.release()  # on a full disk it fails without an error
        if kind is None and not cv2.VideoCapture(str(self._path)).isOpened():
            raise VimaError(
                "CANNOT_WRITE",
                f"{self._path} is incomplete; valid: at least one frame, and enough free space",
            )

    def _store(self, view: str, message: Image) -> None:
        self._views[view] = cv2.resize(
            image_conversion.decode_colour(message), VIEW_SIZE, interpolation=cv2.INTER_NEAREST
        )

    def _on_overview(self, message: Image) -> None:
        frame = self._blank.copy()
        width, _ = OVERVIEW_SIZE
        frame[:, :width] = cv2.resize(image_conversion.decode_colour(message), OVERVIEW_SIZE)
        for index, (view, image) in enumerate(sorted(self._views.items())):
            top = index * VIEW_SIZE[1]
            frame[top : top + VIEW_SIZE[1], width:] = image
            cv2.putText(frame, view, (width + 8, top + 18), _FONT, 0.45, _GREY, 1, cv2.LINE_AA)
        for index, line in enumerate(textwrap.wrap(self.caption, 46)[:3]):
            at = (width + 10, 2 * VIEW_SIZE[1] + 24 + 22 * index)
            cv2.putText(frame, line, at, _FONT, 0.48, _WHITE, 1, cv2.LINE_AA)
        with self._lock:
            if not self._ended:
                self._writer.write(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
