"""What is seen in one view at one moment: where it is and how it looks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vima_ros.perception.boxes import box_edges
from vima_ros.perception.tracking.appearance import (
    AppearanceFeatures,
    empty_features,
    extract_features,
    join,
)
from vima_ros.specs import ViewObjects


@dataclass(frozen=True, eq=False)
class Detections:
    """Of n things in one view: ``boxes`` (n, 4) as ``box_edges``, and looks.

    A box is NaN, and the looks mean nothing, where the thing is not visible in that view.
    """

    boxes: np.ndarray
    looks: AppearanceFeatures

    def __getitem__(self, chosen: np.ndarray) -> Detections:
        return Detections(self.boxes[chosen], self.looks[chosen])

    def __len__(self) -> int:
        return len(self.boxes)

    @property
    def visible(self) -> np.ndarray:
        """(n,) bool."""
        return ~np.isnan(self.boxes[:, 0])

    def joined(self, others: Detections) -> Detections:
        """These, then ``others``."""
        return Detections(
            np.concatenate([self.boxes, others.boxes]), join(self.looks, others.looks)
        )

    def placed(self, places: np.ndarray) -> Detections:
        """Those at ``places`` (m,); not visible for -1."""
        return self.joined(unseen(1))[places]

    def updated(self, places: np.ndarray, newer: Detections, memory: float) -> Detections:
        """The same with those at ``places`` seen again as ``newer``, where that is visible.

        The boxes are the newer ones; of the looks, ``memory`` (0 to 1) is.
        """
        seen = newer.visible
        places, newer = places[seen], newer[seen]
        boxes = self.boxes.copy()
        boxes[places] = newer.boxes
        weight = np.where(self.visible[places], memory, 1.0)
        mixed = self.looks[places].mixed(newer.looks, weight)
        return Detections(boxes, self.looks.replaced(places, mixed))


def unseen(count: int) -> Detections:
    """``count`` things that are not visible."""
    return Detections(np.full((count, 4), np.nan), empty_features(count))


def see(objects: ViewObjects, image_rgb: np.ndarray, mask: np.ndarray) -> Detections:
    """``objects`` in ``image_rgb``, whose ids are in ``mask``; as ``extract_features``."""
    return Detections(
        box_edges(objects.boxes), extract_features(image_rgb, mask, objects.track_ids)
    )


def in_raster_order(objects: ViewObjects) -> ViewObjects:
    """By row, column and all else that is seen, so that the order they came in does not matter."""

    def key(i: int) -> tuple:
        x, y, height, width = objects.boxes[i].tolist()
        return y, x, height, width, float(objects.scores[i]), objects.crops[i].tobytes()

    order = sorted(range(len(objects)), key=key)
    return ViewObjects(*(values[order] for values in objects.fields)) if order else objects
