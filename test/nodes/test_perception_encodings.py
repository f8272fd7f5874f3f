"""Every encoding that cameras publish, through the running node: right, or clearly refused."""

import cv2
import numpy as np
import pytest
from played_cameras import Perception, PlayedCameras, compressed, image, table, table_ids
from sensor_msgs.msg import CompressedImage, Image

from vima_msgs.msg import PerceptionStatus
from vima_ros.nodes.common import image_conversion


@pytest.fixture(scope="module")
def cameras(tmp_path_factory):
    with Perception(tmp_path_factory.mktemp("logs"), "/plain") as running:
        playing = PlayedCameras(running.client)
        playing.wait_for_perception(image(), image())
        yield playing
        running.nodes.check_alive()


@pytest.fixture(scope="module")
def compressed_cameras(tmp_path_factory):
    with Perception(
        tmp_path_factory.mktemp("logs"), "/packed", use_compressed_images=True
    ) as running:
        playing = PlayedCameras(running.client, CompressedImage)
        playing.wait_for_perception(compressed(".jpg"), compressed(".jpg"))
        yield playing
        running.nodes.check_alive()


@pytest.fixture(scope="module")
def masked_cameras(tmp_path_factory):
    with Perception(
        tmp_path_factory.mktemp("logs"), "/masked", detector="ground_truth_masks"
    ) as running:
        playing = PlayedCameras(running.client, with_masks=True)
        playing.wait_for_perception(image(), image())
        yield playing
        running.nodes.check_alive()


def yuv(first_is_luma) -> np.ndarray:
    """The table in YUV 4:2:2 (BT.601, 16 to 235), (h, w, 2): luma and chroma by turns."""
    red, green, blue = (table()[..., i] / 255 for i in range(3))
    luma = 16 + 65.481 * red + 128.553 * green + 24.966 * blue
    u = 128 - 37.797 * red - 74.203 * green + 112 * blue
    v = 128 + 112 * red - 93.786 * green - 18.214 * blue
    chroma = np.where(np.arange(red.shape[1]) % 2 == 0, u, v)
    both = (luma, chroma) if first_is_luma else (chroma, luma)
    return np.stack(both, -1).round().astype(np.uint8)


def bayer(pattern) -> np.ndarray:
    """The table as a sensor with this pattern, such as "rggb", sees it."""
    rows, columns = np.indices(table().shape[:2])
    channel = np.array(["rgb".index(letter) for letter in pattern])
    return table()[rows, columns, channel[2 * (rows % 2) + columns % 2]]


ENCODED = {
    **{name: lambda name=name: image(name) for name in ("rgb8", "bgr8", "rgba8", "bgra8")},
    **{
        name: lambda name=name: image_conversion.encode(yuv(False), name)
        for name in ("yuv422", "uyvy")
    },
    **{
        name: lambda name=name: image_conversion.encode(yuv(True), name)
        for name in ("yuyv", "yuv422_yuy2")
    },
    **{
        f"bayer_{p}8": lambda p=p: image_conversion.encode(bayer(p), f"bayer_{p}8")
        for p in ("rggb", "bggr", "gbrg", "grbg")
    },
}


def is_right(objects) -> bool:
    """Two red blocks."""
    crops = [np.array(item.crop).reshape(3, 32, 32)[:, 10:22, 10:22] for item in objects]
    colours = [crop.mean(axis=(1, 2)) for crop in crops]
    return len(crops) == 2 and all(np.abs(c - (200, 40, 30)).max() < 12 for c in colours)


@pytest.mark.parametrize("encoding", ENCODED)
def test_colours_arrive_right_in_any_encoding(cameras, encoding):
    seen = cameras.observation_of(ENCODED[encoding](), image())
    assert is_right(seen.front.objects)
    assert is_right(seen.top.objects)


def test_grey_arrives_as_grey(cameras):
    seen = cameras.observation_of(image("mono8"), image())
    assert len(seen.front.objects) == 2
    crop = np.array(seen.front.objects[0].crop).reshape(3, -1)
    assert (crop == crop[0]).all()


@pytest.mark.parametrize("encoding", ["rgb8", "yuv422", "bayer_rggb8", "bgra8"])
def test_the_padding_of_rows_is_cut_off(cameras, encoding):
    message = ENCODED[encoding]()
    rows = np.frombuffer(message.data, np.uint8).reshape(message.height, -1)
    padded = np.pad(rows, ((0, 0), (0, 37)), constant_values=255)
    message.step, message.data = padded.shape[1], padded.tobytes()
    assert is_right(cameras.observation_of(message, image()).front.objects)


@pytest.mark.parametrize("encoding", ["rgb8", "yuv422", "bayer_rggb8"])
def test_the_order_of_bytes_means_nothing_for_single_bytes(cameras, encoding):
    message = ENCODED[encoding]()
    message.is_bigendian = 1
    assert is_right(cameras.observation_of(message, image()).front.objects)


def altered(**fields) -> Image:
    message = image()
    for name, value in fields.items():
        setattr(message, name, value)
    return message


def sixteen(encoding, channels) -> Image:
    shape = (480, 640) if channels == 1 else (480, 640, channels)
    return image_conversion.encode(np.full(shape, 30_000, np.uint16), encoding)


HOSTILE = {
    "depth": sixteen("16UC1", 1),
    "mono16": sixteen("mono16", 1),
    "rgb16": sixteen("rgb16", 3),
    "bayer 16": sixteen("bayer_rggb16", 1),
    "no encoding": altered(encoding=""),
    "unknown": altered(encoding="nv12"),
    "truncated": altered(data=b"\x00" * 100),
    "one byte short": altered(data=bytes(640 * 480 * 3 - 1)),
    "no data": altered(data=b""),
    "no width": altered(width=0),
    "no height": altered(height=0, data=b""),
    "100 MP": altered(width=10_000, height=10_000, step=30_000),
    "short rows": altered(step=3),
    "huge": altered(height=4_000_000_000, width=4_000_000_000, step=4_000_000_000),
    "odd YUV": image_conversion.encode(yuv(True)[:, :639], "yuyv"),
}


@pytest.mark.parametrize("bad", HOSTILE.values(), ids=HOSTILE)
def test_hostile_images_are_refused_and_the_node_lives_on(cameras, bad):
    status = cameras.status_of(bad, image())
    assert (status.code, status.view) == (PerceptionStatus.BAD_IMAGE, "front")
    assert status.message.startswith("front view: ")
    assert "valid:" in status.message
    assert cameras.status_of(image(), image()).code == PerceptionStatus.OK


# --- compressed


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_compressed_images_arrive_right(compressed_cameras, suffix):
    seen = compressed_cameras.observation_of(compressed(suffix), compressed(".png"))
    assert is_right(seen.front.objects)
    assert is_right(seen.top.objects)


def packed(suffix, pixels, form="") -> CompressedImage:
    _, data = cv2.imencode(suffix, pixels)
    return CompressedImage(format=form or suffix[1:], data=data.tobytes())


def test_compressed_grey_and_alpha_arrive_right(compressed_cameras):
    bgra = cv2.cvtColor(table(), cv2.COLOR_RGB2BGRA)
    grey = cv2.cvtColor(table(), cv2.COLOR_RGB2GRAY)
    for front in (packed(".png", grey), packed(".jpg", grey)):
        seen = compressed_cameras.observation_of(front, packed(".png", bgra))
        assert len(seen.front.objects) == 2
        crop = np.array(seen.front.objects[0].crop).reshape(3, -1)
        assert (crop == crop[0]).all()
        assert is_right(seen.top.objects)


def cut(suffix, share) -> CompressedImage:
    message = compressed(suffix)
    message.data = message.data[: int(len(message.data) * share)]
    return message


def bomb() -> CompressedImage:
    message = compressed(".png")
    data = bytearray(message.data)
    data[16:24] = (10_000).to_bytes(4, "big") * 2  # what IHDR claims
    message.data = bytes(data)
    return message


def deep(form) -> CompressedImage:
    return packed(".png", np.full((480, 640), 30_000, np.uint16), form)


BAD_PACKED = {
    "cut JPEG": cut(".jpg", 0.9),
    "end of JPEG missing": cut(".jpg", 0.9999),
    "cut PNG": cut(".png", 0.9),
    "only a header": cut(".jpg", 0.02),
    "no data": CompressedImage(format="jpeg"),
    "no image": CompressedImage(format="jpeg", data=b"\x00" * 5000),
    "100 MP": bomb(),
    "16 bits": deep("mono16; png compressed "),
    "16 bits, not said": deep("png"),
    "depth": deep("16UC1; compressedDepth png"),
    "a mosaic": packed(".png", bayer("rggb"), "bayer_rggb8; png compressed "),
    "video": CompressedImage(format="h264", data=b"\x00\x00\x00\x01\x67" * 100),
}


@pytest.mark.parametrize("bad", BAD_PACKED.values(), ids=BAD_PACKED)
def test_bad_compressed_images_are_refused_and_the_node_lives_on(compressed_cameras, bad):
    status = compressed_cameras.status_of(compressed(".jpg"), bad)
    assert (status.code, status.view) == (PerceptionStatus.BAD_IMAGE, "top")
    assert "valid:" in status.message
    good = compressed_cameras.status_of(compressed(".jpg"), compressed(".jpg"))
    assert good.code == PerceptionStatus.OK


# --- masks


def mask(big_endian=False, encoding="mono16", first=300) -> Image:
    order = ">u2" if big_endian else "<u2"
    ids = table_ids(first=first).astype(order if encoding == "mono16" else np.uint8)
    message = image_conversion.encode(ids, encoding)
    message.is_bigendian = int(big_endian)
    return message


@pytest.mark.parametrize(
    ("front", "ids"),
    [
        (mask(), [300, 301]),
        (mask(big_endian=True), [300, 301]),
        (mask(encoding="mono8", first=7), [7, 8]),
        (mask(big_endian=True, encoding="mono8", first=7), [7, 8]),
    ],
    ids=["little endian", "big endian", "bytes", "bytes, big endian"],
)
def test_masks_keep_their_ids_in_either_order_of_bytes(masked_cameras, front, ids):
    seen = masked_cameras.observation_of(image(), image(), masks={"front": front, "top": mask()})
    assert [item.track_id for item in seen.front.objects] == ids
    assert [item.track_id for item in seen.top.objects] == [300, 301]
    assert is_right(seen.front.objects)


def test_a_bad_mask_is_refused_and_the_node_lives_on(masked_cameras):
    for bad in (image(), mask()):
        bad.data = bad.data[:100]
        status = masked_cameras.status_of(image(), image(), masks={"front": mask(), "top": bad})
        assert (status.code, status.view) == (PerceptionStatus.BAD_IMAGE, "top")
    assert masked_cameras.status_of(image(), image()).code == PerceptionStatus.OK
