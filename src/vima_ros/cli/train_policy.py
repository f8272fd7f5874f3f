"""`train_policy`: a VIMA policy from demonstrations to a .safetensors file (docs/policy.md)."""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict
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
from vima_ros.policy.action_selection import BY_BINS, GROUNDED
from vima_ros.program import DONE, run_program

WEIGHTS = "policy.safetensors"
VALIDATION_EVERY = 50  # one of so many episodes is for validation


def parse(args: list[str]) -> argparse.Namespace:
    """Parse the command line."""
    parser = ArgumentParser(
        prog="train_policy",
        description=__doc__,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    printing = "--print-config" in args
    parser.add_argument(
        "--data",
        type=path_argument,
        nargs="+",
        required=not printing,
        metavar="DIR",
        help="Folders of demonstrations, of `demonstrate` or recorded with VIMA-Bench",
    )
    add_run_options(parser, "policy", printing)
    parser.add_argument("--tasks", nargs="*", default=[], help="Names of tasks; none: all")
    parser.add_argument(
        "--max-steps",
        type=int,
        default=100,
        help="Maximum steps of an episode; further ones are left out",
    )
    parser.add_argument(
        "--pause-at",
        type=int,
        default=0,
        metavar="STEP",
        help="Step after which training pauses and writes the policy that it has; 0: at the end "
        "alone. The same command with a later one, or without, resumes it",
    )
    parser.add_argument(
        "--start",
        type=path_argument,
        metavar="FILE",
        help="Policy whose weights training begins with, where they fit; the others are printed "
        "with the reason",
    )
    parser.add_argument(
        "--workers", type=int, default=0, help="Number of processes that make batches"
    )
    return parser.parse_args(args)


def _train(options: argparse.Namespace, config: Any, recipe: Any) -> int:
    """Train, among the processes that torchrun has started; return the exit code."""
    from vima_ros.training.data_parallel import joined_processes

    with joined_processes() as processes:
        return _train_among(processes, options, config, recipe)


def _train_among(processes: Any, options: argparse.Namespace, config: Any, recipe: Any) -> int:
    """Train; return the exit code. The first process writes and logs."""
    from vima_ros.policy.checkpoints.safetensors import save_weights
    from vima_ros.policy.model.conditioning import CONDITIONINGS
    from vima_ros.policy.tokenizer import bundled_tokenizer
    from vima_ros.training.policy.trainer import load_averaged, train_policy
    from vima_ros.training.policy.training_episode import read_training_episodes
    from vima_ros.training.run_directory import CONFIGURATION, read_progress, start_run

    log = make_logger("train_policy") if processes.writes else _silent
    prepare_folder(options.out)
    log(f"reading {', '.join(map(str, options.data))}")
    reads_images = CONDITIONINGS[config.conditioning].inputs.observation == "images"
    episodes = read_training_episodes(
        options.data, options.tasks, options.max_steps, whole_images=reads_images
    )
    counts = Counter(episode.task for episode in episodes)
    log("episodes: " + ", ".join(f"{task} {count}" for task, count in sorted(counts.items())))
    absent = sorted(set(recipe.task_weights) - set(counts))
    if absent:
        log(f"task_weights without effect, for the data has no episodes of: {', '.join(absent)}")
    if len(episodes) < 2:
        raise VimaError("NO_DEMONSTRATIONS", "1 episode; valid: 2 or more, one for validation")
    validation, seen = episodes[::VALIDATION_EVERY], list(episodes)
    del seen[::VALIDATION_EVERY]
    network, origin = _initial_network(options, config, recipe.seed, log)
    facts = {
        "data": {"episodes": counts, "sha256": _digest(episodes)},
        "network": asdict(config),
        "recipe": asdict(recipe),
        "start": origin,
    }
    if processes.writes:
        start_run(options.out, facts)

    def lines(schedule: Any) -> Iterator[str]:
        for p in train_policy(
            seen,
            validation,
            config,
            recipe,
            options.out,
            schedule,
            network,
            options.workers,
            processes,
        ):
            yield describe_progress(
                p, recipe.steps, recipe.batch_size, p.episodes_per_s, "episodes"
            )

    signal_code = run_training(
        "train_policy",
        options.out,
        options.checkpoint_every,
        lines,
        options.pause_at,
        processes.writes,
    )
    if signal_code or not processes.writes:
        return signal_code
    averaged, step = load_averaged(options.out, config)
    run = json.loads((options.out / CONFIGURATION).read_text())
    last = (read_progress(options.out) or [{}])[-1]
    reached = {name: last.get(name) for name in ("training", "validation")}
    card: dict[str, Any] = {
        "tokenizer": asdict(bundled_tokenizer()),
        "pick": BY_BINS if reads_images else GROUNDED,
        "step": step,
        "accuracy": reached,
        "run": run,
    }
    save_weights(averaged, options.out / WEIGHTS, card)
    log(f"written to {options.out / WEIGHTS}")
    return DONE


def _silent(text: str) -> None:
    """Log nothing."""


def _initial_network(
    options: argparse.Namespace, config: Any, seed: int, log: Callable[[str], None]
) -> tuple[Any, Any]:
    """Return the initial network and its origin; None for random weights."""
    if options.start is None:
        return None, None
    from vima_ros.policy.checkpoints.load import load_network
    from vima_ros.training.policy.initialization import load_matching_weights
    from vima_ros.training.run_directory import CHECKPOINT

    trained, origin = load_network(options.start, {})
    network, taken = load_matching_weights(config, trained, seed)
    if not (options.out / CHECKPOINT).exists():
        log(taken.describe(options.start))
    return network, origin


def _digest(episodes: list[Any]) -> str:
    """Hash tasks, prompts and actions, in order: a resumed run must have the same data."""
    return sha256_of(
        *(repr((e.task, e.prompt)).encode() + e.bins.tobytes() for e in episodes),
    )


def _configuration(options: argparse.Namespace) -> tuple[Any, Any]:
    """Read the network's sizes and the recipe. Raises VimaError (BAD_CONFIG)."""
    from vima_ros.policy.config import VimaConfig
    from vima_ros.policy.tokenizer import bundled_tokenizer
    from vima_ros.training.policy.recipe import PolicyRecipe
    from vima_ros.training.recipes import read_recipe

    path, words = find_recipe("policy", options.config), bundled_tokenizer().words
    read = read_recipe(
        path, {"network": VimaConfig, "recipe": PolicyRecipe}, {"network": {"vocabulary": words}}
    )
    config = read["network"]
    if config.vocabulary < words:
        raise VimaError(
            "BAD_CONFIG",
            f"{path}: network.vocabulary is {config.vocabulary}; valid: {words}, the number of "
            "words of the tokenizer, or more",
        )
    return config, with_overrides(read["recipe"], options)


def main(args: list[str]) -> int:
    """``ros2 run vima_ros train_policy``."""
    options = parse(args)
    config, recipe = _configuration(options)
    if options.print_config:
        from vima_ros.training.recipes import to_yaml

        print(to_yaml(network=config, recipe=recipe), end="")
        return DONE
    return _train(options, config, recipe)


if __name__ == "__main__":
    run_program(lambda: main)
