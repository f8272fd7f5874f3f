"""The service ``get_scene``: the pictures of the newest observation, and whose each pixel is."""

from __future__ import annotations

from typing import Any

import numpy as np

from vima_msgs.srv import GetScene
from vima_ros.nodes.common import conversions, image_conversion
from vima_ros.perception.pipeline import Seen
from vima_ros.specs import VIEWS


class SceneServer:
    """Keeps what was seen last."""

    def __init__(self, node: Any) -> None:
        self._seen: Seen | None = None
        self._headers: dict[str, Any] = {}
        node.create_service(GetScene, "get_scene", self._on_get_scene)

    def keep(self, seen: Seen, headers: dict[str, Any]) -> None:
        """What was seen last, or refused; ``headers`` are the cameras' own."""
        self._seen, self._headers = seen, headers

    def forget(self) -> None:
        """Nothing was seen."""
        self._seen = None

    def _on_get_scene(self, request: Any, response: Any) -> Any:
        seen = self._seen
        if seen is None:
            response.code, response.message = "NO_FRAMES", "no frames since activation"
            return response
        response.code, response.message = seen.code, seen.message
        if seen.observation is None:
            return response
        response.success = True
        response.observation = conversions.observation_to_message(seen.observation, self._headers)
        for view in VIEWS:
            setattr(response, view, image_conversion.encode(seen.frames[view], "rgb8"))
            tracks = getattr(seen.observation, view).track_ids
            owners = seen.labels(view)
            places = np.zeros(owners.shape, np.uint16)
            for place, track in enumerate(tracks.tolist(), 1):
                places[owners == track] = place
            setattr(response, f"{view}_labels", image_conversion.encode(places, "mono16"))
        return response
