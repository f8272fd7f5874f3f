"""One picture of a running camera, for `calibrate`."""

from __future__ import annotations

from typing import Any

import numpy as np
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from vima_ros.client.client import Client
from vima_ros.nodes.common import image_conversion, qos

TIMEOUT = 20.0  # [s] for the first picture, discovery included


def take_picture(
    namespace: str, topic: str, info_topic: str | None
) -> tuple[np.ndarray, Any | None]:
    """The next picture, RGB uint8 (h, w, 3), and the next CameraInfo, where a topic is given.

    A topic that ends in ``compressed`` has CompressedImages. Raises VimaError: TIMEOUT, BAD_IMAGE.
    """
    kind = CompressedImage if topic.endswith("compressed") else Image
    with Client("calibrate", namespace) as client:
        pictures = client.listen(kind, topic, qos.CAMERA)
        infos = client.listen(CameraInfo, info_topic, qos.CAMERA) if info_topic else None
        picture = pictures.wait(lambda _: True, TIMEOUT, f"picture on {topic}")
        info = infos and infos.wait(lambda _: True, TIMEOUT, f"camera_info on {info_topic}")
    return image_conversion.decode_colour(picture), info
