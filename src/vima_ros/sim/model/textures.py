"""The colours and patterns of objects, by VIMA-Bench's names with "_" for " "."""

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
GREY: Rgb = (186, 176, 172)  # "only the shape counts"
PAIRED = ("red", "yellow", "green", "blue", "purple")  # in the order in which names pair them
PICTURES = (
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
_DARKER = 0.3  # a dark variant has this much less HSV value
Kind = Literal["plain", "stripe", "polka_dot", "swirl", "paisley", "picture"]


@dataclass(frozen=True)
class Texture:
    """A plain colour, a pattern in ``colours`` (foreground, background), or a picture (none)."""

    kind: Kind
    colours: tuple[Rgb, ...] = ()


def texture_words(name: str) -> str:
    """What a prompt calls a texture: "dark red and yellow stripe".

    Raises VimaError (INVALID_VALUE) for a texture that does not exist.
    """
    return check_texture(name).replace("_", " ")


def check_texture(name: str) -> str:
    """``name`` itself; VimaError (INVALID_VALUE) when there is no such texture."""
    if name not in TEXTURES:
        raise VimaError("INVALID_VALUE", f"texture {name!r}; valid: {', '.join(TEXTURES)}")
    return name


def darker(colour: Rgb) -> Rgb:
    """The dark variant of a colour: the same hue and saturation, HSV value lowered by 0.3.

    White stays: it is the ground that a swirl is drawn on.
    """
    if colour == _WHITE:
        return colour
    value = max(colour) / 255
    red, green, blue = (round(part * max(value - _DARKER, 0.0) / value) for part in colour)
    return red, green, blue


def _textures() -> dict[str, Texture]:
    found = {name: Texture("plain", (colour,)) for name, colour in COLOURS.items()}
    found |= {name: Texture("picture") for name in PICTURES}
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
# VIMA-Bench darkens neither the pictures, nor the paisleys, nor olive.
DARK_TEXTURES: dict[str, Texture] = {
    f"dark_{name}": Texture(texture.kind, tuple(map(darker, texture.colours)))
    for name, texture in BASE_TEXTURES.items()
    if texture.kind not in ("picture", "paisley") and name != "olive"
}
TEXTURES: dict[str, Texture] = {
    **BASE_TEXTURES,
    **DARK_TEXTURES,
    "grey": Texture("plain", (GREY,)),
}


@cache
def texture_image(name: str) -> np.ndarray:
    """One tile of a texture, (128, 128, 3) uint8 RGB, row 0 at the top; (1, 1, 3) if plain.

    It repeats without a seam, except a few pictures. Raises VimaError as ``texture_words``.
    """
    texture = TEXTURES[check_texture(name)]
    if texture.kind == "plain":
        image = np.array(texture.colours, np.uint8)[None]
    elif texture.kind == "picture":
        image = texture_patterns.PICTURES[name]()
    else:
        cover = texture_patterns.PATTERNS[texture.kind]()[..., None]  # of the foreground, 0 to 1
        front, back = np.array(texture.colours, float)
        image = (cover * front + (1.0 - cover) * back).round().astype(np.uint8)
    image.setflags(write=False)
    return image
