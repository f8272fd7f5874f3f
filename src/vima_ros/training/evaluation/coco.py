"""Average precision by COCO's own tools, pycocotools."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from vima_ros.errors import VimaError
from vima_ros.perception.detectors.instances import FRAME_SHAPE, Instances

Codes = list[dict[str, Any]]  # masks of an image as COCO's run-length codes
_CATEGORY = 1  # there is but one: object
_MAX_FOUND = 100  # in one image, COCO's convention
_LARGE = 1e9  # [px]


class Precision(NamedTuple):
    """Average precisions; None without objects.

    ``ap``: over IoU 0.50 to 0.95; ``ap50``, ``ap75``: at one IoU. ``recall``: share of the objects
    found at IoU 0.5 at the lowest score, ``threshold``, that lets through at most one false
    positive per image on average; ``false_positives``: their number per image.
    """

    ap: float | None
    ap50: float | None
    ap75: float | None
    recall: float | None
    threshold: float | None
    false_positives: float | None


def run_lengths(instances: Instances) -> Codes:
    """Encode the mask of each instance. Raises VimaError (NOT_INSTALLED) without pycocotools."""
    *_, mask = _tools()
    stack = instances.mask[..., None] == instances.ids  # (128, 256, n)
    return mask.encode(np.asfortranarray(stack.astype(np.uint8))) if len(instances) else []


def average_precision(
    truth: Sequence[Codes],
    found: Sequence[Codes],
    scores: Sequence[np.ndarray],
    min_visible: int,
) -> Precision:
    """Compute the average precision from images' true masks, detected masks and scores.

    Smaller true masks than ``min_visible`` px are not asked for: what is found of them, or is
    smaller itself and matches nothing, counts neither way. That is what COCO does with areas.
    """
    evaluated = _evaluated(truth, found, scores, min_visible)
    precision = evaluated.eval["precision"][:, :, 0, 0, 0]  # (IoU, recall); -1: no object
    ap, ap50, ap75 = (
        float(values.mean()) if (values > -1).all() else None
        for values in (precision, precision[0], precision[5])  # IoU 0.50 to 0.95 by 0.05
    )
    return Precision(ap, ap50, ap75, *_recall_at_one(evaluated, len(truth)))


def _tools() -> Any:
    try:
        from pycocotools import coco, cocoeval, mask
    except ImportError as error:
        raise VimaError("NOT_INSTALLED", f"{error}; pip install pycocotools") from error
    return coco, cocoeval, mask


def _evaluated(
    truth: Sequence[Codes], found: Sequence[Codes], scores: Sequence[np.ndarray], min_visible: int
) -> Any:
    """Run a COCOeval up to its accumulation, without its output."""
    _, cocoeval, _ = _tools()
    with contextlib.redirect_stdout(io.StringIO()):
        evaluated = cocoeval.COCOeval(_data(truth), _data(found, scores), "segm")
        evaluated.params.imgIds = list(range(1, len(truth) + 1))
        evaluated.params.maxDets = [_MAX_FOUND]
        evaluated.params.areaRng, evaluated.params.areaRngLbl = [[min_visible, _LARGE]], ["all"]
        evaluated.evaluate()
        evaluated.accumulate()
    return evaluated


def _data(images: Sequence[Codes], scores: Sequence[np.ndarray] | None = None) -> Any:
    """Build a COCO data set; ids count from 1, because COCOeval takes 0 for no match."""
    coco, _, mask = _tools()
    height, width = FRAME_SHAPE
    annotations: list[dict[str, Any]] = []
    for number, codes in enumerate(images, 1):
        for place, code in enumerate(codes):
            item: dict[str, Any] = {
                "id": len(annotations) + 1,
                "image_id": number,
                "category_id": _CATEGORY,
            }
            item |= {"segmentation": code, "area": float(mask.area(code)), "iscrowd": 0}
            if scores is not None:
                item["score"] = float(scores[number - 1][place])
            annotations.append(item)
    data = coco.COCO()
    data.dataset = {
        "images": [
            {"id": number, "height": height, "width": width}
            for number in range(1, len(images) + 1)
        ],
        "categories": [{"id": _CATEGORY}],
        "annotations": annotations,
    }
    data.createIndex()
    return data


def _recall_at_one(evaluated: Any, images: int) -> tuple[float | None, float | None, float | None]:
    """Compute recall, threshold and false positives as in ``Precision``."""
    entries = [entry for entry in evaluated.evalImgs if entry is not None]
    wanted = sum(int((entry["gtIgnore"] == 0).sum()) for entry in entries)
    if not wanted:
        return None, None, None
    counted = [entry["dtIgnore"][0] == 0 for entry in entries]
    scores, hits = (
        np.concatenate([values[keep] for values, keep in zip(each, counted, strict=True)])
        for each in (
            [np.asarray(entry["dtScores"]) for entry in entries],
            [entry["dtMatches"][0] > 0 for entry in entries],
        )
    )
    order = np.argsort(-scores, kind="stable")
    scores, hits = scores[order], hits[order]
    true, false = np.cumsum(hits), np.cumsum(~hits)
    usable = false <= images
    usable[:-1] &= scores[1:] < scores[:-1]  # equal scores pass a threshold together
    if not usable.any():
        return 0.0, None, 0.0
    last = int(np.flatnonzero(usable)[-1])
    return float(true[last] / wanted), float(scores[last]), float(false[last] / images)
