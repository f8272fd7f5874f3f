"""An image of three blocks as JPEG and PNG data of every kind, whole, odd and damaged."""

import functools
import struct
import zlib

import cv2
import numpy as np

SIZE = (640, 480)
JPEG_OPTIONS = {  # of OpenCV's encoder
    "baseline": {},
    "progressive": {"PROGRESSIVE": 1},
    "optimized": {"OPTIMIZE": 1},
    "restarts": {"RST_INTERVAL": 40},
    "progressive restarts": {"PROGRESSIVE": 1, "RST_INTERVAL": 7},
    "4:4:4": {"SAMPLING_FACTOR": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444},
    "4:2:2": {"SAMPLING_FACTOR": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_422},
    "4:1:1": {"SAMPLING_FACTOR": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_411},
    "4:4:0": {"SAMPLING_FACTOR": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_440},
}
GREY_JPEGS = {"grey": {}, "grey progressive": {"PROGRESSIVE": 1}}
END = b"\xff\xd9"


@functools.cache
def blocks() -> np.ndarray:
    """RGB uint8 (480, 640, 3) as a camera sees it: with noise."""
    rgb = np.full((SIZE[1], SIZE[0], 3), (90, 88, 84), np.int16)
    rgb += np.random.default_rng(0).integers(-6, 7, rgb.shape, np.int16)
    for x, y, colour in (
        (150, 200, (200, 40, 30)),
        (330, 180, (30, 60, 190)),
        (450, 300, (40, 160, 60)),
    ):
        rgb[y : y + 50, x : x + 50] = colour
    return np.clip(rgb, 0, 255).astype(np.uint8)


def jpeg(kind: str = "baseline", rgb: np.ndarray | None = None) -> bytes:
    rgb = blocks() if rgb is None else rgb
    pixels = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY if kind in GREY_JPEGS else cv2.COLOR_RGB2BGR)
    options = [cv2.IMWRITE_JPEG_QUALITY, 85]
    for name, value in (JPEG_OPTIONS | GREY_JPEGS)[kind].items():
        options += [getattr(cv2, f"IMWRITE_JPEG_{name}"), value]
    return cv2.imencode(".jpg", pixels, options)[1].tobytes()


def markers(data: bytes) -> list[tuple[int, int]]:
    """Where each marker of a JPEG is, and which, in order."""
    found, at = [], 2
    while data[at : at + 2] != END:
        marker = data[at + 1]
        found.append((at, marker))
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        while marker == 0xDA and (data[at] != 0xFF or data[at + 1] in (0, *range(0xD0, 0xD8))):
            at += 1
    return [*found, (at, 0xD9)]


def scan(data: bytes) -> int:
    """Where the first scan's data begin."""
    at = next(at for at, marker in markers(data) if marker == 0xDA)
    return at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")


def segment(marker: int, content: bytes) -> bytes:
    return bytes((0xFF, marker)) + (len(content) + 2).to_bytes(2, "big") + content


def odd_jpegs() -> dict[str, bytes]:
    """Whole ones, as they are allowed to be."""
    plain = jpeg()
    at = [where for where, _ in markers(plain)]
    padded = b"".join(
        b"\xff" * 5 + plain[a:b] for a, b in zip(at, [*at[1:], len(plain)], strict=True)
    )
    exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"  # turned
    return {
        "fill bytes": plain[:2] + padded,
        "300 KiB before the size": plain[:2] + 5 * segment(0xE2, bytes(60_000)) + plain[2:],
        "EXIF": plain[:2] + segment(0xE1, exif) + plain[2:],
        "comment with markers": plain[:2] + segment(0xFE, b"\xff\xd9\xff\xda\xff\xc0") + plain[2:],
        "zeros behind": plain + bytes(32),
        "text behind": plain + b"trailer" * 100,
    }


def damaged_jpegs(data: bytes) -> dict[str, bytes]:
    """``data``, whole, with data lost in each place, whatever kind of JPEG it is.

    What is lost in a progressive JPEG's last scans may be as few bits as are in noise; then the
    decoder can get into step again, and nobody sees it. So much is lost that it cannot.
    """
    begin, end = scan(data), len(data) - 2
    found = {}
    for share in (0.0, 0.1, 0.3, 0.5, 0.7, 0.9):
        for lost in (1400, 3000):
            at = begin + int(share * (end - begin - lost))
            found[f"{lost} bytes lost at {share:.0%}"] = data[:at] + data[at + lost :]
    for share in (0.2, 0.8):
        at = begin + int(share * (end - begin))
        found[f"cut at {share:.0%}"] = data[:at]
        found[f"cut at {share:.0%}, end mark"] = data[:at] + END
        found[f"cut at {share:.0%}, zeros"] = data[:at] + bytes(len(data) - at)
        found[f"1400 zeros at {share:.0%}"] = data[:at] + bytes(1400) + data[at + 1400 :]
    for at, marker in markers(data):
        if marker in (0xDB, 0xC0, 0xC2, 0xDA):
            rest = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
            found[f"segment {marker:x} at {at} lost"] = data[:at] + data[rest:]
            found[f"segment {marker:x} at {at} zeroed"] = (
                data[: at + 4] + bytes(rest - at - 4) + data[rest:]
            )
    found["all behind the header lost"] = data[:begin] + END
    found["end mark lost"] = data[:-2]
    found["half of the end mark lost"] = data[:-1]
    return found


def without_scans(data: bytes) -> dict[str, bytes]:
    """A progressive JPEG that ends too early, each time between two scans."""
    scans = [at for at, marker in markers(data) if marker == 0xDA]
    return {f"the first {n} scans": data[:at] + END for n, at in enumerate(scans) if n}


# --- PNG


def chunk(kind: bytes, content: bytes) -> bytes:
    checksum = struct.pack(">I", zlib.crc32(kind + content))
    return struct.pack(">I", len(content)) + kind + content + checksum


def png(rows: np.ndarray, depth: int, colour: int, *chunks: bytes) -> bytes:
    """Of packed ``rows`` uint8 (height, bytes a row); ``colour``: PNG's colour type."""
    channels = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour]
    width = rows.shape[1] * 8 // (depth * channels)
    header = struct.pack(">IIBBBBB", width, len(rows), depth, colour, 0, 0, 0)
    data = zlib.compress(np.pad(rows, ((0, 0), (1, 0))).tobytes())  # filter 0
    return b"".join(
        (
            b"\x89PNG\r\n\x1a\n",
            chunk(b"IHDR", header),
            *chunks,
            chunk(b"IDAT", data),
            chunk(b"IEND", b""),
        )
    )


def plain_png() -> bytes:
    return cv2.imencode(".png", cv2.cvtColor(blocks(), cv2.COLOR_RGB2BGR))[1].tobytes()


def damaged_pngs() -> dict[str, bytes]:
    whole = plain_png()
    middle = len(whole) // 2
    flipped = bytearray(whole)
    flipped[middle] ^= 4
    short = zlib.compress(np.zeros((100, 1 + SIZE[0]), np.uint8).tobytes())
    header = struct.pack(">IIBBBBB", *SIZE, 8, 0, 0, 0, 0)
    return {
        "a bit flipped": bytes(flipped),
        "1400 bytes lost": whole[:middle] + whole[middle + 1400 :],
        "1400 zeros": whole[:middle] + bytes(1400) + whole[middle + 1400 :],
        "cut": whole[:middle],
        "cut, end mark": whole[:middle] + chunk(b"IEND", b""),
        "checksum of the header": whole[:29] + b"\0\0\0\0" + whole[33:],
        "checksum of the end": whole[:-1] + b"\0",
        "rows missing": b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", short)
        + chunk(b"IEND", b""),
        "transparency damaged": png(
            np.zeros((4, 4), np.uint8),
            8,
            3,
            chunk(b"PLTE", bytes(6)),
            chunk(b"tRNS", b"\0")[:-1] + b"!",
        ),
    }
