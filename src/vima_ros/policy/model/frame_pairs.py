"""Pairs of frames in a prompt, of one object before and after a turn in its place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from vima_ros.specs import AssetKind, PromptImage

# Between the centers of boxes before and after a turn [px]: up to 11 of a triangle, for an object
# turns about its frame and not about the middle of its box.
MAX_SHIFT = 14


class PromptFrame(NamedTuple):
    """An image of a prompt: whether it shows a scene, boxes (n, 4) in front and top view [px]."""

    is_scene: bool
    front: np.ndarray
    top: np.ndarray

    @classmethod
    def of(cls, image: PromptImage) -> PromptFrame:
        """Return the boxes of a prompt's image."""
        return cls(image.kind == AssetKind.SCENE, image.front.boxes, image.top.boxes)


def find_turns(images: Sequence[PromptFrame]) -> list[int]:
    """Find the pairs of frames among a prompt's images, in reading order; return their first.

    Two successive scenes of one object each, at the same place. An image belongs to one pair.
    """
    found: list[int] = []
    for index in range(len(images) - 1):
        before, after = images[index : index + 2]
        taken = found and found[-1] == index - 1
        if not taken and _is_of_one(before) and _is_of_one(after):
            shift = np.abs(before.top[0, :2].astype(float) - after.top[0, :2])
            if shift.max() <= MAX_SHIFT:
                found.append(index)
    return found


def _is_of_one(image: PromptFrame) -> bool:
    return image.is_scene and len(image.top) == 1 and len(image.front) <= 1
