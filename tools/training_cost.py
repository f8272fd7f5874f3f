"""Measure what a training episode costs; from that the hours: docs/training_at_scale.md.

    ./vima exec python tools/training_cost.py --data data/single --sizes 20M 200M

Counts the floating-point operations of the forward and backward pass over real episodes (matrix
products, convolutions and attention, by PyTorch's counter), and measures how many episodes a
second one core turns into batches. Prints a table in Markdown.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from torch.utils.flop_counter import FlopCounterMode

from vima_ros.policy.config import PUBLISHED, VimaConfig
from vima_ros.tables import format_table
from vima_ros.training.policy.auxiliary_losses import PolicyWithAuxiliaryHeads
from vima_ros.training.policy.batch_source import BatchSource
from vima_ros.training.policy.initialization import new_network
from vima_ros.training.policy.recipe import PolicyRecipe
from vima_ros.training.policy.training_episode import TrainingEpisode, read_training_episodes

PAPER_EPISODES = 10 * 650_000  # VIMA, section 5: ten epochs of 13 tasks with 50,000 episodes each
HEADER = (
    "size",
    "weights",
    "FLOP per episode",
    "episodes/s",
    "hours",
    "cores that make batches",
)


def main() -> None:
    """Measure and print."""
    options = parse(sys.argv[1:])
    episodes = read_training_episodes(options.data)
    recipe = PolicyRecipe(batch_size=options.batch_size, micro_batches=options.batch_size // 8)
    prepared = preparation_rate(episodes, recipe)
    rows = []
    for size in options.sizes:
        weights, cost = flop_per_episode(episodes, PUBLISHED[size], recipe)
        rate = options.gpus * options.tflops * 1e12 * options.utilization / cost
        hours = options.episodes / rate / 3600
        rows.append(
            (
                size,
                f"{weights / 1e6:.0f} M",
                f"{cost / 1e9:.0f} G",
                f"{rate:.0f}",
                f"{hours:.1f}",
                f"{rate / prepared:.1f}",
            )
        )
    print(format_table(HEADER, rows))
    print(f"\n{prepared:.0f} episodes/s become batches on one core of this machine.")


def parse(args: list[str]) -> argparse.Namespace:
    """Read the options."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, nargs="+", required=True, help="Demonstrations")
    parser.add_argument(
        "--sizes", nargs="+", choices=tuple(PUBLISHED), default=("20M", "200M"), help="Sizes"
    )
    parser.add_argument("--batch-size", type=int, default=64, help="Episodes that are measured")
    parser.add_argument("--gpus", type=int, default=8, help="Number of GPUs")
    parser.add_argument(
        "--tflops", type=float, default=312.0, help="Peak of one in bfloat16 [TFLOP/s]"
    )
    parser.add_argument(
        "--utilization",
        type=float,
        default=0.3,
        help="Fraction of the peak that is reached, 0 to 1",
    )
    parser.add_argument(
        "--episodes", type=int, default=PAPER_EPISODES, help="Episodes of the training"
    )
    return parser.parse_args(args)


def flop_per_episode(
    episodes: Sequence[TrainingEpisode], config: VimaConfig, recipe: PolicyRecipe
) -> tuple[int, float]:
    """Return the network's weights, and the operations of a training step by its episodes."""
    torch.manual_seed(recipe.seed)
    model = PolicyWithAuxiliaryHeads(new_network(config)).train()
    with FlopCounterMode(display=False) as counter:
        for _, batch in BatchSource(episodes, recipe, model.network.image_tokens)[0]:
            losses = model.losses(batch, recipe.position_smoothing)
            torch.stack(list(losses.values())).sum().backward()
    weights = sum(p.numel() for p in model.network.parameters())
    return weights, counter.get_total_flops() / recipe.batch_size


def preparation_rate(episodes: Sequence[TrainingEpisode], recipe: PolicyRecipe) -> float:
    """Return the episodes per second that this process turns into batches, median of nine."""
    source, times = BatchSource(episodes, recipe, None), []
    for step in range(9):
        begin = time.perf_counter()
        source[step]
        times.append(time.perf_counter() - begin)
    return recipe.batch_size / sorted(times)[len(times) // 2]


if __name__ == "__main__":
    main()
