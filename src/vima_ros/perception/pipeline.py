"""Perception pipeline: the images of both cameras to an observation, or to a refusal.

An observation holds what the policy in use reads: the objects in view, or whole images, for which
no detector is run.

A ``PerceptionResult`` holds either of the two and the duration of each stage. Ambiguous input is
refused with a code, never guessed around:

STALE, FROZEN           see staleness.py
TOO_MANY_OBJECTS        more than ``max_objects`` in a view
LOW_SCORE               all objects have scores below ``min_score``, the set one or the detector's
NO_OBJECT               none in either view
any other               the code of an error of a view, a detector or the tracker
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from vima_ros.errors import VimaError, add_view_to_errors, error_of_views
from vima_ros.perception.crops import extract_objects
from vima_ros.perception.detectors.base import Detector
from vima_ros.perception.detectors.instances import MAX_ID, Instances
from vima_ros.perception.staleness import StalenessChecker
from vima_ros.perception.tracking.tracker import Tracker
from vima_ros.perception.view_images import view_images
from vima_ros.specs import VIEWS, Observation, ViewObjects

OK = "OK"


class FrameTransform(Protocol):
    """Transform of a camera's image, or of a mask of it, into the policy frame."""

    def apply(self, image: np.ndarray, is_mask: bool = False) -> np.ndarray:
        """Transform uint8 (h, w, 3) to (128, 256, 3), or ids (h, w) to (128, 256)."""


@dataclass(frozen=True)
class AcceptanceLimits:
    """Limits of what is accepted; ``frozen_timeout`` and ``max_age`` in s, 0 = not checked.

    ``frozen_timeout_noiseless`` [s]: the limit for a camera whose images have shown no noise, 0 =
    none. ``min_score`` 0: the detector's own limit.
    """

    max_objects: int = 32
    min_score: float = 0.0
    frozen_timeout: float = 0.0
    max_age: float = 0.0
    frozen_timeout_noiseless: float = 0.0


@dataclass(eq=False)
class PerceptionResult:
    """Result of one pair of images; filled up to the stage that failed.

    ``code`` OK: ``observation`` is set. Otherwise ``message`` is the reason and ``view`` the view
    concerned (empty: both or neither). ``frames``, ``instances``, ``objects``: by view, the policy
    frame and what was found in it; ``objects`` are the accepted ones. ``low_score_count``: objects
    of both views left out for their scores. ``track_ids``: by view, {the detector's id: track id}.
    ``times`` [s] by stage; ``ages`` {track id: s}. ``scene``: beside an observation of whole
    images, the result for those who asked for the objects of the same images.
    """

    stamps: Mapping[str, int]  # [ns]
    code: str = OK
    message: str = ""
    view: str = ""
    observation: Observation | None = None
    frames: dict[str, np.ndarray] = field(default_factory=dict)
    instances: dict[str, Instances] = field(default_factory=dict)
    objects: dict[str, ViewObjects] = field(default_factory=dict)
    low_score_count: int = 0
    track_ids: dict[str, dict[int, int]] = field(default_factory=dict)
    ages: dict[int, float] = field(default_factory=dict)
    times: dict[str, float] = field(default_factory=dict)
    scene: PerceptionResult | None = None

    @property
    def stamp(self) -> int:
        """Stamp of the older image [ns]."""
        return min(self.stamps.values())

    @property
    def min_accepted_score(self) -> float:
        """Minimum score of the accepted objects; 0 if there are none."""
        return min((float(o.scores.min()) for o in self.objects.values() if len(o)), default=0.0)

    def labels(self, view: str) -> np.ndarray:
        """Return the track id of each pixel (128, 256) int64; 0 where no object was accepted."""
        table = np.zeros(MAX_ID + 1, np.int64)
        for instance, track in self.track_ids.get(view, {}).items():
            table[instance] = track
        return table[self.instances[view].mask]

    def refuse(self, error: VimaError) -> PerceptionResult:
        """Record ``error`` as the reason for having no observation; returns itself."""
        self.code, self.message, self.view = error.code, str(error), error.view
        self.observation = None
        return self

    @contextlib.contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Add the duration of the with block to ``times``."""
        began = time.perf_counter()
        try:
            yield
        finally:
            self.times[stage] = self.times.get(stage, 0.0) + time.perf_counter() - began


class PerceptionPipeline:
    """Processes one pair of images after the other; not thread-safe.

    ``limits`` may be replaced in between. ``tracker`` None: track ids are the detector's own ids.
    """

    def __init__(
        self,
        detector: Detector,
        views: Mapping[str, FrameTransform],
        tracker: Tracker | None = None,
        limits: AcceptanceLimits | None = None,
    ) -> None:
        self.limits = limits or AcceptanceLimits()
        self._detector, self._views, self._tracker = detector, views, tracker
        self._staleness = StalenessChecker()
        self._last_stamp = 0

    def process(
        self,
        images: Mapping[str, np.ndarray],
        masks: Mapping[str, np.ndarray] | None,
        stamps: Mapping[str, int],
        now: int,
        result: PerceptionResult | None = None,
        *,
        whole_images: bool = False,
    ) -> PerceptionResult:
        """Make an observation of a pair of images; errors become the result's code.

        ``images`` {view: uint8 RGB (h, w, 3)} and, if the detector needs them, ``masks`` {view:
        uint8 or uint16 ids (h, w)}, as the cameras publish them; ``stamps`` by view and ``now``
        [ns] on one clock. Stamps that jump back reset the pipeline, tracks included. ``result``:
        one to continue. ``whole_images``: the observation holds them, and no objects.
        """
        result = result or PerceptionResult(stamps)
        if result.stamp < self._last_stamp:
            self.reset()
        self._last_stamp = result.stamp
        try:
            with result.timed("staleness"):
                self._staleness.check_age(stamps, now, self.limits.max_age)
                self._staleness.check_frozen(
                    images,
                    stamps,
                    self.limits.frozen_timeout,
                    self.limits.frozen_timeout_noiseless,
                )
            with result.timed("view"):
                for view in VIEWS:
                    with add_view_to_errors(view):
                        result.frames[view] = self._views[view].apply(images[view])
            if whole_images:
                self._observe_whole(result)
            else:
                self.find_objects(result, masks)
        except VimaError as error:
            result.refuse(error)
        return result

    def find_objects(
        self, result: PerceptionResult, masks: Mapping[str, np.ndarray] | None
    ) -> None:
        """Find the objects of a result that has its frames; ``masks`` as for ``process``.

        Raises VimaError, where ``process`` would refuse the objects.
        """
        self._find(result, masks)
        self._check_and_track(result)

    def reset(self) -> None:
        """Return to the initial state; track ids start at 1 again."""
        self._staleness.reset()
        self._last_stamp = 0
        if self._tracker is not None:
            self._tracker.reset()

    @staticmethod
    def _observe_whole(result: PerceptionResult) -> None:
        empty = ViewObjects.empty()
        with result.timed("view"):
            images = view_images(result.frames)
        result.observation = Observation(empty, empty, stamp=result.stamp, images=images)

    def _find(self, result: PerceptionResult, masks: Mapping[str, np.ndarray] | None) -> None:
        ids: dict[str, np.ndarray] = {}
        if masks is not None:
            with result.timed("view"):
                for view in VIEWS:
                    with add_view_to_errors(view):
                        ids[view] = self._views[view].apply(masks[view], is_mask=True)
        with result.timed("detect"):
            result.instances = self._detector.detect_views(result.frames, ids or None)
        min_score = self._min_score()
        with result.timed("crops"):
            for view in VIEWS:
                frame, instances = result.frames[view], result.instances[view]
                found = extract_objects(frame, instances, with_outlines=True)
                accepted = found.scores >= min_score
                result.low_score_count += instances.low_score_count + int(
                    np.count_nonzero(~accepted)
                )
                result.objects[view] = found.at(accepted)
                ids_of_view = result.objects[view].track_ids.tolist()
                result.track_ids[view] = dict(zip(ids_of_view, ids_of_view, strict=True))

    def _min_score(self) -> float:
        return self.limits.min_score or self._detector.min_score

    def _check_and_track(self, result: PerceptionResult) -> None:
        for view, objects in result.objects.items():
            if len(objects) > self.limits.max_objects:
                problem = f"{len(objects)} objects; valid: up to {self.limits.max_objects}"
                raise error_of_views("TOO_MANY_OBJECTS", [(view, problem)])
        if self._tracker is not None:
            with result.timed("track"):
                masks = {view: found.mask for view, found in result.instances.items()}
                result.objects = self._tracker.update(
                    result.objects, result.stamp, result.frames, masks
                )
                result.track_ids = {v: dict(self._tracker.track_ids[v]) for v in VIEWS}
                result.ages = self._tracker.ages(result.stamp)
        if not any(len(objects) for objects in result.objects.values()):
            if not result.low_score_count:
                raise VimaError("NO_OBJECT", "no object in either view")
            raise VimaError(
                "LOW_SCORE",
                f"{result.low_score_count} objects, all with scores below {self._min_score():g}",
            )
        result.observation = Observation(
            front=result.objects["front"], top=result.objects["top"], stamp=result.stamp
        )
