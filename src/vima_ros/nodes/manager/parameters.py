"""Parameters of the manager node."""

from __future__ import annotations

from dataclasses import dataclass

from vima_ros.nodes.common.parameters import parameter


@dataclass(frozen=True)
class ManagerParameters:
    """Parameters of the manager node; their values are in config/manager.yaml."""

    nodes: list[str] = parameter(
        "Names of the managed nodes, in the order of their activation", read_only=True
    )
    heartbeat_timeout: float = parameter(
        "Silence after which a node counts as dead [s]", low=0.3, high=60, read_only=True
    )
    transition_timeout: float = parameter(
        "Silence after which a node that configures or activates counts as dead [s]",
        low=1,
        high=600,
        read_only=True,
    )
