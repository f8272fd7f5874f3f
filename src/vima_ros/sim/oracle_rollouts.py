"""Rollouts of the tasks' oracles without rendering, and their success rates."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from vima_ros.arm.primitives import MotionParameters
from vima_ros.geometry import Workspace
from vima_ros.policy_frame import VIMA_WORKSPACE
from vima_ros.sim.episode_runner import FAST_MOTION, EpisodeRunner
from vima_ros.sim.process_pool import worker_pool
from vima_ros.sim.tasks import TASKS, find_task
from vima_ros.sim.tasks.base import Level, TaskOutcome
from vima_ros.specs import Action


@dataclass(frozen=True)
class EpisodeResult:
    """Result of an episode; RUNNING: the step limit was reached, or the oracle gave up.

    ``steps``: number of actions. ``seconds``: wall time, including the creation of the model.
    """

    task: str
    level: Level
    seed: int
    binned: bool
    outcome: TaskOutcome
    reason: str
    steps: int
    seconds: float


@dataclass(frozen=True)
class OracleScore:
    """Success rate of one task, mean steps of the successes, and mean seconds per episode."""

    task: str
    episodes: int
    success: float
    mean_steps: float
    seconds: float
    failures: tuple[EpisodeResult, ...]


def run_episode(
    task: str,
    level: Level | None = None,
    seed: int = 0,
    *,
    binned: bool = True,
    motion: MotionParameters = FAST_MOTION,
    workspace: Workspace = VIMA_WORKSPACE,
) -> EpisodeResult:
    """Run one episode of the oracle; ``binned``: with its actions rounded to bins.

    Raises VimaError: UNKNOWN_TASK, UNKNOWN_LEVEL, INVALID_VALUE (seed).
    """
    start, found = time.perf_counter(), find_task(task)
    episode = found.sample(seed, level, workspace)
    oracle = found.oracle(episode)
    with EpisodeRunner(episode, motion) as run:
        while not run.done:
            poses = oracle.act(run.world_state())
            if poses is None:
                break
            if binned:
                poses = Action.from_poses(*poses, workspace, run.primitive).poses(workspace)
            run.step(*poses)
    task_result, seconds = run.result, time.perf_counter() - start
    return EpisodeResult(
        task,
        episode.level,
        seed,
        binned,
        task_result.outcome,
        task_result.reason,
        run.steps,
        seconds,
    )


def measure_oracles(
    seeds: Iterable[int],
    tasks: Iterable[str] = tuple(TASKS),
    level: Level | None = None,
    *,
    binned: bool = True,
    processes: int = 1,
) -> Iterator[OracleScore]:
    """Yield the score of each task's oracle; ``level`` None is each task's first.

    Raises VimaError as ``run_episode``.
    """
    chosen = tuple(seeds)
    with worker_pool(processes) as pool:
        for task in tasks:
            jobs = [(task, level, seed, binned) for seed in chosen]
            yield summarize(list(pool.map(_run, jobs, chunksize=5)))


def summarize(results: list[EpisodeResult]) -> OracleScore:
    """Summarize the episodes of one task, at least one."""
    successes = [result for result in results if result.outcome == TaskOutcome.SUCCESS]
    return OracleScore(
        results[0].task,
        len(results),
        len(successes) / len(results),
        sum(result.steps for result in successes) / max(len(successes), 1),
        sum(result.seconds for result in results) / len(results),
        tuple(result for result in results if result.outcome != TaskOutcome.SUCCESS),
    )


def _run(job: tuple[str, Level | None, int, bool]) -> EpisodeResult:
    task, level, seed, binned = job
    return run_episode(task, level, seed, binned=binned)
