"""Parameters of the VIMA-Bench node."""

from __future__ import annotations

from dataclasses import dataclass

from vima_ros.nodes.common.cell_parameters import CellParameters
from vima_ros.nodes.common.parameters import parameter


@dataclass(frozen=True)
class VimaBenchParameters(CellParameters):
    """Parameters of the VIMA-Bench node, with their values in config/vima_bench.yaml."""

    send_prompt: bool = parameter(
        "Publication of the task's prompt for the prompt node after each reset"
    )
    prompt_masks: bool = parameter(
        "True masks beside the images of the task's prompt, for cells whose perception has the "
        "detector ground_truth_masks; false: the prompt node's detectors find the objects"
    )
    camera_rate: float = parameter(
        "Image rate of both cameras while nothing moves [Hz]", low=0.1, high=30, read_only=True
    )
