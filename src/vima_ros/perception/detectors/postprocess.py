"""Postprocessing of a network's boxes and mask probabilities to instances."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vima_ros.errors import DetectionError
from vima_ros.perception.crops import MIN_VISIBLE_PIXELS
from vima_ros.perception.detectors.instances import FRAME_SHAPE, Instances

Window = tuple[slice, slice]
LOW_SCORE_FACTOR = 0.5  # of min_score; objects with lower scores are noise and not counted
MAX_OBJECTS = 1000  # maximum number of a network's objects in one image
MIN_VISIBLE_FRACTION = 0.5  # of its mask; an object that keeps less is a duplicate


def paste_masks(
    boxes: np.ndarray,
    scores: np.ndarray,
    masks: np.ndarray,
    *,
    min_score: float,
    threshold: float = 0.5,
) -> Instances:
    """Paste the masks of objects with scores from ``min_score``; each pixel belongs to one object.

    ``boxes`` (n, 4): x1, y1, x2, y2 [px], edges, so that a whole image is 0, 0, 256, 128.
    ``scores`` (n,), 0 to 1. ``masks`` (n, M, M): probabilities in a grid over the box, which are
    interpolated at the centres of the pixels (He et al., Mask R-CNN, ICCV 2017, section 3.1).
    A pixel belongs to the object with the highest probability above ``threshold``, of equal ones
    to that with the higher score. Object order is by score, then by the box's row and column.
    Objects that keep fewer than ``MIN_VISIBLE_PIXELS``, or less than ``MIN_VISIBLE_FRACTION`` of
    those above ``threshold``, are left out, and their pixels go to the others.

    Raises VimaError (BAD_DETECTION) for other shapes, or numbers that are not finite.
    """
    boxes, scores, masks = (np.asarray(a, np.float32) for a in (boxes, scores, masks))
    _check(boxes, scores, masks)
    accepted = np.flatnonzero(scores >= min_score)
    low_score_count = int(np.count_nonzero(scores >= LOW_SCORE_FACTOR * min_score)) - len(accepted)
    order = accepted[np.lexsort((boxes[accepted, 0], boxes[accepted, 1], -scores[accepted]))]
    pasted = [_paste(boxes[index], masks[index]) for index in order]
    areas = np.array([np.count_nonzero(p > threshold) for _, p in pasted], np.int64)
    kept, labels = np.arange(len(order)), _assign_pixels(pasted, threshold)
    while True:
        sizes = np.bincount(labels.ravel(), minlength=len(kept) + 1)[1:]
        fractions = np.where(sizes < MIN_VISIBLE_PIXELS, 0.0, sizes / np.maximum(areas[kept], 1))
        if not len(kept) or fractions.min() >= MIN_VISIBLE_FRACTION:
            return Instances(
                labels, np.arange(1, len(kept) + 1), scores[order[kept]], low_score_count
            )
        # One at a time, the last among equals: of two that share an object, one has to stay.
        kept = np.delete(kept, len(kept) - 1 - int(fractions[::-1].argmin()))
        labels = _assign_pixels([pasted[index] for index in kept], threshold)


def _assign_pixels(pasted: Sequence[tuple[Window, np.ndarray]], threshold: float) -> np.ndarray:
    """Return the object of each pixel uint16 (128, 256): 0, or the index in ``pasted`` + 1."""
    labels = np.zeros(FRAME_SHAPE, np.uint16)
    best = np.full(FRAME_SHAPE, threshold, np.float32)
    for number, (window, probabilities) in enumerate(pasted, 1):
        wins = probabilities > best[window]
        best[window][wins] = probabilities[wins]
        labels[window][wins] = number
    return labels


def _check(boxes: np.ndarray, scores: np.ndarray, masks: np.ndarray) -> None:
    count, side = len(scores) if scores.ndim == 1 else -1, masks.shape[-1] if masks.ndim else 0
    shapes = boxes.shape, scores.shape, masks.shape
    if shapes != ((count, 4), (count,), (count, side, side)) or count > MAX_OBJECTS:
        raise DetectionError(
            "BAD_DETECTION",
            f"boxes {boxes.shape}, scores {scores.shape}, masks {masks.shape}; valid: (n, 4), "
            f"(n,), (n, M, M), n up to {MAX_OBJECTS}",
        )
    if not all(np.isfinite(array).all() for array in (boxes, scores, masks)):
        raise DetectionError(
            "BAD_DETECTION", "boxes, scores or masks hold numbers that are not finite"
        )


def _paste(box: np.ndarray, mask: np.ndarray) -> tuple[Window, np.ndarray]:
    """Return a window of the frame, and the probabilities of its pixels."""
    x1, y1, x2, y2 = box.tolist()
    rows, row_weights = _interpolation_weights(y1, y2, len(mask), FRAME_SHAPE[0])
    columns, column_weights = _interpolation_weights(x1, x2, len(mask), FRAME_SHAPE[1])
    return (rows, columns), row_weights @ mask @ column_weights.T


def _interpolation_weights(
    low: float, high: float, cells: int, size: int
) -> tuple[slice, np.ndarray]:
    """Return the pixels from edge ``low`` to ``high``, and the weight of each cell in each pixel.

    Float32 (pixels, cells), at most two numbers in a row. Beyond the outermost cells' centres
    the probability falls to 0 over one cell, which is where the window ends.
    """
    cell = (high - low) / cells  # [px]
    if cell <= 0:
        return slice(0, 0), np.zeros((0, cells), np.float32)
    begin = int(np.clip(np.floor(low - cell / 2), 0, size))
    end = int(np.clip(np.ceil(high + cell / 2), begin, size))
    centres = (np.arange(begin, end) + 0.5 - low) / cell - 0.5  # [cells]
    distances = np.abs(centres[:, None] - np.arange(cells))
    return slice(begin, end), np.maximum(1 - distances, 0).astype(np.float32)
