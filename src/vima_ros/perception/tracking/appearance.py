"""Appearance of objects, colours and size, to distinguish and recognize them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vima_ros.errors import VimaError

_LEVELS = 8  # of each colour channel
_SHIFT = 5  # bits, from 256 levels to those
_SIZE_RANGE = np.log(2.0)  # a factor of 2 or more has the maximum distance


def _neighbours() -> np.ndarray:
    """Return weights (8, 8) that spread a colour to the next levels, against shading."""
    near = np.eye(_LEVELS) + 0.5 * np.eye(_LEVELS, k=1) + 0.5 * np.eye(_LEVELS, k=-1)
    return (near / near.sum(0)).astype(np.float32)


_SPREAD = _neighbours()


@dataclass(frozen=True, eq=False)
class AppearanceFeatures:
    """Appearance of n objects.

    ``colours`` (n, 512) float32: colour histograms, each row sums to 1. ``sizes`` (n,)
    float64: natural logarithm of the square root of the area [px].
    """

    colours: np.ndarray
    sizes: np.ndarray

    def __getitem__(self, chosen: np.ndarray) -> AppearanceFeatures:
        return AppearanceFeatures(self.colours[chosen], self.sizes[chosen])

    def __len__(self) -> int:
        return len(self.sizes)

    def blended(self, newer: AppearanceFeatures, weight: np.ndarray) -> AppearanceFeatures:
        """Blend with ``newer``, which has the ``weight`` (n,), 0 to 1, object by object."""
        share = weight.astype(np.float32)[:, None]
        return AppearanceFeatures(
            self.colours + share * (newer.colours - self.colours),
            self.sizes + weight * (newer.sizes - self.sizes),
        )

    def replaced(self, places: np.ndarray, others: AppearanceFeatures) -> AppearanceFeatures:
        """Return a copy with ``others`` at ``places``."""
        colours, sizes = self.colours.copy(), self.sizes.copy()
        colours[places], sizes[places] = others.colours, others.sizes
        return AppearanceFeatures(colours, sizes)


def empty_features(count: int) -> AppearanceFeatures:
    """Return features of ``count`` invisible objects: all zero."""
    return AppearanceFeatures(np.zeros((count, _LEVELS**3), np.float32), np.zeros(count))


def concatenate(first: AppearanceFeatures, second: AppearanceFeatures) -> AppearanceFeatures:
    """Concatenate the features of two sets of objects."""
    return AppearanceFeatures(
        np.concatenate([first.colours, second.colours]),
        np.concatenate([first.sizes, second.sizes]),
    )


def extract_features(
    image_rgb: np.ndarray, mask: np.ndarray, ids: np.ndarray
) -> AppearanceFeatures:
    """Extract the features of the objects ``ids`` (n,) from ``image_rgb`` uint8 (h, w, 3).

    ``mask`` (h, w) unsigned integers: the object id of each pixel. Raises VimaError
    (INVALID_VALUE) for an object without a pixel.
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
    """Return Hellinger distances (len(a), len(b)) of the colours: 0 = equal, 1 = disjoint."""
    alike = np.sqrt(a.colours) @ np.sqrt(b.colours).T
    return np.sqrt(np.clip(1.0 - alike, 0.0, 1.0))


def size_distances(a: AppearanceFeatures, b: AppearanceFeatures) -> np.ndarray:
    """Return distances (len(a), len(b)) of the sizes: 0 = equal, 1 = a factor of 2 or more."""
    return np.minimum(np.abs(a.sizes[:, None] - b.sizes) / _SIZE_RANGE, 1.0)
