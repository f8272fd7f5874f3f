"""Strict decoding of JPEG and PNG data to RGB: a warning of the decoder is an error here.

- A JPEG has no checksum. What lost data decodes to an image all the same, the rest of it in the
  wrong place, and libjpeg only warns; so every warning is a refusal. It may be baseline or
  progressive, grey or colour, with restart markers, fill bytes and segments of any size. What
  changes bits and not their number gives no warning and is not found.
- A PNG's checksums are all verified.
- Transparent pixels are blended over white, as a page shows them.

simplejpeg reads the header of a JPEG. Not Pillow: of the tests' damaged data it loads 224 of 383
JPEGs and 2 of 9 PNGs, and PNGs of 16 bits as if of 8; imagesize turns a size as EXIF data ask.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import simplejpeg

from vima_ros.errors import VimaError

MAX_PIXELS = 16_000_000  # more than any camera this is for; hostile headers claim more
MAX_FILE = 64 << 20  # [bytes]
JPEG, PNG = b"\xff\xd8", b"\x89PNG\r\n\x1a\n"  # how the data begin
GREY = 0  # PNG's colour type
_MARKER = re.compile(rb"\xff([\x01-\xcf\xd8-\xfe])")  # not stuffing, filling or a restart
_FRAMES = {0xC0, 0xC1, 0xC2, 0xC9, 0xCA}  # sequential and progressive DCT, Huffman or arithmetic
_TABLES, _SCAN, _END = 0xDB, 0xDA, 0xD9
_COEFFICIENTS = 64  # of a block
MAX_SCANS = 100  # encoders write up to about 20; each costs the time of decoding the whole image


def _bad(message: str) -> VimaError:
    return VimaError("BAD_IMAGE", message)


def decode_image(data: bytes, *, oriented: bool = False) -> np.ndarray:
    """Decode JPEG or PNG data, up to 8 bits per channel, to RGB uint8 (height, width, 3).

    ``oriented``: turn it as its EXIF data ask, as is right for photographs; a camera's images are
    left as the sensor has them. Raises VimaError (BAD_IMAGE) for other data, damaged data, data
    that lack a part, and sizes out of bounds.
    """
    if data.startswith(JPEG):
        rgb = _decode_jpeg(data)
        if oriented:
            bgr = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
            rgb = cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)
        return rgb
    if data.startswith(PNG):
        return _decode_png(data)
    if not data:
        raise _bad("it is empty; valid: JPEG or PNG data")
    raise _bad(f"{len(data)} bytes that begin with {data[:4].hex(' ')}; valid: JPEG or PNG data")


def read_image(path: Path | str, *, oriented: bool = False) -> np.ndarray:
    """Read a JPEG or PNG file as RGB uint8 (height, width, 3).

    Raises VimaError (BAD_IMAGE) naming the file.
    """
    path = Path(path)
    if not path.is_file():  # nor a pipe, which would keep the reader waiting
        raise _bad(f"no image in file {str(path)!r}: no such file; valid: a PNG or JPEG file")
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE + 1)
        if len(data) > MAX_FILE:
            raise _bad(f"more than {MAX_FILE} bytes; valid: a PNG or JPEG file")
        return decode_image(data, oriented=oriented)
    except (OSError, VimaError) as error:
        raise _bad(f"no image in file {str(path)!r}: {error}") from error


def blend_over_white(rgba: np.ndarray) -> np.ndarray:
    """Blend RGBA uint8 (h, w, 4), not premultiplied, over white: RGB uint8 (h, w, 3).

    Raises VimaError (BAD_IMAGE) where no pixel is visible, as from a driver that leaves the
    fourth byte 0.
    """
    rgb, alpha = rgba[..., :3], rgba[..., 3:]
    if alpha.min() == 255:
        return np.ascontiguousarray(rgb)
    if alpha.max() == 0:
        raise _bad(
            "alpha is 0 everywhere, no pixel is visible; valid: visible pixels, or an encoding "
            "without alpha where the fourth byte means nothing"
        )
    weight = alpha.astype(np.uint16)
    blended = (rgb * weight + 255 * (255 - weight) + 127) // 255  # at most 65152
    return blended.astype(np.uint8)


def _check_size(width: int, height: int) -> None:
    if not 0 < width * height <= MAX_PIXELS:
        raise _bad(f"size {width}x{height} px; valid: 1 to {MAX_PIXELS} pixels")


# --- JPEG


def _decode_jpeg(data: bytes) -> np.ndarray:
    try:
        height, width, *_ = simplejpeg.decode_jpeg_header(data)
        _check_size(width, height)
        problem = _incomplete(data)
        if problem:
            raise ValueError(problem)
        return simplejpeg.decode_jpeg(data, "RGB")
    except VimaError:
        raise
    except ValueError as error:
        raise _bad(
            f"JPEG of {len(data)} bytes: {error}; valid: a whole one, grey, YCbCr or RGB, 8 bits"
        ) from error


def _incomplete(data: bytes) -> str:
    """Describe what is wrong with a JPEG that its decoder accepts; empty: nothing.

    Scans are missing: without the last ones of a progressive JPEG the decoder shows a coarse
    image, and without a component's scan one in other colours. Or a quantization table has zeros,
    or there are so many scans that they are an attack.
    """
    last_bit: dict[int, list[int]] = {}  # by component: of each coefficient, the last one sent
    scans = 0
    for marker, segment in _segments(data):
        if marker in _FRAMES and len(segment) >= 6:
            last_bit = {
                component: [-1] * _COEFFICIENTS
                for component in segment[6 : 6 + 3 * segment[5] : 3]
            }
        elif marker == _SCAN and len(segment) >= 4 + 2 * segment[0]:
            scans += 1
            count = segment[0]
            first, last, bits = segment[1 + 2 * count : 4 + 2 * count]
            for component in segment[1 : 1 + 2 * count : 2]:
                if component in last_bit:
                    sent = range(first, min(last, _COEFFICIENTS - 1) + 1)
                    for coefficient in sent:
                        last_bit[component][coefficient] = bits & 0x0F
        elif marker == _TABLES and _has_zero(segment):
            return "a quantization table has zeros"
    if scans > MAX_SCANS:
        return f"{scans} scans, more than {MAX_SCANS}"
    missing = [component for component, bits in last_bit.items() if any(bits)]
    return f"scans of its components {missing} are missing" if missing else ""


def _segments(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Iterate over each marker up to the end of the image, with its segment."""
    at = len(JPEG)
    while found := _MARKER.search(data, at):
        marker, at = found[1][0], found.end()
        if marker == _END:
            return
        if marker != 0x01:  # the only other one without a segment
            length = int.from_bytes(data[at : at + 2], "big")
            yield marker, data[at + 2 : at + length]
            at += length


def _has_zero(segment: bytes) -> bool:
    """Return True if a quantization table of this DQT segment contains zeros."""
    at = 0
    while at < len(segment):
        size = 2 if segment[at] >> 4 else 1
        table = segment[at + 1 : at + 1 + size * _COEFFICIENTS]
        if 0 in np.frombuffer(table[: len(table) // size * size], f">u{size}"):
            return True
        at += 1 + size * _COEFFICIENTS
    return False


# --- PNG


def _decode_png(data: bytes) -> np.ndarray:
    if data[12:16] != b"IHDR" or len(data) < 33:
        raise _bad(f"PNG of {len(data)} bytes without a header; valid: a whole one")
    width, height = (int.from_bytes(data[at : at + 4], "big") for at in (16, 20))
    _check_size(width, height)
    depth, colour = data[24], data[25]
    if depth > 8:
        raise _bad(f"PNG of {depth} bits a channel; valid: up to 8")
    chunks = dict(_png_chunks(data))
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if image is None or image.dtype != np.uint8 or image.shape[:2] != (height, width):
        raise _bad(f"PNG of {len(data)} bytes cannot be decoded; valid: a whole one")
    if image.ndim == 2:
        rgb = cv2.cvtColor(image, cv2.COLOR_GRAY2RGB)
        key = chunks.get(b"tRNS", b"")
        if colour != GREY or len(key) != 2:
            return rgb
        level = int.from_bytes(key, "big") * 255 // (2**depth - 1)  # this grey is transparent
        alpha = np.where(image == level, 0, 255).astype(np.uint8)
        return blend_over_white(np.dstack([rgb, alpha]))
    if image.shape[2] == 3:
        return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
    return blend_over_white(cv2.cvtColor(image, cv2.COLOR_BGRA2RGBA))


def _png_chunks(data: bytes) -> Iterator[tuple[bytes, memoryview]]:
    """Iterate over type and content of chunks. Raises VimaError (BAD_IMAGE) if damaged."""
    view, at, kind = memoryview(data), len(PNG), b""
    while kind != b"IEND":
        length = int.from_bytes(view[at : at + 4], "big")
        kind, end = bytes(view[at + 4 : at + 8]), at + 12 + length
        if end > len(data):
            raise _bad(f"PNG of {len(data)} bytes is cut off; valid: data up to its end mark")
        if zlib.crc32(view[at + 4 : end - 4]) != int.from_bytes(view[end - 4 : end], "big"):
            raise _bad(f"PNG of {len(data)} bytes: chunk {kind!r} is damaged; valid: a whole one")
        yield kind, view[at + 8 : end - 4]
        at = end
