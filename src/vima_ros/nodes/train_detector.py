"""`train_detector`: our Mask R-CNN from pictures with masks to an ONNX file (docs/DETECTOR.md)."""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rclpy.utilities import remove_ros_args

from vima_ros.errors import VimaError
from vima_ros.paths import path_argument

QUALITY = ("ap", "ap50", "recall", "edge_median", "right")  # as in evaluation_report.py
SOURCES = ("tabletop, all looks", "VIMA-Bench")
MODEL, WEIGHTS = "detector.onnx", "detector.safetensors"


def _arguments(args: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="train_detector",
        description=__doc__,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument(
        "--data",
        type=path_argument,
        nargs="*",
        default=[],
        metavar="DIR",
        help="pictures with masks: of `demonstrate --content masks`, or recorded with VIMA-Bench; "
        "each folder is drawn from as often as any other",
    )
    parser.add_argument(
        "--out",
        type=path_argument,
        required=True,
        help="folder of the run; the same again resumes it",
    )
    parser.add_argument("--steps", type=int, default=10_000, help="to train for in all")
    parser.add_argument("--batch", type=int, default=8, help="pictures a step")
    parser.add_argument("--rate", type=float, default=1e-3, help="highest learning rate")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--start",
        type=path_argument,
        metavar="ONNX",
        help="go on from a detector, such as the shipped one",
    )
    parser.add_argument(
        "--quality",
        type=path_argument,
        metavar="JSON",
        help="export again with what `evaluate_detector` measured in the model card",
    )
    parser.add_argument(
        "--min-score", type=float, default=0.5, help="the card's: objects below are left out"
    )
    return parser.parse_args(args)


def _train(options: argparse.Namespace) -> None:
    from vima_ros.training.detector_pictures import read_source
    from vima_ros.training.detector_training import DetectorRecipe, train_detector
    from vima_ros.training.runs import draw_curves, start_run

    recipe = DetectorRecipe(
        steps=options.steps,
        batch=options.batch,
        learning_rate=options.rate,
        seed=options.seed,
    )
    sources = []
    for folder in options.data:
        sources.append(read_source(folder))
        counts = f"{len(sources[-1].scenes)} frames, {len(sources[-1].prompts)} of prompts"
        print(f"train_detector: {folder}: {counts}", file=sys.stderr)
    data = {s.name: {"frames": len(s.scenes), "prompts": len(s.prompts)} for s in sources}
    start_run(
        options.out, {"data": data, "recipe": asdict(recipe), "start": _origin(options.start)}
    )
    for p in train_detector(sources, recipe, options.out, start=options.start):
        left = (recipe.steps - p.step) * recipe.batch / p.pictures_per_s
        losses = ", ".join(f"{k.removeprefix('loss_')} {v:.3f}" for k, v in p.losses.items())
        print(
            f"train_detector: step {p.step} of {recipe.steps}, loss {p.loss:.3f} ({losses}), "
            f"{p.pictures_per_s:.1f} pictures/s, {left / 60:.0f} min left",
            file=sys.stderr,
            flush=True,
        )
    draw_curves(options.out)


def _origin(path: Path | None) -> dict[str, Any] | None:
    """What a run goes on from: the file's hash, and the run it tells of."""
    if path is None:
        return None
    import onnx

    told = {p.key: p.value for p in onnx.load(path).metadata_props}
    card = json.loads(told.get("card", "{}"))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return {"sha256": digest, "step": card.get("step"), "run": card.get("run")}


def _card(folder: Path, model: Any, step: int, options: argparse.Namespace) -> dict[str, Any]:
    from vima_ros.training.runs import CONFIGURATION

    return {
        "name": "vima_ros object detector",
        "network": {"kind": "Mask R-CNN, class-agnostic", **asdict(model.config)},
        "parameters": sum(p.numel() for p in model.parameters()),
        "step": step,
        "min_score": options.min_score,
        "run": json.loads((folder / CONFIGURATION).read_text()),
        "quality": _quality(options.quality) if options.quality else "not measured yet",
    }


def _quality(report: Path) -> dict[str, Any]:
    """Of what `evaluate_detector` wrote, what fits on a card: by source and view."""
    try:
        measured = json.loads(report.read_text())
        return {
            f"{source}, {view}": {name: round(found[name], 3) for name in QUALITY}
            for source, views in measured["quality"].items()
            for view, found in views.items()
            if source in SOURCES
        }
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise VimaError(
            "BAD_REPORT", f"{report}: {error!r}; valid: detector.json of evaluate_detector"
        ) from error


def main(args: list[str] | None = None) -> None:
    """``ros2 run vima_ros train_detector``."""
    options = _arguments(remove_ros_args(args or sys.argv)[1:])
    try:
        _require_torchvision()
        from vima_ros.training.detector_export import export_detector, save_weights
        from vima_ros.training.detector_training import load_averaged

        if options.data:
            _train(options)
        elif not options.quality:
            raise VimaError("NO_DEMONSTRATIONS", "nothing to train on; valid: --data DIR …")
        model, step = load_averaged(options.out)
        path = options.out / MODEL
        card = _card(options.out, model, step, options)
        export_detector(model, path, card)
        save_weights(model, options.out / WEIGHTS, card)
    except VimaError as error:
        sys.exit(f"train_detector: {error.code}: {error}")
    print(f"train_detector: written to {path} ({path.stat().st_size / 1e6:.1f} MB)")


def _require_torchvision() -> None:
    try:
        import torchvision  # noqa: F401
    except Exception as error:  # a torchvision built for another torch fails in its own ways
        raise VimaError(
            "NO_TORCHVISION",
            f"torchvision does not load ({error}); in a clone: ./vima --train train_detector …, "
            "elsewhere install torch and torchvision of requirements/torchvision.txt",
        ) from error


if __name__ == "__main__":
    main()
