import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vima_ros.errors import VimaError
from vima_ros.perception.view import to_policy_frame

RNG = np.random.default_rng(0)


def picture(width, height):
    return RNG.integers(0, 256, (height, width, 3)).astype(np.uint8)


def test_the_policy_frame_stays_as_it_is_and_is_a_copy():
    image = picture(256, 128)
    mask = RNG.integers(0, 60000, (128, 256)).astype(np.uint16)
    for array, is_mask in ((image, False), (mask, True)):
        got = to_policy_frame(array, is_mask=is_mask)
        np.testing.assert_array_equal(got, array)
        assert not np.shares_memory(got, array)


@given(st.integers(2, 400), st.integers(1, 300), st.booleans())
def test_every_size_gives_the_frame_and_a_plain_picture_stays_plain(width, height, is_mask):
    shape = (height, width) if is_mask else (height, width, 3)
    got = to_policy_frame(np.full(shape, 77, np.uint8), is_mask=is_mask)
    assert got.shape == ((128, 256) if is_mask else (128, 256, 3))
    assert got.dtype == np.uint8
    assert (got == 77).all()


def test_a_larger_image_is_averaged_over_area():
    image = picture(1024, 512)
    means = image.reshape(128, 4, 256, 4, 3).mean((1, 3))
    np.testing.assert_allclose(to_policy_frame(image), means, atol=0.51)


@given(st.integers(1, 5), st.sampled_from([np.uint8, np.uint16]))
def test_a_mask_keeps_ids_and_places(factor, dtype):
    ids = np.arange(128 * 256).reshape(128, 256) % np.iinfo(dtype).max
    mask = np.kron(ids, np.ones((factor, factor), int)).astype(dtype)
    np.testing.assert_array_equal(to_policy_frame(mask, is_mask=True), ids)


def test_a_mask_has_no_ids_between():
    mask = np.where(RNG.random((101, 333)) < 0.5, 0, 50000).astype(np.uint16)
    assert np.unique(to_policy_frame(mask, is_mask=True)).tolist() == [0, 50000]


@pytest.mark.parametrize(
    ("size", "region"),
    [
        ((640, 480), (0, 80, 640, 320)),
        ((800, 256), (144, 0, 512, 256)),
        ((641, 480), (0, 80, 640, 320)),
        ((333, 101), (65, 0, 202, 101)),
    ],
)
def test_the_default_region_is_the_largest_in_the_middle(size, region):
    image = picture(*size)
    np.testing.assert_array_equal(to_policy_frame(image), to_policy_frame(image, region))


def test_a_region_selects_its_pixels():
    image = picture(640, 480)
    got = to_policy_frame(image, (100, 50, 256, 128))
    np.testing.assert_array_equal(got, image[50:178, 100:356])


@pytest.mark.parametrize("region", [(0, 0, 257, 128), (0, 0, 254, 128), (0, 0, 256, 127)])
def test_a_pixel_off_two_to_one_is_tolerated(region):
    assert to_policy_frame(picture(640, 480), region).shape == (128, 256, 3)


@pytest.mark.parametrize(
    "region",
    [
        (0, 0, 300, 128),
        (-1, 0, 256, 128),
        (0, -1, 256, 128),
        (385, 0, 256, 128),
        (0, 353, 256, 128),
        (0, 0, 0, 0),
        (0, 0, 1, 0),
        (0, 0, -256, -128),
        (0, 0, 256),
        (0.0, 0.0, 256.0, 128.0),
        "everything",
    ],
)
def test_a_region_that_cannot_be_is_refused(region):
    with pytest.raises(VimaError) as error:
        to_policy_frame(picture(640, 480), region)
    assert error.value.code == "INVALID_REGION"


@pytest.mark.parametrize(("width", "height"), [(1, 10), (0, 0), (10, 0)])
def test_a_picture_without_room_for_a_region_is_refused(width, height):
    with pytest.raises(VimaError) as error:
        to_policy_frame(np.zeros((height, width, 3), np.uint8))
    assert error.value.code == "INVALID_REGION"


@pytest.mark.parametrize(
    ("image", "is_mask"),
    [
        (np.zeros((128, 256), np.uint8), False),
        (np.zeros((128, 256, 4), np.uint8), False),
        (np.zeros((128, 256, 3), np.float32), False),
        (np.zeros((128, 256, 3), np.uint8), True),
        (np.zeros((128, 256), np.int32), True),
        ([[1, 2]], False),
    ],
)
def test_another_kind_of_array_is_refused(image, is_mask):
    with pytest.raises(VimaError) as error:
        to_policy_frame(image, is_mask=is_mask)
    assert error.value.code == "INVALID_VALUE"
