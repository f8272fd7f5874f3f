"""Encoding of a prompt's images into what the policy reads of them: objects, or whole images."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from vima_ros.errors import VimaError
from vima_ros.perception.crops import extract_objects
from vima_ros.perception.detectors.base import Detector
from vima_ros.perception.detectors.instances import Instances, keep_largest
from vima_ros.perception.detectors.registry import make_detector
from vima_ros.perception.view_images import view_images
from vima_ros.specs import VIEWS, AssetKind, PromptImage, ViewImages, ViewObjects

# By the kind of image: what finds objects in images without masks, as in config/prompt.yaml.
DETECTORS = {AssetKind.OBJECT: "plain_background", AssetKind.SCENE: "onnx"}

Views = Mapping[str, tuple[np.ndarray, np.ndarray | None]]
WHITE = 255  # around an object, as in VIMA-Bench's images of one


class PromptImageEncoder:
    """Finds the objects of prompt images: by the mask, or without one by a detector.

    The prompt node, evaluation and training read prompt images by it alone. ``detectors``: the
    detector of each kind of asset, for images without masks; where none is given, such an image is
    refused with NO_MASK. ``whole_images``: the policy reads both views whole, and no objects: of a
    scene as they are, of one object that object on white, where it is.
    """

    def __init__(
        self,
        detectors: Mapping[AssetKind, Detector] | None = None,
        *,
        whole_images: bool = False,
    ) -> None:
        self.detectors = dict(detectors or {})
        self.whole_images = whole_images
        self._ground_truth = make_detector("ground_truth_masks")

    def encode(self, name: str, kind: AssetKind, views: Views) -> PromptImage:
        """Encode the image ``name`` as ``read`` does, and check that it shows an object.

        Raises VimaError naming the image: NO_OBJECT if no view shows one, or one of two whole
        images of an object does not; else as ``read``.
        """
        image = self.read(name, kind, views)
        if image.images is not None:
            hidden = [v for v in VIEWS if (getattr(image.images, v) == WHITE).all()]
            if kind == AssetKind.OBJECT and hidden:
                raise VimaError(
                    "NO_OBJECT",
                    f"image {{{name}}} shows no object in the {hidden[0]} view; valid: it is "
                    "visible in both, for a policy that reads whole images",
                )
        elif not any(len(getattr(image, view)) for view in VIEWS):
            raise VimaError("NO_OBJECT", f"image {{{name}}} shows no object in any view")
        return image

    def read(self, name: str, kind: AssetKind, views: Views) -> PromptImage:
        """Read the image ``name``, a view or both: {view: (RGB, mask or None)}.

        RGB is uint8 (128, 256, 3), a mask uint8 or uint16 (128, 256) of instance ids. Raises
        VimaError naming the image: as ``Detector.detect``, and NO_IMAGES without both views where
        they are read whole.
        """
        try:
            if self.whole_images:
                empty = ViewObjects.empty()
                return PromptImage(name, kind, empty, empty, self._whole(views, kind))
            objects = {
                view: extract_objects(views[view][0], self._find(*views[view], view, kind))
                if view in views
                else ViewObjects.empty()
                for view in VIEWS
            }
        except VimaError as error:
            error.add_context(f"image {{{name}}}, ")
            raise
        return PromptImage(name, kind, objects["front"], objects["top"])

    def _whole(self, views: Views, kind: AssetKind) -> ViewImages:
        absent = [view for view in VIEWS if view not in views]
        if absent:
            raise VimaError(
                "NO_IMAGES",
                f"no {absent[0]} view; valid: both, for a policy that reads whole images",
            )
        frames = {view: rgb for view, (rgb, _) in views.items()}
        if kind == AssetKind.OBJECT:
            for view in VIEWS:
                shown = self._find(*views[view], view, kind).mask[..., None] > 0
                frames[view] = np.where(shown, frames[view], WHITE).astype(np.uint8)
        return view_images(frames)

    def _find(
        self, rgb: np.ndarray, mask: np.ndarray | None, view: str, kind: AssetKind
    ) -> Instances:
        detector = self._ground_truth
        if mask is None:
            detector = self.detectors.get(kind, detector)
        instances = detector.detect(rgb, view, mask)
        return keep_largest(instances) if kind == AssetKind.OBJECT else instances
