"""JPEG and PNG data: whole ones of every kind are read, and none that lost a part."""

import os
import zlib

import cv2
import numpy as np
import pytest
from encoded_images import (
    END,
    GREY_JPEGS,
    JPEG_OPTIONS,
    blocks,
    chunk,
    damaged_jpegs,
    damaged_pngs,
    jpeg,
    odd_jpegs,
    plain_png,
    png,
    without_scans,
)
from hypothesis import given
from hypothesis import strategies as st

from vima_ros.errors import VimaError
from vima_ros.perception.image_decoding import blend_over_white, decode_image, read_image


def refusal(data) -> str:
    """The refusal's text, empty if there is none."""
    try:
        decode_image(data)
    except VimaError as error:
        return str(error) if error.code == "BAD_IMAGE" and "valid: " in str(error) else ""
    return ""


@pytest.mark.parametrize("kind", JPEG_OPTIONS | GREY_JPEGS)
def test_whole_jpegs_are_read_as_opencv_reads_them(kind):
    data = jpeg(kind)
    bgr = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert (decode_image(data) == bgr[..., ::-1]).all()


@pytest.mark.parametrize("kind", odd_jpegs())
def test_what_a_jpeg_may_hold_beside_its_image_is_skipped(kind):
    assert (decode_image(odd_jpegs()[kind]) == decode_image(jpeg())).all()


@pytest.mark.parametrize("kind", JPEG_OPTIONS | GREY_JPEGS)
def test_a_jpeg_that_lost_data_is_refused(kind):
    accepted = [name for name, data in damaged_jpegs(jpeg(kind)).items() if not refusal(data)]
    assert accepted == []


@pytest.mark.parametrize("kind", ["progressive", "grey progressive"])
def test_a_progressive_jpeg_without_its_last_scans_is_refused(kind):
    said = {name: refusal(data) for name, data in without_scans(jpeg(kind)).items()}
    assert len(said) > 3
    assert all("missing" in text for text in said.values()), said


def test_a_photograph_is_turned_and_a_cameras_image_is_not():
    data = odd_jpegs()["EXIF"]
    assert decode_image(data).shape == (480, 640, 3)
    assert decode_image(data, oriented=True).shape == (640, 480, 3)


def test_an_image_of_hundreds_of_scans_is_refused():
    data = jpeg("progressive")
    begin = data.index(b"\xff\xda")
    assert "scans, more than" in refusal(data[:-2] + 200 * data[begin : begin + 14] + END)


@pytest.mark.parametrize("last", [64, 255])
def test_a_scan_of_more_coefficients_than_there_are_is_refused(last):
    data = bytearray(jpeg())
    scan = data.index(b"\xff\xda")
    parameters = scan + 5 + 2 * data[scan + 4]
    assert list(data[parameters : parameters + 3]) == [0, 63, 0]  # first, last, bits
    data[parameters + 1] = last
    assert refusal(bytes(data))


def test_sizes_are_checked_before_anything_is_unpacked():
    data = bytearray(jpeg())
    at = data.index(b"\xff\xc0")
    data[at + 5 : at + 9] = (10_000).to_bytes(2, "big") * 2
    assert "10000x10000" in refusal(bytes(data))


# --- PNG and alpha


@pytest.mark.parametrize(("place", "size"), [(16, "0x480"), (20, "640x0")])
def test_a_png_without_pixels_is_refused_by_its_size(place, size):
    data = bytearray(plain_png())
    data[place : place + 4] = bytes(4)
    data[29:33] = zlib.crc32(data[12:29]).to_bytes(4, "big")  # of the header chunk
    assert f"size {size} px; valid: 1 to" in refusal(bytes(data))


def test_a_whole_png_is_read():
    assert (decode_image(plain_png()) == blocks()).all()
    assert (decode_image(plain_png() + bytes(32)) == blocks()).all()


@pytest.mark.parametrize("kind", damaged_pngs())
def test_a_damaged_png_is_refused(kind):
    assert refusal(damaged_pngs()[kind])


def test_a_png_of_16_bits_is_refused():
    assert "16 bits" in refusal(cv2.imencode(".png", np.zeros((9, 9), np.uint16))[1].tobytes())


RED, WHITE = [200, 10, 20], [255, 255, 255]
PALETTE = chunk(b"PLTE", bytes([9, 9, 9, *RED]))
HALF = chunk(b"tRNS", b"\0")  # the palette's first colour, or the grey or red that is named
TRANSPARENT = {
    "RGBA": (png(np.uint8([[9, 9, 9, 0, *RED, 255]]), 8, 6), RED),
    "grey and alpha": (png(np.uint8([[9, 0, 70, 255]]), 8, 4), [70] * 3),
    "palette": (png(np.uint8([[0, 1]]), 8, 3, PALETTE, HALF), RED),
    "grey key": (png(np.uint8([[9, 70]]), 8, 0, chunk(b"tRNS", b"\0\x09")), [70] * 3),
    "grey key, 4 bits": (png(np.uint8([[0x25]]), 4, 0, chunk(b"tRNS", b"\0\2")), [85] * 3),
    "colour key": (
        png(np.uint8([[9, 9, 9, *RED]]), 8, 2, chunk(b"tRNS", b"\0\x09" * 3)),
        RED,
    ),
}


@pytest.mark.parametrize("kind", TRANSPARENT)
def test_transparent_pixels_of_a_png_are_white(kind):
    data, visible = TRANSPARENT[kind]
    assert decode_image(data).tolist() == [[WHITE, visible]]


@given(st.integers(0, 255), st.integers(1, 255))
def test_half_transparent_pixels_are_mixed_with_white(value, alpha):
    rgba = np.uint8([[[value, value, value, alpha], [0, 0, 0, 255]]])
    expected = round((value * alpha + 255 * (255 - alpha)) / 255)
    assert abs(int(blend_over_white(rgba)[0, 0, 0]) - expected) <= 1


def test_an_image_without_a_visible_pixel_is_refused():
    with pytest.raises(VimaError, match="no pixel is visible") as caught:
        blend_over_white(np.zeros((4, 4, 4), np.uint8))
    assert caught.value.code == "BAD_IMAGE"


# --- files


def test_a_file_is_read_or_refused_by_name(tmp_path):
    good, cut = tmp_path / "good.jpg", tmp_path / "cut.jpg"
    good.write_bytes(jpeg())
    cut.write_bytes(jpeg()[:9000] + END)
    assert (read_image(good) == decode_image(jpeg())).all()
    for bad in (cut, tmp_path / "none.png", tmp_path):
        with pytest.raises(VimaError, match=bad.name) as caught:
            read_image(bad)
        assert caught.value.code == "BAD_IMAGE"


def test_a_file_of_more_than_64_mebibytes_is_refused(tmp_path):
    path, limit = tmp_path / "long.jpg", 64 << 20
    path.write_bytes(jpeg())
    os.truncate(path, limit)
    assert (read_image(path) == decode_image(jpeg())).all()
    os.truncate(path, limit + 1)
    with pytest.raises(VimaError, match=f"more than {limit} bytes") as caught:
        read_image(path)
    assert caught.value.code == "BAD_IMAGE"
