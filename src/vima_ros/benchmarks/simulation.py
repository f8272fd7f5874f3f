"""How fast the tabletop is, in one process and one thread."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from vima_ros.sim.oracle_rollouts import run_episode
from vima_ros.sim.process_pool import worker_pool
from vima_ros.sim.recording import record
from vima_ros.sim.tabletop import Tabletop
from vima_ros.sim.tasks import TASKS, find_task
from vima_ros.specs import VIEWS

_PICTURES = 50


@dataclass(frozen=True)
class EpisodeRate:
    """Whole episodes of the oracle a second, making the scene included; medians over seeds.

    ``bare``: without pictures. ``seen``: with RGB and mask of both views before every action and
    at the end, and with the pictures of the prompt. ``actions``: mean of an episode.
    """

    task: str
    actions: float
    bare: float
    seen: float


@dataclass(frozen=True)
class RenderRate:
    """Pictures of one view a second: RGB, masks; ``start`` [s]: from a scene to its first one."""

    rgb: float
    mask: float
    start: float


def episode_rates(
    tasks: Sequence[str] = tuple(TASKS), seeds: Sequence[int] = range(5)
) -> Iterator[EpisodeRate]:
    """One task after the other, in a process of its own. Raises VimaError as ``record``."""
    with worker_pool(1) as pool:
        for task in tasks:
            yield pool.submit(_episode_rate, task, seeds).result()


def render_rate(task: str = "visual_manipulation", seed: int = 0) -> RenderRate:
    """With the scene of an episode, in a process of its own. Raises VimaError as ``record``."""
    with worker_pool(1) as pool:
        return pool.submit(_render_rate, task, seed).result()


def _episode_rate(task: str, seeds: Sequence[int]) -> EpisodeRate:
    record(task, None, seeds[0])  # the first pictures of a process take longer
    actions = statistics.mean(run_episode(task, seed=seed).steps for seed in seeds)
    bare = [_seconds(run_episode, task, None, seed) for seed in seeds]
    seen = [_seconds(record, task, None, seed) for seed in seeds]
    return EpisodeRate(task, actions, 1.0 / statistics.median(bare), 1.0 / statistics.median(seen))


def _render_rate(task: str, seed: int) -> RenderRate:
    record(task, None, seed)
    scene = find_task(task).sample(seed).scene
    began = time.perf_counter()
    with Tabletop(scene) as tabletop:
        tabletop.render(VIEWS[0])
        start = time.perf_counter() - began
        views = VIEWS * _PICTURES
        rgb = statistics.median(_seconds(tabletop.render, view) for view in views)
        mask = statistics.median(_seconds(tabletop.render_mask, view) for view in views)
    return RenderRate(1.0 / rgb, 1.0 / mask, start)


def _seconds(function: Callable[..., object], *arguments: object) -> float:
    began = time.perf_counter()
    function(*arguments)
    return time.perf_counter() - began
