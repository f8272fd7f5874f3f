"""Colours and patterns of objects, by VIMA-Bench's names with "_" for " "."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from itertools import combinations
from typing import Literal

import numpy as np

from vima_ros.errors import VimaError
from vima_ros.sim.model import texture_patterns

Rgb = tuple[int, int, int]

# Plain colours, RGB 0..255 (VIMA-Bench's).
COLOURS: dict[str, Rgb] = {
    "blue": (78, 121, 167),
    "red": (255, 87, 89),
    "green": (89, 169, 79),
    "orange": (242, 142, 43),
    "yellow": (237, 201, 72),
    "purple": (176, 122, 161),
    "pink": (255, 157, 167),
    "cyan": (118, 183, 178),
    "olive": (128, 128, 0),
}
_WHITE: Rgb = (255, 255, 255)
GREY: Rgb = (186, 176, 172)  # of prompt images of which only the shape matters
PAIRED = ("red", "yellow", "green", "blue", "purple")  # in the order of the names of pairs
IMAGE_TEXTURES = (
    "brick",
    "tiles",
    "wooden",
    "granite",
    "plastic",
    "polka_dot",
    "checkerboard",
    "tiger",
    "magma",
    "rainbow",
)
_DARKENING = 0.3  # of the HSV value
Kind = Literal["plain", "stripe", "polka_dot", "swirl", "paisley", "image"]


@dataclass(frozen=True)
class Texture:
    """Plain colour, pattern in ``colours`` (foreground, background), or image (no colours)."""

    kind: Kind
    colours: tuple[Rgb, ...] = ()


def texture_words(name: str) -> str:
    """Return the words for a texture in a prompt: "dark red and yellow stripe".

    Raises VimaError (INVALID_VALUE) for an unknown texture.
    """
    return check_texture(name).replace("_", " ")


def check_texture(name: str) -> str:
    """Return ``name`` itself. Raises VimaError (INVALID_VALUE) for an unknown texture."""
    if name not in TEXTURES:
        raise VimaError("INVALID_VALUE", f"texture {name!r}; valid: {', '.join(TEXTURES)}")
    return name


def darker(colour: Rgb) -> Rgb:
    """Return the dark variant of a colour: its HSV value lowered by 0.3.

    White, the background of a swirl, is not changed.
    """
    if colour == _WHITE:
        return colour
    value = max(colour) / 255
    red, green, blue = (round(part * max(value - _DARKENING, 0.0) / value) for part in colour)
    return red, green, blue


def _textures() -> dict[str, Texture]:
    found = {name: Texture("plain", (colour,)) for name, colour in COLOURS.items()}
    found |= {name: Texture("image") for name in IMAGE_TEXTURES}
    for first, second in combinations(PAIRED, 2):
        colours = COLOURS[first], COLOURS[second]
        found[f"{first}_and_{second}_stripe"] = Texture("stripe", colours)
        found[f"{first}_and_{second}_polka_dot"] = Texture("polka_dot", colours)
    for name in PAIRED:
        colours = COLOURS[name], _WHITE
        found[f"{name}_swirl"] = Texture("swirl", colours)
        found[f"{name}_paisley"] = Texture("paisley", colours)
    return found


BASE_TEXTURES: dict[str, Texture] = _textures()  # 49
# VIMA-Bench has no dark variants of images, paisleys and olive.
DARK_TEXTURES: dict[str, Texture] = {
    f"dark_{name}": Texture(texture.kind, tuple(map(darker, texture.colours)))
    for name, texture in BASE_TEXTURES.items()
    if texture.kind not in ("image", "paisley") and name != "olive"
}
TEXTURES: dict[str, Texture] = {
    **BASE_TEXTURES,
    **DARK_TEXTURES,
    "grey": Texture("plain", (GREY,)),
}


@cache
def texture_image(name: str) -> np.ndarray:
    """Return one tile of a texture, (128, 128, 3) uint8 RGB, row 0 at the top; (1, 1, 3) if plain.

    Tiles are seamless, except a few images. Raises VimaError as ``texture_words``.
    """
    texture = TEXTURES[check_texture(name)]
    if texture.kind == "plain":
        image = np.array(texture.colours, np.uint8)[None]
    elif texture.kind == "image":
        image = texture_patterns.IMAGE_TEXTURES[name]()
    else:
        cover = texture_patterns.PATTERNS[texture.kind]()[
            ..., None
        ]  # opacity of the foreground, 0 to 1
        front, back = np.array(texture.colours, float)
        image = (cover * front + (1.0 - cover) * back).round().astype(np.uint8)
    image.setflags(write=False)
    return image
