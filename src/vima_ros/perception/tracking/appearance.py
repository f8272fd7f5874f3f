"""How objects look: colours and size, to tell them apart and to find them again."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vima_ros.errors import VimaError

_LEVELS = 8  # of each colour channel
_SHIFT = 5  # bits, from 256 levels to those
_SIZE_RANGE = np.log(2.0)  # sizes a factor of 2 apart count as wholly different


def _neighbours() -> np.ndarray:
    """(8, 8): a colour counts in the next levels too, so that shading changes little."""
    near = np.eye(_LEVELS) + 0.5 * np.eye(_LEVELS, k=1) + 0.5 * np.eye(_LEVELS, k=-1)
    return (near / near.sum(0)).astype(np.float32)


_SPREAD = _neighbours()


@dataclass(frozen=True, eq=False)
class AppearanceFeatures:
    """How n objects look.

    ``colours`` (n, 512) float32: the share of each colour, each row sums to 1. ``sizes`` (n,)
    float64: natural logarithm of the square root of the area [px].
    """

    colours: np.ndarray
    sizes: np.ndarray

    def __getitem__(self, chosen: np.ndarray) -> AppearanceFeatures:
        return AppearanceFeatures(self.colours[chosen], self.sizes[chosen])

    def __len__(self) -> int:
        return len(self.sizes)

    def mixed(self, newer: AppearanceFeatures, weight: np.ndarray) -> AppearanceFeatures:
        """``weight`` (n,), 0 to 1, of ``newer`` and the rest of this, object by object."""
        share = weight.astype(np.float32)[:, None]
        return AppearanceFeatures(
            self.colours + share * (newer.colours - self.colours),
            self.sizes + weight * (newer.sizes - self.sizes),
        )

    def replaced(self, places: np.ndarray, others: AppearanceFeatures) -> AppearanceFeatures:
        """The same with ``others`` at ``places``."""
        colours, sizes = self.colours.copy(), self.sizes.copy()
        colours[places], sizes[places] = others.colours, others.sizes
        return AppearanceFeatures(colours, sizes)


def empty_features(count: int) -> AppearanceFeatures:
    """Of ``count`` objects that were not seen: no colour, no size."""
    return AppearanceFeatures(np.zeros((count, _LEVELS**3), np.float32), np.zeros(count))


def join(first: AppearanceFeatures, second: AppearanceFeatures) -> AppearanceFeatures:
    """Those of ``first``, then those of ``second``."""
    return AppearanceFeatures(
        np.concatenate([first.colours, second.colours]),
        np.concatenate([first.sizes, second.sizes]),
    )


def extract_features(
    image_rgb: np.ndarray, mask: np.ndarray, ids: np.ndarray
) -> AppearanceFeatures:
    """How the objects ``ids`` (n,) look in ``image_rgb`` uint8 (h, w, 3), by their own pixels.

    ``mask`` (h, w) unsigned integers: whose each pixel is. Raises VimaError (INVALID_VALUE) for
    an object without a pixel.
    """
    place = np.full(max(int(mask.max()), *ids.tolist(), 0) + 1, -1, np.int32)
    place[ids] = np.arange(len(ids))
    owner = place[mask].ravel()
    pixels = np.flatnonzero(owner >= 0)
    owner = owner[pixels]
    red, green, blue = (image_rgb.reshape(-1, 3).take(pixels, axis=0) >> _SHIFT).T
    bins = ((owner * _LEVELS + red) * _LEVELS + green) * _LEVELS + blue
    counts = np.bincount(bins, minlength=len(ids) * _LEVELS**3)
    colours: np.ndarray = counts.reshape(-1, _LEVELS, _LEVELS, _LEVELS).astype(np.float32)
    for _ in range(3):  # each pass spreads the last axis and moves it to the front
        colours = np.moveaxis(colours @ _SPREAD.T, 3, 1)
    areas = np.bincount(owner, minlength=len(ids)).astype(np.float64)
    if not areas.all():
        hidden = np.asarray(ids)[areas == 0].tolist()
        raise VimaError(
            "INVALID_VALUE", f"objects {hidden} have no pixel in the mask; valid: 1 or more"
        )
    colours = colours.reshape(len(ids), _LEVELS**3) / areas[:, None].astype(np.float32)
    return AppearanceFeatures(colours, np.log(areas) / 2)


def colour_distances(a: AppearanceFeatures, b: AppearanceFeatures) -> np.ndarray:
    """(len(a), len(b)): Hellinger distance of the colours, 0 = equal, 1 = none in common."""
    alike = np.sqrt(a.colours) @ np.sqrt(b.colours).T
    return np.sqrt(np.clip(1.0 - alike, 0.0, 1.0))


def size_distances(a: AppearanceFeatures, b: AppearanceFeatures) -> np.ndarray:
    """(len(a), len(b)): 0 = equally large, 1 = one at least twice as large."""
    return np.minimum(np.abs(a.sizes[:, None] - b.sizes) / _SIZE_RANGE, 1.0)
