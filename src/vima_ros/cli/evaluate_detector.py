"""`evaluate_detector`: accuracy and speed of a detector on frames it was not trained on."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from datetime import datetime, timezone
from itertools import chain
from typing import Any

from vima_ros.cli.arguments import ArgumentParser
from vima_ros.errors import VimaError
from vima_ros.files import prepare_folder
from vima_ros.paths import path_argument, path_text_argument
from vima_ros.perception.detectors.registry import DETECTORS, DetectorSettings, make_detector
from vima_ros.program import run_program
from vima_ros.training.evaluation.detector_frames import (
    FIRST_EVALUATION_SEED,
    VISUAL_RANDOMIZATIONS,
    EvaluationFrame,
    bench_frames,
    tabletop_frames,
)
from vima_ros.training.evaluation.detector_metrics import evaluate
from vima_ros.training.evaluation.detector_report import make_report, write

MIN_SCORE = 0.05  # for the average precision, which looks at all thresholds


def parse(args: list[str]) -> argparse.Namespace:
    """Parse the command line."""
    parser = ArgumentParser(
        prog="evaluate_detector",
        description=__doc__,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--detector", choices=sorted(DETECTORS), default="onnx", help="Detector")
    parser.add_argument(
        "--weights",
        type=path_text_argument,
        default="",
        help="Weights file; empty: the detector's own",
    )
    parser.add_argument(
        "--min-score", type=float, help="Score threshold, 0 to 1; default: that of the weights"
    )
    parser.add_argument(
        "--threads",
        type=int,
        default=DetectorSettings().threads,
        help="Number of threads of the detector",
    )
    parser.add_argument(
        "--frames", type=int, default=500, help="Number of frames of the tabletop; 0: none"
    )
    parser.add_argument(
        "--first-seed",
        type=int,
        default=FIRST_EVALUATION_SEED,
        help="Seed of the first episode",
    )
    parser.add_argument(
        "--visual-randomization",
        type=float,
        nargs="+",
        default=VISUAL_RANDOMIZATIONS,
        help="Strengths of the domain randomization, used in turns, 0 to 1",
    )
    parser.add_argument(
        "--vima-bench", type=path_argument, help="Folder of recorded VIMA-Bench episodes"
    )
    parser.add_argument(
        "--workers", type=int, default=os.cpu_count() or 1, help="Number of processes"
    )
    parser.add_argument(
        "--out", type=path_argument, required=True, help="Folder of the report and images"
    )
    return parser.parse_args(args)


def _frames(options: argparse.Namespace) -> Iterator[EvaluationFrame]:
    sources = []
    if options.frames:
        looks = tuple(options.visual_randomization)
        sources.append(tabletop_frames(options.frames, options.first_seed, looks, options.workers))
    if options.vima_bench:
        sources.append(bench_frames(options.vima_bench))
    if not sources:
        raise VimaError(
            "NO_FRAMES", "nothing to measure on; valid: --frames N or --vima-bench FOLDER"
        )
    for number, frame in enumerate(chain(*sources), 1):
        if number % 50 == 0:
            print(f"evaluate_detector: {number} pairs of images", file=sys.stderr, flush=True)
        yield frame


def _facts(options: argparse.Namespace, card: dict[str, Any]) -> dict[str, Any]:
    return {
        "detector": options.detector,
        **{key: value for key, value in card.items() if key != "card"},
        "lowest threshold": MIN_SCORE,
        "first seed": options.first_seed,
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "load": round(os.getloadavg()[0], 1),
    }


def main(args: list[str]) -> None:
    """``ros2 run vima_ros evaluate_detector``."""
    options = parse(args)
    prepare_folder(options.out)
    detector, sensitive = (
        make_detector(
            options.detector,
            DetectorSettings(
                weights=options.weights, threads=options.threads, min_score=min_score
            ),
        )
        for min_score in (options.min_score, MIN_SCORE)
    )
    facts = _facts(options, detector.describe())
    evaluation = evaluate(_frames(options), detector, sensitive)
    print(write(make_report(evaluation, facts), evaluation, options.out))
    print(f"evaluate_detector: written to {options.out}")


if __name__ == "__main__":
    run_program(lambda: main)
