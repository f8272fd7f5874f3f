"""Parameters of a configuration, and configurations of other conditionings matched to it.

The paper compares conditionings at equal size; docs/vima_architecture.md, "Equal sizes".
"""

from __future__ import annotations

from collections.abc import Iterator
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
    network = build_empty(config)
    counts = {
        name: sum(parameter.numel() for parameter in part.parameters())
        for name, part in network.named_children()
    }
    counts |= {name: p.numel() for name, p in network.named_parameters(recurse=False)}
    return {**counts, TOTAL: sum(counts.values())}


def match_parameters(config: VimaConfig, parameters: int) -> VimaConfig:
    """Return ``config`` with other layers, or width, and as many parameters within 5 %.

    At the given width the number of layers is chosen whose parameters come closest; where they
    are not close enough, the same is tried at the widths nearest to it that the heads divide.
    Everything else stays. Raises VimaError (BAD_CONFIG) where nothing comes close enough.
    """
    for width in _widths(config):
        one, two = (
            parameter_count(replace(config, embed_dim=width, xf_n_layers=layers))[TOTAL]
            for layers in (1, 2)
        )
        layers = 1 + round((parameters - one) / (two - one))
        if not 1 <= layers <= MAX_LAYERS:
            continue
        if abs(one + (layers - 1) * (two - one) - parameters) <= TOLERANCE * parameters:
            return replace(config, embed_dim=width, xf_n_layers=layers)
    raise VimaError(
        "BAD_CONFIG",
        f"no width near {config.embed_dim} and number of layers gives {config.conditioning} "
        f"{parameters} parameters; valid: a number within {TOLERANCE:.0%} of one that they give",
    )


def _widths(config: VimaConfig) -> Iterator[int]:
    """Yield multiples of the heads from half to twice the width, the nearest to it first."""
    width = config.embed_dim
    heads = (config.sattn_n_heads, config.xattn_n_heads, config.perceiver_heads)
    multiples = range(1, 2 * width + 1)
    near = [n for n in multiples if 2 * n >= width and not any(n % head for head in heads)]
    yield from sorted(near, key=lambda n: abs(n - width))
