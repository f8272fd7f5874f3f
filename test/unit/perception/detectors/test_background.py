import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vima_ros.errors import VimaError
from vima_ros.perception.detectors.plain_background.background import find_background

colours = st.tuples(*[st.integers(0, 255)] * 3)


def plain(colour):
    return np.full((128, 256, 3), colour, np.uint8)


@settings(max_examples=30)
@given(colours)
def test_any_plain_image_is_all_background(colour):
    found = find_background(plain(colour))
    assert found.mask.all()
    assert found.contrast.max() <= 1


@pytest.mark.parametrize("noise", [2, 6])
@pytest.mark.parametrize("level", [0, 47, 128, 255])
def test_a_noisy_plain_image_is_background_at_any_noise(noise, level):
    rng = np.random.default_rng(noise)
    image = np.clip(level + rng.normal(0, noise, (128, 256, 3)), 0, 255).astype(np.uint8)
    assert find_background(image).mask.mean() > 0.995


def test_slanting_light_is_followed():
    image = plain((100, 120, 140)) * np.linspace(0.9, 1.1, 256)[:, None]
    image[40:60, 100:120] = (160, 120, 140)
    found = find_background(image.astype(np.uint8)).mask
    assert found[:, :100].all()
    assert not found[40:60, 100:120].any()


def table_on_ground():
    image = plain((239, 239, 239))
    image[30:120, 10:246] = (47, 47, 47)
    truth = np.zeros((128, 256), bool)
    for box in (np.s_[20:45, 50:70], np.s_[60:80, 100:130]):  # before the ground; on the table
        image[box] = (200, 40, 40)
        truth[box] = True
    image[64:72, 105:115] = (239, 239, 239)  # a part of the object, in the ground's colour
    return image, truth


def test_ground_around_a_table_is_background_but_not_within_it():
    image, truth = table_on_ground()
    np.testing.assert_array_equal(~find_background(image).mask, truth)


def test_ground_colour_of_an_object_across_the_table_edge_is_object():
    image, truth = table_on_ground()
    image[20:40, 58:60] = (239, 239, 239)
    truth[20:30, 58:60] = False
    np.testing.assert_array_equal(~find_background(image).mask, truth)


def test_table_colour_inside_a_ring_is_background():
    image, truth = table_on_ground()
    image[64:72, 105:115] = (47, 47, 47)
    truth[64:72, 105:115] = False
    np.testing.assert_array_equal(~find_background(image).mask, truth)


def test_the_blurred_seam_between_table_and_ground_is_background():
    image, truth = table_on_ground()
    image[29, 80:240] = (150, 150, 150)
    np.testing.assert_array_equal(~find_background(image).mask, truth)


@pytest.mark.parametrize("flip", [np.array, np.flipud, np.fliplr, np.rot90])
def test_a_seam_two_pixels_wide_is_background_at_every_edge(flip):
    image = plain((239, 239, 239))
    image[30:120, 10:246] = (47, 47, 47)
    image[28:30, 80:240] = np.array([175, 110])[:, None, None]
    image[60:80, 100:130] = (200, 40, 40)
    found = find_background(np.ascontiguousarray(flip(image))).mask
    np.testing.assert_array_equal(~found, flip((image == (200, 40, 40)).all(-1)))


def test_a_table_smaller_than_the_ground_is_found_too():
    image = plain((230, 230, 220))
    image[40:90, 60:190] = (60, 90, 60)
    image[50:60, 80:90] = (200, 0, 0)
    assert (~find_background(image).mask).sum() == 100


def patchwork():
    return np.random.default_rng(1).integers(0, 9, (8, 16, 3)).repeat(16, 0).repeat(16, 1) * 28


def framed(inner, outer, width):
    image = np.array(outer)
    image[width:-width, width:-width] = np.array(inner)[width:-width, width:-width]
    return image


@pytest.mark.parametrize(
    "image",
    [
        np.random.default_rng(0).integers(0, 256, (128, 256, 3)),
        np.random.default_rng(0).normal(128, 20, (128, 256, 3)).clip(0, 255),
        np.indices((128, 256, 3)).sum(0) % 256,
        patchwork(),
        framed(plain((90, 90, 90)), patchwork(), 20),
        framed(patchwork(), plain((90, 90, 90)), 12),
    ],
    ids=["noise", "rough", "gradient", "patchwork", "plain middle", "plain rim"],
)
def test_an_image_without_a_plain_surface_is_refused(image):
    with pytest.raises(VimaError, match="plain table or another detector") as error:
        find_background(image.astype(np.uint8))
    assert error.value.code == "NO_UNIFORM_BACKGROUND"
