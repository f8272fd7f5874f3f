"""Detections of one view at one moment: boxes and appearance."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vima_ros.boxes import box_edges
from vima_ros.perception.tracking.appearance import (
    AppearanceFeatures,
    concatenate,
    empty_features,
    extract_features,
)
from vima_ros.specs import ViewObjects


@dataclass(frozen=True, eq=False)
class Detections:
    """Detections of n objects in one view: ``boxes`` (n, 4) as ``box_edges``, and ``features``.

    A box is NaN, and the features are meaningless, where the object is not visible in that view.
    """

    boxes: np.ndarray
    features: AppearanceFeatures

    def __getitem__(self, chosen: np.ndarray) -> Detections:
        return Detections(self.boxes[chosen], self.features[chosen])

    def __len__(self) -> int:
        return len(self.boxes)

    @property
    def visible(self) -> np.ndarray:
        """Visibility of each object, (n,) bool."""
        return ~np.isnan(self.boxes[:, 0])

    def concatenated(self, others: Detections) -> Detections:
        """Return these followed by ``others``."""
        return Detections(
            np.concatenate([self.boxes, others.boxes]), concatenate(self.features, others.features)
        )

    def at(self, places: np.ndarray) -> Detections:
        """Return the detections at ``places`` (m,); an invisible one for -1."""
        return self.concatenated(hidden(1))[places]

    def updated(self, places: np.ndarray, newer: Detections, memory: float) -> Detections:
        """Return a copy in which those at ``places`` are updated by visible ``newer`` ones.

        The boxes are the newer ones; the newer features have the weight ``memory``, 0 to 1.
        """
        visible = newer.visible
        places, newer = places[visible], newer[visible]
        boxes = self.boxes.copy()
        boxes[places] = newer.boxes
        weight = np.where(self.visible[places], memory, 1.0)
        blended = self.features[places].blended(newer.features, weight)
        return Detections(boxes, self.features.replaced(places, blended))


def hidden(count: int) -> Detections:
    """Return ``count`` invisible objects."""
    return Detections(np.full((count, 4), np.nan), empty_features(count))


def extract(objects: ViewObjects, image_rgb: np.ndarray, mask: np.ndarray) -> Detections:
    """Extract the detections of ``objects`` from ``image_rgb`` and their ids in ``mask``."""
    return Detections(
        box_edges(objects.boxes), extract_features(image_rgb, mask, objects.track_ids)
    )


def sort_in_raster_order(objects: ViewObjects) -> ViewObjects:
    """Sort by row, column and all other values, so that the input order does not matter."""

    def key(i: int) -> tuple:
        x, y, height, width = objects.boxes[i].tolist()
        return y, x, height, width, float(objects.scores[i]), objects.crops[i].tobytes()

    order = sorted(range(len(objects)), key=key)
    return objects.at(order)
