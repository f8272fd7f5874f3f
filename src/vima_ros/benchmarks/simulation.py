"""Speed of the simulated tabletop in one process and thread, and of the arm's planning."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import yaml

from vima_ros.benchmarks.arm_planning import planning_times
from vima_ros.geometry import Transform
from vima_ros.paths import config_path
from vima_ros.sim.oracle_rollouts import run_episode
from vima_ros.sim.process_pool import worker_pool
from vima_ros.sim.recording import record
from vima_ros.sim.tabletop import Tabletop
from vima_ros.sim.tasks import TASKS, find_task
from vima_ros.specs import VIEWS
from vima_ros.tables import format_table

_IMAGES = 50


@dataclass(frozen=True)
class EpisodeRate:
    """Whole episodes of the oracle per second, scene construction included; medians over seeds.

    ``rendered``: with RGB and mask of both views before every action and at the end, and with the
    prompt's images. ``actions``: mean per episode.
    """

    task: str
    actions: float
    unrendered: float
    rendered: float


@dataclass(frozen=True)
class RenderRate:
    """Images of one view per second, RGB and masks; ``start``: scene to first image [s]."""

    rgb: float
    mask: float
    start: float


def episode_rates(
    tasks: Sequence[str] = tuple(TASKS), seeds: Sequence[int] = range(5)
) -> Iterator[EpisodeRate]:
    """Measure one task after the other in a worker process. Raises VimaError as ``record``."""
    with worker_pool(1) as pool:
        for task in tasks:
            yield pool.submit(_episode_rate, task, seeds).result()


def render_rate(task: str = "visual_manipulation", seed: int = 0) -> RenderRate:
    """Measure rendering of an episode's scene in a worker process; raises as ``record``."""
    with worker_pool(1) as pool:
        return pool.submit(_render_rate, task, seed).result()


def _episode_rate(task: str, seeds: Sequence[int]) -> EpisodeRate:
    record(task, None, seeds[0])  # the first images of a process take longer
    actions = statistics.mean(run_episode(task, seed=seed).steps for seed in seeds)
    unrendered = statistics.median(_seconds(run_episode, task, None, seed) for seed in seeds)
    rendered = statistics.median(_seconds(record, task, None, seed) for seed in seeds)
    return EpisodeRate(task, actions, 1.0 / unrendered, 1.0 / rendered)


def _render_rate(task: str, seed: int) -> RenderRate:
    record(task, None, seed)
    scene = find_task(task).sample(seed).scene
    began = time.perf_counter()
    with Tabletop(scene) as tabletop:
        tabletop.render(VIEWS[0])
        start = time.perf_counter() - began
        views = VIEWS * _IMAGES
        rgb = statistics.median(_seconds(tabletop.render, view) for view in views)
        mask = statistics.median(_seconds(tabletop.render_mask, view) for view in views)
    return RenderRate(1.0 / rgb, 1.0 / mask, start)


def _seconds(function: Callable[..., object], *arguments: object) -> float:
    began = time.perf_counter()
    function(*arguments)
    return time.perf_counter() - began


def run() -> dict[str, Any]:
    """Measure everything, for ``show`` and bench.json. Raises VimaError."""
    return {
        "episodes": [asdict(rate) for rate in episode_rates()],
        "images": asdict(render_rate()),
        "planning": planning_times(config_path("robots/ur5e.urdf"), _table_pose()),
    }


def _table_pose() -> Transform:
    """Pose of the simulated UR5e's table in base_link."""
    values = _shared_parameters("cell.yaml") | _shared_parameters("robots/tabletop.yaml")
    return Transform.from_xyz_rpy(values["table_xyz"], values["table_rpy"])


def _shared_parameters(name: str) -> dict[str, Any]:
    content = yaml.safe_load(config_path(name).read_text())
    return content["/**"]["ros__parameters"]


def show(results: dict[str, Any]) -> list[str]:
    """Return paragraphs and tables of the results of ``run``."""
    rows = [
        [r["task"], f"{r['actions']:.1f}", f"{r['unrendered']:.1f}", f"{r['rendered']:.1f}"]
        for r in results["episodes"]
    ]
    images = results["images"]
    low, median, high = (1e3 * t for t in statistics.quantiles(results["planning"], n=4))
    return [
        "Episodes of the oracle per second on one core: without images, and with both views and "
        "their masks at every decision; medians of 5 seeds",
        format_table(["task", "actions", "without images", "with"], rows),
        f"Images of one view per second: {images['rgb']:.0f} RGB, {images['mask']:.0f} masks; "
        f"{1e3 * images['start']:.0f} ms from a new scene to its first image",
        f"Planning a primitive of the UR5e: median {median:.1f} ms, quartiles {low:.1f} to "
        f"{high:.1f}, longest {1e3 * max(results['planning']):.1f}, of "
        f"{len(results['planning'])} all over the workspace",
    ]
