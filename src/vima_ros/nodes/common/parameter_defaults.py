"""Default values of parameters, from config/NODE.yaml and config/cell.yaml."""

from __future__ import annotations

from functools import cache
from typing import Any

import yaml

from vima_ros.nodes.common.node_names import NODES
from vima_ros.paths import config_path


def default_values(node_name: str) -> dict[str, Any]:
    """Read the values of config/NODE.yaml, and those of config/cell.yaml that nodes share."""
    return _section("cell.yaml", "/**") | _section(f"{node_name}.yaml", f"/**/{node_name}")


def _section(file: str, section: str) -> dict[str, Any]:
    return yaml.safe_load(config_path(file).read_text())[section]["ros__parameters"]


@cache
def shared_names() -> list[str]:
    """Return the names of the parameters that nodes share."""
    return list(_section("cell.yaml", "/**"))


@cache
def own_names() -> dict[str, list[str]]:
    """Return the names of each node's parameters that it does not share."""
    return {name: list(_section(f"{name}.yaml", f"/**/{name}")) for name in NODES}
