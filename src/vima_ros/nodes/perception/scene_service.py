"""The service ``get_scene``: images of the newest observation, and the object of each pixel."""

from __future__ import annotations

import numpy as np
from rclpy.task import Future
from std_msgs.msg import Header

from vima_msgs.srv import GetScene
from vima_ros.errors import WaitTimeoutError
from vima_ros.nodes.common import conversions, image_conversion
from vima_ros.nodes.common.guarded_node import GuardedNode
from vima_ros.perception.pipeline import PerceptionResult
from vima_ros.specs import VIEWS

SCENE_TIMEOUT = 3.0  # for the objects of the next pair; clients wait longer [s]


ServedResult = tuple[PerceptionResult, dict[str, Header]]  # and the images' headers, by view


class SceneService:
    """Keeps the latest result and serves it; all in the executor's thread.

    Where the policy reads whole images, the objects are found on request, in the next pair.
    """

    def __init__(self, node: GuardedNode) -> None:
        self._node = node
        self._latest: ServedResult | None = None
        self._awaited: Future[ServedResult | None] | None = None  # the next that can be served
        node.create_service(GetScene, "get_scene", self._on_get_scene)

    @property
    def wanted(self) -> bool:
        """True while a request waits for objects; may be read from any thread."""
        return self._awaited is not None

    def update(self, result: PerceptionResult, headers: dict[str, Header]) -> None:
        """Keep the latest result, a refusal included; ``headers``: of the images, by view."""
        self._latest = result.scene or result, headers
        if not _lacks_objects(self._latest):
            self._respond()

    def clear(self) -> None:
        """Forget the latest result."""
        self._latest = None
        self._respond()

    def _respond(self) -> None:
        if self._awaited is not None:
            self._awaited.set_result(self._latest)
            self._awaited = None

    async def _on_get_scene(
        self, request: GetScene.Request, response: GetScene.Response
    ) -> GetScene.Response:
        latest = self._latest
        if _lacks_objects(latest):
            self._awaited = self._awaited or Future()
            try:
                latest = await self._node.wait_for_response(self._awaited, SCENE_TIMEOUT)
            except WaitTimeoutError as error:
                response.code, response.message = "NO_FRAMES", f"no pair of frames: {error}"
                return response
        if latest is None:
            response.code, response.message = "NO_FRAMES", "no frames since activation"
            return response
        result, headers = latest
        response.code, response.message = result.code, result.message
        if result.observation is None:
            return response
        response.success = True
        response.observation = conversions.observation_to_message(result.observation, headers)
        for view in VIEWS:
            setattr(response, view, image_conversion.encode(result.frames[view], "rgb8"))
            track_ids = result.labels(view)
            labels = np.zeros(track_ids.shape, np.uint16)
            for label, track_id in enumerate(
                getattr(result.observation, view).track_ids.tolist(), 1
            ):
                labels[track_ids == track_id] = label
            setattr(response, f"{view}_labels", image_conversion.encode(labels, "mono16"))
        return response


def _lacks_objects(scene: ServedResult | None) -> bool:
    """Return True for a result of whole images, for which no detector was run."""
    observation = scene[0].observation if scene is not None else None
    return observation is not None and observation.images is not None
