"""The simulation's part of `bench`: episodes and pictures a second, time to plan a trajectory."""

from __future__ import annotations

import statistics
from dataclasses import asdict
from typing import Any

import yaml

from vima_ros.benchmarks.arm_planning import planning_times
from vima_ros.benchmarks.simulation import episode_rates, render_rate
from vima_ros.geometry import Transform
from vima_ros.nodes.common.parameters import default_values
from vima_ros.paths import config_path
from vima_ros.replay.report import format_table


def run() -> dict[str, Any]:
    """Measure everything, for ``show`` and bench.json. Raises VimaError."""
    return {
        "episodes": [asdict(rate) for rate in episode_rates()],
        "pictures": asdict(render_rate()),
        "planning": planning_times(config_path("robots/ur5e.urdf"), _table()),
    }


def _table() -> Transform:
    """Pose of the table in base_link, of the simulated UR5e."""
    content = yaml.safe_load(config_path("robots/tabletop.yaml").read_text())
    values = default_values("arm") | content["/**/arm"]["ros__parameters"]
    return Transform.from_xyz_rpy(values["table_xyz"], values["table_rpy"])


def show(results: dict[str, Any]) -> list[str]:
    """Paragraphs and tables of what ``run`` gave."""
    rows = [
        [rate["task"], f"{rate['actions']:.1f}", f"{rate['bare']:.1f}", f"{rate['seen']:.1f}"]
        for rate in results["episodes"]
    ]
    pictures = results["pictures"]
    low, median, high = (1e3 * t for t in statistics.quantiles(results["planning"], n=4))
    return [
        "Episodes of the oracle a second on one core: without pictures, and with both views and "
        "their masks at every decision; medians of 5 seeds",
        format_table(["task", "actions", "without pictures", "with"], rows),
        f"Pictures of one view a second: {pictures['rgb']:.0f} RGB, {pictures['mask']:.0f} masks; "
        f"{1e3 * pictures['start']:.0f} ms from a new scene to its first picture",
        f"Planning a primitive of the UR5e: median {median:.1f} ms, quartiles {low:.1f} to "
        f"{high:.1f}, longest {1e3 * max(results['planning']):.1f}, of "
        f"{len(results['planning'])} all over the workspace",
    ]
