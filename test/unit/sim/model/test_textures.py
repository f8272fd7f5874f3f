import numpy as np
import pytest

from vima_ros.errors import VimaError
from vima_ros.sim.model.textures import (
    BASE_TEXTURES,
    COLOURS,
    DARK_TEXTURES,
    TEXTURES,
    texture_image,
    texture_words,
)

# Mean RGB of objects in VIMA-Bench's top images, taken as seen under its light (15/16 of full).
MEANS = {
    "blue": (73, 113, 156),
    "dark_red": (167, 56, 58),
    "dark_yellow": (150, 127, 45),
    "dark_green_and_blue_polka_dot": (40, 67, 75),
    "dark_red_and_yellow_stripe": (158, 93, 51),
    "blue_and_purple_polka_dot": (150, 114, 152),
    "blue_and_purple_stripe": (124, 114, 153),
    "yellow_and_green_stripe": (153, 174, 70),
    "red_and_blue_polka_dot": (106, 106, 140),
    "blue_paisley": (138, 162, 182),
    "red_paisley": (226, 138, 140),
    "blue_swirl": (147, 169, 192),
    "red_swirl": (235, 155, 156),
    "dark_red_swirl": (197, 141, 141),
    "brick": (172, 115, 99),
    "checkerboard": (128, 125, 115),
    "granite": (165, 178, 174),
    "magma": (72, 18, 5),
    "plastic": (210, 209, 209),
    "polka_dot": (195, 195, 195),
    "tiger": (129, 81, 18),
    "tiles": (129, 128, 122),
    "wooden": (202, 162, 116),
}


def test_there_are_49_textures_and_82_with_the_dark_ones():
    assert len(BASE_TEXTURES) == 49
    assert len(DARK_TEXTURES) == 33
    assert set(TEXTURES) == set(BASE_TEXTURES) | set(DARK_TEXTURES) | {"grey"}


@pytest.mark.parametrize("name", TEXTURES)
def test_a_texture_image_is_small_and_reproducible(name):
    image = texture_image(name)
    assert image.dtype == np.uint8
    assert image.shape == ((1, 1, 3) if TEXTURES[name].kind == "plain" else (128, 128, 3))
    texture_image.cache_clear()
    assert np.array_equal(texture_image(name), image)
    with pytest.raises(ValueError, match="read-only"):
        image[0] = 0


@pytest.mark.parametrize("name", MEANS)
def test_mean_colours_are_near_vima_benchs(name):
    mean = texture_image(name).reshape(-1, 3).mean(axis=0)
    assert mean * 15 / 16 == pytest.approx(np.array(MEANS[name]), abs=15)


def test_all_texture_images_differ():
    images = {texture_image(name).tobytes() for name in TEXTURES}
    assert len(images) == len(TEXTURES)


@pytest.mark.parametrize("kind", ["stripe", "polka_dot"])
def test_patterns_have_their_two_colours_and_little_else(kind):
    image = texture_image(f"red_and_blue_{kind}").reshape(-1, 3)
    for colour, least in (("red", 0.15), ("blue", 0.15)):
        assert (image == COLOURS[colour]).all(axis=1).mean() > least
    assert (image == COLOURS["red"]).all(1).mean() + (image == COLOURS["blue"]).all(1).mean() == 1


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("red", "red"),
        ("dark_red", "dark red"),
        ("red_and_yellow_stripe", "red and yellow stripe"),
        ("dark_green_and_blue_polka_dot", "dark green and blue polka dot"),
        ("purple_paisley", "purple paisley"),
        ("polka_dot", "polka dot"),
    ],
)
def test_a_texture_is_called_as_vima_bench_calls_it(name, words):
    assert texture_words(name) == words


@pytest.mark.parametrize("name", ["", "mauve", "dark_olive", "blue_and_red_stripe", "dark_tiger"])
def test_an_unknown_texture_is_refused_naming_what_is(name):
    for ask in (texture_words, texture_image):
        with pytest.raises(VimaError, match="red_and_blue_stripe") as caught:
            ask(name)
        assert caught.value.code == "INVALID_VALUE"
