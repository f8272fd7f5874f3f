"""Synthetic tables with coloured shapes, and how well instances match the truth."""

import cv2
import numpy as np

SHAPES = ("disc", "square", "bar", "ring", "frame", "stripes", "dots", "small")


def _shape(kind, centre, size, angle):
    """Bool (128, 256): the pixels of one shape."""
    canvas = np.zeros((128, 256), np.uint8)
    wide = {"bar": (2 * size, 5)}.get(kind, (1.6 * size, 1.6 * size))
    if kind == "small":
        wide = (9, 9)
    if kind in ("disc", "ring"):
        cv2.circle(canvas, centre, size, 1, -1)
    else:
        corners = cv2.boxPoints((centre, wide, angle)).round().astype(np.int32)
        cv2.fillConvexPoly(canvas, corners, 1)
    if kind == "ring":
        cv2.circle(canvas, centre, size // 2, 0, -1)
    if kind == "frame":
        inner = cv2.boxPoints((centre, (1.6 * size - 6, 1.6 * size - 6), angle))
        cv2.fillConvexPoly(canvas, inner.round().astype(np.int32), 0)
    return canvas > 0


def far_colour(rng, others, apart=70):
    """A random RGB colour at least ``apart`` levels from each of ``others`` in some channel."""
    while True:
        colour = rng.integers(0, 256, 3)
        if all(np.abs(colour - other).max() >= apart for other in others):
            return colour


def random_scene(rng, noise=0.0, count=None):
    """Image uint8 (128, 256, 3) and instance mask (128, 256), objects apart from each other."""
    table = rng.integers(0, 256, 3)
    image = np.full((128, 256, 3), table, np.float64)
    mask = np.zeros((128, 256), np.uint8)
    wanted = rng.integers(1, 7) if count is None else count
    while mask.max() < wanted:
        size = int(rng.integers(9, 17))
        centre = int(rng.integers(28, 228)), int(rng.integers(28, 100))
        kind = SHAPES[rng.integers(len(SHAPES))]
        shape = _shape(kind, centre, size, float(rng.uniform(0, 90)))
        if (cv2.dilate(shape.astype(np.uint8), np.ones((9, 9))) * mask).any():
            continue
        first = far_colour(rng, [table])
        second = far_colour(rng, [table, first])
        rows, columns = np.indices(mask.shape)
        pattern = np.zeros(mask.shape, bool)
        if kind == "stripes":
            pattern = (columns // 4) % 2 == 0
        if kind == "dots":
            pattern = ((columns % 8) < 4) & ((rows % 8) < 4)
        image[shape] = first
        image[shape & pattern] = second
        mask[shape] = mask.max() + 1
    image += rng.normal(0, noise, image.shape)
    return np.clip(np.round(image), 0, 255).astype(np.uint8), mask


def overlaps(truth, instances):
    """IoU (n true, n found) of bool masks ``truth`` with the objects of ``instances``."""
    found = [instances.mask == k for k in instances.ids]
    return np.array([[(t & f).sum() / (t | f).sum() for f in found] for t in truth]).reshape(
        len(truth), len(found)
    )


def exactly_found(truth, instances, least):
    """Same count, and a one-to-one match with IoU of at least ``least`` (0.5 or more)."""
    if len(truth) != len(instances):
        return False
    matrix = overlaps(truth, instances)
    best = matrix.max(1, initial=0.0)
    return bool((best >= least).all()) and len(set(matrix.argmax(1))) == len(truth)
