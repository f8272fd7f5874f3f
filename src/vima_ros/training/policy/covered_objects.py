"""Objects of a prompt's scenes on which another one stands, as a detector finds them.

In the front view the bundled detector found 58 of 118 such blocks at half their height and missed
18; of others it misses few (docs/policy.md).
"""

from __future__ import annotations

import cv2
import numpy as np

from vima_ros.perception.crops import square_crop

_GAP = 2  # between the boxes of two stacked objects [px]


def find_covered(
    front: np.ndarray, front_ids: np.ndarray, top: np.ndarray, top_ids: np.ndarray
) -> np.ndarray:
    """Find the objects (n,) bool of the front view that another one stands on.

    ``front`` (n, 4), ``top`` (m, 4): boxes; x centre, y centre, height, width [px]. The ids, 0 or
    more, relate the views; others are of unknown objects. The one above ends where the covered one
    begins in the front view, and hides its centre in the top view.
    """
    covered = np.zeros(len(front), bool)
    from_above = {which: box.astype(int) for which, box in zip(top_ids, top, strict=True)}
    for j, (x, y, height, width) in enumerate(front.astype(int)):
        for i, (other_x, other_y, other_height, other_width) in enumerate(front.astype(int)):
            if min(front_ids[i], front_ids[j]) < 0 or front_ids[i] == front_ids[j]:
                continue
            beside = abs(other_x - x) > min(width, other_width) / 2
            apart = other_y + other_height / 2 < y - height / 2 - _GAP
            if other_y < y and not beside and not apart:
                covered[j] |= _hides(from_above.get(front_ids[i]), from_above.get(front_ids[j]))
    return covered


def _hides(upper: np.ndarray | None, lower: np.ndarray | None) -> bool:
    """Return whether ``upper`` has the centre of ``lower`` in it, or all of it is hidden."""
    if upper is None or lower is None:
        return upper is not None
    (dx, dy), (height, width) = np.abs(upper[:2] - lower[:2]), upper[2:]
    return bool(dx <= width / 2 and dy <= height / 2)


def lower_half_box(box: np.ndarray) -> np.ndarray:
    """Return the box (4,) of the lower half of an object, away from the one that covers it."""
    x, y, height, width = (int(value) for value in box)
    rows, first = height + 1, y - height // 2
    kept = rows - rows // 2
    return np.array([x, first + rows // 2 + (kept - 1) // 2, kept - 1, width])


def lower_half_crop(crop: np.ndarray, box: np.ndarray) -> np.ndarray:
    """Return the crop (3, 32, 32) uint8 of the lower half of an object with ``crop`` and ``box``.

    From the crop, for a recording may have no images: up to what is lost by its size.
    """
    rows, columns = int(box[2]) + 1, int(box[3]) + 1
    size = max(rows, columns)
    image = np.ascontiguousarray(crop.transpose(1, 2, 0))
    square = cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA)
    above, before = (size - rows) // 2, (size - columns) // 2
    patch = square[above + rows // 2 : above + rows, before : before + columns]
    return square_crop(patch)
