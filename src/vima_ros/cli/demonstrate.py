"""`demonstrate`: record demonstrations of the oracles for training (docs/demonstrations.md)."""

from __future__ import annotations

import argparse
import os
import sys

from vima_ros.cli.arguments import ArgumentParser
from vima_ros.paths import path_argument
from vima_ros.program import run_program
from vima_ros.sim.episode_runner import choose_tasks, find_level
from vima_ros.sim.tasks.base import Level
from vima_ros.training.data.collect import CONTENTS, CollectionPlan, CollectionProgress, collect


def parse(args: list[str]) -> argparse.Namespace:
    """Parse the command line."""
    parser = ArgumentParser(
        prog="demonstrate",
        description=__doc__,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument(
        "--tasks", nargs="+", default=["all"], help="Names of tasks, or all of the level"
    )
    parser.add_argument(
        "--level", default="train", help="Level: " + ", ".join(level.value for level in Level)
    )
    parser.add_argument("--episodes", type=int, required=True, help="Number of seeds of each task")
    parser.add_argument("--first-seed", type=int, default=0, help="Seed of the first episode")
    parser.add_argument(
        "--out",
        type=path_argument,
        required=True,
        help="Folder of the demonstrations; the same command continues an interrupted run",
    )
    parser.add_argument(
        "--content", choices=CONTENTS, default=CONTENTS[0], help="Recorded content"
    )
    parser.add_argument(
        "--workers", type=int, default=os.cpu_count() or 1, help="Number of processes"
    )
    parser.add_argument(
        "--cluster",
        nargs="?",
        const="auto",
        metavar="ADDRESS",
        help="Ray cluster that records in place of --workers (requirements/cluster.txt): "
        "HOST:PORT, auto for the running one, local for this machine",
    )
    parser.add_argument(
        "--visual-randomization",
        type=float,
        default=0.0,
        help="Strength of the domain randomization, 0 to 1",
    )
    parser.add_argument(
        "--deterministic-oracle",
        action="store_true",
        help="Oracles without random choices: easier to imitate than VIMA-Bench's, which pick "
        "anywhere on an object and take objects in any order",
    )
    return parser.parse_args(args)


def make_plan(options: argparse.Namespace) -> CollectionPlan:
    """Return the plan that the options describe."""
    names = None if options.tasks == ["all"] else options.tasks
    tasks = choose_tasks(names, find_level(options.level))
    return CollectionPlan(
        options.out,
        tuple(task.name for task in tasks),
        options.episodes,
        options.first_seed,
        options.level,
        options.content,
        options.visual_randomization,
        options.workers,
        options.deterministic_oracle,
        options.cluster,
    )


def describe_progress(progress: CollectionProgress) -> str:
    """Describe the progress in one line."""
    p = progress
    rate = p.done / p.seconds if p.seconds else 0.0
    text = f"{p.done} of {p.total} episodes, {p.failed} failed, {rate:.1f} episodes/s"
    left = (p.total - p.done) / rate if rate else 0.0
    return text + (f", {left:.0f} s left" if left else "")


def main(args: list[str]) -> None:
    """``ros2 run vima_ros demonstrate``."""
    options = parse(args)
    end = "\r" if sys.stderr.isatty() else "\n"
    for progress in collect(make_plan(options)):
        if not progress.done:
            print(f"demonstrate: {progress.there} episodes exist already", file=sys.stderr)
        for failure in progress.failures:
            print(f"demonstrate: failed: {failure}", file=sys.stderr)
        print(f"demonstrate: {describe_progress(progress)}", end=end, file=sys.stderr, flush=True)
    print(f"demonstrate: written to {options.out}: {describe_progress(progress)}")


if __name__ == "__main__":
    run_program(lambda: main)
