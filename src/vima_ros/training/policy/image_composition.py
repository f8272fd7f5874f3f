"""Whole images of training episodes: a background and, on it, what masks cut out of the image.

So layout augmentation moves objects in images as it moves boxes: the cameras are orthographic and
the tabletop casts no shadows. An image whose objects stay where they are is composed exactly as
it was recorded.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vima_ros.perception.view_images import view_image
from vima_ros.specs import ViewObjects


class ImageParts:
    """Store of distinct parts of images; maps each to its row.

    ``backgrounds``: shared by episodes, for nearly all of theirs are the same.
    """

    def __init__(self, backgrounds: dict[bytes, np.ndarray]) -> None:
        self._known_backgrounds = backgrounds
        self._rows: dict[bytes, int] = {}
        self.cutouts: list[np.ndarray] = []  # (h, w, 4) uint8 each: RGB, and 1 on the object
        self.backgrounds: list[np.ndarray] = []  # (128, 256, 3) uint8 each

    def take_apart(
        self, rgb: np.ndarray, mask: np.ndarray, view: ViewObjects
    ) -> tuple[int, tuple[int, ...]]:
        """Return the rows of the background and of the cutout of each object of ``view``."""
        background, covered, rows = rgb.copy(), np.zeros(mask.shape, bool), []
        for box, number in zip(view.boxes, view.track_ids, strict=True):
            within = _window(box)
            own = (mask[within] == number)[..., None]
            rows.append(self._row(np.concatenate([rgb[within] * own, own], axis=2), self.cutouts))
            covered[within] |= own[..., 0]
        background[covered] = np.median(rgb[~covered][::97], axis=0)  # the table's color
        key = background.tobytes()
        background = self._known_backgrounds.setdefault(key, background)
        return self._row(background, self.backgrounds), tuple(rows)

    def _row(self, part: np.ndarray, kept: list[np.ndarray]) -> int:
        key = repr(part.shape).encode() + part.tobytes()
        if key not in self._rows:
            self._rows[key] = len(kept)
            kept.append(part)
        return self._rows[key]


def compose(
    background: np.ndarray, boxes: np.ndarray, cutouts: Sequence[np.ndarray]
) -> np.ndarray:
    """Compose a whole image (3, 64, 128) uint8 of what is in each of ``boxes`` (n, 4) [px].

    What is further up in the image is further away, and behind the rest.
    """
    frame = background.copy()
    for i in np.argsort(boxes[:, 1] + boxes[:, 2] // 2, kind="stable"):
        part = frame[_window(boxes[i])]
        cutout = cutouts[i][: part.shape[0], : part.shape[1]]
        np.copyto(part, cutout[..., :3], where=cutout[..., 3:] > 0)
    return view_image(frame)


def _window(box: np.ndarray) -> tuple[slice, slice]:
    """Return rows and columns of a box (perception/crops.py)."""
    x, y, height, width = (int(value) for value in box)
    top, left = y - height // 2, x - width // 2
    return slice(top, top + height + 1), slice(left, left + width + 1)
