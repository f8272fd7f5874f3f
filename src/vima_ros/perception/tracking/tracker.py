"""Tracking: an object keeps its id over time and has one id in both views."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from vima_ros.boxes import center_distances, iou
from vima_ros.errors import VimaError
from vima_ros.perception.detectors.instances import MAX_ID, check_image, check_mask
from vima_ros.perception.tracking.appearance import colour_distances, size_distances
from vima_ros.perception.tracking.detections import (
    Detections,
    extract,
    hidden,
    sort_in_raster_order,
)
from vima_ros.perception.tracking.view_association import associate_views, linear_assignment
from vima_ros.specs import VIEWS, ViewObjects

MAX_TRACK_ID = int(np.iinfo(np.uint32).max)  # of vima_msgs/Object.track_id
MAX_OBJECTS = 256  # in one view; limits the computation of an update

_HALF_COST_DISTANCE = 60.0  # [px] distance with half the maximum cost
_NEVER = 1e6


@dataclass(frozen=True)
class TrackerSettings:
    """Memory and matching costs of the tracker.

    ``max_missed``: frames for which an invisible object is remembered. ``max_lost``: maximum
    number of invisible objects, the latest. The other settings weigh the differences between two
    detections: boxes without overlap cost 1; ``distance``, ``colour`` and ``size`` are maximum
    costs; an object that was lost costs ``lost`` more. Detections of ``limit`` or more are two
    objects, and so are those with a colour distance of ``unlike`` or more (0 to 1). ``memory``:
    weight of the newest image in the remembered appearance.

    Raises VimaError (INVALID_VALUE) for a negative number or a ``memory`` outside 0 to 1.
    """

    max_missed: int = 300
    max_lost: int = 64
    distance: float = 0.3
    colour: float = 2.0
    size: float = 0.25
    lost: float = 0.4
    limit: float = 2.6
    unlike: float = 0.8
    memory: float = 0.3

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not 0 <= value < np.inf or (name == "memory" and value > 1):
                valid = "0 to 1" if name == "memory" else "0 or more"
                raise VimaError(
                    "INVALID_VALUE", f"TrackerSettings.{name} is {value}; valid: {valid}"
                )


class Tracker:
    """Gives every object an id: 1, 2, ... in raster order of the top view, each used once.

    The same input gives the same ids, independent of the order of the objects within a view.
    ``track_ids``: by view, {id given to the latest ``update``: track id}.
    """

    def __init__(self, settings: TrackerSettings | None = None) -> None:
        self.settings = settings or TrackerSettings()
        self.reset()

    def reset(self) -> None:
        """Forget all tracks; ids start at 1 again."""
        self._next_id = 1
        self._stamp: int | None = None
        self._ids: np.ndarray = np.zeros(0, np.int64)  # ascending, one for each track
        self._first: np.ndarray = np.zeros(0, np.int64)  # stamp of the first detection [ns]
        self._missed: np.ndarray = np.zeros(0, np.int64)  # frames since the last one
        self._tracks = dict.fromkeys(VIEWS, hidden(0))
        self.track_ids: dict[str, dict[int, int]] = {view: {} for view in VIEWS}

    def update(
        self,
        views: Mapping[str, ViewObjects],
        stamp_ns: int,
        images: Mapping[str, np.ndarray],
        masks: Mapping[str, np.ndarray],
    ) -> dict[str, ViewObjects]:
        """Track the objects of both views at ``stamp_ns`` [ns]; return them sorted by track id.

        ``views``: their track ids are the detector's. ``images``: policy frames of the table,
        uint8 RGB (128, 256, 3). ``masks`` uint8 or uint16 (128, 256): the detector's ids, also
        of objects that were left out. All but the track ids comes back as it is. After an error
        the tracker is as before.

        Raises VimaError: INVALID_VALUE for anything else, an id twice in a view, an object
        without a pixel, or more than MAX_OBJECTS in a view; INVALID_STAMP for a stamp before the
        last one; TRACK_IDS_USED_UP.
        """
        self._check(views, stamp_ns, images, masks)
        objects = {view: sort_in_raster_order(views[view]) for view in VIEWS}
        found = {view: extract(objects[view], images[view], masks[view]) for view in VIEWS}
        places = self._match_views(found)
        detections = {view: found[view].at(places[view]) for view in VIEWS}
        ids = self._identify(detections, stamp_ns)
        return {
            view: self._with_track_ids(view, objects[view], places[view], ids) for view in VIEWS
        }

    def ages(self, stamp_ns: int) -> dict[int, float]:
        """Return the time since each remembered object was first found [s], by track id."""
        seconds = (stamp_ns - self._first) / 1e9
        return dict(zip(self._ids.tolist(), seconds.tolist(), strict=True))

    def _check(
        self,
        views: Mapping[str, ViewObjects],
        stamp_ns: int,
        images: Mapping[str, np.ndarray],
        masks: Mapping[str, np.ndarray],
    ) -> None:
        for given in (views, images, masks):
            if set(given) != set(VIEWS):
                raise VimaError(
                    "INVALID_VALUE", f"views {sorted(given)}; valid: {', '.join(VIEWS)}"
                )
        for view, objects in views.items():
            check_image(images[view])
            check_mask(masks[view])
            if len(objects) > MAX_OBJECTS:
                raise VimaError(
                    "INVALID_VALUE",
                    f"{len(objects)} objects in the {view} view; valid: up to {MAX_OBJECTS}",
                )
            ids = set(objects.track_ids.tolist())
            if len(ids) != len(objects) or not all(1 <= i <= MAX_ID for i in ids):
                raise VimaError(
                    "INVALID_VALUE",
                    f"ids {objects.track_ids.tolist()} in the {view} view; valid: 1 to {MAX_ID}, "
                    "each once",
                )
        if self._stamp is not None and stamp_ns < self._stamp:
            raise VimaError(
                "INVALID_STAMP",
                f"stamp {stamp_ns} ns is before the last one, {self._stamp} ns; valid: that or "
                "later, unless the tracker was reset",
            )

    def _match_views(self, found: dict[str, Detections]) -> dict[str, np.ndarray]:
        """Match the views: index of each object in each view, -1 where it is hidden.

        In raster order of the top view, then those of the front view alone.
        """
        front, top = (found[view] for view in VIEWS)
        prior = self._pair_prior(found)
        pairs = associate_views(front.boxes, top.boxes, front.features, top.features, prior)
        partner = {j: i for i, j in pairs}
        alone = sorted(set(range(len(front.boxes))) - set(partner.values()))
        places = [(partner.get(j, -1), j) for j in range(len(top.boxes))]
        places += [(i, -1) for i in alone]
        table = np.array(places, np.int64).reshape(-1, 2)
        return {view: table[:, k] for k, view in enumerate(VIEWS)}

    def _pair_prior(self, found: dict[str, Detections]) -> np.ndarray:
        """Return the overlap of pairs (n front, n top) with objects last visible in both views."""
        both = self._missed == 0
        for view in VIEWS:
            both = both & self._tracks[view].visible
        front, top = (iou(self._tracks[v].boxes[both], found[v].boxes) for v in VIEWS)
        return (front[:, :, None] * top[:, None, :]).max(0, initial=0.0)

    def _identify(self, detections: dict[str, Detections], stamp_ns: int) -> np.ndarray:
        """Return the track id (n,) of each detection and update the tracks."""
        count = len(detections[VIEWS[0]].boxes)
        pairs = linear_assignment(self._cost(detections), self.settings.limit)
        tracks, matched = np.array(pairs, np.int64).reshape(-1, 2).T
        new = np.setdiff1d(np.arange(count), matched)
        if self._next_id + len(new) - 1 > MAX_TRACK_ID:
            raise VimaError(
                "TRACK_IDS_USED_UP",
                f"{len(new)} new objects after id {self._next_id - 1}; valid: up to "
                f"{MAX_TRACK_ID}; reset the tracker",
            )
        ids = np.zeros(count, np.int64)
        ids[matched] = self._ids[tracks]
        ids[new] = self._next_id + np.arange(len(new))
        self._next_id += len(new)
        self._stamp = stamp_ns
        self._missed += 1
        self._missed[tracks] = 0
        for view, now in detections.items():
            updated = self._tracks[view].updated(tracks, now[matched], self.settings.memory)
            self._tracks[view] = updated.concatenated(now[new])
        self._ids = np.append(self._ids, ids[new])
        self._first = np.append(self._first, np.full(len(new), stamp_ns))
        self._missed = np.append(self._missed, np.zeros(len(new), np.int64))
        self._forget()
        return ids

    def _cost(self, detections: dict[str, Detections]) -> np.ndarray:
        """Return costs (tracks, detections): means over the views in which both are visible."""
        s = self.settings
        total = np.zeros((len(self._ids), len(detections[VIEWS[0]].boxes)))
        views = np.zeros_like(total)
        for view in VIEWS:
            was, now = self._tracks[view], detections[view]
            colour = colour_distances(was.features, now.features)
            cost = (
                1.0
                - iou(was.boxes, now.boxes)
                + s.distance * _distance_cost(center_distances(was.boxes, now.boxes))
                + s.colour * colour
                + s.size * size_distances(was.features, now.features)
            )
            cost[colour >= s.unlike] = _NEVER
            both = was.visible[:, None] & now.visible
            total += np.where(both, cost, 0.0)
            views += both
        mean = np.divide(total, views, out=np.full_like(total, _NEVER), where=views > 0)
        return mean + s.lost * (self._missed > 0)[:, None]

    def _forget(self) -> None:
        """Drop tracks missed for too long, and the longest missed beyond ``max_lost``."""
        lost = np.flatnonzero(self._missed)
        latest = lost[np.argsort(self._missed[lost], kind="stable")][: self.settings.max_lost]
        keep = self._missed == 0
        keep[latest] = self._missed[latest] <= self.settings.max_missed
        self._ids, self._first = self._ids[keep], self._first[keep]
        self._missed = self._missed[keep]
        self._tracks = {view: found[keep] for view, found in self._tracks.items()}

    def _with_track_ids(
        self, view: str, objects: ViewObjects, places: np.ndarray, ids: np.ndarray
    ) -> ViewObjects:
        here = places >= 0
        order = np.argsort(ids[here])
        chosen, track_ids = places[here][order], ids[here][order]
        boxes, crops, scores, detected, outlines = (v[chosen] for v in objects.fields)
        self.track_ids[view] = dict(zip(detected.tolist(), track_ids.tolist(), strict=True))
        return ViewObjects(boxes, crops, scores, track_ids, outlines)


def _distance_cost(distance: np.ndarray) -> np.ndarray:
    """Map distances [px] to costs from 0 to 1."""
    return distance / (distance + _HALF_COST_DISTANCE)
