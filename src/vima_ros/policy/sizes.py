"""Parameters of a configuration, and configurations with equally many of other conditionings.

The paper compares conditionings at equal size; docs/vima_architecture.md, "Equal sizes".
"""

from __future__ import annotations

from dataclasses import replace

from vima_ros.errors import VimaError
from vima_ros.policy.checkpoints.validation import build_empty
from vima_ros.policy.config import MAX_LAYERS, VimaConfig

TOTAL = "total"
TOLERANCE = 0.05  # of the number of parameters


def parameter_count(config: VimaConfig) -> dict[str, int]:
    """Count the parameters of each part of the network, by its name, and of all as ``total``.

    Nothing is allocated for them.
    """
    counts = {
        name: sum(parameter.numel() for parameter in part.parameters())
        for name, part in build_empty(config).named_children()
    }
    return {**counts, TOTAL: sum(counts.values())}


def match_parameters(config: VimaConfig, parameters: int) -> VimaConfig:
    """Return ``config`` with other layers so that it has about so many parameters in all.

    The number of layers comes as close as it can, and the width of the vision transformer makes up
    for the rest, in steps of 4 for each of its heads; everything else stays. Raises VimaError
    (BAD_CONFIG) where that is further off than 5 %.
    """

    def off(candidate: VimaConfig) -> int:
        return parameter_count(candidate)[TOTAL] - parameters

    one, two = (off(replace(config, xf_n_layers=layers)) for layers in (1, 2))
    layers = min(max(1, 1 + round(-one / (two - one))), MAX_LAYERS)
    step = 4 * config.vit_heads
    widths = range(step, 2 * config.vit_width + 1, step)
    candidates = [replace(config, xf_n_layers=layers, vit_width=width) for width in widths]
    best = min(
        [replace(config, xf_n_layers=layers), *candidates],
        key=lambda candidate: abs(off(candidate)),
    )
    if abs(off(best)) > TOLERANCE * parameters:
        raise VimaError(
            "BAD_CONFIG",
            f"{config.conditioning} has {parameters + off(best)} parameters at the nearest to "
            f"{parameters}; valid: a number within {TOLERANCE:.0%} of one that its layers give",
        )
    return best
