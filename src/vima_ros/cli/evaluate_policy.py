"""`evaluate_policy`: success rates of a policy in simulation, without ROS (docs/policy.md)."""

from __future__ import annotations

import argparse
import os
import sys
from dataclasses import asdict
from pathlib import Path

from vima_ros.cli.evaluation_options import (
    add_evaluation_options,
    collect_attempts,
    make_jobs,
    report,
)
from vima_ros.errors import VimaError
from vima_ros.files import prepare_folder
from vima_ros.paths import path_argument


def _arguments(args: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
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
    from vima_ros.training.data.readers import read_demonstrations
    from vima_ros.training.evaluation.policy_rollouts import attempt_all
    from vima_ros.training.evaluation.vima_bench_first_actions import first_actions

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


def main(args: list[str] | None = None) -> None:
    """``ros2 run vima_ros evaluate_policy``: exit code 2 on an error."""
    options = _arguments((args or sys.argv)[1:])
    try:
        _evaluate(options)
    except VimaError as error:
        print(f"evaluate_policy: {error.code}: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
