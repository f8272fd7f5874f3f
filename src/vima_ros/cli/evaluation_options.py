"""Options, episodes and report that `evaluate_policy` and `evaluate_robot` share."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vima_ros.errors import VimaError
from vima_ros.paths import path_argument, path_text_argument
from vima_ros.perception.detectors.registry import DETECTORS
from vima_ros.policy import BUNDLED
from vima_ros.policy.action_selection import PICKS
from vima_ros.sim.episode_runner import choose_tasks, find_level
from vima_ros.sim.tasks.base import Level
from vima_ros.sim.vima_bench.runner import FIRST_SEED, MAX_SEED
from vima_ros.training.evaluation.detector_frames import FIRST_EVALUATION_SEED

if TYPE_CHECKING:  # importing torch takes seconds
    from vima_ros.policy.policy import Policy
    from vima_ros.training.evaluation.policy_rollouts import Attempt, Job

SIMS = ("tabletop", "vima_bench")
SHORT_LEVELS = {f"L{number}": level.value for number, level in enumerate(Level) if number}


def add_evaluation_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that both programs have."""
    parser.add_argument(
        "--policy",
        type=path_text_argument,
        default=str(BUNDLED),
        help="Checkpoint file, .safetensors or published",
    )
    parser.add_argument(
        "--pick",
        choices=PICKS,
        default="",
        help="Choice of the pick: bins, the most probable ones, or grounded, the most probable "
        "inside the outline of an object; default: as the policy's card states, else bins",
    )
    parser.add_argument(
        "--tasks", nargs="*", default=[], help="Names of tasks; none: all of the level"
    )
    parser.add_argument(
        "--sim",
        choices=SIMS,
        default="tabletop",
        help="Simulator: the tabletop, or the user's own installation of the original VIMA-Bench "
        "(docs/vima_bench.md)",
    )
    parser.add_argument(
        "--level",
        "--levels",
        dest="levels",
        nargs="+",
        default=[Level.TRAIN.value],
        help=f"Levels of the tasks: {', '.join(v.value for v in Level)}; L1 to L4 for short",
    )
    parser.add_argument("--seeds", type=int, default=100, help="Number of episodes per task")
    parser.add_argument(
        "--first-seed",
        type=int,
        default=None,
        help=f"Seed of the first episode; default: {FIRST_EVALUATION_SEED}, of vima_bench "
        f"{FIRST_SEED}",
    )
    parser.add_argument(
        "--detector",
        nargs="*",
        choices=sorted(DETECTORS),
        default=[],
        help="Detectors to evaluate with; none: ground_truth_masks (the simulation's masks) and "
        "onnx, or for a policy that reads whole images no detector",
    )
    parser.add_argument(
        "--card",
        metavar="NAME",
        help="Entry of the model card that the success rates are written to",
    )
    parser.add_argument(
        "--out", type=path_argument, required=True, help="Folder of the report and images"
    )


def make_jobs(
    options: argparse.Namespace, policy: Policy, visual_randomization: float = 0.0
) -> list[Job]:
    """Return a job per detector, task and seed.

    Raises VimaError for an unknown task or level, seeds that the simulator does not have, and for
    a detector where the policy needs none.
    """
    from vima_ros.training.evaluation.policy_rollouts import NO_DETECTOR, Job

    detectors = options.detector or ["ground_truth_masks", "onnx"]
    if policy.inputs.observation == "images":
        if options.detector:
            raise VimaError(
                "INVALID_VALUE",
                f"--detector {' '.join(options.detector)}: this policy reads whole images; valid: "
                "no --detector",
            )
        detectors = [NO_DETECTOR]
    levels = [find_level(SHORT_LEVELS.get(name, name)) for name in options.levels]
    seeds = choose_seeds(options.sim, options.first_seed, options.seeds)
    return [
        Job(
            task.name,
            level.value,
            seed,
            options.policy,
            detector,
            visual_randomization,
            pick=options.pick,
            sim=options.sim,
        )
        for detector in detectors
        for level in levels
        if level is not None
        for task in choose_tasks(options.tasks or None, level)
        for seed in seeds
    ]


def choose_seeds(sim: str, first: int | None, count: int) -> range:
    """Return ``count`` seeds from ``first``, None: from the first that nothing was trained on.

    Raises VimaError (INVALID_VALUE) for seeds that VIMA-Bench's evaluation does not use.
    """
    if first is None:
        first = FIRST_SEED if sim == "vima_bench" else FIRST_EVALUATION_SEED
    seeds = range(first, first + count)
    if sim == "vima_bench" and seeds and not 0 <= seeds[0] <= seeds[-1] <= MAX_SEED:
        raise VimaError(
            "INVALID_VALUE",
            f"seeds {seeds[0]} to {seeds[-1]} of VIMA-Bench; valid: 0 to {MAX_SEED}",
        )
    return seeds


def collect_attempts(program: str, attempts: Iterable[Attempt], total: int) -> list[Attempt]:
    """Collect attempts as they end and print the progress to stderr."""
    ended: list[Attempt] = []
    for attempt in attempts:
        ended.append(attempt)
        if len(ended) % 20 == 0 or len(ended) == total:
            successes = sum(a.success for a in ended)
            print(f"{program}: {len(ended)} of {total}, {successes} solved", file=sys.stderr)
    return ended


def report(
    options: argparse.Namespace,
    policy: Policy,
    attempts: Sequence[Attempt],
    first_actions: Sequence[Mapping[str, Any]] = (),
) -> None:
    """Write and print the report; note the success rates in the model card where asked to."""
    from vima_ros.policy.checkpoints.safetensors import load_weights, save_weights
    from vima_ros.training.evaluation.policy_report import shares_by_task, write_report
    from vima_ros.training.evaluation.prompt_sensitivity import compare_prompts, summaries

    facts = {"policy": policy.description, **vars(options)}
    print(write_report(attempts, first_actions, facts, options.out))
    if options.card:
        network, card, _ = load_weights(Path(options.policy), {})
        entries: dict[str, Any] = {"success": shares_by_task(attempts)}
        if comparisons := compare_prompts(attempts):
            entries["prompt_sensitivity"] = summaries(comparisons)
        notes = {k: card.get(k, {}) | {options.card: entry} for k, entry in entries.items()}
        save_weights(network, Path(options.policy), {**card, **notes})
