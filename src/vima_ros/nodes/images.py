"""sensor_msgs images to arrays: one function hides whether cv_bridge or rosbags-image does it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
from sensor_msgs.msg import CompressedImage, Image

from vima_ros.errors import VimaError

try:
    from cv_bridge import CvBridge  # ROS 2's own; the package index's is a ROS 1 relic

    _bridge = CvBridge()

    def _convert(message: Any, encoding: str) -> np.ndarray:
        if isinstance(message, CompressedImage):
            return _bridge.compressed_imgmsg_to_cv2(message, encoding)
        return _bridge.imgmsg_to_cv2(message, encoding)

except ImportError:
    from rosbags.image import message_to_cvimage as _convert

MAX_PIXELS = 16_000_000  # more than any camera this is for; hostile headers claim more
# bytes a pixel of the encodings that are colour or grey pictures
COLOUR_ENCODINGS = {
    **dict.fromkeys(("rgb8", "bgr8"), 3),
    **dict.fromkeys(("rgba8", "bgra8"), 4),
    **dict.fromkeys(("yuv422", "uyvy", "yuyv", "yuv422_yuy2"), 2),
    **dict.fromkeys(("mono8", "bayer_rggb8", "bayer_bggr8", "bayer_gbrg8", "bayer_grbg8"), 1),
}
MASK_ENCODINGS = {"mono8": 1, "mono16": 2}


def _bad(message: str) -> VimaError:
    return VimaError("BAD_IMAGE", message)


def _checked(message: Image, encodings: dict[str, int]) -> Any:
    """The image with its rows unpadded; every size it claims is checked first."""
    if message.encoding not in encodings:
        raise _bad(f"encoding {message.encoding!r}; valid: {', '.join(encodings)}")
    height, width, step = message.height, message.width, message.step
    if not (0 < height * width <= MAX_PIXELS):
        raise _bad(f"size {width}x{height} px; valid: 1 to {MAX_PIXELS} pixels")
    row = width * encodings[message.encoding]
    if step < row or len(message.data) != step * height:
        raise _bad(
            f"{len(message.data)} bytes with step {step} for {width}x{height} {message.encoding}; "
            f"valid: step >= {row} and step x height bytes"
        )
    rows = np.frombuffer(message.data, np.uint8).reshape(height, step)
    return SimpleNamespace(
        header=message.header,
        encoding=message.encoding,
        height=height,
        width=width,
        step=row,
        is_bigendian=message.is_bigendian,
        data=np.ascontiguousarray(rows[:, :row]),
    )


def _converted(message: Any, encoding: str) -> np.ndarray:
    try:
        array = _convert(message, encoding)
    except Exception as error:  # cv_bridge, OpenCV and rosbags each raise their own
        name = getattr(message, "encoding", None) or getattr(message, "format", "")
        raise _bad(f"undecodable {name!r} image: {type(error).__name__}: {error}") from error
    return np.ascontiguousarray(array)


def decode_colour(message: Image | CompressedImage) -> np.ndarray:
    """RGB uint8 (height, width, 3).

    Raises VimaError (BAD_IMAGE) for an unknown encoding, a size out of bounds, data that do not
    fit the size, or a compressed image that cannot be decoded.
    """
    if isinstance(message, CompressedImage):
        _check_compressed_size(message)
        return _converted(message, "rgb8")
    return _converted(_checked(message, COLOUR_ENCODINGS), "rgb8")


def decode_mask(message: Image) -> np.ndarray:
    """Instance ids uint16 (height, width), 0 = background, of a mono8 or mono16 image.

    Raises VimaError (BAD_IMAGE) as ``decode_colour`` does.
    """
    checked = _checked(message, MASK_ENCODINGS)
    order = ">u2" if message.is_bigendian else "<u2"
    dtype = np.dtype(order) if message.encoding == "mono16" else np.dtype(np.uint8)
    # Not through a converter: ids are numbers, not brightness.
    return checked.data.view(dtype).astype(np.uint16)


def _check_compressed_size(message: CompressedImage) -> None:
    """Refuse a compressed image that would unpack to more than MAX_PIXELS, before unpacking it."""
    size = _jpeg_or_png_size(bytes(message.data[:65536]))
    if size is None:
        raise _bad(f"compressed image of format {message.format!r}; valid: JPEG or PNG data")
    if not 0 < size[0] * size[1] <= MAX_PIXELS:
        raise _bad(f"size {size[0]}x{size[1]} px; valid: 1 to {MAX_PIXELS} pixels")


def _jpeg_or_png_size(data: bytes) -> tuple[int, int] | None:
    """Width and height [px] from the file header (PNG: IHDR; JPEG: the start-of-frame marker)."""
    if data[:8] == b"\x89PNG\r\n\x1a\n" and len(data) >= 24:
        return int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")
    if data[:2] != b"\xff\xd8":
        return None
    at = 2
    while at + 9 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = data[at + 5 : at + 7], data[at + 7 : at + 9]
            return int.from_bytes(width, "big"), int.from_bytes(height, "big")
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return None


def encode(array: np.ndarray, encoding: str, stamp: Any = None, frame_id: str = "") -> Image:
    """An Image of a uint8 or uint16 array (height, width[, channels]) in the given encoding."""
    array = np.ascontiguousarray(array)
    message = Image(
        height=array.shape[0],
        width=array.shape[1],
        encoding=encoding,
        step=array.nbytes // array.shape[0],
    )
    message.data = array.tobytes()  # bytes, because a list costs a hundred times as much
    message.header.frame_id = frame_id
    if stamp is not None:
        message.header.stamp = stamp
    return message
