"""Segmentation of the plain surfaces behind the objects of an image."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from vima_ros.errors import DetectionError

MIN_TOLERANCE = 6.0  # [levels] covers rounding and mild compression where no noise is measured
MAX_SIGMA = 8.0  # [levels] a surface that varies more is not plain
MAX_SLOPE = 64.0  # [levels] over the image's width; slanting light, not a gradient
STRAY_QUANTILE = 0.95  # of the differences: compression leaves most pixels exact, a few far off
STRAY_FACTOR = 2.5  # to the tolerance; about 6 sigma of normal noise
FITS = 3  # the slope settles
NEIGHBOURHOOD = 24  # [levels] around the commonest colour, while its centre is sought
MIN_FRACTION = 0.4  # of the image is background, or it is not an image of things on a table
MIN_RIM_FRACTION = 0.5  # of the image's rim, which objects cross but do not cover
RIM = 3  # [px] nearer to the rim a camera may show a sliver of what is beyond the table
MIN_SECOND_RIM_FRACTION = 1 / 6  # of the rim, a short side of the image; more than an object
MIN_SECOND_FRACTION = 1 / 8  # of the image: more than one object covers
BLEND_REACH = 2  # [px] over which a camera mixes two surfaces that meet
SAMPLE = 4096  # [px] looked at for a colour; enough for a median


@dataclass(frozen=True, eq=False)
class Background:
    """``mask`` (h, w) bool: the background; ``contrast`` (h, w) float32: how far each pixel's
    colour is from the nearest surface, in units of that surface's tolerance.
    """  # noqa: D205

    mask: np.ndarray
    contrast: np.ndarray


@dataclass(frozen=True, eq=False)
class _Surface:
    """A plain colour (h, w, 3), its pixels (h, w) bool, and the contrast with it (h, w)."""

    colour: np.ndarray
    mask: np.ndarray
    contrast: np.ndarray


def find_background(image_rgb: np.ndarray) -> Background:
    """Find the one or two plain surfaces of ``image_rgb`` (h, w, 3) uint8.

    The first is the commonest colour. A second one (the ground around a table) must reach the
    image's rim or be larger than any object. A table is convex: within its outline the colour
    of the ground is part of an object, while the colour of the table is table everywhere, also
    inside a ring. Colours, their slope under slanting light and the noise are estimated from the
    image.

    Raises VimaError (NO_UNIFORM_BACKGROUND) if the surfaces do not cover ``MIN_FRACTION`` of the
    image and ``MIN_RIM_FRACTION`` of its rim.
    """
    rim = _ring(image_rgb.shape[:2], 0)
    share = rim_share = 0.0
    first = _commonest_surface(image_rgb, np.ones_like(rim))
    if first is not None:
        mask, contrast = first.mask, first.contrast
        second = _second_surface(image_rgb, first.mask, rim)
        if second is not None:
            mask = _table_and_ground(first.mask, second.mask) | _seam(image_rgb, first, second)
            contrast = np.minimum(contrast, second.contrast)
        share, rim_share = mask.mean(), mask[_ring(rim.shape, RIM)].mean()
    if share < MIN_FRACTION or rim_share < MIN_RIM_FRACTION:
        raise DetectionError(
            "NO_UNIFORM_BACKGROUND",
            f"plain surfaces cover {share:.0%} of the image and {rim_share:.0%} of its rim; "
            f"valid: at least {MIN_FRACTION:.0%} and {MIN_RIM_FRACTION:.0%}. Use a plain table or "
            "another detector",
        )
    return Background(mask, contrast)


def _ring(shape: tuple[int, ...], inset: int) -> np.ndarray:
    """Return the pixels ``inset`` [px] away from the outermost ones: bool (h, w)."""
    ring = np.zeros(shape, np.uint8)
    corner = shape[1] - 1 - inset, shape[0] - 1 - inset
    return cv2.rectangle(ring, (inset, inset), corner, 1) > 0


def _commonest_surface(image: np.ndarray, where: np.ndarray) -> _Surface | None:
    """Return the surface of the commonest colour in ``where`` (h, w) bool.

    None if there is nothing to look at or the colour varies more than a plain surface does.
    """
    index = np.flatnonzero(where)
    index = index[:: 1 + len(index) // SAMPLE]
    pixels = image.reshape(-1, 3)[index]
    found = _fit(
        pixels, _position_basis(image.shape[1], index // image.shape[1], index % image.shape[1])
    )
    if found is None:
        return None
    fit, tolerance = found
    rows, columns = np.ogrid[: image.shape[0], : image.shape[1]]
    colour = (_position_basis(image.shape[1], rows, columns) @ fit).astype(np.float32)  # (h, w, 3)
    red, green, blue = cv2.split(cv2.absdiff(image.astype(np.float32), colour))
    contrast = cv2.max(cv2.max(red, green), blue) / np.float32(tolerance)
    return _Surface(colour, contrast <= 1, contrast)


def _position_basis(width: int, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Return (..., 3): 1, x and y in image widths, for a colour with linear shading."""
    x, y = np.broadcast_arrays(columns / width - 0.5, rows / width)
    return np.stack([np.ones_like(x), x, y], -1)


def _fit(pixels: np.ndarray, place: np.ndarray) -> tuple[np.ndarray, float] | None:
    """Fit the commonest surface: (3, 3) from position to RGB, and its tolerance [levels].

    ``pixels`` is uint8 (n, 3). None if there are too few or they vary too much.
    """
    fit = np.zeros((3, 3))
    fit[0] = _commonest_color(pixels)
    for _ in range(FITS):
        near = (np.abs(pixels - place @ fit) <= NEIGHBOURHOOD).all(1)
        if np.count_nonzero(near) < len(fit):
            return None
        # A strip one pixel wide leaves a slope open: rcond takes it as none.
        fit = np.linalg.lstsq(place[near], pixels[near].astype(np.float64), rcond=1e-3)[0]
        if np.abs(fit[1:]).max() > MAX_SLOPE:
            fit = np.array([np.median(pixels[near], 0), np.zeros(3), np.zeros(3)])
    difference = np.abs(pixels[near] - place[near] @ fit)
    sigma = 1.4826 * np.median(difference, 0).max()  # of a normal distribution
    if sigma > MAX_SIGMA:
        return None
    stray = np.quantile(difference.max(1), STRAY_QUANTILE)
    return fit, max(MIN_TOLERANCE, STRAY_FACTOR * stray)


def _commonest_color(pixels: np.ndarray) -> np.ndarray:
    """Return the commonest colour (3,) of ``pixels`` uint8 (n, 3), to about 16 levels."""
    bins = (pixels >> 4).astype(np.int32) @ np.array([256, 16, 1], np.int32)
    counts = np.pad(np.bincount(bins, minlength=4096).reshape(16, 16, 16), 1)
    for axis in range(3):  # a colour on the edge of a bin counts with the bins beside it
        counts = counts + np.roll(counts, 1, axis) + np.roll(counts, -1, axis)
    counts = counts[1:-1, 1:-1, 1:-1]
    return np.array(np.unravel_index(counts.argmax(), counts.shape)) * 16.0 + 7.5


def _second_surface(image: np.ndarray, first: np.ndarray, rim: np.ndarray) -> _Surface | None:
    """Return the surface beyond the first (h, w); None if it is not plain or not large."""
    for where in (rim & ~first, ~first):
        surface = _commonest_surface(image, where)
        if surface is None:
            continue
        mask = _outer_parts(surface.mask & ~first, rim)
        if mask[rim].mean() >= MIN_SECOND_RIM_FRACTION or mask.mean() >= MIN_SECOND_FRACTION:
            return _Surface(surface.colour, mask, surface.contrast)
    return None


def _outer_parts(mask: np.ndarray, rim: np.ndarray) -> np.ndarray:
    """Return the connected parts of ``mask`` that reach the rim or exceed any object."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=4)
    keep = stats[:, cv2.CC_STAT_AREA] >= MIN_SECOND_FRACTION * mask.size
    keep[labels[rim]] = True
    keep[0] = False
    return keep[labels]


def _table_and_ground(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return the table, and the ground outside the table's outline: bool (h, w)."""
    table, ground, outline = first, second, _hull(first)
    if outline[second].mean() > 0.5:  # the first surface surrounds the second
        table, ground, outline = second, first, _hull(second)
    return table | ground & ~outline


def _hull(mask: np.ndarray) -> np.ndarray:
    """Return the convex hull of the largest connected part of ``mask``: bool (h, w)."""
    opened = cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    _, labels, stats, _ = cv2.connectedComponentsWithStats(opened, connectivity=4)
    hull = np.zeros(mask.shape, np.uint8)
    if len(stats) > 1:
        part = (labels == 1 + stats[1:, cv2.CC_STAT_AREA].argmax()).astype(np.uint8)
        contours, _ = cv2.findContours(part, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
        cv2.fillConvexPoly(hull, cv2.convexHull(contours[0]), (1,))
    return hull > 0


def _seam(image: np.ndarray, first: _Surface, second: _Surface) -> np.ndarray:
    """Return the pixels where two surfaces meet and their colours mix: bool (h, w)."""
    kernel = np.ones((2 * BLEND_REACH + 1,) * 2, np.uint8)
    near = [cv2.dilate(surface.mask.astype(np.uint8), kernel) > 0 for surface in (first, second)]
    seam = near[0] & near[1] & ~first.mask & ~second.mask
    step = (second.colour - first.colour)[seam]  # (n, 3)
    offset = image[seam] - first.colour[seam]  # (n, 3)
    along = (offset * step).sum(1) / np.maximum((step * step).sum(1), 1.0)
    mixed = np.clip(along, 0.0, 1.0)[:, None] * step
    seam[seam] = np.abs(offset - mixed).max(1) <= 2 * MIN_TOLERANCE
    return seam
