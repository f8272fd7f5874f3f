"""What a detector finds, and the interface of every detector."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from vima_ros.errors import VimaError
from vima_ros.specs import POLICY_FRAME_HEIGHT, POLICY_FRAME_WIDTH, VIEWS

FRAME_SHAPE = (POLICY_FRAME_HEIGHT, POLICY_FRAME_WIDTH)
MAX_ID = int(np.iinfo(np.uint16).max)
MAX_THREADS = 256


def _invalid(message: str) -> VimaError:
    return VimaError("INVALID_VALUE", message)


def check_image(image_rgb: np.ndarray) -> None:
    """Raises VimaError (INVALID_VALUE) unless ``image_rgb`` is uint8 (128, 256, 3)."""
    dtype, shape = getattr(image_rgb, "dtype", type(image_rgb).__name__), np.shape(image_rgb)
    if dtype != np.uint8 or shape != (*FRAME_SHAPE, 3):
        raise _invalid(f"image is {dtype} {shape}; valid: uint8 {(*FRAME_SHAPE, 3)}")


def check_mask(mask: np.ndarray) -> None:
    """Raises VimaError (INVALID_VALUE) unless ``mask`` is uint8 or uint16 (128, 256)."""
    dtype, shape = getattr(mask, "dtype", type(mask).__name__), np.shape(mask)
    if dtype not in (np.uint8, np.uint16) or shape != FRAME_SHAPE:
        raise _invalid(f"mask is {dtype} {shape}; valid: uint8 or uint16 {FRAME_SHAPE}")


@dataclass(frozen=True, eq=False)
class Instances:
    """The objects of one picture.

    ``mask`` uint16 (128, 256): the object id of each pixel, 0 = background. ``ids`` int64 (n,):
    the ids in object order, 1 to 65535, each once; an id may be hidden, but every id of the mask
    is among them. ``scores`` float32 (n,): confidence, 0 to 1. ``doubtful``: how many more the
    detector saw but left out because their scores were too low.

    Raises VimaError (INVALID_VALUE) for anything else.
    """

    mask: np.ndarray
    ids: np.ndarray
    scores: np.ndarray
    doubtful: int = 0

    def __post_init__(self) -> None:
        check_mask(self.mask)
        ids, scores = np.asarray(self.ids), np.asarray(self.scores)
        if ids.ndim != 1 or scores.shape != ids.shape:
            raise _invalid(f"ids {ids.shape} and scores {scores.shape}; valid: (n,) both")
        ids = ids.astype(np.int64)
        if len(set(ids.tolist())) != len(ids) or ((ids < 1) | (ids > MAX_ID)).any():
            raise _invalid(f"ids {ids.tolist()}; valid: 1 to {MAX_ID}, each once")
        named = np.zeros(MAX_ID + 1, bool)
        named[[0, *ids]] = True
        if not named[self.mask].all():
            unnamed = np.setdiff1d(self.mask, [0, *ids])
            raise _invalid(f"mask holds {unnamed.tolist()[:8]}; valid: 0 and {ids.tolist()}")
        if not ((scores >= 0) & (scores <= 1)).all():
            raise _invalid(f"scores {scores.tolist()}; valid: 0 to 1")
        for name, value, dtype in (
            ("mask", self.mask, np.uint16),
            ("ids", ids, np.int64),
            ("scores", scores, np.float32),
        ):
            array = value.astype(dtype, copy=True)
            array.setflags(write=False)
            object.__setattr__(self, name, array)

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True)
class DetectorSettings:
    """What a detector is made with; each reads what it has use for.

    ``weights``: a file, "" = the backend's own. ``provider``: ONNX Runtime's execution provider.
    ``device``: where torch computes, "cpu" or "cuda". ``threads``: of the processor.
    ``min_score``: objects with lower scores are left out; None = what the weights or the backend
    name.

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


def largest(instances: Instances) -> Instances:
    """Only the instance with the most pixels."""
    if len(instances.ids) < 2:
        return instances
    sizes = [np.count_nonzero(instances.mask == i) for i in instances.ids]
    best = int(np.argmax(sizes))
    keep = instances.ids[best]
    return Instances(
        np.where(instances.mask == keep, instances.mask, 0).astype(np.uint16),
        instances.ids[best : best + 1],
        instances.scores[best : best + 1],
    )


@contextmanager
def naming(view: str) -> Iterator[None]:
    """Puts the view before the message of a VimaError."""
    try:
        yield
    except VimaError as error:
        raise VimaError(error.code, f"{view} view: {error}") from error


class Detector(ABC):
    """Finds the objects of pictures.

    A backend implements ``_find``, and ``_find_views`` too if both views together cost less.

    ``needs_mask``: it wants instance ids with each picture. ``identifies``: an id it gives is one
    object, in both views and over time. ``has_weights``: it takes ``settings.weights``.
    ``min_score``: objects with lower scores are left out, and counted as doubtful.
    """

    needs_mask: bool = False
    identifies: bool = False
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
        """The objects in ``image_rgb`` uint8 (128, 256, 3) of the camera ``view``.

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
        """As ``detect``, for pictures by view, all at once; messages of errors name the view."""
        given = {view: (masks or {}).get(view) for view in images_rgb}
        for view, image in images_rgb.items():
            with naming(view):
                self._check(image, view, given[view])
        return self._find_views(images_rgb, given)

    def describe(self) -> dict[str, Any]:
        """Facts for a person: which weights, where it computes, what they are said to reach."""
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
                "choose a detector that finds objects in the picture",
            )

    def _find_views(
        self, images_rgb: Mapping[str, np.ndarray], masks: Mapping[str, np.ndarray | None]
    ) -> dict[str, Instances]:
        """As ``detect_views``, with input already checked and a mask or None for each view."""
        found = {}
        for view, image in images_rgb.items():
            with naming(view):
                found[view] = self._find(image, view, masks[view])
        return found

    @abstractmethod
    def _find(self, image_rgb: np.ndarray, view: str, mask: np.ndarray | None) -> Instances:
        """As ``detect``, with input already checked."""
