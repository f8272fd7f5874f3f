"""How well a detector finds objects: COCO's mask AP, what the policy would be handed, and time."""

from __future__ import annotations

import heapq
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from vima_ros.errors import VimaError
from vima_ros.perception.crops import extract_objects
from vima_ros.perception.detectors.base import Detector
from vima_ros.perception.detectors.instances import FRAME_SHAPE, Instances
from vima_ros.specs import VIEWS
from vima_ros.training.evaluation.coco import average_precision, run_lengths
from vima_ros.training.evaluation.detector_frames import Frame

# An object that shows less is hidden for all purposes. Of 3,706 that show at all, in 300 frames of
# ours and 186 of VIMA-Bench's, 15 show less; four show more but less than any small block, the
# smallest kind, of which 39 px or more are seen.
DEFAULT_VISIBLE = 16  # [px]
MATCH_IOU = 0.5
_MISTAKES = ("INVALID_VALUE", "NO_MASK")  # of ours, no refusal of a picture


@dataclass(frozen=True, eq=False)
class PictureResult:
    """One view of one frame: n true objects that show, by id, and m that were found.

    ``kinds`` (n,) and ``pixels`` (n,) [px]: shapes and how much is seen. ``overlaps`` (n, m): IoU
    of the masks. ``edge_errors`` (n,) [px]: the largest distance between an edge of the true box
    and of its match's; NaN where there is no match. ``truth``, ``scored``: masks as COCO's
    run-length codes; ``scored`` with ``scores``, of the detector at its lowest threshold.
    """

    source: str
    name: str
    view: str
    kinds: tuple[str, ...]
    pixels: np.ndarray
    overlaps: np.ndarray
    edge_errors: np.ndarray
    truth: list[dict[str, Any]]
    scored: list[dict[str, Any]]
    scores: np.ndarray

    @property
    def matches(self) -> np.ndarray:
        """Bool (n, m): the pairs, one to one, of IoU 0.5 or more."""
        return match(self.overlaps)

    def errors(self, min_visible: int = DEFAULT_VISIBLE) -> tuple[int, int]:
        """True objects of at least so many px without a match, and found ones without a match."""
        matches = self.matches
        missed = (self.pixels >= min_visible) & ~matches.any(1)
        return int(missed.sum()), int((~matches.any(0)).sum())


@dataclass(frozen=True, eq=False)
class Seen:
    """A frame with what was found in each view, for a picture of it."""

    frame: Frame
    found: Mapping[str, Instances]


@dataclass
class Evaluation:
    """All results, seconds a pair took to detect, and of each source the frames gone worst.

    ``refused``: how many pairs the detector refused, by code; nothing counts as found in them.
    """

    results: list[PictureResult] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    refused: Counter[str] = field(default_factory=Counter)
    worst: dict[str, list[tuple[float, int, Seen]]] = field(default_factory=dict)


@dataclass(frozen=True)
class Quality:
    """Of some pictures. None where there is nothing to measure.

    ``ap``: over IoU 0.5 to 0.95; ``ap50``, ``ap75``: at one IoU. ``recall``: share of the objects
    found at IoU 0.5 with at most one false find a picture on average, at ``threshold``, and
    ``false_finds`` of them a picture. ``edge_median``, ``edge_p95`` [px]: of ``edge_errors``.
    ``right``: share of the pictures with every object found and nothing else.
    """

    pictures: int
    objects: int
    ap: float | None
    ap50: float | None
    ap75: float | None
    recall: float | None
    threshold: float | None
    false_finds: float | None
    edge_median: float | None
    edge_p95: float | None
    right: float


def evaluate(
    frames: Iterable[Frame], detector: Detector, sensitive: Detector, keep_worst: int = 6
) -> Evaluation:
    """Run ``detector``, as the node would, and ``sensitive``, the same at its lowest threshold.

    Raises VimaError: NOT_INSTALLED without pycocotools, and as ``detect_views``.
    """
    evaluation = Evaluation()
    for number, frame in enumerate(frames):
        images, masks = (
            {view: values[i] for i, view in enumerate(VIEWS)}
            for values in (frame.rgb, frame.masks)
        )
        began = time.perf_counter()
        found = _look(detector, images, masks, evaluation.refused)
        evaluation.times.append(time.perf_counter() - began)
        scored = _look(sensitive, images, masks, Counter())
        results = [
            compare(frame, view, visible(images[view], found[view]), scored[view])
            for view in VIEWS
        ]
        evaluation.results += results
        worst = evaluation.worst.setdefault(frame.source, [])
        badness = sum(sum(result.errors()) for result in results)
        heapq.heappush(worst, (badness + _doubt(results), -number, Seen(frame, found)))
        if len(worst) > keep_worst:
            heapq.heappop(worst)
    return evaluation


def _look(
    detector: Detector,
    images: Mapping[str, np.ndarray],
    masks: Mapping[str, np.ndarray],
    refused: Counter[str],
) -> dict[str, Instances]:
    """What is found; nothing where the detector refuses the pictures, as the node would."""
    try:
        return detector.detect_views(images, masks)
    except VimaError as error:
        if error.code in _MISTAKES:
            raise
        refused[error.code] += 1
        nothing = Instances(np.zeros(FRAME_SHAPE, np.uint16), np.empty(0), np.empty(0))
        return dict.fromkeys(images, nothing)


def _doubt(results: Sequence[PictureResult]) -> float:
    """From 0 to 1: how far the worst match is from a perfect one."""
    best = [result.overlaps.max(1, initial=0.0) for result in results]
    return 1.0 - min((float(values.min()) for values in best if values.size), default=1.0)


def visible(image_rgb: np.ndarray, instances: Instances) -> Instances:
    """Only those that the policy is handed (``extract_objects``)."""
    seen = np.isin(instances.ids, extract_objects(image_rgb, instances).track_ids)
    mask = np.where(np.isin(instances.mask, instances.ids[seen]), instances.mask, 0)
    return Instances(mask.astype(np.uint16), instances.ids[seen], instances.scores[seen])


def compare(frame: Frame, view: str, found: Instances, scored: Instances) -> PictureResult:
    """The true objects of one view beside ``found``; ``scored`` is kept for the AP."""
    place = VIEWS.index(view)
    image, ids = frame.rgb[place], np.unique(frame.masks[place])
    ids = ids[ids > 0].astype(np.int64)
    truth = Instances(frame.masks[place], ids, np.ones(len(ids), np.float32))
    overlaps = overlap(truth, found)
    matches = match(overlaps)
    edge_errors = np.full(len(ids), np.nan)
    true_boxes, boxes = _edges(image, truth), _edges(image, found)
    for i, j in np.argwhere(matches):
        if ids[i] in true_boxes:
            edge_errors[i] = np.abs(true_boxes[ids[i]] - boxes[found.ids[j]]).max()
    return PictureResult(
        frame.source,
        frame.name,
        view,
        tuple(frame.kinds[i - 1] for i in ids),
        np.bincount(truth.mask.ravel(), minlength=int(ids.max(initial=0)) + 1)[ids],
        overlaps,
        edge_errors,
        run_lengths(truth),
        run_lengths(scored),
        scored.scores.astype(np.float64),
    )


def overlap(truth: Instances, found: Instances) -> np.ndarray:
    """(n, m): intersection over union of each true mask with each found one."""
    one, other = (
        (item.mask.ravel()[None] == item.ids[:, None]).astype(np.float32)
        for item in (truth, found)
    )
    shared = one @ other.T
    union = one.sum(1)[:, None] + other.sum(1)[None] - shared
    return shared / np.maximum(union, 1.0)


def match(overlaps: np.ndarray) -> np.ndarray:
    """Bool (n, m): pairs one to one, the largest IoU first, none below ``MATCH_IOU``."""
    left, matches = overlaps.copy(), np.zeros(overlaps.shape, bool)
    while left.size and left.max() >= MATCH_IOU:
        i, j = np.unravel_index(left.argmax(), left.shape)
        matches[i, j] = True
        left[i], left[:, j] = 0.0, 0.0
    return matches


def _edges(image_rgb: np.ndarray, instances: Instances) -> dict[int, np.ndarray]:
    """First and last column and row of the boxes that the policy is handed, by id."""
    objects = extract_objects(image_rgb, instances)
    x, y, height, width = objects.boxes.T
    left, top = x - width // 2, y - height // 2
    edges = np.stack([left, top, left + width, top + height], 1)
    return dict(zip(objects.track_ids.tolist(), edges, strict=True))


def measure(results: Sequence[PictureResult], min_visible: int = DEFAULT_VISIBLE) -> Quality:
    """Quality over ``results``; objects that show less than ``min_visible`` px are not asked for.

    As in COCO, what is found of these, or is smaller itself and matches nothing, is no mistake of
    the AP and of the recall; for ``right`` everything found must match an object that shows.
    """
    scored = average_precision(
        [result.truth for result in results],
        [result.scored for result in results],
        [result.scores for result in results],
        max(min_visible, 1),
    )
    errors = np.concatenate([[], *(result.edge_errors for result in results)])
    errors = errors[np.isfinite(errors)]
    return Quality(
        len(results),
        int(sum((result.pixels >= min_visible).sum() for result in results)),
        *scored,
        float(np.median(errors)) if errors.size else None,
        float(np.percentile(errors, 95)) if errors.size else None,
        right(results, min_visible),
    )


def right(results: Sequence[PictureResult], min_visible: int = DEFAULT_VISIBLE) -> float:
    """Share of pictures whose matched object count equals the truth.

    Right is a picture in which every true object of at least ``min_visible`` px has a match at
    mask IoU 0.5, one to one, and every found object has one too, of however few px.
    """
    return float(np.mean([sum(result.errors(min_visible)) == 0 for result in results]))


def recalls(results: Sequence[PictureResult], min_visible: int = DEFAULT_VISIBLE) -> dict:
    """{kind: (objects, share of them that has a match, mean IoU of these)}."""
    rows: dict[str, list[float]] = {}
    for result in results:
        best = np.where(result.matches, result.overlaps, 0.0).max(1, initial=0.0)
        for kind, pixels, iou in zip(result.kinds, result.pixels, best, strict=True):
            if kind and pixels >= min_visible:
                rows.setdefault(kind, []).append(float(iou))
    found = {kind: [iou for iou in values if iou] for kind, values in rows.items()}
    return {
        kind: (len(rows[kind]), len(found[kind]) / len(rows[kind]), _mean(found[kind]))
        for kind in sorted(rows)
    }


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if values else None
