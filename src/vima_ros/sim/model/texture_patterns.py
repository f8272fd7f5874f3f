"""Procedural textures, identical on every machine.

Coordinates u (to the right) and v (up) run from 0 to 1 over a tile.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

SIZE = 128  # of a tile [px]
_TURN = 2 * math.pi
_CENTRES = (np.arange(SIZE) + 0.5) / SIZE
U, V = np.meshgrid(_CENTRES, _CENTRES[::-1])  # row 0 is at the top


def _wave(cycles_u: float, cycles_v: float, phase: float = 0.0) -> np.ndarray:
    """Return a plane wave with whole cycles over the tile, -1 to 1."""
    return np.sin(_TURN * (cycles_u * U + cycles_v * V + phase))


def _noise(seed: int, low: int, high: int, stretch: float = 1.0) -> np.ndarray:
    """Return the smooth noise of a seed."""
    return smooth_noise(np.random.default_rng(seed), low, high, stretch)


def smooth_noise(
    random: np.random.Generator, low: int, high: int, stretch: float = 1.0
) -> np.ndarray:
    """Draw smooth periodic noise, mean 0 and deviation 1, features of 1 / low to 1 / high tile.

    (128, 128); the features are ``stretch`` times longer in v.
    """
    white = np.fft.fft2(random.standard_normal((SIZE, SIZE)))
    frequency = np.fft.fftfreq(SIZE, 1 / SIZE)
    radius = np.hypot(stretch * frequency[:, None], frequency[None])
    field = np.fft.ifft2(np.where((radius >= low) & (radius <= high), white, 0)).real
    return field / field.std()


def _dots(places: Sequence[tuple[float, float]], radius: float) -> np.ndarray:
    """Return 1 inside discs at ``places`` (u, v), repeated from tile to tile, else 0."""
    inside = np.zeros((SIZE, SIZE), bool)
    for u, v in places:
        du, dv = (U - u + 0.5) % 1 - 0.5, (V - v + 0.5) % 1 - 0.5
        inside |= np.hypot(du, dv) < radius
    return inside.astype(float)


def _top_fraction(field: np.ndarray, share: float) -> np.ndarray:
    """Return 1 where a field is highest, on a fraction ``share`` of the tile, else 0."""
    return (field > np.quantile(field, 1.0 - share)).astype(float)


def _stripe() -> np.ndarray:
    """Two vertical bands, with half a band of background at both ends."""
    return ((2 * U + 0.75) % 1 < 0.5).astype(float)


def _polka_dot(share: float = 0.2) -> np.ndarray:
    places = [(0.2, 0.5), (0.7, 0.5), (0.45, 0.0), (0.95, 0.0)]
    return _dots(places, math.sqrt(share / 4 / math.pi))


def _swirl() -> np.ndarray:
    """Curved bands."""
    return _top_fraction(np.sin(_TURN * (2 * V + U + 0.2 * np.sin(_TURN * U))), 0.53)


def _paisley() -> np.ndarray:
    """Curls: the ridges of smooth noise, and a flower."""
    curls = _top_fraction(-np.abs(_noise(3, 3, 5)), 0.63)
    u, v = U - 0.5, V - 0.5
    radius, angle = np.hypot(u, v), np.arctan2(v, u)
    petals = np.abs(radius - 0.11 - 0.03 * np.cos(8 * angle)) > 0.02
    return np.where(radius < 0.17, petals, curls).astype(float)


PATTERNS: dict[str, Callable[[], np.ndarray]] = {
    "stripe": _stripe,
    "polka_dot": _polka_dot,
    "swirl": _swirl,
    "paisley": _paisley,
}


def _blend(amount: np.ndarray, low: Sequence[float], high: Sequence[float]) -> np.ndarray:
    """Interpolate from colour ``low`` at ``amount`` 0 to ``high`` at 1."""
    return np.array(low) + amount.clip(0, 1)[..., None] * (np.array(high) - np.array(low))


def _to_uint8(values: np.ndarray) -> np.ndarray:
    return values.clip(0, 255).round().astype(np.uint8)


def _brick() -> np.ndarray:
    row = np.floor(6 * V)
    along = (3 * U + 0.5 * (row % 2)) % 1
    mortar = (np.minimum(along, 1 - along) < 0.04) | (np.abs((6 * V) % 1 - 0.5) > 0.42)
    shade = np.sin(12.9898 * np.floor(3 * U + 0.5 * (row % 2)) % 3 + 78.233 * row) * 15
    brick = np.array([186, 112, 90]) + shade[..., None] + 8 * _noise(1, 8, 40)[..., None]
    return _to_uint8(np.where(mortar[..., None], [196, 178, 166], brick))


def _tiles() -> np.ndarray:
    """Hexagons in three colours."""
    rows, columns = 4, 4
    best, kind = np.full(U.shape, 9.0), np.zeros(U.shape, int)
    second = best.copy()
    for i in range(rows):
        for j in range(columns):
            u, v = (j + 0.5 * (i % 2)) / columns, (i + 0.5) / rows
            du, dv = (U - u + 0.5) % 1 - 0.5, (V - v + 0.5) % 1 - 0.5
            distance = np.hypot(du, dv)
            closer = distance < best
            second = np.where(closer, best, np.minimum(second, distance))
            kind = np.where(closer, (i * 7 + j * 5) % 3, kind)
            best = np.minimum(best, distance)
    colours = np.array([[170, 182, 172], [118, 134, 142], [176, 144, 140]])[kind]
    grout = second - best < 0.03
    return _to_uint8(
        np.where(grout[..., None], [45, 42, 38], colours + 6 * _noise(2, 6, 30)[..., None])
    )


def _wooden() -> np.ndarray:
    """Vertical grain."""
    grain = 0.5 * _wave(9, 1) + 0.5 * _wave(23, 1, 0.3) + 0.6 * _noise(4, 3, 20)
    seam = np.abs((2 * U + 0.5) % 1 - 0.5) < 0.02
    return _to_uint8(
        _blend(0.5 + 0.25 * grain, [202, 158, 108], [229, 189, 141]) - 25.0 * seam[..., None]
    )


def _granite() -> np.ndarray:
    stone = _blend(0.5 + 0.3 * _noise(5, 4, 12), [176, 194, 188], [206, 216, 210])
    spots = _top_fraction(_noise(6, 6, 12), 0.12)[..., None]
    return _to_uint8(np.where(spots > 0, [84, 92, 102], stone))


def _plastic() -> np.ndarray:
    """Light grey plastic film with thin bright and dark creases."""
    field = _noise(7, 2, 6)
    film = 222 + 6 * _noise(8, 3, 15)
    film = film + 30 * (np.abs(field) < 0.05) - 30 * (np.abs(field - 0.4) < 0.05)
    return _to_uint8(np.repeat(film[..., None], 3, axis=2))


def _black_dots() -> np.ndarray:
    return _to_uint8(_blend(_polka_dot(0.185), (255, 255, 255), (0, 0, 0)))


def _checkerboard() -> np.ndarray:
    dark = (U < 0.5) != (V < 0.5)
    squares = np.where(dark[..., None], [68, 66, 63], [202, 197, 180])
    return _to_uint8(squares + 9 * _noise(9, 10, 50)[..., None])


def _tiger() -> np.ndarray:
    stripes = _top_fraction(_wave(5, 0) + 0.8 * _noise(10, 2, 6, 4.0), 0.40)[..., None]
    fur = _blend(V, [206, 118, 14], [232, 158, 44])
    return _to_uint8(np.where(stripes > 0, [16, 10, 6], fur))


def _magma() -> np.ndarray:
    """Dark rock with glowing cracks."""
    heat = np.exp(-np.abs(_noise(11, 3, 8)) / 0.16)
    return _to_uint8(_blend(heat, [38, 6, 3], [255, 90, 16]))


def _rainbow() -> np.ndarray:
    """Hues from red at the top to blue."""
    hue = 4 * (1.0 - V)
    channels = [np.abs(hue - 3) - 1, 2 - np.abs(hue - 2), 2 - np.abs(hue - 4)]
    return _to_uint8(np.stack(channels, axis=-1).clip(0, 1) * (240, 200, 240))


IMAGE_TEXTURES: dict[str, Callable[[], np.ndarray]] = {
    "brick": _brick,
    "tiles": _tiles,
    "wooden": _wooden,
    "granite": _granite,
    "plastic": _plastic,
    "polka_dot": _black_dots,
    "checkerboard": _checkerboard,
    "tiger": _tiger,
    "magma": _magma,
    "rainbow": _rainbow,
}
