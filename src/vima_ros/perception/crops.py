"""Crops, boxes and outlines of the objects (docs/vima_architecture.md, "Crops and boxes")."""

from __future__ import annotations

import cv2
import numpy as np

from vima_ros.perception.detectors.instances import Instances, check_image
from vima_ros.perception.outline_extraction import extract_outline
from vima_ros.specs import CROP_SIZE, ViewObjects

MIN_VISIBLE_PIXELS = 2  # [px] an object with fewer counts as hidden


def extract_objects(
    image_rgb: np.ndarray, instances: Instances, *, with_outlines: bool = False
) -> ViewObjects:
    """Extract the visible objects of ``image_rgb`` uint8 (128, 256, 3), in given order.

    Hidden objects are left out. A track id is the instance's id. ``with_outlines``: else these are
    unknown, as nothing reads those of a prompt. Raises VimaError (INVALID_VALUE) for another
    image.
    """
    check_image(image_rgb)
    boxes, crops, outlines, visible = [], [], [], []
    for place, instance in enumerate(instances.ids.tolist()):
        pixels = (instances.mask == instance).view(np.uint8)
        if cv2.countNonZero(pixels) < MIN_VISIBLE_PIXELS:
            continue
        left, top, columns, rows = cv2.boundingRect(pixels)
        boxes.append(_box(left, top, columns, rows))
        crops.append(square_crop(image_rgb[top : top + rows, left : left + columns]))
        if with_outlines:
            part = pixels[top : top + rows, left : left + columns]
            outlines.append(extract_outline(part, left, top))
        visible.append(place)
    if not visible:
        return ViewObjects.empty()
    return ViewObjects(
        np.array(boxes),
        np.stack(crops),
        instances.scores[visible],
        instances.ids[visible],
        *([np.stack(outlines)] if with_outlines else []),
    )


def _box(left: int, top: int, columns: int, rows: int) -> tuple[int, int, int, int]:
    """Return x centre, y centre, height, width [px], the latter two max − min."""
    return left + (columns - 1) // 2, top + (rows - 1) // 2, rows - 1, columns - 1


def square_crop(patch_rgb: np.ndarray) -> np.ndarray:
    """Pad ``patch_rgb`` (h, w, 3) to a square and resize it to (3, 32, 32)."""
    rows, columns = patch_rgb.shape[:2]
    size = max(rows, columns)
    above, before = (size - rows) // 2, (size - columns) // 2
    square = cv2.copyMakeBorder(
        patch_rgb,
        above,
        size - rows - above,
        before,
        size - columns - before,
        cv2.BORDER_CONSTANT,
        value=(0, 0, 0),
    )
    small = cv2.resize(square, (CROP_SIZE, CROP_SIZE), interpolation=cv2.INTER_AREA)
    return small.transpose(2, 0, 1)
