"""Services of the asset library: capture, list, delete."""

from __future__ import annotations

from vima_msgs.msg import Asset, PromptStatus
from vima_msgs.srv import CaptureAsset, DeleteAsset, GetScene, ListAssets
from vima_ros.errors import VimaError
from vima_ros.nodes.common import conversions, image_conversion
from vima_ros.nodes.common.lifecycle_node import VimaNode
from vima_ros.prompt.asset_library import AssetLibrary, StoredAsset, check_name
from vima_ros.prompt.capture import CapturedScene
from vima_ros.specs import VIEWS, AssetKind

GET_SCENE_TIMEOUT = 5.0  # [s]


class AssetServices:
    """Serves ``capture_asset``, ``list_assets`` and ``delete_asset``."""

    def __init__(self, node: VimaNode, library: AssetLibrary) -> None:
        self._node, self._library = node, library
        self._get_scene = node.create_client(GetScene, "get_scene")
        node.create_service(CaptureAsset, "capture_asset", self._on_capture)
        node.create_service(ListAssets, "list_assets", self._on_list)
        node.create_service(DeleteAsset, "delete_asset", self._on_delete)

    async def _on_capture(
        self, request: CaptureAsset.Request, response: CaptureAsset.Response
    ) -> CaptureAsset.Response:
        try:
            if not self._node.active:
                raise VimaError("NOT_ACTIVE", "the prompt node is not active")
            check_name(request.name)
            if request.kind not in list(AssetKind):
                raise VimaError("BAD_KIND", f"kind {request.kind}; valid: 0 object, 1 scene")
            scene = _scene_from_response(await self._request_scene())
            track_id = (
                _selected_track(request, scene) if request.kind == AssetKind.OBJECT else None
            )
            asset = scene.to_asset(request.name, track_id)
            self._library.save(asset)
        except VimaError as error:
            self._node.statistics.record_refusal(error.code, str(error))
            self._node.get_logger().warning(f"capture refused: {error.code}: {error}")
            response.code, response.message = error.code, str(error)
            return response
        self._node.get_logger().info(f"captured {{{asset.name}}}")
        response.success, response.code = True, PromptStatus.OK
        response.asset = _asset_to_message(asset)
        return response

    async def _request_scene(self) -> GetScene.Response:
        future = self._get_scene.call_async(GetScene.Request())
        try:
            response = await self._node.wait_for_response(future, GET_SCENE_TIMEOUT)
        except VimaError as error:
            raise VimaError("NO_OBSERVATION", "the perception node does not respond") from error
        if not response.success:
            raise VimaError("NO_OBSERVATION", f"{response.code}: {response.message}")
        return response

    def _on_list(
        self, request: ListAssets.Request, response: ListAssets.Response
    ) -> ListAssets.Response:
        try:
            names = self._library.names()
        except VimaError as error:
            response.code, response.message = error.code, str(error)
            return response
        response.success, response.code = True, PromptStatus.OK
        for name in names:
            try:
                response.assets.append(_asset_to_message(self._library.load(name)))
            except VimaError as error:
                self._node.get_logger().error(str(error))
                response.unreadable.append(name)
        return response

    def _on_delete(
        self, request: DeleteAsset.Request, response: DeleteAsset.Response
    ) -> DeleteAsset.Response:
        try:
            self._library.delete(request.name)
            response.success, response.code = True, PromptStatus.OK
        except VimaError as error:
            response.code, response.message = error.code, str(error)
        return response


def _asset_to_message(asset: StoredAsset) -> Asset:
    counts = asset.counts()
    message = Asset(name=asset.name, kind=int(asset.kind))
    message.stamp = conversions.ns_to_stamp(asset.stamp)
    message.front_count, message.top_count = counts["front"], counts["top"]
    return message


def _scene_from_response(response: GetScene.Response) -> CapturedScene:
    observation = response.observation
    return CapturedScene(
        {v: image_conversion.decode_colour(getattr(response, v)) for v in VIEWS},
        {v: image_conversion.decode_mask(getattr(response, f"{v}_labels")) for v in VIEWS},
        {v: conversions.view_from_message(getattr(observation, v)) for v in VIEWS},
        conversions.stamp_to_ns(observation.header.stamp),
    )


def _selected_track(request: CaptureAsset.Request, scene: CapturedScene) -> int:
    """Return the track id of the object that a CaptureAsset request selects.

    Raises VimaError: BAD_KIND, BAD_VIEW, UNKNOWN_TRACK, NO_OBJECT_AT_SELECTION.
    """
    if request.select == CaptureAsset.Request.BY_TRACK_ID:
        return scene.track_with_id(int(request.track_id))
    if request.select == CaptureAsset.Request.BY_PIXEL:
        x, y = (int(value) for value in request.pixel)
        return scene.track_at_pixel(request.view, x, y)
    if request.select == CaptureAsset.Request.BY_BOX:
        return scene.track_in_box(request.view, [int(value) for value in request.bbox])
    raise VimaError("BAD_KIND", f"select {request.select}; valid: 0 id, 1 pixel, 2 box")
