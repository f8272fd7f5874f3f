"""Interface of every detector, and the settings one is made with."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from vima_ros.errors import VimaError, add_view_to_errors
from vima_ros.perception.detectors.instances import Instances, check_image, check_mask
from vima_ros.specs import VIEWS

MAX_THREADS = 256


def _invalid(message: str) -> VimaError:
    return VimaError("INVALID_VALUE", message)


@dataclass(frozen=True)
class DetectorSettings:
    """Settings of a detector; each backend reads those it uses.

    ``weights``: a file, "" = the backend's own. ``provider``: execution provider of ONNX Runtime.
    ``device``: torch device, "cpu" or "cuda". ``threads``: CPU threads. ``min_score``: objects
    with lower scores are left out; None = the limit of the weights or the backend.

    Raises VimaError (INVALID_VALUE).
    """

    weights: str = ""
    provider: str = "CPUExecutionProvider"
    device: str = "cpu"
    threads: int = 2
    min_score: float | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.threads <= MAX_THREADS:
            raise _invalid(f"threads is {self.threads}; valid: 1 to {MAX_THREADS}")
        if self.min_score is not None and not 0 <= self.min_score <= 1:
            raise _invalid(f"min_score is {self.min_score}; valid: 0 to 1")


DEFAULT_SETTINGS = DetectorSettings()


class Detector(ABC):
    """Interface of a backend that finds the objects of images.

    A backend implements ``_find``, and ``_find_views`` too if both views together cost less.

    ``needs_mask``: instance ids must be given with each image. ``has_stable_ids``: an id stands
    for one object, in both views and over time. ``has_weights``: ``settings.weights`` is used.
    ``min_score``: objects with lower scores are left out, and counted in ``low_score_count``.
    """

    needs_mask: bool = False
    has_stable_ids: bool = False
    has_weights: bool = False
    min_score: float = 0.0

    def __init__(self, settings: DetectorSettings = DEFAULT_SETTINGS) -> None:
        if settings.weights and not self.has_weights:
            raise _invalid(
                f"{type(self).__name__} has no weights, got {settings.weights!r}; valid: empty"
            )
        self.settings = settings

    def detect(
        self, image_rgb: np.ndarray, view: str, mask: np.ndarray | None = None
    ) -> Instances:
        """Find the objects in ``image_rgb`` uint8 (128, 256, 3) of the camera ``view``.

        ``mask`` uint8 or uint16 (128, 256) holds instance ids, 0 = background; it is required if
        ``needs_mask``, else unused. Raises VimaError (INVALID_VALUE) for other input, and
        (NO_MASK) for a missing mask; a backend may add its own codes.
        """
        return self.detect_views({view: image_rgb}, {view: mask})[view]

    def detect_views(
        self,
        images_rgb: Mapping[str, np.ndarray],
        masks: Mapping[str, np.ndarray | None] | None = None,
    ) -> dict[str, Instances]:
        """Find the objects of several views at once; messages of errors name the view."""
        given = {view: (masks or {}).get(view) for view in images_rgb}
        for view, image in images_rgb.items():
            with add_view_to_errors(view):
                self._check(image, view, given[view])
        return self._find_views(images_rgb, given)

    def describe(self) -> dict[str, Any]:
        """Describe weights, device and known quality, for diagnostics."""
        return {}

    def _check(self, image_rgb: np.ndarray, view: str, mask: np.ndarray | None) -> None:
        check_image(image_rgb)
        if view not in VIEWS:
            raise _invalid(f"view {view!r}; valid: {', '.join(VIEWS)}")
        if mask is not None:
            check_mask(mask)
        elif self.needs_mask:
            raise VimaError(
                "NO_MASK",
                f"{type(self).__name__} needs an instance mask and got none; publish one or "
                "choose a detector that needs none",
            )

    def _find_views(
        self, images_rgb: Mapping[str, np.ndarray], masks: Mapping[str, np.ndarray | None]
    ) -> dict[str, Instances]:
        """Implement ``detect_views``, with input already checked, a mask or None for each view."""
        found = {}
        for view, image in images_rgb.items():
            with add_view_to_errors(view):
                found[view] = self._find(image, view, masks[view])
        return found

    @abstractmethod
    def _find(self, image_rgb: np.ndarray, view: str, mask: np.ndarray | None) -> Instances:
        """Implement ``detect``, with input already checked."""
