"""`train_detector`: our Mask R-CNN from images with masks to an ONNX file (docs/detector.md)."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from vima_ros.cli.arguments import ArgumentParser
from vima_ros.cli.training_options import (
    add_run_options,
    describe_progress,
    find_recipe,
    make_logger,
    run_training,
    with_overrides,
)
from vima_ros.errors import VimaError
from vima_ros.files import prepare_folder, sha256_of
from vima_ros.paths import path_argument
from vima_ros.program import DONE, run_program

QUALITY = ("ap", "ap50", "recall", "edge_median", "exact_match_rate")  # as in detector.json
MODEL, WEIGHTS = "detector.onnx", "detector.safetensors"
log = make_logger("train_detector")


def parse(args: list[str]) -> argparse.Namespace:
    """Parse the command line."""
    parser = ArgumentParser(
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
        help="Folders of images with masks, of `demonstrate --content masks` or recorded with "
        "VIMA-Bench; all have the same weight",
    )
    add_run_options(parser, "detector", "--print-config" in args)
    parser.add_argument(
        "--start",
        type=path_argument,
        metavar="ONNX",
        help="Detector whose weights training begins with, such as the bundled one; those that do "
        "not fit are printed with the reason",
    )
    parser.add_argument(
        "--quality",
        type=path_argument,
        metavar="JSON",
        help="Report of `evaluate_detector` for the model card; the detector is exported again",
    )
    parser.add_argument(
        "--min-score", type=float, default=0.5, help="Score threshold in the model card, 0 to 1"
    )
    return parser.parse_args(args)


def _train(options: argparse.Namespace, recipe: Any) -> int:
    """Train; return the exit code."""
    from vima_ros.training.detector.dataset import read_source
    from vima_ros.training.detector.trainer import train_detector
    from vima_ros.training.run_directory import start_run

    prepare_folder(options.out)
    sources = []
    for folder in options.data:
        log(f"reading {folder}")
        source = read_source(folder)
        sources.append(source)
        log(
            f"{folder}: {len(source.scenes)} frames, {len(source.prompts)} of prompts, "
            f"{len(source.validation)} frames for validation"
        )
    data = {s.name: {"frames": len(s.scenes), "prompts": len(s.prompts)} for s in sources}
    facts = {
        "data": data,
        "sha256": _digest(sources),
        "recipe": asdict(recipe),
        "start": _origin(options.start),
    }
    start_run(options.out, facts)

    def lines(schedule: Any) -> Iterator[str]:
        for p in train_detector(sources, recipe, options.out, schedule, options.start):
            yield describe_progress(p, recipe.steps, recipe.batch_size, p.images_per_s, "images")

    return run_training("train_detector", options.out, options.checkpoint_every, lines)


def _digest(sources: list[Any]) -> str:
    """Hash all masks, in order: a resumed run must have the same data."""
    images = (image for source in sources for image in (*source.scenes, *source.prompts))
    return sha256_of(*(image.mask_png for image in images))


def _recipe(options: argparse.Namespace) -> Any:
    """Read the recipe. Raises VimaError (BAD_CONFIG)."""
    from vima_ros.training.detector.recipe import DetectorRecipe
    from vima_ros.training.recipes import read_recipe

    path = find_recipe("detector", options.config)
    return with_overrides(read_recipe(path, {"recipe": DetectorRecipe}, {})["recipe"], options)


def _origin(path: Path | None) -> dict[str, Any] | None:
    """Return the hash of the initial weights' file, and its card's step and run."""
    if path is None:
        return None
    import onnx

    metadata = {p.key: p.value for p in onnx.load(path).metadata_props}
    card = json.loads(metadata.get("card", "{}"))
    return {"sha256": sha256_of(path), "step": card.get("step"), "run": card.get("run")}


def _card(folder: Path, model: Any, step: int, options: argparse.Namespace) -> dict[str, Any]:
    from vima_ros.training.run_directory import CONFIGURATION

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
    """Extract the model card's figures from a report of `evaluate_detector`."""
    from vima_ros.training.evaluation.detector_frames import BENCH
    from vima_ros.training.evaluation.detector_report import ALL_TABLETOP

    try:
        measured = json.loads(report.read_text())
        return {
            f"{source}, {view}": {name: round(found[name], 3) for name in QUALITY}
            for source, views in measured["quality"].items()
            for view, found in views.items()
            if source in (ALL_TABLETOP, BENCH)
        }
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise VimaError(
            "BAD_REPORT", f"{report}: {error!r}; valid: detector.json of evaluate_detector"
        ) from error


def main(args: list[str]) -> int:
    """``ros2 run vima_ros train_detector``."""
    options = parse(args)
    recipe = _recipe(options)
    if options.print_config:
        from vima_ros.training.recipes import to_yaml

        print(to_yaml(recipe=recipe), end="")
        return DONE
    _require_torchvision()
    from vima_ros.training.detector.onnx_export import export_detector, save_weights
    from vima_ros.training.detector.trainer import load_averaged

    if options.data:
        if signal_code := _train(options, recipe):
            return signal_code
    elif not options.quality:
        raise VimaError("NO_DEMONSTRATIONS", "nothing to train on; valid: --data DIR …")
    model, step = load_averaged(options.out)
    path = options.out / MODEL
    card = _card(options.out, model, step, options)
    export_detector(model, path, card)
    save_weights(model, options.out / WEIGHTS, card)
    print(f"train_detector: written to {path} ({path.stat().st_size / 1e6:.1f} MB)")
    return DONE


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
    run_program(lambda: main)
