"""Generated textures for training: any number, unlike every registered one.

The name of a texture is all that it depends on, so it is the same in every process.
"""

from __future__ import annotations

import colorsys
import math
import re
import zlib
from collections.abc import Callable
from functools import cache, lru_cache

import numpy as np

from vima_ros.sim.model.texture_patterns import U, V, smooth_noise
from vima_ros.sim.model.textures import TEXTURES, Rgb, darker, texture_image

TEXTURES_OF_A_FAMILY = 1000
MIN_DISTANCE = 24.0  # of a generated texture from each registered one, see ``min_distance``
_MIN_CONTRAST = 90.0  # distance of two colours of a pattern, of 0 to 442
_QUANTILES = np.linspace(0.05, 0.95, 10)
_TURN = 2.0 * math.pi


def _stripes(random: np.random.Generator) -> np.ndarray:
    """Bands of any direction and width."""
    u, v = _cycles(random, 1, 4)
    return (((u * U + v * V) % 1) < random.uniform(0.3, 0.7)).astype(float)


def _checks(random: np.random.Generator) -> np.ndarray:
    """Fields of two colours in turn."""
    columns, rows = (int(count) for count in random.integers(1, 4, 2))
    return ((np.floor(2 * columns * U) + np.floor(2 * rows * V)) % 2).astype(float)


def _dots(random: np.random.Generator) -> np.ndarray:
    """Ellipses in a grid, every other row shifted or not."""
    count, shift = int(random.choice([2, 4])), float(random.choice([0.0, 0.5]))
    v = count * V
    u = count * U + shift * (np.floor(v) % 2)
    a, b = random.uniform(0.2, 0.45, 2)
    return (((u % 1 - 0.5) / a) ** 2 + ((v % 1 - 0.5) / b) ** 2 < 1).astype(float)


def _gradient(random: np.random.Generator) -> np.ndarray:
    """Smooth change from one colour to the other and back."""
    u, v = _cycles(random, 1, 1)
    return 0.5 + 0.5 * np.sin(_TURN * (u * U + v * V))


def _noise(random: np.random.Generator) -> np.ndarray:
    """Clouds."""
    low = int(random.integers(1, 6))
    field = smooth_noise(random, low, low + int(random.integers(3, 12)))
    return (0.5 + random.uniform(0.25, 0.5) * field).clip(0, 1)


def _blobs(random: np.random.Generator) -> np.ndarray:
    """Patches with sharp edges."""
    low = int(random.integers(2, 6))
    field = smooth_noise(random, low, low + 3, float(random.choice([1.0, 2.0])))
    return (field > random.uniform(-0.5, 0.5)).astype(float)


def _waves(random: np.random.Generator) -> np.ndarray:
    """Wavy bands."""
    rows, waves = int(random.integers(2, 5)), int(random.integers(1, 4))
    height = float(random.uniform(0.15, 0.45))
    field = rows * V + height * np.sin(_TURN * waves * U)
    return ((field % 1) < random.uniform(0.35, 0.65)).astype(float)


def _plain(random: np.random.Generator) -> np.ndarray:
    return np.ones((1, 1))


# Opacity of the first colour, 0 to 1, over a tile.
PATTERNS: dict[str, Callable[[np.random.Generator], np.ndarray]] = {
    "plain": _plain,
    "stripes": _stripes,
    "checks": _checks,
    "dots": _dots,
    "gradient": _gradient,
    "noise": _noise,
    "blobs": _blobs,
    "waves": _waves,
}
TEXTURE_FAMILIES = tuple(PATTERNS)
_NAME = re.compile(rf"(dark_)?generated_({'|'.join(TEXTURE_FAMILIES)})_\d{{3}}")


def generated_texture_name(family: str, number: int) -> str:
    """Return the name of a generated texture: ``number`` from 0 to 999 of ``family``.

    With "dark_" before it, it is the name of the dark variant.
    """
    return f"generated_{family}_{number:03d}"


def is_generated_texture(name: str) -> bool:
    """Return True for the name of a generated texture or its dark variant."""
    return _NAME.fullmatch(name) is not None


@lru_cache(maxsize=1024)
def generated_texture(name: str) -> np.ndarray:
    """Return one tile of a texture for whose name ``is_generated_texture`` holds.

    (128, 128, 3) uint8 RGB, row 0 at the top; (1, 1, 3) if plain. Drawn until it is unlike all
    registered textures; a dark variant has the same pattern in darker colours.
    """
    base = name.removeprefix("dark_")
    found = _NAME.fullmatch(base)
    assert found is not None, name
    random = np.random.default_rng(zlib.crc32(base.encode()))
    while True:
        cover = PATTERNS[found[2]](random)
        first, second = _two_colours(random)
        image = _blend(cover, first, second)
        if min_distance(image) >= MIN_DISTANCE:
            break
    if name != base:
        image = _blend(cover, darker(first), darker(second))
    image.setflags(write=False)
    return image


def find_texture_image(name: str) -> np.ndarray:
    """Return ``texture_image`` of a registered texture, ``generated_texture`` of a generated one.

    Raises VimaError (INVALID_VALUE) for an unknown texture.
    """
    return generated_texture(name) if is_generated_texture(name) else texture_image(name)


def min_distance(image: np.ndarray) -> float:
    """Return the distance of an image from the nearest registered texture.

    The root mean square difference of the deciles of red, green and blue, 0 to 255: the place and
    the direction of a pattern do not count.
    """
    return float(np.sqrt(((_registered() - _deciles(image)) ** 2).mean(axis=1)).min())


@cache
def _registered() -> np.ndarray:
    """Return the deciles (n, 30) of VIMA-Bench's textures, of all levels and dark ones too."""
    return np.stack([_deciles(texture_image(name)) for name in TEXTURES])


def _deciles(image: np.ndarray) -> np.ndarray:
    """Return ten quantiles of each channel, (30,)."""
    return np.quantile(image.reshape(-1, 3), _QUANTILES, axis=0).ravel()


def _two_colours(random: np.random.Generator) -> tuple[Rgb, Rgb]:
    """Draw two different colours, bright enough to have a dark variant."""
    while True:
        first, second = (_colour(random) for _ in range(2))
        if math.dist(first, second) >= _MIN_CONTRAST:
            return first, second


def _colour(random: np.random.Generator) -> Rgb:
    hue, saturation, value = random.uniform([0.0, 0.1, 0.5], [1.0, 1.0, 1.0])
    red, green, blue = (round(255 * part) for part in colorsys.hsv_to_rgb(hue, saturation, value))
    return red, green, blue


def _blend(cover: np.ndarray, first: Rgb, second: Rgb) -> np.ndarray:
    front, back = np.array([first, second], float)
    opacity = cover[..., None]
    image: np.ndarray = (opacity * front + (1.0 - opacity) * back).round().astype(np.uint8)
    return image


def _cycles(random: np.random.Generator, low: int, high: int) -> tuple[int, int]:
    """Draw whole cycles over a tile in u and v, so that it is seamless; never none in both."""
    along, across = int(random.integers(low, high + 1)), int(random.integers(-high, high + 1))
    return (along, across) if random.random() < 0.5 else (across, along)
