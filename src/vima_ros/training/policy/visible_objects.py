"""Views of training episodes: rows of the episode's crops and of the parts of its images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from vima_ros.sim.recording import RecordedImages
from vima_ros.specs import Observation, PromptImage
from vima_ros.training.policy.covered_objects import find_covered, lower_half_crop
from vima_ros.training.policy.image_composition import ImageParts
from vima_ros.training.policy.privileged_labels import NOTHING


@dataclass(frozen=True)
class VisibleObjects:
    """Objects of one view: ``crops`` are rows of the episode's, ``boxes`` (n, 4) [px].

    ``ids`` (n,): index of the episode's object, or NOTHING. ``halved`` (n,): row of the crop of an
    object's lower half if another one stands on it in a prompt's scene, or NOTHING; empty where no
    object is covered. ``cutouts``, ``background``: the parts
    of its whole image, rows of the episode's; empty where only objects are needed.
    """

    crops: tuple[int, ...]
    boxes: np.ndarray
    ids: tuple[int, ...]
    halved: tuple[int, ...] = ()
    cutouts: tuple[int, ...] = ()
    background: int = NOTHING


ViewPair = tuple[VisibleObjects, VisibleObjects]  # front, top


class ViewStore:
    """Views of an episode, of which distinct crops are kept once.

    ``parts``: where the parts of whole images go, None where only objects are needed.
    """

    def __init__(self, parts: ImageParts | None) -> None:
        self.crops: list[np.ndarray] = []
        self._rows: dict[bytes, int] = {}
        self._parts = parts

    def _row(self, crop: np.ndarray) -> int:
        key = crop.tobytes()
        if key not in self._rows:
            self._rows[key] = len(self.crops)
            self.crops.append(crop)
        return self._rows[key]

    def add(
        self,
        pair: Observation | PromptImage,
        names: Sequence[int] | None,
        images: RecordedImages | None,
        timestep: int = 0,
    ) -> ViewPair:
        """Convert both views; ``names``: the object of each track id from 1 on, None: in order."""
        views = []
        for number, view in enumerate((pair.front, pair.top)):
            ids = [int(i) - 1 if names is None else names[i - 1] for i in view.track_ids]
            rows = tuple(map(self._row, view.crops))
            shown = VisibleObjects(rows, view.boxes.astype(np.int16), tuple(ids))
            if self._parts is not None:
                assert images is not None
                assert images.masks is not None
                rgb, mask = images.rgb[timestep, number], images.masks[timestep, number]
                background, cutouts = self._parts.take_apart(rgb, mask, view)
                shown = replace(shown, background=background, cutouts=cutouts)
            views.append(shown)
        return views[0], views[1]

    def add_scene(
        self,
        pair: PromptImage,
        names: Sequence[int],
        images: RecordedImages | None,
    ) -> ViewPair:
        """Convert both views of a prompt's scene, with the halves of what is covered in front."""
        front, top = self.add(pair, names, images)
        covered = find_covered(front.boxes, np.array(front.ids), top.boxes, np.array(top.ids))
        if not covered.any():
            return front, top
        halved = tuple(
            self._row(lower_half_crop(self.crops[row], box)) if is_covered else NOTHING
            for row, box, is_covered in zip(front.crops, front.boxes, covered, strict=True)
        )
        return replace(front, halved=halved), top
