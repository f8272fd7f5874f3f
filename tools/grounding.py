"""Measure whether objects attend to the prompt images that show them: docs/attention.md.

    ./vima exec python tools/grounding.py --first 3001000 --seeds 200 --image docs/attention.png

Prints a table in Markdown: the share of views in which the pictured object has the highest score
for its image, by the mean over all layers and heads and by each head alone, and after the prompt's
images were exchanged. The image shows the first episode.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import torch

from vima_ros.files import write_image
from vima_ros.perception.visualization import draw_attention
from vima_ros.policy import load_policy
from vima_ros.policy.tokenizer import PromptTokenizer
from vima_ros.tables import format_table
from vima_ros.training.evaluation.grounding import (
    exchange_images,
    first_attention,
    first_scene,
    grounded,
)

IMAGES = ("dragged_obj_1", "base_obj")  # of visual_manipulation


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--policy", help="Checkpoint; default: the bundled one")
    parser.add_argument("--first", type=int, default=3_001_000, help="First seed")
    parser.add_argument("--seeds", type=int, default=200, help="Number of seeds")
    parser.add_argument("--image", type=Path, help="File for the overlay of the first seed")
    options = parser.parse_args()
    torch.set_num_threads(1)
    policy, tokenizer = load_policy(options.policy), PromptTokenizer()
    hits: dict[str, dict[str, list[bool]]] = {}

    def count(row: str, found: dict[str, list[bool]]) -> None:
        for label, each in found.items():
            hits.setdefault(row, {}).setdefault(label, []).extend(each)

    for seed in range(options.first, options.first + options.seeds):
        scene = first_scene("visual_manipulation", seed, tokenizer.encode)
        attention = first_attention(policy, scene)
        if options.image and seed == options.first:
            named = attention.name_words(tokenizer.piece)
            write_image(options.image, draw_attention(scene.frames, named))
        count(
            "mean of all layers and heads",
            grounded(attention, attention.label_scores, scene.shown),
        )
        layers, heads = attention.objects.shape[:2]
        for layer in range(layers):
            for head in range(heads):
                alone = replace(
                    attention,
                    objects=attention.objects[layer : layer + 1, head : head + 1],
                    action=attention.action[layer : layer + 1, head : head + 1],
                    action_objects=attention.action_objects[layer : layer + 1],
                )
                found = grounded(alone, alone.label_scores, scene.shown)
                count(f"layer {layer}, head {head}", found)
        swapped = exchange_images(scene, *IMAGES)
        attention = first_attention(policy, swapped)
        count("mean, images exchanged", grounded(attention, attention.label_scores, swapped.shown))
    rows = [
        [row, *(f"{sum(each) / len(each):.1%} of {len(each)}" for each in found.values())]
        for row, found in hits.items()
    ]
    print(format_table(["score", *next(iter(hits.values()))], rows))


if __name__ == "__main__":
    main()
