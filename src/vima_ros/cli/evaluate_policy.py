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
from vima_ros.files import prepare_folder
from vima_ros.paths import path_argument
from vima_ros.program import run_program


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
        "--workers", type=int, default=os.cpu_count() or 1, help="Number of processes"
    )
    return parser.parse_args(args)


def _evaluate(options: argparse.Namespace) -> None:
    from vima_ros.policy.checkpoints.load import load_policy
    from vima_ros.training.data.readers import demonstration_files, read_demonstrations
    from vima_ros.training.evaluation.policy_rollouts import attempt_all
    from vima_ros.training.evaluation.vima_bench_first_actions import first_actions

    if options.vima_bench:
        demonstration_files(options.vima_bench)  # before the episodes, which take long
    prepare_folder(options.out)
    policy = load_policy(Path(options.policy))
    jobs = make_jobs(options, options.visual_randomization)
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
