"""From a camera's picture to the policy frame, 256 wide and 128 high."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from vima_ros.errors import VimaError
from vima_ros.specs import POLICY_FRAME_HEIGHT, POLICY_FRAME_WIDTH

ASPECT_TOLERANCE = 1  # [px] of height by which a region may differ from 2:1


def to_policy_frame(
    image: np.ndarray, region: Sequence[int] | None = None, *, is_mask: bool = False
) -> np.ndarray:
    """``region`` of ``image`` as the policy frame: (128, 256, 3), for a mask (128, 256).

    ``image`` is uint8 (h, w, 3), or with ``is_mask`` uint8 or uint16 (h, w). ``region`` is x, y,
    width, height [px] of a 2:1 area; None is the largest one in the middle. Images are averaged
    over the area of each new pixel, masks take the nearest pixel, so ids stay ids. The result is
    a copy, identical to the input where that is the policy frame already.

    Raises VimaError: INVALID_VALUE for another kind of array, INVALID_REGION for a region that
    is not 2:1 or leaves the picture, or a picture too small to hold one.
    """
    _check(image, is_mask)
    height, width = image.shape[:2]
    x, y, columns, rows = _centred(width, height) if region is None else _region(region)
    if rows < 1 or x < 0 or y < 0 or x + columns > width or y + rows > height:
        raise VimaError(
            "INVALID_REGION",
            f"region x, y, width, height {[x, y, columns, rows]}; valid: at least 2 x 1 px and "
            f"inside the picture of {width} x {height} px",
        )
    patch = image[y : y + rows, x : x + columns]
    size = (POLICY_FRAME_WIDTH, POLICY_FRAME_HEIGHT)
    if (columns, rows) == size:
        return patch.copy()
    how = cv2.INTER_NEAREST_EXACT if is_mask else cv2.INTER_AREA
    return cv2.resize(np.ascontiguousarray(patch), size, interpolation=how)


def _check(image: np.ndarray, is_mask: bool) -> None:
    dtype, shape = getattr(image, "dtype", type(image).__name__), np.shape(image)
    if is_mask:
        fits, valid = dtype in (np.uint8, np.uint16) and len(shape) == 2, "uint8 or uint16 (h, w)"
    else:
        fits, valid = dtype == np.uint8 and len(shape) == 3 and shape[2] == 3, "uint8 (h, w, 3)"
    if not fits:
        kind = "mask" if is_mask else "image"
        raise VimaError("INVALID_VALUE", f"{kind} is {dtype} {shape}; valid: {valid}")


def _centred(width: int, height: int) -> tuple[int, int, int, int]:
    """The largest 2:1 region in the middle of a picture, x, y, width, height [px]."""
    rows = min(height, width // 2)
    return (width - 2 * rows) // 2, (height - rows) // 2, 2 * rows, rows


def _region(region: Sequence[int]) -> tuple[int, int, int, int]:
    values = np.asarray(region)
    if values.shape != (4,) or not np.issubdtype(values.dtype, np.integer):
        raise VimaError(
            "INVALID_REGION", f"region {region!r}; valid: four integers x, y, width, height [px]"
        )
    x, y, columns, rows = (int(value) for value in values)
    if abs(columns - 2 * rows) > 2 * ASPECT_TOLERANCE:
        raise VimaError(
            "INVALID_REGION",
            f"region of {columns} x {rows} px; valid: twice as wide as high, within "
            f"{ASPECT_TOLERANCE} px of height",
        )
    return x, y, columns, rows
