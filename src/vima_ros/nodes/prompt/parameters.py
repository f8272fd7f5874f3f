"""Parameters of the prompt node."""

from __future__ import annotations

from dataclasses import dataclass

from vima_ros.nodes.common.parameters import parameter
from vima_ros.perception.detectors.registry import DETECTORS

CHOICES = tuple(sorted(set(DETECTORS) - {"ground_truth_masks"}))


@dataclass(frozen=True)
class PromptParameters:
    """Parameters of the prompt node, with the values of config/prompt.yaml."""

    tokenizer: str = parameter(
        "File tokenizer.json or name on the Hugging Face hub of the tokenizer; empty: the bundled "
        "one",
        read_only=True,
        path=True,
    )
    detector: str = parameter(
        "Detector of the object in images of one object that are sent without masks",
        choices=CHOICES,
        read_only=True,
    )
    weights: str = parameter(
        "Weights file of the detector; empty: the bundled one, where it has one",
        read_only=True,
        path=True,
    )
    scene_detector: str = parameter(
        "Detector of the objects in images of a scene that are sent without masks",
        choices=CHOICES,
        read_only=True,
    )
    scene_weights: str = parameter(
        "Weights file of the scene_detector; empty: the bundled one, where it has one",
        read_only=True,
        path=True,
    )
    library: str = parameter("Folder of the asset library", read_only=True, path=True)
    library_max_assets: int = parameter(
        "Maximum number of assets in the asset library", low=1, high=10000, read_only=True
    )
    library_max_bytes: int = parameter(
        "Maximum size of the asset library [bytes]", low=100_000, high=10**12, read_only=True
    )
