"""`evaluate_policy`: success rates of a policy in simulation, without ROS (docs/policy.md)."""

from __future__ import annotations

import argparse
import os
from dataclasses import asdict
from pathlib import Path

from vima_ros.cli.arguments import ArgumentParser
from vima_ros.cli.evaluation_options import (
    add_evaluation_options,
    collect_attempts,
    make_jobs,
    report,
)
from vima_ros.errors import VimaError
from vima_ros.files import prepare_folder
from vima_ros.paths import path_argument
from vima_ros.program import run_program
from vima_ros.sim.prompt_variations import PromptVariation


def parse(args: list[str]) -> argparse.Namespace:
    """Parse the command line."""
    parser = ArgumentParser(
        prog="evaluate_policy",
        description=__doc__,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add_evaluation_options(parser)
    parser.add_argument(
        "--visual-randomization",
        type=float,
        default=0.0,
        help="Strength of the domain randomization, 0 to 1",
    )
    parser.add_argument(
        "--vima-bench",
        type=path_argument,
        help="Folder of recorded VIMA-Bench episodes whose first actions are compared",
    )
    parser.add_argument(
        "--paraphrase",
        action="store_true",
        help="Second run of the same episodes with other wordings of their prompts",
    )
    parser.add_argument(
        "--scramble-words",
        action="store_true",
        help="Second run with each word of the prompts replaced by one without meaning there",
    )
    parser.add_argument(
        "--swap-pictures",
        dest="swap_images",
        action="store_true",
        help="Second run with the images of a prompt exchanged between its placeholders, for "
        "tasks with several; success as the original prompt means, and where possible also as "
        "the swapped one asks for. Each of these three options adds a run of its own, compared by "
        "seed with the prompts as written",
    )
    parser.add_argument(
        "--workers", type=int, default=os.cpu_count() or 1, help="Number of processes"
    )
    return parser.parse_args(args)


def _variations(options: argparse.Namespace) -> list[PromptVariation]:
    """Return the variations that were asked for."""
    chosen = {
        PromptVariation.PARAPHRASE: options.paraphrase,
        PromptVariation.SCRAMBLED_WORDS: options.scramble_words,
        PromptVariation.SWAPPED_IMAGES: options.swap_images,
        PromptVariation.SWAPPED_MEANING: options.swap_images,
    }
    return [variation for variation, given in chosen.items() if given]


def _evaluate(options: argparse.Namespace) -> None:
    from vima_ros.policy.checkpoints.load import load_policy
    from vima_ros.training.data.readers import demonstration_files, read_demonstrations
    from vima_ros.training.evaluation.policy_rollouts import attempt_all
    from vima_ros.training.evaluation.prompt_sensitivity import add_variations
    from vima_ros.training.evaluation.vima_bench_first_actions import first_actions

    if options.vima_bench:
        demonstration_files(options.vima_bench)  # before the episodes, which take long
    if options.sim == "vima_bench" and (_variations(options) or options.visual_randomization):
        raise VimaError(
            "INVALID_VALUE",
            "other prompts or randomization of VIMA-Bench's episodes; valid: with --sim tabletop",
        )
    policy = load_policy(Path(options.policy), pick=options.pick)
    jobs = make_jobs(options, policy, options.visual_randomization)
    jobs = add_variations(jobs, _variations(options))
    prepare_folder(options.out)
    ended = attempt_all(jobs, options.workers) if jobs else ()
    attempts = collect_attempts("evaluate_policy", ended, len(jobs))
    firsts = (
        first_actions(policy, read_demonstrations(options.vima_bench))
        if options.vima_bench
        else ()
    )
    report(options, policy, attempts, [asdict(first) for first in firsts])


def main(args: list[str]) -> None:
    """``ros2 run vima_ros evaluate_policy``."""
    _evaluate(parse(args))


if __name__ == "__main__":
    run_program(lambda: main)
