"""Report of a detector's evaluation: tables, images and JSON."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from vima_ros.files import write_atomic, write_image, write_json
from vima_ros.perception.detectors.instances import Instances
from vima_ros.perception.visualization import object_color
from vima_ros.specs import VIEWS
from vima_ros.tables import format_table
from vima_ros.training.evaluation.detector_frames import BENCH, TABLETOP
from vima_ros.training.evaluation.detector_metrics import (
    DEFAULT_VISIBLE,
    DetectorRun,
    Evaluation,
    ImageResult,
    Quality,
    exact_match_rate,
    mask_iou,
    match,
    measure,
    recalls,
)

ALL_TABLETOP = f"{TABLETOP}, all visual randomizations"
BOTH = "both"  # in a column of views
VISIBLE = (1, 4, 8, DEFAULT_VISIBLE, 32, 64)  # [px] to show how little the choice matters
_SCALE, _MARGIN = 3, 22  # of the images of the worst frames [px]
_MISSED = (255, 40, 40)  # RGB


@dataclass(frozen=True)
class Target:
    """Target of a metric, and its value; None: not measured."""

    what: str
    limit: float
    value: float | None
    at_least: bool = True

    @property
    def verdict(self) -> str:
        """Verdict in words."""
        if self.value is None:
            return "not measured"
        reached = self.value >= self.limit if self.at_least else self.value <= self.limit
        return "met" if reached else "NOT MET"


@dataclass(frozen=True)
class Report:
    """Results of an evaluation; ``exact_match_frames``: {source: {visible px: fraction}}."""

    facts: dict[str, Any]
    frames: dict[str, int]
    quality: dict[str, dict[str, Quality]]
    exact_match_images: dict[str, dict[str, dict[int, float]]]
    exact_match_frames: dict[str, dict[int, float]]
    kinds: dict[str, dict[str, tuple[int, float, float | None]]]
    times: list[float]
    refused: dict[str, int]
    targets: list[Target]
    worst: dict[str, list[str]]


def make_report(evaluation: Evaluation, facts: Mapping[str, Any]) -> Report:
    """Make the report; ``facts``: the detector and the settings of the run."""
    groups = _groups(evaluation.results)
    views = {
        source: {view: [r for r in results if r.view == view] for view in VIEWS}
        for source, results in groups.items()
    }
    quality = {
        source: {view: measure(results) for view, results in by_view.items()}
        for source, by_view in views.items()
    }
    exact_match_images = {
        source: {
            view: {n: exact_match_rate(results, n) for n in VISIBLE}
            for view, results in by_view.items()
        }
        for source, by_view in views.items()
    }
    exact_match_frames = {
        source: {n: _exact_frames(results, n) for n in VISIBLE}
        for source, results in groups.items()
    }
    return Report(
        dict(facts),
        {source: len(results) // len(VIEWS) for source, results in groups.items()},
        quality,
        exact_match_images,
        exact_match_frames,
        {source: recalls(groups[source]) for source in (ALL_TABLETOP, BENCH) if source in groups},
        evaluation.times,
        dict(evaluation.refused),
        _targets(quality, exact_match_frames),
        {
            source: [run.frame.name for *_, run in sorted(worst, reverse=True)]
            for source, worst in evaluation.worst.items()
        },
    )


def _groups(results: Sequence[ImageResult]) -> dict[str, list[ImageResult]]:
    """Group by source, with a group of all the tabletop's; prompt images come last."""
    groups: dict[str, list[ImageResult]] = {}
    for result in results:
        if result.dataset == TABLETOP and not result.is_prompt_image:
            groups.setdefault(ALL_TABLETOP, []).append(result)
        groups.setdefault(result.source, []).append(result)
    return dict(sorted(groups.items(), key=lambda item: item[1][0].is_prompt_image))


def _exact_frames(results: Sequence[ImageResult], min_visible: int) -> float:
    """Compute the fraction of frames with exact matches in both views, adjacent in ``results``."""
    wrong = np.array([sum(result.errors(min_visible)) for result in results])
    return float((wrong.reshape(-1, len(VIEWS)).sum(1) == 0).mean())


def _targets(
    quality: Mapping[str, Mapping[str, Quality]], frames: Mapping[str, Mapping[int, float]]
) -> list[Target]:
    targets = []
    for source, least in ((ALL_TABLETOP, 0.95), (BENCH, 0.90)):
        for view in VIEWS:
            q = quality.get(source, {}).get(view)
            ap50, edge_median = (q.ap50, q.edge_median) if q else (None, None)
            edges = Target("box edges, median [px]", 2.0, edge_median, False)
            for target in (Target("AP50", least, ap50), edges):
                targets.append(replace(target, what=f"{source}, {view}: {target.what}"))
    share = frames.get(ALL_TABLETOP, {}).get(DEFAULT_VISIBLE)
    return [*targets, Target(f"{ALL_TABLETOP}: frames with the right count", 0.97, share)]


# --- for programs, and for people


def to_dict(report: Report) -> dict[str, Any]:
    """Convert to values of JSON."""
    targets = [asdict(target) | {"verdict": target.verdict} for target in report.targets]
    return asdict(report) | {"targets": targets}


def to_markdown(report: Report) -> str:
    """Format as a Markdown page."""
    shown = "; ".join(f"{key}: {value}" for key, value in report.facts.items())
    times = [1e3 * t for t in report.times]
    refused = ", ".join(f"{n} with {code}" for code, n in report.refused.items()) or "none"
    parts = [
        "# How well the detector finds objects",
        shown,
        f"Pairs of images: {', '.join(f'{n} {s}' for s, n in report.frames.items())}. "
        f"A pair took {statistics.median(times):.1f} ms (median), "
        f"{np.percentile(times, 95):.1f} ms (95th percentile) beside the processes that "
        "render; `bench perception` measures it alone. Refused, which counts as nothing found: "
        f"{refused}.",
        "## Targets",
        format_table(
            ["what", "wanted", "reached", ""],
            [
                [
                    t.what,
                    f"{'≥' if t.at_least else '≤'} {t.limit:g}",
                    _number(t.value),
                    t.verdict,
                ]
                for t in report.targets
            ],
        ),
        "## Quality by source and view",
        "Mask AP by pycocotools, class-agnostic, of the masks after assembly (each pixel has one "
        "owner) at the lowest threshold. Recall at mask IoU 0.5 with at most one false positive "
        "per image; the false positives are those at that threshold. Box edges: the largest "
        "error of a matched box's four edges [px], median and 95th percentile. Exact "
        "match: share of images with all objects matched one to one and no other detection, at "
        "the operating threshold (see below). "
        f"Objects that show less than {DEFAULT_VISIBLE} px are not asked for.",
        format_table(_QUALITY_HEADINGS, _quality_rows(report)),
        "## Exact match, by the visible area of an object",
        "Every true object with at least so many visible px is matched, one to one at mask IoU "
        "0.5, and there is no other detection: each, of however few px, matches a visible true "
        "object. Both: in both views of a frame.",
        format_table(["source", "view", *(f"{n} px" for n in VISIBLE)], _right_rows(report)),
        "## By kind of object, the worst first",
    ]
    for source, kinds in report.kinds.items():
        rows = [
            [kind, str(count), _number(share), _number(iou)]
            for kind, (count, share, iou) in sorted(kinds.items(), key=lambda item: item[1][1])
        ]
        parts += [f"### {source}", format_table(["kind", "shown", "found", "mean IoU"], rows)]
    parts += ["## The worst frames", "As images beside this page, the worst first."]
    parts += [f"{source}: {', '.join(names)}" for source, names in report.worst.items()]
    return "\n\n".join(parts) + "\n"


_QUALITY_HEADINGS = [
    *("source", "view", "images", "objects", "AP", "AP50", "AP75"),
    *("recall", "false positives", "edges median", "95 %", "exact match"),
]


def _quality_rows(report: Report) -> list[list[str]]:
    rows = []
    for source, views in report.quality.items():
        for view, q in views.items():
            numbers = (q.ap, q.ap50, q.ap75, q.recall, q.false_positives)
            edges = (q.edge_median, q.edge_p95)
            cells = [source, view, str(q.images), str(q.objects), *map(_number, numbers)]
            rows.append(
                [*cells, *(_number(edge, 1) for edge in edges), _number(q.exact_match_rate)]
            )
    return rows


def _right_rows(report: Report) -> list[list[str]]:
    rows = []
    for source, both in report.exact_match_frames.items():
        for view, shares in (*report.exact_match_images[source].items(), (BOTH, both)):
            rows.append([source, view, *(_number(share) for share in shares.values())])
    return rows


def _number(value: float | None, digits: int = 3) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


# --- images


def draw_run(run: DetectorRun) -> np.ndarray:
    """Draw the truth at the left, the detections at the right, a row per view; uint8 RGB.

    Outlined in red: true objects that were missed, and found ones that match none.
    """
    rows = []
    for place, view in enumerate(VIEWS):
        image, mask = run.frame.rgb[place], run.frame.masks[place]
        ids = np.unique(mask)[np.unique(mask) > 0]
        truth, found = Instances(mask, ids, np.ones(len(ids), np.float32)), run.found[view]
        matches = match(mask_iou(truth, found))
        sides = (
            _drawn(image, truth, np.any(matches, axis=1), f"{view}: truth, {len(truth)}"),
            _drawn(image, found, np.any(matches, axis=0), f"{view}: found, {len(found)}"),
        )
        rows.append(np.hstack(sides))
    return np.vstack(rows)


def _drawn(image: np.ndarray, instances: Instances, good: np.ndarray, title: str) -> np.ndarray:
    canvas = np.repeat(np.repeat(image, _SCALE, 0), _SCALE, 1)
    for instance, score, fits in zip(instances.ids, instances.scores, good, strict=True):
        pixels = np.repeat(np.repeat(instances.mask == instance, _SCALE, 0), _SCALE, 1)
        colour = object_color(int(instance)) if fits else _MISSED
        contours, _ = cv2.findContours(
            pixels.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE
        )
        cv2.drawContours(canvas, contours, -1, colour, 1 if fits else 2)
        if len(contours):
            x, y, *_ = cv2.boundingRect(pixels.astype(np.uint8))
            text = f"{instance} {score:.2f}"
            cv2.putText(canvas, text, (x, max(y - 2, 9)), cv2.FONT_HERSHEY_PLAIN, 0.8, colour)
    head = np.zeros((_MARGIN, canvas.shape[1], 3), np.uint8)
    cv2.putText(head, title, (6, 16), cv2.FONT_HERSHEY_PLAIN, 1.0, (255, 255, 255))
    return np.vstack([head, canvas])


def write(report: Report, evaluation: Evaluation, out: Path) -> str:
    """Write detector.md, detector.json and worst/SOURCE_PLACE.png; return the page's text.

    Raises VimaError (CANNOT_WRITE).
    """
    for source, worst in evaluation.worst.items():
        name = "".join(c if c.isalnum() or c in ".-" else "_" for c in source)
        for place, (*_, run) in enumerate(sorted(worst, reverse=True), 1):
            write_image(out / "worst" / f"{name}_{place}.png", draw_run(run))
    page = to_markdown(report)
    write_atomic(out / "detector.md", page.encode())
    write_json(out / "detector.json", to_dict(report))
    return page
