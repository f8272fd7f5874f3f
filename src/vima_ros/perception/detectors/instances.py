"""Result of a detector: the objects of one image as instance masks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vima_ros.errors import VimaError
from vima_ros.specs import POLICY_FRAME_HEIGHT, POLICY_FRAME_WIDTH

FRAME_SHAPE = (POLICY_FRAME_HEIGHT, POLICY_FRAME_WIDTH)
MAX_ID = int(np.iinfo(np.uint16).max)


def _invalid(message: str) -> VimaError:
    return VimaError("INVALID_VALUE", message)


def check_image(image_rgb: np.ndarray) -> None:
    """Raise VimaError (INVALID_VALUE) unless ``image_rgb`` is uint8 (128, 256, 3)."""
    dtype, shape = getattr(image_rgb, "dtype", type(image_rgb).__name__), np.shape(image_rgb)
    if dtype != np.uint8 or shape != (*FRAME_SHAPE, 3):
        raise _invalid(f"image is {dtype} {shape}; valid: uint8 {(*FRAME_SHAPE, 3)}")


def check_mask(mask: np.ndarray) -> None:
    """Raise VimaError (INVALID_VALUE) unless ``mask`` is uint8 or uint16 (128, 256)."""
    dtype, shape = getattr(mask, "dtype", type(mask).__name__), np.shape(mask)
    if dtype not in (np.uint8, np.uint16) or shape != FRAME_SHAPE:
        raise _invalid(f"mask is {dtype} {shape}; valid: uint8 or uint16 {FRAME_SHAPE}")


@dataclass(frozen=True, eq=False)
class Instances:
    """Objects of one image.

    ``mask`` uint16 (128, 256): the object id of each pixel, 0 = background. ``ids`` int64 (n,):
    the ids in object order, 1 to 65535, each once; an id may be hidden, but every id of the mask
    is among them. ``scores`` float32 (n,): confidence, 0 to 1. ``low_score_count``: number of
    further objects that the detector left out for their scores.

    Raises VimaError (INVALID_VALUE) for anything else.
    """

    mask: np.ndarray
    ids: np.ndarray
    scores: np.ndarray
    low_score_count: int = 0

    def __post_init__(self) -> None:
        check_mask(self.mask)
        ids, scores = np.asarray(self.ids), np.asarray(self.scores)
        if ids.ndim != 1 or scores.shape != ids.shape:
            raise _invalid(f"ids {ids.shape} and scores {scores.shape}; valid: (n,) both")
        ids = ids.astype(np.int64)
        if len(set(ids.tolist())) != len(ids) or ((ids < 1) | (ids > MAX_ID)).any():
            raise _invalid(f"ids {ids.tolist()}; valid: 1 to {MAX_ID}, each once")
        listed = np.zeros(MAX_ID + 1, bool)
        listed[[0, *ids]] = True
        if not listed[self.mask].all():
            unlisted = np.setdiff1d(self.mask, [0, *ids])
            raise _invalid(f"mask holds {unlisted.tolist()[:8]}; valid: 0 and {ids.tolist()}")
        if not ((scores >= 0) & (scores <= 1)).all():
            raise _invalid(f"scores {scores.tolist()}; valid: 0 to 1")
        for name, value, dtype in (
            ("mask", self.mask, np.uint16),
            ("ids", ids, np.int64),
            ("scores", scores, np.float32),
        ):
            array = value.astype(dtype, copy=True)
            array.setflags(write=False)
            object.__setattr__(self, name, array)

    def __len__(self) -> int:
        return len(self.ids)


def keep_largest(instances: Instances) -> Instances:
    """Return only the instance with the most pixels."""
    if len(instances.ids) < 2:
        return instances
    sizes = [np.count_nonzero(instances.mask == i) for i in instances.ids]
    best = int(np.argmax(sizes))
    keep = instances.ids[best]
    return Instances(
        np.where(instances.mask == keep, instances.mask, 0).astype(np.uint16),
        instances.ids[best : best + 1],
        instances.scores[best : best + 1],
    )
