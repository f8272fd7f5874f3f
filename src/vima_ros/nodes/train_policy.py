"""`train_policy`: a VIMA policy from demonstrations to a .safetensors file (docs/POLICY.md)."""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from dataclasses import asdict, replace
from typing import Any

import yaml
from rclpy.utilities import remove_ros_args

from vima_ros.errors import VimaError
from vima_ros.nodes.parameters import config_path
from vima_ros.paths import path_argument

WEIGHTS = "policy.safetensors"
KEPT_APART = 50  # every so many-th episode is not trained on, and told as "unseen"


def _arguments(args: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="train_policy",
        description=__doc__,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument(
        "--data",
        type=path_argument,
        nargs="+",
        required=True,
        metavar="DIR",
        help="demonstrations: of `demonstrate`, or recorded with VIMA-Bench",
    )
    parser.add_argument(
        "--out",
        type=path_argument,
        required=True,
        help="folder of the run; the same again resumes it",
    )
    parser.add_argument("--config", default="small", help="config/training/policy_CONFIG.yaml")
    parser.add_argument("--task", nargs="*", default=[], help="names; none: all there are")
    parser.add_argument("--most-steps", type=int, default=100, help="of an episode, the first")
    parser.add_argument("--steps", type=int, default=20_000, help="to train for in all")
    parser.add_argument("--batch", type=int, help="episodes a step; default: the configuration's")
    parser.add_argument("--rate", type=float, help="highest learning rate; default: likewise")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--start",
        type=path_argument,
        metavar="SAFETENSORS",
        help="begin with a policy trained before",
    )
    parser.add_argument("--workers", type=int, default=0, help="processes that make batches")
    return parser.parse_args(args)


def _train(options: argparse.Namespace) -> None:
    from vima_ros.policy.loading import load_network
    from vima_ros.policy.weights import save_weights
    from vima_ros.training.policy_episodes import read_training_episodes
    from vima_ros.training.policy_start import taken_over
    from vima_ros.training.policy_training import load_averaged, train_policy
    from vima_ros.training.runs import CONFIGURATION, draw_curves, start_run

    config, recipe = _configuration(options)
    episodes = read_training_episodes(options.data, options.task, options.most_steps)
    counts = Counter(episode.task for episode in episodes)
    _say(", ".join(f"{task} {count}" for task, count in sorted(counts.items())))
    unseen, seen = episodes[::KEPT_APART], list(episodes)
    del seen[::KEPT_APART]
    network, origin = None, None
    if options.start is not None:
        trained, origin = load_network(options.start, {})
        network, anew = taken_over(config, trained)
        _say(f"goes on from {options.start}; begins anew: {', '.join(anew) or 'nothing'}")
    facts = {"data": counts, "network": asdict(config), "recipe": asdict(recipe), "start": origin}
    start_run(options.out, facts)
    reached: dict[str, float] = {}  # stays empty where the run had ended before
    for p in train_policy(
        seen, unseen, config, recipe, options.out, start=network, workers=options.workers
    ):
        left = (recipe.steps - p.step) * recipe.batch / p.episodes_per_s
        losses = ", ".join(f"{name} {value:.2f}" for name, value in p.losses.items())
        shares = ", ".join(
            f"{name} {100 * share:.0f}/{100 * p.unseen.get(name, 0.0):.0f} %"
            for name, share in p.hits.items()
        )
        reached = dict(p.unseen)
        _say(
            f"step {p.step} of {recipe.steps}: {losses}; right, seen/unseen: {shares}; "
            f"{p.episodes_per_s:.0f} episodes/s, {left / 60:.0f} min left"
        )
    averaged, step = load_averaged(options.out, config)
    run = json.loads((options.out / CONFIGURATION).read_text())
    card: dict[str, Any] = {"step": step, "hits": {"unseen": reached}, "run": run}
    save_weights(averaged, options.out / WEIGHTS, card)
    _say(f"written to {options.out / WEIGHTS}")
    draw_curves(options.out)


def _configuration(options: argparse.Namespace) -> tuple[Any, Any]:
    """The network's sizes and the recipe. Raises VimaError (BAD_CONFIG)."""
    from vima_ros.policy.config import VimaConfig
    from vima_ros.policy.tokenizer import PromptTokenizer
    from vima_ros.training.policy_training import PolicyRecipe

    path = config_path(f"training/policy_{options.config}.yaml")
    try:
        read = yaml.safe_load(path.read_text())
        words = PromptTokenizer().vocab_size
        config = VimaConfig(**{"vocabulary": words, **read["network"]})
        recipe = PolicyRecipe(**read["recipe"])
    except (OSError, yaml.YAMLError, KeyError, TypeError) as error:
        raise VimaError("BAD_CONFIG", f"{path}: {error}; valid: as policy_small.yaml") from error
    given = {"steps": options.steps, "seed": options.seed}
    given |= {"batch": options.batch or recipe.batch}
    given |= {"learning_rate": options.rate or recipe.learning_rate}
    return config, replace(recipe, **given)


def _say(text: str) -> None:
    print(f"train_policy: {text}", file=sys.stderr, flush=True)


def main(args: list[str] | None = None) -> None:
    """``ros2 run vima_ros train_policy``."""
    options = _arguments(remove_ros_args(args or sys.argv)[1:])
    try:
        _train(options)
    except VimaError as error:
        sys.exit(f"train_policy: {error.code}: {error}")


if __name__ == "__main__":
    main()
