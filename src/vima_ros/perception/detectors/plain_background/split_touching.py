"""Objects that touch in the picture, told apart by a narrow place and a change of colour.

A group of pixels is cut at its narrow places, from the narrowest on. Parts on both sides of a cut
whose colours are alike are put together again. What remains apart becomes objects if the colour
changes suddenly where they meet. An object that lies inside another one, with no narrow place, is
found by colours that the outer one's edge does not have.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

CELLS = 16  # per axis of the chroma plane
CELL_BLUR = 0.7  # [cells] by which shading and noise move a colour
DARK = 64.0  # [levels] darker pixels have little chroma left
COMMON = 0.05  # share of a part from which a colour belongs to it
SIMILAR = 0.5  # share of a part's colours that belong to another part too: one object
MIN_PART = 48  # [px] smaller parts say too little about their colours
MAX_HOLE = 80  # [px] a larger hole makes the object around it a frame, with narrow places
HALF_WIDTHS = (1, 1.5, 2, 2.5, 3, 3.5, 4, 4.5, 5, 5.5, 6, 7, 8, 9, 10, 12, 14, 16, 18, 20, 23)
CORE_SLACK = 1.5  # [px] beyond a part's core that still belongs to it
BAND = 5.0  # [px] on each side of a cut, where colour decides which part a pixel belongs to
STEP = 0.25  # [chroma] between neighbouring pixels: sudden; a rainbow has about 0.15
STEP_SHARE = 0.5  # of the line where two objects meet
EDGE = 3.0  # [px] of an object that show its own colours even if another lies inside it
MIN_DEPTH = 8.0  # [px] half width of an object that can hold another
MIN_ENCLOSED = 120  # [px] more than a dot of a texture
MIN_FOREIGN_SHARE = 0.6  # of an enclosed object; dots of a texture leave more between them
FOREIGN = 0.3  # of ``COMMON``: a colour the edge does not have


def chroma(image_rgb: np.ndarray) -> np.ndarray:
    """Opponent colours (h, w, 2) float32 in [-1, 1], relative to brightness: blind to shading.

    ``image_rgb`` is uint8 (h, w, 3). The axes are red against green and yellow against blue.
    """
    red, green, blue = cv2.split(image_rgb.astype(np.float32))
    scale = np.maximum(cv2.max(cv2.max(red, green), blue), np.float32(DARK))
    return cv2.merge([(red - green) / scale, ((red + green) / 2 - blue) / scale])


def split_touching(mask: np.ndarray, colours: np.ndarray) -> list[np.ndarray]:
    """The objects, each bool (h, w), in one connected ``mask`` (h, w) bool.

    ``colours`` is the ``chroma`` (h, w, 2) of the same pixels. An object that cannot be told
    apart stays joined; the objects are disjoint and together are ``mask``.
    """
    return _split(mask, _colours(mask, colours))


@dataclass(frozen=True, eq=False)
class _Colours:
    """The colours of a group of objects: ``chroma`` (h, w, 2), ``cells`` (h, w) int64 the number
    of each pixel's colour among the m that occur, ``alike`` (m, m) float64 how much a colour
    counts for another, 1 for itself.
    """  # noqa: D205

    chroma: np.ndarray
    cells: np.ndarray
    alike: np.ndarray


def _colours(mask: np.ndarray, chroma: np.ndarray) -> _Colours:
    grid = np.clip(((chroma + 1) * (CELLS / 2)).astype(np.int64), 0, CELLS - 1)  # (h, w, 2)
    used, cells = np.unique((grid @ (CELLS, 1))[mask], return_inverse=True)
    everywhere = np.zeros(mask.shape, np.int64)
    everywhere[mask] = cells
    place = np.stack(np.divmod(used, CELLS), 1)  # (m, 2)
    apart = ((place[:, None] - place) ** 2).sum(-1)
    return _Colours(chroma, everywhere, np.exp(-0.5 * apart / CELL_BLUR**2))


def _split(mask: np.ndarray, colours: _Colours) -> list[np.ndarray]:
    if np.count_nonzero(mask) < 2 * MIN_PART:
        return [mask]
    solid = fill_holes(mask, MAX_HOLE)
    depth = cv2.distanceTransform(np.pad(solid, 1).astype(np.uint8), cv2.DIST_L2, 5)[1:-1, 1:-1]
    for half_width in HALF_WIDTHS:
        if half_width >= depth.max():
            break
        labels = _cut(mask, depth, half_width)
        for step in (_merge_similar, _refine):
            labels = step(labels, colours) if labels.max() > 1 else labels
        labels = _merge_gradual(labels, colours)
        if labels.max() > 1:
            pieces = (labels == k for k in range(1, labels.max() + 1))
            return [found for piece in pieces for found in _split(piece, colours)]
    labels = _merge_gradual(_enclosed(mask, depth, colours), colours)
    return [labels == k for k in range(1, labels.max() + 1)]


def fill_holes(mask: np.ndarray, max_area: int) -> np.ndarray:
    """``mask`` (h, w) bool with the holes of at most ``max_area`` [px] filled."""
    outside = np.pad(~mask, 1, constant_values=True).astype(np.uint8)
    _, labels, stats, _ = cv2.connectedComponentsWithStats(outside, connectivity=4)
    open_ = stats[:, cv2.CC_STAT_AREA] > max_area
    open_[labels[0, 0]] = True
    open_[0] = False
    return ~open_[labels][1:-1, 1:-1]


def _cut(mask: np.ndarray, depth: np.ndarray, half_width: float) -> np.ndarray:
    """Labels 1..n (h, w) of ``mask`` cut where it is narrower than 2 ``half_width`` [px].

    Parts are the cores deeper than that and what is nowhere so wide (a thin frame).
    """
    core = (depth > half_width).astype(np.uint8)
    count, labels = cv2.connectedComponents(core, connectivity=4)
    to_core = cv2.distanceTransform(1 - core, cv2.DIST_L2, 5)
    thin = (mask & (to_core > half_width + CORE_SLACK)).astype(np.uint8)
    _, thin_labels, stats, _ = cv2.connectedComponentsWithStats(thin, connectivity=8)
    large = stats[:, cv2.CC_STAT_AREA] >= MIN_PART / 2
    large[0] = False
    if count - 1 + np.count_nonzero(large) < 2:
        return mask.astype(np.int64)
    labels = labels + np.where(large, count - 1 + np.cumsum(large), 0)[thin_labels]
    labels = _spread(labels, mask)
    return _spread(_keep(labels, np.bincount(labels.ravel()) >= MIN_PART), mask)


def _keep(labels: np.ndarray, keep: np.ndarray) -> np.ndarray:
    """``labels`` without those whose ``keep`` (n + 1,) is False, renumbered 1..m."""
    keep = np.concatenate([[False], keep[1:]])
    return np.where(keep, np.cumsum(keep), 0)[labels]


def _spread(labels: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Each pixel of ``mask`` (h, w) with the label nearest to it; one part if there is none."""
    if not labels.any():
        return mask.astype(np.int64)
    _, nearest = cv2.distanceTransformWithLabels(
        (labels == 0).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    name = np.zeros(nearest.max() + 1, np.int64)
    name[nearest[labels > 0]] = labels[labels > 0]
    return np.where(mask, name[nearest], 0)


def _palettes(labels: np.ndarray, colours: _Colours) -> np.ndarray:
    """Pixels of each colour (n, m) float64 in each of the parts 1..n of ``labels`` (h, w)."""
    shape = int(labels.max()), len(colours.alike)
    inside = labels > 0
    index = (labels[inside] - 1) * shape[1] + colours.cells[inside]
    return np.bincount(index, minlength=shape[0] * shape[1]).reshape(shape).astype(np.float64)


def _shares(palettes: np.ndarray) -> np.ndarray:
    return palettes / np.maximum(palettes.sum(1, keepdims=True), 1.0)


def _neighbours(labels: np.ndarray) -> np.ndarray:
    """Bool (n, n): which of the parts 1..n have pixels side by side."""
    count = labels.max() + 1
    touch = np.zeros((count, count), bool)
    for a, b in ((labels[1:], labels[:-1]), (labels[:, 1:], labels[:, :-1])):
        touch[a, b] = touch[b, a] = True
    return touch[1:, 1:]


def _merge_similar(labels: np.ndarray, colours: _Colours) -> np.ndarray:
    """``labels`` with neighbours put together while one has most of the other's colours."""
    palettes, touch = _palettes(labels, colours), _neighbours(labels)
    np.fill_diagonal(touch, False)
    name = np.arange(len(palettes) + 1)
    while touch.any():
        shares = _shares(palettes)
        belongs = np.minimum(shares @ colours.alike / COMMON, 1.0)
        found = shares @ belongs.T  # (n, n): share of the row's colours that the column has
        similar = np.where(touch, np.maximum(found, found.T), 0.0)
        i, j = np.unravel_index(similar.argmax(), similar.shape)
        if similar[i, j] < SIMILAR:
            break
        palettes[i] += palettes[j]
        palettes[j] = 0
        touch[i] |= touch[j]
        touch[:, i] |= touch[:, j]
        touch[j] = touch[:, j] = touch[i, i] = False
        name[name == j + 1] = i + 1
    return np.unique(name, return_inverse=True)[1][labels]


def _refine(labels: np.ndarray, colours: _Colours) -> np.ndarray:
    """``labels`` with the pixels near a cut given to the part whose colours they have."""
    log_share = np.log(_shares(_palettes(labels, colours)) @ colours.alike + 0.01)  # (n, m)
    mask = labels > 0
    fit = np.full((len(log_share), *mask.shape), -np.inf, np.float32)
    for k, table in enumerate(log_share):
        to_part = cv2.distanceTransform((labels != k + 1).astype(np.uint8), cv2.DIST_L2, 5)
        local = np.where(mask, table[colours.cells], 0).astype(np.float32)
        around = cv2.boxFilter(local, -1, (3, 3), borderType=cv2.BORDER_CONSTANT)
        fit[k] = np.where(to_part <= BAND, around, -np.inf)
    moved = np.where(mask, fit.argmax(0) + 1, 0)
    for k in range(1, len(log_share) + 1):  # specks go to what is around them
        own = (moved == k).astype(np.uint8)
        _, parts, stats, _ = cv2.connectedComponentsWithStats(own, connectivity=8)
        moved[(stats[:, cv2.CC_STAT_AREA] < MIN_PART / 2)[parts] & (parts > 0)] = 0
    moved = _spread(moved, mask)
    return _keep(moved, np.bincount(moved.ravel()) > 0)


def _merge_gradual(labels: np.ndarray, colours: _Colours) -> np.ndarray:
    """``labels`` with neighbours put together where the colour changes gradually."""
    count = labels.max() + 1
    if count < 3:
        return labels
    met, sudden = np.zeros((2, count, count))
    for axis in (0, 1):
        a, b = (np.delete(labels, end, axis) for end in (0, -1))
        at = (a != b) & (a > 0) & (b > 0)
        pair = np.minimum(a, b)[at], np.maximum(a, b)[at]
        np.add.at(met, pair, 1)
        np.add.at(sudden, pair, np.abs(np.diff(colours.chroma, axis=axis)).max(-1)[at] > STEP)
    name = np.arange(count)
    for i, j in np.argwhere((met > 0) & (sudden < STEP_SHARE * met)):
        name[name == name[j]] = name[i]
    return np.unique(name, return_inverse=True)[1][labels]


def _enclosed(mask: np.ndarray, depth: np.ndarray, colours: _Colours) -> np.ndarray:
    """Labels (h, w): 1 the outer object, 2.. what lies inside it and has other colours."""
    labels = mask.astype(np.int64)
    if depth.max() < MIN_DEPTH:
        return labels
    edge = mask & (depth <= EDGE)
    belongs = _shares(_palettes(edge.astype(np.int64), colours))[0] @ colours.alike / COMMON
    foreign = mask & (belongs < FOREIGN)[colours.cells]
    solid = cv2.morphologyEx(foreign.astype(np.uint8), cv2.MORPH_CLOSE, np.ones((5, 5), np.uint8))
    solid = cv2.morphologyEx(solid, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    _, parts, stats, _ = cv2.connectedComponentsWithStats(solid, connectivity=4)
    area = stats[:, cv2.CC_STAT_AREA]
    own = np.bincount(parts[foreign], minlength=len(area))
    inner = _keep(parts, (area >= MIN_ENCLOSED) & (own >= MIN_FOREIGN_SHARE * area))
    return np.where(mask & (inner > 0), inner + 1, labels)
