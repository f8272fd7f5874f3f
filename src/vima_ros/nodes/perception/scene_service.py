"""The service ``get_scene``: images of the newest observation, and the object of each pixel."""

from __future__ import annotations

import numpy as np
from std_msgs.msg import Header

from vima_msgs.srv import GetScene
from vima_ros.nodes.common import conversions, image_conversion
from vima_ros.nodes.common.guarded_node import GuardedNode
from vima_ros.perception.pipeline import PerceptionResult
from vima_ros.specs import VIEWS


class SceneService:
    """Keeps the latest result and serves it; all in the executor's thread."""

    def __init__(self, node: GuardedNode) -> None:
        self._result: PerceptionResult | None = None
        self._headers: dict[str, Header] = {}
        node.create_service(GetScene, "get_scene", self._on_get_scene)

    def update(self, result: PerceptionResult, headers: dict[str, Header]) -> None:
        """Keep the latest result, a refusal included; ``headers``: of the images, by view."""
        self._result, self._headers = result, headers

    def clear(self) -> None:
        """Forget the latest result."""
        self._result = None

    def _on_get_scene(
        self, request: GetScene.Request, response: GetScene.Response
    ) -> GetScene.Response:
        result = self._result
        if result is None:
            response.code, response.message = "NO_FRAMES", "no frames since activation"
            return response
        response.code, response.message = result.code, result.message
        if result.observation is None:
            return response
        response.success = True
        response.observation = conversions.observation_to_message(
            result.observation, self._headers
        )
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
