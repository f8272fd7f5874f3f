"""Encoding of a prompt's images into the objects that the policy sees of them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from vima_ros.errors import VimaError
from vima_ros.perception.crops import extract_objects
from vima_ros.perception.detectors.base import Detector
from vima_ros.perception.detectors.instances import keep_largest
from vima_ros.perception.detectors.registry import make_detector
from vima_ros.specs import VIEWS, AssetKind, PromptImage, ViewObjects

# By the kind of image: what finds objects in images without masks, as in config/prompt.yaml.
DETECTORS = {AssetKind.OBJECT: "plain_background", AssetKind.SCENE: "onnx"}

Views = Mapping[str, tuple[np.ndarray, np.ndarray | None]]


class PromptImageEncoder:
    """Finds the objects of prompt images: by the mask, or without one by a detector.

    The prompt node, evaluation and training read prompt images by it alone. ``detectors``: the
    detector of each kind of asset, for images without masks; where none is given, such an image is
    refused with NO_MASK.
    """

    def __init__(self, detectors: Mapping[AssetKind, Detector] | None = None) -> None:
        self.detectors = dict(detectors or {})
        self._ground_truth = make_detector("ground_truth_masks")

    def encode(self, name: str, kind: AssetKind, views: Views) -> PromptImage:
        """Encode the image ``name`` as ``read`` does, and check that it shows an object.

        Raises VimaError naming the image: NO_OBJECT if no view shows one, else as ``read``.
        """
        image = self.read(name, kind, views)
        if not any(len(getattr(image, view)) for view in VIEWS):
            raise VimaError("NO_OBJECT", f"image {{{name}}} shows no object in any view")
        return image

    def read(self, name: str, kind: AssetKind, views: Views) -> PromptImage:
        """Find the objects of the image ``name``, a view or both: {view: (RGB, mask or None)}.

        RGB is uint8 (128, 256, 3), a mask uint8 or uint16 (128, 256) of instance ids. Raises
        VimaError naming the image, as ``Detector.detect``.
        """
        try:
            objects = {
                view: self._find(*views[view], view, kind)
                if view in views
                else ViewObjects.empty()
                for view in VIEWS
            }
        except VimaError as error:
            error.add_context(f"image {{{name}}}, ")
            raise
        return PromptImage(name, kind, **objects)

    def _find(
        self, rgb: np.ndarray, mask: np.ndarray | None, view: str, kind: AssetKind
    ) -> ViewObjects:
        detector = self._ground_truth
        if mask is None:
            detector = self.detectors.get(kind, detector)
        instances = detector.detect(rgb, view, mask)
        if kind == AssetKind.OBJECT:
            instances = keep_largest(instances)
        return extract_objects(rgb, instances)
