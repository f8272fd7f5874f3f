import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vima_ros.errors import VimaError
from vima_ros.perception.tracking.appearance import (
    colour_distances,
    concatenate,
    empty_features,
    extract_features,
    size_distances,
)


def patch(colour, height=10, width=10, table=(48, 48, 48)):
    image = np.full((128, 256, 3), table, np.uint8)
    mask = np.zeros((128, 256), np.uint16)
    image[20 : 20 + height, 30 : 30 + width] = colour
    mask[20 : 20 + height, 30 : 30 + width] = 7
    return extract_features(image, mask, np.array([7]))


colours = st.tuples(*[st.integers(0, 255)] * 3)


@given(colours, colours)
def test_distances_are_symmetric_and_zero_to_itself(first, second):
    a, b = patch(first), patch(second)
    assert colour_distances(a, a)[0, 0] == pytest.approx(0, abs=2e-3)
    assert colour_distances(a, b)[0, 0] == pytest.approx(colour_distances(b, a)[0, 0], abs=1e-6)
    assert 0 <= colour_distances(a, b)[0, 0] <= 1
    assert a.colours.sum() == pytest.approx(1, abs=1e-5)


def test_a_little_shade_is_closer_than_another_colour():
    red, shaded, blue = patch((220, 60, 60)), patch((180, 45, 45)), patch((60, 60, 220))
    assert colour_distances(red, shaded)[0, 0] < 0.75 < 0.99 < colour_distances(red, blue)[0, 0]


def test_the_table_does_not_count():
    on_dark, on_white = patch((9, 200, 9)), patch((9, 200, 9), table=(255, 255, 255))
    np.testing.assert_array_equal(on_dark.colours, on_white.colours)


def test_size_is_by_area():
    small, same, double = patch(1, 10, 10), patch(1, 5, 20), patch(1, 20, 20)
    assert size_distances(small, same)[0, 0] == 0
    assert size_distances(small, double)[0, 0] == pytest.approx(1)
    assert size_distances(small, patch(1, 40, 40))[0, 0] == 1
    assert size_distances(small, patch(1, 20, 10))[0, 0] == pytest.approx(0.5)


def test_each_object_is_described_by_its_own_pixels_in_the_order_asked_for():
    image = np.zeros((128, 256, 3), np.uint8)
    mask = np.zeros((128, 256), np.uint8)
    mask[:4, :4], mask[10:20, 10:20], mask[50:, 50:] = 1, 200, 3
    image[:4, :4], image[10:20, 10:20] = (255, 0, 0), (0, 255, 0)
    features = extract_features(image, mask, np.array([200, 1]))
    np.testing.assert_allclose(np.exp(features.sizes) ** 2, [100, 16])
    alone = extract_features(image, mask, np.array([1]))
    np.testing.assert_array_equal(features.colours[1:], alone.colours)


def test_features_are_blended_by_weight_replaced_by_index_and_concatenated():
    red, blue = patch((255, 0, 0), 10, 10), patch((0, 0, 255), 20, 20)
    both = concatenate(red, blue)
    assert len(both) == 2
    half = red.blended(blue, np.array([0.25]))
    np.testing.assert_allclose(half.colours, 0.75 * red.colours + 0.25 * blue.colours)
    assert half.sizes[0] == pytest.approx(np.log(10) + 0.25 * np.log(2))
    swapped = both.replaced(np.array([0, 1]), concatenate(blue, red))
    np.testing.assert_array_equal(swapped.colours, both.colours[::-1])
    assert len(concatenate(empty_features(2), red)) == 3


def test_no_object_is_fine_and_one_without_a_pixel_is_refused():
    image, mask = np.zeros((128, 256, 3), np.uint8), np.zeros((128, 256), np.uint16)
    assert len(extract_features(image, mask, np.zeros(0, np.int64))) == 0
    mask[0, 0] = 2
    with pytest.raises(VimaError, match=r"objects \[5\] have no pixel in the mask"):
        extract_features(image, mask, np.array([2, 5]))
