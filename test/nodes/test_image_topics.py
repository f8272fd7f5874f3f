"""Images in every usual encoding, plain and compressed, and hostile ones, without any process."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sensor_msgs.msg import CompressedImage, Image

from vima_ros.errors import VimaError
from vima_ros.nodes.common.image_conversion import decode_colour, decode_mask, encode

RGB = np.zeros((6, 8, 3), np.uint8)
RGB[:, :4], RGB[:, 4:] = (200, 40, 20), (10, 60, 220)


@pytest.mark.parametrize(
    ("encoding", "code"),
    [
        ("rgb8", None),
        ("bgr8", cv2.COLOR_RGB2BGR),
        ("rgba8", cv2.COLOR_RGB2RGBA),
        ("bgra8", cv2.COLOR_RGB2BGRA),
    ],
)
def test_colour_comes_out_as_rgb_whatever_the_order(encoding, code):
    pixels = RGB if code is None else cv2.cvtColor(RGB, code)
    assert (decode_colour(encode(pixels, encoding)) == RGB).all()


@pytest.mark.parametrize(("encoding", "order"), [("rgba8", [0, 1, 2]), ("bgra8", [2, 1, 0])])
def test_transparent_pixels_are_white(encoding, order):
    pixels = np.dstack([RGB[..., order], np.full(RGB.shape[:2], 255, np.uint8)])
    pixels[:, :4, 3], pixels[:3, 4:, 3] = 0, 128
    decoded = decode_colour(encode(pixels, encoding))
    assert (decoded[:, :4] == 255).all()
    assert (decoded[3:, 4:] == RGB[3:, 4:]).all()
    assert (decoded[:3, 4:] == [132, 157, 237]).all()


def test_an_alpha_that_is_nowhere_set_is_refused_naming_a_remedy():
    with pytest.raises(VimaError, match="encoding without alpha") as caught:
        decode_colour(encode(np.zeros((4, 4, 4), np.uint8), "bgra8"))
    assert caught.value.code == "BAD_IMAGE"


def test_grey_comes_out_as_three_equal_channels():
    grey = cv2.cvtColor(RGB, cv2.COLOR_RGB2GRAY)
    assert (decode_colour(encode(grey, "mono8")) == grey[..., None]).all()


@pytest.mark.parametrize("encoding", ["bayer_rggb8", "bayer_bggr8", "bayer_gbrg8", "bayer_grbg8"])
def test_bayer_patterns_are_demosaiced(encoding):
    order = encoding.removeprefix("bayer_").removesuffix("8")
    plain = np.zeros((16, 16, 3), np.uint8)
    plain[:] = (200, 100, 30)
    channel = np.array(
        [
            ["rgb".index(order[0]), "rgb".index(order[1])],
            ["rgb".index(order[2]), "rgb".index(order[3])],
        ]
    )
    rows, columns = np.indices((16, 16))
    mosaic = plain[rows, columns, channel[rows % 2, columns % 2]]
    inner = decode_colour(encode(mosaic, encoding))[4:12, 4:12].reshape(-1, 3)
    assert np.abs(inner.astype(int) - (200, 100, 30)).max() <= 2


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_compressed_images_are_decoded(suffix):
    big = cv2.resize(RGB, (64, 48), interpolation=cv2.INTER_NEAREST)
    _, data = cv2.imencode(suffix, cv2.cvtColor(big, cv2.COLOR_RGB2BGR))
    decoded = decode_colour(CompressedImage(format=suffix[1:], data=data.tobytes()))
    assert decoded.shape == big.shape
    assert np.abs(decoded.astype(int) - big).mean() < 4


def test_a_compressed_bomb_is_refused_before_it_is_unpacked():
    _, data = cv2.imencode(".png", np.zeros((8, 8), np.uint8))
    bomb = bytearray(data.tobytes())
    bomb[16:24] = (60_000).to_bytes(4, "big") * 2  # what IHDR claims
    with pytest.raises(VimaError, match="60000x60000"):
        decode_colour(CompressedImage(format="png", data=bytes(bomb)))


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
@pytest.mark.parametrize("missing", [1, 2, 10, 1000])
def test_a_compressed_image_that_is_cut_off_is_refused(suffix, missing):
    noise = np.random.default_rng(0).integers(0, 255, (48, 64, 3), np.uint8)
    data = cv2.imencode(suffix, noise)[1].tobytes()
    message = CompressedImage(format=suffix[1:], data=data[:-missing])
    with pytest.raises(VimaError, match="valid: "):
        decode_colour(message)
    padded = CompressedImage(format=suffix[1:], data=data + bytes(32))  # as some cameras do
    assert decode_colour(padded).shape == noise.shape


def test_a_byte_has_no_order():
    message = encode(RGB, "rgb8")
    message.is_bigendian = 1
    assert (decode_colour(message) == RGB).all()


@pytest.mark.parametrize("big_endian", [False, True])
def test_masks_keep_their_ids(big_endian):
    ids = np.array([[0, 1, 255], [256, 4000, 65535]], np.uint16)
    message = encode(ids.astype(">u2" if big_endian else "<u2"), "mono16")
    message.is_bigendian = int(big_endian)
    assert (decode_mask(message) == ids).all()
    small = np.array([[0, 7]], np.uint8)
    assert (decode_mask(encode(small, "mono8")) == small).all()


def test_padded_rows_are_cut_off():
    padded = np.pad(RGB, ((0, 0), (0, 3), (0, 0)), constant_values=9)
    message = encode(padded, "rgb8")
    message.width = RGB.shape[1]
    assert (decode_colour(message) == RGB).all()


@pytest.mark.parametrize(
    "encoding", ["16UC1", "32FC1", "mono16", "rgb16", "bayer_rggb16", "nv21", "", "rgb8; rm"]
)
def test_what_is_no_colour_is_refused_naming_what_is(encoding):
    message = encode(RGB, "rgb8")
    message.encoding = encoding
    with pytest.raises(VimaError, match="rgb8, bgr8") as caught:
        decode_colour(message)
    assert caught.value.code == "BAD_IMAGE"


def outcome(decode, message):
    """Height and width, or the refusal's code."""
    try:
        return decode(message).shape[:2]
    except VimaError as error:
        return error.code


@given(
    encoding=st.sampled_from(["rgb8", "mono8", "yuv422", "bayer_rggb8", "mono16", "16UC1", "?"]),
    height=st.integers(0, 2**32 - 1) | st.integers(0, 9),
    width=st.integers(0, 2**32 - 1) | st.integers(0, 9),
    step=st.integers(0, 2**32 - 1) | st.integers(0, 40),
    data=st.binary(max_size=400),
)
def test_any_header_and_data_give_an_image_or_a_coded_refusal(encoding, height, width, step, data):
    message = Image(encoding=encoding, height=height, width=width, step=step, data=data)
    for decode in (decode_colour, decode_mask):
        assert outcome(decode, message) in {(height, width), "BAD_IMAGE"}


@given(
    data=st.binary(max_size=200), head=st.sampled_from([b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8"])
)
def test_any_compressed_data_give_an_image_or_a_coded_refusal(data, head):
    message = CompressedImage(format="jpeg", data=head + data)
    assert isinstance(outcome(decode_colour, message), tuple) or (
        outcome(decode_colour, message) == "BAD_IMAGE"
    )
