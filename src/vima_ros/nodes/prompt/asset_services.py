"""The asset library's services: capture what is seen now, list, delete."""

from __future__ import annotations

from typing import Any

import numpy as np

from vima_msgs.msg import Asset, PromptStatus
from vima_msgs.msg import Observation as ObservationMessage
from vima_msgs.srv import CaptureAsset, DeleteAsset, GetScene, ListAssets
from vima_ros.errors import VimaError
from vima_ros.nodes.common import conversions, image_conversion
from vima_ros.prompt.asset_library import AssetLibrary, StoredAsset, check_name
from vima_ros.specs import VIEWS, AssetKind, ViewObjects

PATIENCE = 5.0  # for perception to show what it sees [s]
LEAST_OVERLAP = 0.3  # of a box and an object's, intersection over union


class LibraryServer:
    """Serves ``capture_asset``, ``list_assets`` and ``delete_asset``."""

    def __init__(self, node: Any, library: AssetLibrary) -> None:
        self._node, self._library = node, library
        self._scenes = node.create_client(GetScene, "get_scene")
        node.serve(CaptureAsset, "capture_asset", self._on_capture)
        node.serve(ListAssets, "list_assets", self._on_list)
        node.serve(DeleteAsset, "delete_asset", self._on_delete)

    async def _on_capture(self, request: Any, response: Any) -> Any:
        try:
            if not self._node.active:
                raise VimaError("NOT_ACTIVE", "the prompt node is not active")
            check_name(request.name)
            if request.kind not in list(AssetKind):
                raise VimaError("BAD_KIND", f"kind {request.kind}; valid: 0 object, 1 scene")
            asset = capture(request, await self._look())
            self._library.save(asset)
        except VimaError as error:
            self._node.meter.refused(error.code, str(error))
            self._node.get_logger().warning(f"capture refused: {error.code}: {error}")
            response.code, response.message = error.code, str(error)
            return response
        self._node.get_logger().info(f"captured {{{asset.name}}}")
        response.success, response.code = True, PromptStatus.OK
        response.asset = _told(asset)
        return response

    async def _look(self) -> Any:
        try:
            seen = await self._node.answer(self._scenes.call_async(GetScene.Request()), PATIENCE)
        except VimaError as error:
            raise VimaError("NO_OBSERVATION", "the perception node does not answer") from error
        if not seen.success:
            raise VimaError("NO_OBSERVATION", f"{seen.code}: {seen.message}")
        return seen

    def _on_list(self, request: Any, response: Any) -> Any:
        try:
            names = self._library.names()
        except VimaError as error:
            response.code, response.message = error.code, str(error)
            return response
        response.success, response.code = True, PromptStatus.OK
        for name in names:
            try:
                response.assets.append(_told(self._library.load(name)))
            except VimaError as error:
                self._node.get_logger().error(str(error))
                response.unreadable.append(name)
        return response

    def _on_delete(self, request: Any, response: Any) -> Any:
        try:
            self._library.delete(request.name)
            response.success, response.code = True, PromptStatus.OK
        except VimaError as error:
            response.code, response.message = error.code, str(error)
        return response


def _told(asset: StoredAsset) -> Asset:
    counts = asset.counts()
    message = Asset(name=asset.name, kind=int(asset.kind))
    message.stamp = conversions.ns_to_stamp(asset.stamp)
    message.front_count, message.top_count = counts["front"], counts["top"]
    return message


def capture(request: Any, scene: Any) -> StoredAsset:
    """What ``request`` (CaptureAsset) means in ``scene`` (GetScene's answer).

    Raises VimaError: BAD_VIEW, UNKNOWN_TRACK, NO_OBJECT_AT_SELECTION.
    """
    frames = {view: image_conversion.decode_colour(getattr(scene, view)) for view in VIEWS}
    places = {
        view: image_conversion.decode_mask(getattr(scene, f"{view}_labels")) for view in VIEWS
    }
    found = {v: conversions.view_from_message(getattr(scene.observation, v)) for v in VIEWS}
    origin: dict[str, Any] = {"observation_ns": conversions.stamp_to_ns(_stamp(scene.observation))}
    if request.kind == AssetKind.OBJECT:
        track = _choose(request, found, places)
        for view in VIEWS:
            place = [i + 1 for i, t in enumerate(found[view].track_ids.tolist()) if t == track]
            places[view] = np.where(np.isin(places[view], place), 1, 0).astype(np.uint16)
            if place:
                objects = found[view]
                origin[f"{view}_box"] = objects.boxes[place[0] - 1].tolist()
                origin[f"{view}_score"] = round(float(objects.scores[place[0] - 1]), 3)
        origin["track_id"] = track
    views = {v: (frames[v], places[v]) for v in VIEWS if places[v].any()}
    stamp = conversions.stamp_to_ns(_stamp(scene.observation))
    return StoredAsset(request.name, AssetKind(request.kind), views, stamp, origin)


def _stamp(observation: ObservationMessage) -> Any:
    return observation.header.stamp


def _choose(request: Any, found: dict[str, ViewObjects], places: dict[str, np.ndarray]) -> int:
    """The track id that is meant."""
    if request.select == CaptureAsset.Request.BY_TRACK_ID:
        ids = sorted({int(t) for objects in found.values() for t in objects.track_ids})
        if request.track_id not in ids:
            raise VimaError(
                "UNKNOWN_TRACK", f"no object {request.track_id} is seen now; valid: {ids}"
            )
        return int(request.track_id)
    if request.view not in VIEWS:
        raise VimaError("BAD_VIEW", f"view {request.view!r}; valid: {', '.join(VIEWS)}")
    objects = found[request.view]
    if request.select == CaptureAsset.Request.BY_PIXEL:
        x, y = (int(value) for value in request.pixel)
        rows, columns = places[request.view].shape
        if not (x < columns and y < rows):
            raise VimaError(
                "NO_OBJECT_AT_SELECTION",
                f"pixel {x}, {y}; valid: below {columns}, {rows} in {request.view}",
            )
        place = int(places[request.view][y, x])
        if place:
            return int(objects.track_ids[place - 1])
        near = _nearest(objects, x, y)
        raise VimaError(
            "NO_OBJECT_AT_SELECTION", f"no object at {x}, {y} in the {request.view} view{near}"
        )
    if request.select != CaptureAsset.Request.BY_BOX:
        raise VimaError("BAD_KIND", f"select {request.select}; valid: 0 id, 1 pixel, 2 box")
    overlaps = [_overlap(request.bbox, box) for box in objects.boxes]
    best = int(np.argmax(overlaps)) if overlaps else -1
    if best < 0 or overlaps[best] < LEAST_OVERLAP:
        box = [int(value) for value in request.bbox]
        near = _nearest(objects, box[0], box[1])
        raise VimaError(
            "NO_OBJECT_AT_SELECTION", f"no object in box {box} of the {request.view} view{near}"
        )
    return int(objects.track_ids[best])


def _nearest(objects: ViewObjects, x: int, y: int) -> str:
    if not len(objects):
        return ""
    away = np.hypot(objects.boxes[:, 0] - x, objects.boxes[:, 1] - y)
    best = int(away.argmin())
    track, box = int(objects.track_ids[best]), objects.boxes[best].tolist()
    return f"; the nearest is {track} at {box[0]}, {box[1]}"


def _overlap(one: Any, other: Any) -> float:
    """Intersection over union of two boxes x_center, y_center, height, width [px]."""

    def span(box: Any, centre: int, side: int) -> tuple[float, float]:
        return float(box[centre]) - box[side] / 2, float(box[centre]) + box[side] / 2

    shared = 1.0
    for centre, side in ((0, 3), (1, 2)):
        (a, b), (c, d) = span(one, centre, side), span(other, centre, side)
        shared *= max(min(b, d) - max(a, c), 0.0)
    union = float(one[2]) * float(one[3]) + float(other[2]) * float(other[3]) - shared
    return shared / union if union > 0 else 0.0
