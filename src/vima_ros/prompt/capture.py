"""Selection of the object that an asset is captured of, and the asset made of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from vima_ros.boxes import box_edges, iou
from vima_ros.errors import VimaError
from vima_ros.prompt.asset_library import StoredAsset
from vima_ros.specs import VIEWS, AssetKind, ViewObjects

MIN_IOU = 0.3  # of a given box and the box of an object


@dataclass(frozen=True, eq=False)
class CapturedScene:
    """Images and objects of one observation, by view.

    ``images`` uint8 RGB (128, 256, 3). ``labels`` uint16 (128, 256): the object of each pixel, by
    its index in ``objects`` + 1, 0 = background. ``stamp`` [ns].
    """

    images: Mapping[str, np.ndarray]
    labels: Mapping[str, np.ndarray]
    objects: Mapping[str, ViewObjects]
    stamp: int

    def track_with_id(self, track_id: int) -> int:
        """Return ``track_id`` itself. Raises VimaError (UNKNOWN_TRACK) if no object has it."""
        ids = sorted({int(t) for objects in self.objects.values() for t in objects.track_ids})
        if track_id not in ids:
            raise VimaError("UNKNOWN_TRACK", f"no object {track_id} is visible; valid: {ids}")
        return track_id

    def track_at_pixel(self, view: str, x: int, y: int) -> int:
        """Return the track id of the object at a pixel of a view.

        Raises VimaError: BAD_VIEW, NO_OBJECT_AT_SELECTION.
        """
        objects, labels = self.objects[_check_view(view)], self.labels[view]
        rows, columns = labels.shape
        if not (x < columns and y < rows):
            raise VimaError(
                "NO_OBJECT_AT_SELECTION",
                f"pixel {x}, {y}; valid: below {columns}, {rows} in {view}",
            )
        label = int(labels[y, x])
        if label:
            return int(objects.track_ids[label - 1])
        raise VimaError(
            "NO_OBJECT_AT_SELECTION",
            f"no object at {x}, {y} in the {view} view{_nearest(objects, x, y)}",
        )

    def track_in_box(self, view: str, box: Sequence[int]) -> int:
        """Return the track id of the object whose box overlaps ``box`` most.

        ``box``: x centre, y centre, height, width [px]. Raises VimaError: BAD_VIEW,
        NO_OBJECT_AT_SELECTION below ``MIN_IOU``.
        """
        objects = self.objects[_check_view(view)]
        overlaps = iou(box_edges(np.array([box], np.int64)), box_edges(objects.boxes))[0]
        if not len(overlaps) or overlaps.max() < MIN_IOU:
            raise VimaError(
                "NO_OBJECT_AT_SELECTION",
                f"no object in box {list(box)} of the {view} view"
                f"{_nearest(objects, box[0], box[1])}",
            )
        return int(objects.track_ids[overlaps.argmax()])

    def to_asset(self, name: str, track_id: int | None) -> StoredAsset:
        """Make an asset of the object ``track_id``, or of the whole scene if that is None."""
        labels = dict(self.labels)
        origin: dict[str, Any] = {"observation_ns": self.stamp}
        if track_id is not None:
            for view in VIEWS:
                objects = self.objects[view]
                indices = np.flatnonzero(objects.track_ids == track_id)
                labels[view] = np.isin(labels[view], indices + 1).astype(np.uint16)
                if len(indices):
                    origin[f"{view}_box"] = objects.boxes[indices[0]].tolist()
                    origin[f"{view}_score"] = round(float(objects.scores[indices[0]]), 3)
            origin["track_id"] = track_id
        views = {v: (self.images[v], labels[v]) for v in VIEWS}
        kind = AssetKind.SCENE if track_id is None else AssetKind.OBJECT
        return StoredAsset(name, kind, views, self.stamp, origin)


def _check_view(view: str) -> str:
    if view not in VIEWS:
        raise VimaError("BAD_VIEW", f"view {view!r}; valid: {', '.join(VIEWS)}")
    return view


def _nearest(objects: ViewObjects, x: int, y: int) -> str:
    """Describe the object nearest to a pixel; empty without objects."""
    if not len(objects):
        return ""
    distances = np.hypot(objects.boxes[:, 0] - x, objects.boxes[:, 1] - y)
    index = int(distances.argmin())
    track_id, box = int(objects.track_ids[index]), objects.boxes[index].tolist()
    return f"; the nearest is {track_id} at {box[0]}, {box[1]}"
