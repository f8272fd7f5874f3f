"""A pair of camera messages with their decoded images, and the check of their frame_ids."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from vima_ros.errors import add_view_to_errors, error_of_views
from vima_ros.nodes.common import image_conversion
from vima_ros.specs import VIEWS


@dataclass(frozen=True, eq=False)
class ImagePair:
    """Messages of one moment, {"front/image": …}, and their stamps [ns] by view.

    ``epoch``: counts the jumps of the clock before the pair. ``complete``: arrival of its last
    message, steady clock [s]. ``times``: durations of the stages so far [s].
    """

    messages: Mapping[str, Image | CompressedImage]
    stamps: Mapping[str, int]
    epoch: int
    complete: float
    times: Mapping[str, float]

    def headers(self) -> dict[str, Header]:
        """Return the headers of the image messages, by view."""
        return {view: self.messages[f"{view}/image"].header for view in VIEWS}

    def images(self) -> dict[str, np.ndarray]:
        """Decode the RGB images, by view. Raises VimaError (BAD_IMAGE) naming the view."""
        return self._decoded("image", image_conversion.decode_colour)

    def masks(self) -> dict[str, np.ndarray]:
        """Decode the instance masks, by view. Raises VimaError (BAD_IMAGE) naming the view."""
        return self._decoded("mask", image_conversion.decode_mask)

    def _decoded(self, kind: str, decode: Callable) -> dict[str, np.ndarray]:
        decoded = {}
        for view in VIEWS:
            with add_view_to_errors(view):
                decoded[view] = decode(self.messages[f"{view}/{kind}"])
        return decoded


class CameraFrameCheck:
    """Check that each view's images come from its own camera, by their frame_id.

    ``expected`` by view; empty: the first frame_id of the pair's epoch, from then on no other.
    Only one thread may check.
    """

    def __init__(self, expected: Mapping[str, str]) -> None:
        self._expected = dict(expected)
        self._epoch = 0
        self._learned: dict[str, str] = {}  # of that epoch, by view

    def check(self, pair: ImagePair) -> None:
        """Raise VimaError (WRONG_CAMERA) for images of another camera, as after a mix-up."""
        if pair.epoch != self._epoch:  # other cameras may be there
            self._epoch, self._learned = pair.epoch, {}
        wrong = []
        for view, header in pair.headers().items():
            known = self._expected[view] or self._learned.setdefault(view, header.frame_id)
            if not known:
                del self._learned[view]
            elif header.frame_id != known:
                wrong.append((view, f"from {header.frame_id!r}, valid: {known!r}"))
        if wrong:
            advice = " (are the cameras swapped, or remapped?)"
            raise error_of_views("WRONG_CAMERA", wrong, advice)
