"""Metrics of a detector: COCO's mask AP, errors in the policy's input, and time."""

from __future__ import annotations

import heapq
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from vima_ros.boxes import box_edges
from vima_ros.errors import DetectionError
from vima_ros.perception.crops import extract_objects
from vima_ros.perception.detectors.base import Detector
from vima_ros.perception.detectors.instances import FRAME_SHAPE, Instances
from vima_ros.specs import VIEWS
from vima_ros.training.evaluation.coco import average_precision, run_lengths
from vima_ros.training.evaluation.detector_frames import EvaluationFrame

# An object that shows less is hidden for all purposes. Of 3,706 that show at all, in 300 frames of
# ours and 186 of VIMA-Bench's, 15 show less; four show more but less than any small block, the
# smallest kind, of which 39 px or more are visible.
DEFAULT_VISIBLE = 16  # [px]
MATCH_IOU = 0.5


@dataclass(frozen=True, eq=False)
class ImageResult:
    """Result for one view of a frame: n true visible objects, by id, and m detections.

    ``kinds`` (n,) and ``pixels`` (n,) [px]: shapes and visible areas. ``ious`` (n, m): IoU
    of the masks. ``edge_errors`` (n,) [px]: the largest distance between an edge of the true box
    and of its match's; NaN where there is no match. ``truth``, ``scored``: masks as COCO's
    run-length codes; ``scored`` with ``scores``, of the detector at its lowest threshold.
    """

    dataset: str
    is_prompt_image: bool
    source: str
    name: str
    view: str
    kinds: tuple[str, ...]
    pixels: np.ndarray
    ious: np.ndarray
    edge_errors: np.ndarray
    truth: list[dict[str, Any]]
    scored: list[dict[str, Any]]
    scores: np.ndarray

    @property
    def matches(self) -> np.ndarray:
        """Matches of IoU 0.5 or more, one to one, bool (n, m)."""
        return match(self.ious)

    def errors(self, min_visible: int = DEFAULT_VISIBLE) -> tuple[int, int]:
        """Count unmatched true objects of at least so many px, and unmatched detections."""
        matches = self.matches
        missed = (self.pixels >= min_visible) & ~matches.any(1)
        return int(missed.sum()), int((~matches.any(0)).sum())


@dataclass(frozen=True, eq=False)
class DetectorRun:
    """A frame with the detections in each view."""

    frame: EvaluationFrame
    found: Mapping[str, Instances]


@dataclass
class Evaluation:
    """All results, detection times per pair [s], and the worst frames of each source.

    ``refused``: how many pairs the detector refused, by code; nothing counts as found in them.
    """

    results: list[ImageResult] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    refused: Counter[str] = field(default_factory=Counter)
    worst: dict[str, list[tuple[float, int, DetectorRun]]] = field(default_factory=dict)


@dataclass(frozen=True)
class Quality:
    """Measure quality over ``results``; objects of less than ``min_visible`` px are ignored.

    ``ap``: over IoU 0.5 to 0.95; ``ap50``, ``ap75``: at one IoU. ``recall``: share of the objects
    found at IoU 0.5 with at most one false positive per image on average, at ``threshold``, with
    ``false_positives`` per image there. ``edge_median``, ``edge_p95`` [px]: of ``edge_errors``.
    ``exact_match_rate``: share of the images with every object found and nothing else.
    """

    images: int
    objects: int
    ap: float | None
    ap50: float | None
    ap75: float | None
    recall: float | None
    threshold: float | None
    false_positives: float | None
    edge_median: float | None
    edge_p95: float | None
    exact_match_rate: float


def evaluate(
    frames: Iterable[EvaluationFrame], detector: Detector, sensitive: Detector, keep_worst: int = 6
) -> Evaluation:
    """Run ``detector`` as the node would, and ``sensitive``, the same at its lowest threshold.

    Raises VimaError: NOT_INSTALLED without pycocotools, and as ``detect_views``.
    """
    evaluation = Evaluation()
    for number, frame in enumerate(frames):
        images, masks = (
            {view: values[i] for i, view in enumerate(VIEWS)}
            for values in (frame.rgb, frame.masks)
        )
        began = time.perf_counter()
        found = _detect(detector, images, masks, evaluation.refused)
        evaluation.times.append(time.perf_counter() - began)
        scored = _detect(sensitive, images, masks, Counter())
        results = [
            compare(frame, view, visible(images[view], found[view]), scored[view])
            for view in VIEWS
        ]
        evaluation.results += results
        worst = evaluation.worst.setdefault(frame.source, [])
        badness = sum(sum(result.errors()) for result in results)
        heapq.heappush(
            worst, (badness + _match_error(results), -number, DetectorRun(frame, found))
        )
        if len(worst) > keep_worst:
            heapq.heappop(worst)
    return evaluation


def _detect(
    detector: Detector,
    images: Mapping[str, np.ndarray],
    masks: Mapping[str, np.ndarray],
    refused: Counter[str],
) -> dict[str, Instances]:
    """Detect; return nothing where the detector refuses the images, as the node would."""
    try:
        return detector.detect_views(images, masks)
    except DetectionError as error:
        refused[error.code] += 1
        nothing = Instances(np.zeros(FRAME_SHAPE, np.uint16), np.empty(0), np.empty(0))
        return dict.fromkeys(images, nothing)


def _match_error(results: Sequence[ImageResult]) -> float:
    """Compute the distance of the worst match from a perfect one, 0 to 1."""
    best = [result.ious.max(1, initial=0.0) for result in results]
    return 1.0 - min((float(values.min()) for values in best if values.size), default=1.0)


def visible(image_rgb: np.ndarray, instances: Instances) -> Instances:
    """Select the instances that reach the policy (``extract_objects``)."""
    visible_ids = np.isin(instances.ids, extract_objects(image_rgb, instances).track_ids)
    mask = np.where(np.isin(instances.mask, instances.ids[visible_ids]), instances.mask, 0)
    return Instances(
        mask.astype(np.uint16), instances.ids[visible_ids], instances.scores[visible_ids]
    )


def compare(frame: EvaluationFrame, view: str, found: Instances, scored: Instances) -> ImageResult:
    """Compare the true objects of one view with ``found``; ``scored`` is kept for the AP."""
    place = VIEWS.index(view)
    image, ids = frame.rgb[place], np.unique(frame.masks[place])
    ids = ids[ids > 0].astype(np.int64)
    truth = Instances(frame.masks[place], ids, np.ones(len(ids), np.float32))
    ious = mask_iou(truth, found)
    matches = match(ious)
    edge_errors = np.full(len(ids), np.nan)
    true_boxes, boxes = _edges(image, truth), _edges(image, found)
    for i, j in np.argwhere(matches):
        if ids[i] in true_boxes:
            edge_errors[i] = np.abs(true_boxes[ids[i]] - boxes[found.ids[j]]).max()
    return ImageResult(
        frame.dataset,
        frame.is_prompt_image,
        frame.source,
        frame.name,
        view,
        tuple(frame.kinds[i - 1] for i in ids),
        np.bincount(truth.mask.ravel(), minlength=int(ids.max(initial=0)) + 1)[ids],
        ious,
        edge_errors,
        run_lengths(truth),
        run_lengths(scored),
        scored.scores.astype(np.float64),
    )


def mask_iou(truth: Instances, found: Instances) -> np.ndarray:
    """Compute the IoU (n, m) of each true mask with each detected one.

    By a matrix product, as every pixel has one owner; pycocotools would encode each mask first.
    """
    one, other = (
        (item.mask.ravel()[None] == item.ids[:, None]).astype(np.float32)
        for item in (truth, found)
    )
    shared = one @ other.T
    union = one.sum(1)[:, None] + other.sum(1)[None] - shared
    return shared / np.maximum(union, 1.0)


def match(ious: np.ndarray) -> np.ndarray:
    """Match one to one by descending IoU, none below ``MATCH_IOU``; bool (n, m)."""
    left, matches = ious.copy(), np.zeros(ious.shape, bool)
    while left.size and left.max() >= MATCH_IOU:
        i, j = np.unravel_index(left.argmax(), left.shape)
        matches[i, j] = True
        left[i], left[:, j] = 0.0, 0.0
    return matches


def _edges(image_rgb: np.ndarray, instances: Instances) -> dict[int, np.ndarray]:
    """Return the edges of the boxes that reach the policy, by id."""
    objects = extract_objects(image_rgb, instances)
    return dict(zip(objects.track_ids.tolist(), box_edges(objects.boxes), strict=True))


def measure(results: Sequence[ImageResult], min_visible: int = DEFAULT_VISIBLE) -> Quality:
    """Measure quality over ``results``; objects of less than ``min_visible`` px are ignored.

    As in COCO, what is found of these, or is smaller itself and matches nothing, is no mistake of
    the AP and of the recall; for ``exact_match_rate`` all detections must match visible objects.
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
        exact_match_rate(results, min_visible),
    )


def exact_match_rate(results: Sequence[ImageResult], min_visible: int = DEFAULT_VISIBLE) -> float:
    """Compute the fraction of images whose detections all match, and all objects are found.

    An image matches exactly if every true object of at least ``min_visible`` px has a match at
    mask IoU 0.5, one to one, and every detection has one too, of however few px.
    """
    return float(np.mean([sum(result.errors(min_visible)) == 0 for result in results]))


def recalls(results: Sequence[ImageResult], min_visible: int = DEFAULT_VISIBLE) -> dict:
    """Compute {kind: (objects, recall, mean IoU of the matches)}."""
    rows: dict[str, list[float]] = {}
    for result in results:
        best = np.where(result.matches, result.ious, 0.0).max(1, initial=0.0)
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
