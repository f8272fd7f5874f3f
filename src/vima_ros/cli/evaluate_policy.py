"""`evaluate_policy`: how often a policy does what the prompt says (docs/POLICY.md)."""

from __future__ import annotations

import argparse
import os
import sys
from dataclasses import asdict
from pathlib import Path

from vima_ros.errors import VimaError
from vima_ros.paths import path_argument, path_text_argument
from vima_ros.policy import SHIPPED
from vima_ros.sim.episode_runner import choose_tasks, find_level
from vima_ros.sim.tasks.base import Level
from vima_ros.training.evaluation.detector_frames import FIRST_EVALUATION_SEED


def _arguments(args: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="evaluate_policy",
        description=__doc__,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument(
        "--policy",
        type=path_text_argument,
        default=str(SHIPPED),
        help="a checkpoint, .safetensors or published",
    )
    parser.add_argument("--tasks", nargs="*", default=[], help="names; none: all of the level")
    parser.add_argument(
        "--level", default=Level.TRAIN.value, help=", ".join(v.value for v in Level)
    )
    parser.add_argument("--seeds", type=int, default=100, help="episodes of each task; 0: none")
    parser.add_argument("--first-seed", type=int, default=FIRST_EVALUATION_SEED)
    parser.add_argument(
        "--detector", nargs="+", choices=("masks", "onnx"), default=["masks", "onnx"]
    )
    parser.add_argument(
        "--through",
        choices=("env", "ros"),
        default="env",
        help="env: the simulation alone, in parallel; ros: cameras, all nodes and the UR5e",
    )
    parser.add_argument("--look", type=float, default=0.0, help="how random: 0 not, to 1")
    parser.add_argument(
        "--bench", type=path_argument, help="folder of recorded VIMA-Bench episodes"
    )
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes")
    parser.add_argument("--card", metavar="NAME", help="note the shares in the policy's card")
    parser.add_argument(
        "--out", type=path_argument, required=True, help="folder for report and pictures"
    )
    return parser.parse_args(args)


def _evaluate(options: argparse.Namespace) -> None:
    from vima_ros.cli.evaluate_robot import attempt_by_ros
    from vima_ros.files import prepare_folder
    from vima_ros.policy.checkpoints.load import load_policy
    from vima_ros.policy.checkpoints.safetensors import load_weights, save_weights
    from vima_ros.training.data.readers import read_demonstrations
    from vima_ros.training.evaluation.policy_report import shares_by_task, write_report
    from vima_ros.training.evaluation.policy_rollouts import Job, attempt_all
    from vima_ros.training.evaluation.vima_bench_first_actions import first_actions

    if options.look and options.through == "ros":
        raise VimaError("BAD_OPTION", "--look with --through ros; valid: --through env")
    prepare_folder(options.out)
    policy = load_policy(Path(options.policy))
    tasks = choose_tasks(options.tasks or None, find_level(options.level))
    jobs = [
        Job(task.name, options.level, seed, options.policy, detector, options.look)
        for detector in options.detector
        for task in tasks
        for seed in range(options.first_seed, options.first_seed + options.seeds)
    ]
    attempts, ended = [], iter(())
    if jobs and options.through == "ros":
        ended = attempt_by_ros(jobs, options.out)
    elif jobs:
        ended = attempt_all(jobs, options.workers)
    for attempt in ended:
        attempts.append(attempt)
        if len(attempts) % 20 == 0 or len(attempts) == len(jobs):
            good = sum(a.success for a in attempts)
            print(
                f"evaluate_policy: {len(attempts)} of {len(jobs)}, {good} solved", file=sys.stderr
            )
    firsts = (
        list(first_actions(policy, read_demonstrations(options.bench))) if options.bench else []
    )
    facts = {"policy": policy.description, **vars(options)}
    print(write_report(attempts, [asdict(f) for f in firsts], facts, options.out))
    if options.card:
        network, card, _ = load_weights(Path(options.policy), {})
        shares = card.get("success", {}) | {options.card: shares_by_task(attempts)}
        save_weights(network, Path(options.policy), {**card, "success": shares})


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
