"""The pictures of a prompt, attached or from the library, as what the policy sees of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from vima_msgs.msg import PromptAsset
from vima_ros.errors import VimaError
from vima_ros.nodes.common import image_conversion
from vima_ros.perception.crops import extract_objects
from vima_ros.perception.detectors.instances import largest
from vima_ros.perception.detectors.registry import Detector, make_detector
from vima_ros.prompt.asset_library import StoredAsset
from vima_ros.specs import (
    POLICY_FRAME_HEIGHT,
    POLICY_FRAME_WIDTH,
    VIEWS,
    AssetKind,
    PromptImage,
    ViewObjects,
)


class PictureReader:
    """Finds the objects of pictures; where no mask tells, by the detector of their kind."""

    def __init__(self, detectors: Mapping[AssetKind, Detector]) -> None:
        self._detectors, self._by_mask = detectors, make_detector("masks")

    def read_sent(self, asset: PromptAsset) -> PromptImage:
        """An attached picture. Raises VimaError naming it, the view, and what is wrong."""
        if asset.kind not in list(AssetKind):
            raise VimaError(
                "BAD_KIND", f"{{{asset.name}}} has kind {asset.kind}; valid: 0 object, 1 scene"
            )
        try:
            views = {view: self._sent_view(asset, view) for view in VIEWS}
        except VimaError as error:
            raise VimaError(error.code, f"picture {{{asset.name}}}, {error}") from error
        return _image(asset.name, AssetKind(asset.kind), views)

    def read_stored(self, asset: StoredAsset) -> PromptImage:
        """A picture of the library. Raises VimaError (NO_OBJECT)."""
        views = dict.fromkeys(VIEWS, ViewObjects.empty())
        for view, (rgb, mask) in asset.views.items():
            views[view] = self._find(rgb, mask, view, asset.kind)
        return _image(asset.name, asset.kind, views)

    def _sent_view(self, asset: PromptAsset, view: str) -> ViewObjects:
        picture, mask = getattr(asset, view), getattr(asset, f"{view}_mask")
        if not picture.data:
            if mask.data:
                raise VimaError("BAD_IMAGE", f"{view} view: a mask without a picture")
            return ViewObjects.empty()
        try:
            rgb = image_conversion.decode_colour(picture)
            ids = image_conversion.decode_mask(mask) if mask.data else None
        except VimaError as error:
            raise VimaError(error.code, f"{view} view: {error}") from error
        for what, array in (("picture", rgb), ("mask", ids)):
            if array is not None and array.shape[:2] != (POLICY_FRAME_HEIGHT, POLICY_FRAME_WIDTH):
                raise VimaError(
                    "WRONG_SIZE",
                    f"{view} view: the {what} is {array.shape[1]}x{array.shape[0]} px; "
                    f"valid: {POLICY_FRAME_WIDTH}x{POLICY_FRAME_HEIGHT} px",
                )
        return self._find(rgb, ids, view, asset.kind)

    def _find(self, rgb: np.ndarray, ids: Any, view: str, kind: int) -> ViewObjects:
        detector = self._detectors[AssetKind(kind)] if ids is None else self._by_mask
        instances = detector.detect(rgb, view, ids)
        if kind == AssetKind.OBJECT:
            instances = largest(instances)
        return extract_objects(rgb, instances)


def _image(name: str, kind: AssetKind, views: dict[str, ViewObjects]) -> PromptImage:
    if not any(len(objects) for objects in views.values()):
        raise VimaError("NO_OBJECT", f"picture {{{name}}} shows no object in any view")
    return PromptImage(name, kind, **views)
