"""`grab_image`: one image of a running camera, and its camera_info, as files for `calibrate`."""

from __future__ import annotations

import argparse
import sys
from typing import Any

import numpy as np
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from vima_ros.cli.arguments import ArgumentParser
from vima_ros.client.client import Client
from vima_ros.client.message_buffer import MessageBuffer
from vima_ros.errors import VimaError
from vima_ros.files import check_overwrite, write_atomic, write_image
from vima_ros.nodes.common import image_conversion, qos
from vima_ros.nodes.common.namespaces import add_namespace_option
from vima_ros.paths import path_argument
from vima_ros.perception.calibration.camera_info import camera_info_yaml
from vima_ros.perception.calibration.camera_model import CameraModel
from vima_ros.perception.camera_view import is_rectified
from vima_ros.program import without_ros_args

TIMEOUT = 20.0  # for the first message, discovery included [s]


def parse(args: list[str]) -> argparse.Namespace:
    """Parse the command line."""
    parser = ArgumentParser(prog="grab_image", description=__doc__)
    parser.add_argument(
        "topic", help="Image topic, such as front/image_raw; compressed where it ends so"
    )
    parser.add_argument(
        "--out", type=path_argument, required=True, metavar="FILE", help="PNG file to write"
    )
    parser.add_argument(
        "--camera-info",
        type=path_argument,
        metavar="FILE",
        help="YAML file to write the camera_info beside the topic to",
    )
    parser.add_argument("--force", action="store_true", help="Permission to overwrite files")
    add_namespace_option(parser, "Namespace of the topics")
    return parser.parse_args(args)


def camera_info_topic(topic: str) -> str:
    """Return the camera_info topic that belongs to an image topic, by image_transport's rule."""
    folder = topic.removesuffix("/compressed").rpartition("/")[0]
    return f"{folder}/camera_info" if folder or topic.startswith("/") else "camera_info"


def receive_image(
    namespace: str, topic: str, *, with_camera_info: bool = False
) -> tuple[np.ndarray, Any | None]:
    """Receive the next image, RGB uint8 (h, w, 3), and the next CameraInfo beside it.

    A topic that ends in ``compressed`` carries CompressedImage messages.

    Raises VimaError: TIMEOUT, BAD_IMAGE.
    """
    kind = CompressedImage if topic.endswith("compressed") else Image
    with Client("grab_image", namespace) as client:
        images = client.subscribe(kind, topic, qos.SENSOR_DATA, capacity=10)
        info = None
        if with_camera_info:
            info_topic = camera_info_topic(topic)
            infos = client.subscribe(CameraInfo, info_topic, qos.SENSOR_DATA, capacity=10)
            info = _first(client, infos, "camera_info", info_topic)
        image = _first(client, images, "image", topic)
    return image_conversion.decode_colour(image), info


def _first(client: Client, messages: MessageBuffer, kind: str, topic: str) -> Any:
    """Return the first message; say at once what is waited for. Raises WaitTimeoutError."""
    what = f"{kind} on {client.node.resolve_topic_name(topic)}"
    if not messages.count:
        print(f"waiting for {what}, up to {TIMEOUT:g} s …", file=sys.stderr, flush=True)
    return messages.wait(lambda _: True, TIMEOUT, what)


def grab(options: argparse.Namespace) -> None:
    """Write the image, and the camera_info of that image where it is asked for.

    Raises VimaError: FILE_EXISTS, TIMEOUT, BAD_IMAGE, BAD_CAMERA_INFO.
    """
    check_overwrite([p for p in (options.out, options.camera_info) if p], options.force)
    image, info = receive_image(
        options.namespace, options.topic, with_camera_info=options.camera_info is not None
    )
    size = image.shape[1::-1]
    lens = info and CameraModel.from_camera_info(info, size, rectified=is_rectified(options.topic))
    if info is not None and lens is None:
        raise VimaError(
            "BAD_CAMERA_INFO",
            f"{camera_info_topic(options.topic)} describes a camera that is not calibrated (k is "
            "0); valid: a calibrated one, or no --camera-info",
        )
    write_image(options.out, image)
    print(f"written: {options.out}")
    if lens is not None:
        text = camera_info_yaml(lens, size, options.camera_info.stem)
        write_atomic(options.camera_info, text.encode())
        print(f"written: {options.camera_info}")


def main(args: list[str]) -> None:
    """Run the program ``grab_image``."""
    grab(parse(without_ros_args(args)))
