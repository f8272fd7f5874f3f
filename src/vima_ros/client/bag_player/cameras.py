"""Publisher of recorded images as the perception node subscribes: raw, or compressed."""

from __future__ import annotations

from typing import Any

import cv2
from rclpy.serialization import deserialize_message
from sensor_msgs.msg import CompressedImage, Image

from vima_ros.client.client import Client
from vima_ros.nodes.common import image_conversion, qos
from vima_ros.replay.frames import Frame
from vima_ros.specs import VIEWS


class BagCameras:
    """Publishes the image topics of both views that have subscribers."""

    def __init__(self, client: Client) -> None:
        topics = {Image: "image_raw", CompressedImage: "image_raw/compressed"}
        self._publishers = {
            view: {
                kind: client.create_publisher(kind, f"{view}/{topic}", qos.RELIABLE)
                for kind, topic in topics.items()
            }
            for view in VIEWS
        }

    @property
    def subscribed(self) -> bool:
        """True once both views have subscribers, of either type."""
        return all(
            any(publisher.get_subscription_count() for publisher in kinds.values())
            for kinds in self._publishers.values()
        )

    def publish(self, frame: Frame) -> None:
        """Publish one image, as recorded where perception subscribes to its type.

        Raises VimaError (BAD_IMAGE) where it has to be converted and cannot be.
        """
        recorded = CompressedImage if frame.compressed else Image
        for kind, publisher in self._publishers[frame.view].items():
            if publisher.get_subscription_count():
                same = kind is recorded
                publisher.publish(frame.message if same else _converted(frame, recorded))


def _converted(frame: Frame, recorded: type) -> Any:
    """Convert an Image to a CompressedImage or the reverse, without loss."""
    message = deserialize_message(frame.message, recorded)
    rgb = image_conversion.decode_colour(message)
    if recorded is CompressedImage:
        converted = image_conversion.encode(rgb, "rgb8")
    else:
        _, data = cv2.imencode(".png", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))
        converted = CompressedImage(format="rgb8; png compressed bgr8", data=data.tobytes())
    converted.header = message.header
    return converted
