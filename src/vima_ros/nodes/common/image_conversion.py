"""Conversion between sensor_msgs images and arrays, by cv_bridge or rosbags-image.

Supported, and refused rather than guessed:

- Colour and grey of 8 bits per channel, in any order of channels, YUV 4:2:2 and Bayer; rows may be
  padded. ``is_bigendian`` means nothing there, as a byte has no order.
- 16 bits per channel (mono16, rgb16, bayer_*16, 16UC1 …) are refused: they may be depth, and the
  message does not say how many bits are used (10, 12, 14, 16).
- Masks hold ids, not brightness: mono8, or mono16 in the byte order of ``is_bigendian``.
- Alpha (rgba8, bgra8, PNG) counts: transparent pixels are blended over white.
- Compressed: JPEG and PNG of 8 bits per channel, complete (perception/image_decoding.py); grey,
  colour or with alpha, as in the data. ``format`` is used where the data cannot tell: depth, or
  a Bayer mosaic.
"""

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import Any

import numpy as np
from builtin_interfaces.msg import Time
from sensor_msgs.msg import CompressedImage, Image

from vima_ros.errors import VimaError
from vima_ros.perception.image_decoding import MAX_PIXELS, blend_over_white, decode_image

try:
    from cv_bridge import CvBridge  # ROS 2's own; the package index's is a ROS 1 relic

    _bridge = CvBridge()

    _convert = _bridge.imgmsg_to_cv2

except ImportError:
    from rosbags.image import image_to_cvimage as _convert

# bytes per pixel of colour and grey images
COLOUR_ENCODINGS = {
    **dict.fromkeys(("rgb8", "bgr8"), 3),
    **dict.fromkeys(("rgba8", "bgra8"), 4),
    **dict.fromkeys(("yuv422", "uyvy", "yuyv", "yuv422_yuy2"), 2),
    **dict.fromkeys(("mono8", "bayer_rggb8", "bayer_bggr8", "bayer_gbrg8", "bayer_grbg8"), 1),
}
ALPHA_ENCODINGS = {"rgba8": [0, 1, 2, 3], "bgra8": [2, 1, 0, 3]}  # where R, G, B, A are
OLD_NAMES = {"uyvy": "yuv422", "yuyv": "yuv422_yuy2"}  # before ROS 2 Iron
MASK_ENCODINGS = {"mono8": 1, "mono16": 2}
NOT_COMPRESSIBLE = re.compile(r"bayer_|mono16|(rgb|bgr)a?16|(8S|16|32|64)[USF]?C")


def _bad(message: str) -> VimaError:
    return VimaError("BAD_IMAGE", message)


def _checked(message: Image, encodings: dict[str, int]) -> Any:
    """Return the image with its rows unpadded, after a check of every size in the message."""
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
        encoding=OLD_NAMES.get(message.encoding, message.encoding),
        height=height,
        width=width,
        step=row,
        is_bigendian=0,
        data=np.ascontiguousarray(rows[:, :row]),
    )


def decode_colour(message: Image | CompressedImage) -> np.ndarray:
    """Decode an image to RGB uint8 (height, width, 3).

    Transparent pixels are blended over white. Raises VimaError (BAD_IMAGE) for an unknown
    encoding, a size out of bounds, data that do not fit the size, or a compressed image that is
    damaged, lacks a part or cannot be decoded.
    """
    if isinstance(message, CompressedImage):
        return _decode_compressed(message)
    checked = _checked(message, COLOUR_ENCODINGS)
    if message.encoding in ALPHA_ENCODINGS:
        pixels = checked.data.reshape(message.height, message.width, 4)
        return blend_over_white(pixels[..., ALPHA_ENCODINGS[message.encoding]])
    try:
        return np.ascontiguousarray(_convert(checked, "rgb8"))
    except Exception as error:  # cv_bridge, OpenCV and rosbags each raise their own
        raise _bad(
            f"{message.width}x{message.height} {message.encoding} cannot be converted: "
            f"{type(error).__name__}: {error}; valid: an even width for YUV"
        ) from error


def decode_mask(message: Image) -> np.ndarray:
    """Decode a mono8 or mono16 image to instance ids uint16 (height, width), 0 = background.

    Raises VimaError (BAD_IMAGE) as ``decode_colour`` does.
    """
    checked = _checked(message, MASK_ENCODINGS)
    order = ">u2" if message.is_bigendian else "<u2"
    dtype = np.dtype(order) if message.encoding == "mono16" else np.dtype(np.uint8)
    # Not through a converter: ids are numbers, not brightness.
    return checked.data.view(dtype).astype(np.uint16)


def _decode_compressed(message: CompressedImage) -> np.ndarray:
    prefix = f"compressed image of format {message.format!r}"
    if NOT_COMPRESSIBLE.match(message.format):
        raise _bad(f"{prefix}; valid: made of an image of 8 bits per channel, demosaiced")
    try:
        return decode_image(bytes(message.data))
    except VimaError as error:
        raise _bad(f"{prefix}: {error}") from error


def encode(
    array: np.ndarray, encoding: str, stamp: Time | None = None, frame_id: str = ""
) -> Image:
    """Convert a uint8 or uint16 array (height, width[, channels]) to an Image message."""
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
