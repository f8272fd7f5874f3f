"""From both cameras' pictures to an observation, or to the reason why there is none.

Which of the two, and how long each stage took, is one value, ``Seen``. What is doubtful is refused
with a code, never guessed around:

STALE, FROZEN           see freshness.py
TOO_MANY_OBJECTS        more than ``max_objects`` in a view
LOW_SCORE               objects, but all with scores below the limit that is set or the detector's
NO_OBJECT               none in either view
any other               what a view, a detector or the tracker refused with
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from vima_ros.errors import VimaError, add_view_to_errors
from vima_ros.perception.crops import extract_objects
from vima_ros.perception.detectors.base import Detector
from vima_ros.perception.detectors.instances import MAX_ID, Instances
from vima_ros.perception.staleness import Freshness
from vima_ros.perception.tracking.tracker import Tracker
from vima_ros.specs import VIEWS, Observation, ViewObjects

OK = "OK"


class View(Protocol):
    """What turns a camera's picture, or a mask of it, into the policy frame (ViewMap)."""

    def apply(self, image: np.ndarray, is_mask: bool = False) -> np.ndarray:
        """Uint8 (h, w, 3) to (128, 256, 3); ids (h, w) to (128, 256)."""


@dataclass(frozen=True)
class Rules:
    """What is good enough; ``frozen_after`` and ``max_age`` in s, 0 = not checked.

    ``frozen_after_noiseless`` [s]: the limit of a camera whose images have shown no noise, 0 =
    none. ``min_score`` 0: the detector's own limit.
    """

    max_objects: int = 32
    min_score: float = 0.0
    frozen_after: float = 0.0
    max_age: float = 0.0
    frozen_after_noiseless: float = 0.0


@dataclass(eq=False)
class Seen:
    """What became of one pair of pictures; filled as far as it got.

    ``code`` OK: ``observation`` holds it. Else ``message`` says why not and ``view`` names the
    view concerned (empty: both or neither). ``frames``, ``instances``, ``objects``: per view, what
    was looked at and found there; ``objects`` are the sure ones. ``doubtful``: objects left out
    for their score, in both views. ``times`` [s] per stage; ``ages`` {track id: s}.
    """

    stamps: Mapping[str, int]  # [ns]
    code: str = OK
    message: str = ""
    view: str = ""
    observation: Observation | None = None
    frames: dict[str, np.ndarray] = field(default_factory=dict)
    instances: dict[str, Instances] = field(default_factory=dict)
    objects: dict[str, ViewObjects] = field(default_factory=dict)
    doubtful: int = 0
    track_ids: dict[str, dict[int, int]] = field(default_factory=dict)  # of the detector's ids
    ages: dict[int, float] = field(default_factory=dict)
    times: dict[str, float] = field(default_factory=dict)

    @property
    def stamp(self) -> int:
        """That of the older picture [ns]."""
        return min(self.stamps.values())

    @property
    def min_accepted_score(self) -> float:
        """Of the sure objects; 0 if there are none."""
        return min((float(o.scores.min()) for o in self.objects.values() if len(o)), default=0.0)

    def labels(self, view: str) -> np.ndarray:
        """The track id of each pixel (128, 256) int64; 0 where nothing sure was found."""
        table = np.zeros(MAX_ID + 1, np.int64)
        for instance, track in self.track_ids.get(view, {}).items():
            table[instance] = track
        return table[self.instances[view].mask]

    def refuse(self, error: VimaError) -> Seen:
        """Itself, with the reason why there is no observation."""
        self.code, self.message, self.observation = error.code, str(error), None
        named = [view for view in VIEWS if f"{view} view: " in self.message]
        self.view = named[0] if len(named) == 1 else ""
        return self

    @contextlib.contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Add what runs inside to ``times``."""
        began = time.perf_counter()
        try:
            yield
        finally:
            self.times[stage] = self.times.get(stage, 0.0) + time.perf_counter() - began


class Eyes:
    """Looks at one pair after the other; not thread-safe. ``rules`` may be replaced in between.

    ``tracker`` None: track ids are the detector's own ids.
    """

    def __init__(
        self,
        detector: Detector,
        views: Mapping[str, View],
        tracker: Tracker | None = None,
        rules: Rules | None = None,
    ) -> None:
        self.rules = rules or Rules()
        self._detector, self._views, self._tracker = detector, views, tracker
        self._freshness = Freshness()
        self._newest = 0

    def look(
        self,
        images: Mapping[str, np.ndarray],
        masks: Mapping[str, np.ndarray] | None,
        stamps: Mapping[str, int],
        now: int,
        seen: Seen | None = None,
    ) -> Seen:
        """What the pictures of one moment show, or why that is not known.

        ``images`` {view: uint8 RGB (h, w, 3)} and, if the detector needs them, ``masks`` {view:
        uint8 or uint16 ids (h, w)}, as the cameras give them; ``stamps`` per view and ``now`` [ns]
        on one clock. Stamps that jump back begin anew: tracks and all. ``seen``: one to continue.
        """
        seen = seen or Seen(stamps)
        if seen.stamp < self._newest:
            self.reset()
        self._newest = seen.stamp
        try:
            with seen.timed("freshness"):
                self._freshness.check_age(stamps, now, self.rules.max_age)
                self._freshness.check_frozen(
                    images, stamps, self.rules.frozen_after, self.rules.frozen_after_noiseless
                )
            self._find(seen, images, masks)
            self._judge_and_track(seen)
        except VimaError as error:
            seen.refuse(error)
        return seen

    def reset(self) -> None:
        """Forget everything, as at the start; track ids are not used again."""
        self._freshness.reset()
        self._newest = 0
        if self._tracker is not None:
            self._tracker.reset()

    def _find(
        self,
        seen: Seen,
        images: Mapping[str, np.ndarray],
        masks: Mapping[str, np.ndarray] | None,
    ) -> None:
        ids: dict[str, np.ndarray] = {}
        with seen.timed("view"):
            for view in VIEWS:
                with add_view_to_errors(view):
                    seen.frames[view] = self._views[view].apply(images[view])
                    if masks is not None:
                        ids[view] = self._views[view].apply(masks[view], is_mask=True)
        with seen.timed("detect"):
            seen.instances = self._detector.detect_views(seen.frames, ids or None)
        least = self._least_score()
        with seen.timed("crops"):
            for view in VIEWS:
                found = extract_objects(seen.frames[view], seen.instances[view])
                sure = found.scores >= least
                seen.doubtful += seen.instances[view].doubtful + int(np.count_nonzero(~sure))
                seen.objects[view] = ViewObjects(*(values[sure] for values in found.fields))
                names = seen.objects[view].track_ids.tolist()
                seen.track_ids[view] = dict(zip(names, names, strict=True))

    def _least_score(self) -> float:
        return self.rules.min_score or self._detector.min_score

    def _judge_and_track(self, seen: Seen) -> None:
        for view, objects in seen.objects.items():
            if len(objects) > self.rules.max_objects:
                raise VimaError(
                    "TOO_MANY_OBJECTS",
                    f"{view} view: {len(objects)} objects; valid: up to {self.rules.max_objects}",
                )
        if self._tracker is not None:
            with seen.timed("track"):
                masks = {view: found.mask for view, found in seen.instances.items()}
                seen.objects = self._tracker.update(seen.objects, seen.stamp, seen.frames, masks)
                seen.track_ids = {v: dict(self._tracker.relabelling[v]) for v in VIEWS}
                seen.ages = self._tracker.ages(seen.stamp)
        if not any(len(objects) for objects in seen.objects.values()):
            if not seen.doubtful:
                raise VimaError("NO_OBJECT", "no object in either view")
            raise VimaError(
                "LOW_SCORE",
                f"{seen.doubtful} objects, all with scores below {self._least_score():g}",
            )
        seen.observation = Observation(
            front=seen.objects["front"], top=seen.objects["top"], stamp=seen.stamp
        )
