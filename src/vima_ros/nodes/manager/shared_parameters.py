"""Comparison of the parameters that several nodes share, before a node is brought up."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial

from rcl_interfaces.srv import GetParameters
from rclpy.parameter import parameter_value_to_python
from rclpy.task import Future

from vima_ros.errors import VimaError, WaitTimeoutError
from vima_ros.liveness import NodeStatus
from vima_ros.nodes.common.cell_parameters import names_in_groups
from vima_ros.nodes.common.guarded_node import GuardedNode

RESEND_PERIOD = 1.0  # of a request without a response [s]
READ_TIMEOUT = 3.0  # for a node's responses; one that hangs holds up the others no longer [s]


@dataclass
class Reading:
    """Shared parameters of one run of a node, as far as it has answered.

    ``since``: first heartbeat; ``requested_at`` [s, steady clock]; ``values``: without those that
    the node does not declare.
    """

    instance_id: str
    since: float
    requested_at: float = -math.inf
    answered: set[tuple[str, ...]] = field(default_factory=set)
    values: dict[str, object] = field(default_factory=dict)

    @property
    def complete(self) -> bool:
        """True once everything was answered."""
        return self.answered == set(names_in_groups())


class SharedParameters:
    """The shared parameters that the managed nodes have, read by their parameter services.

    They are read-only: one reading per run of a node is enough.
    """

    def __init__(self, node: GuardedNode, names: Iterable[str]) -> None:
        self._clients = {
            name: node.create_client(GetParameters, f"{name}/get_parameters") for name in names
        }
        self._readings: dict[str, Reading] = {}

    def update(self, nodes: Mapping[str, NodeStatus], now: float) -> bool:
        """Request what is not known of the living nodes; return True once they have answered.

        Also True where READ_TIMEOUT has passed. ``now`` [s, steady clock].
        """
        living = {n: node.instance_id for n, node in nodes.items() if node.state and not node.dead}
        self._readings = {
            name: self._readings[name]
            if name in self._readings and self._readings[name].instance_id == instance
            else Reading(instance, now)
            for name, instance in living.items()
        }
        for name, reading in self._readings.items():
            due = not reading.complete and now - reading.requested_at > RESEND_PERIOD
            if due and self._clients[name].service_is_ready():
                reading.requested_at = now
                for names in names_in_groups():
                    request = GetParameters.Request(names=names)
                    future = self._clients[name].call_async(request)
                    future.add_done_callback(partial(_receive, reading, names))
        return all(r.complete or now - r.since > READ_TIMEOUT for r in self._readings.values())

    def check(self, name: str) -> None:
        """Check the values of node ``name`` against those of the others.

        Raises VimaError (CONFIG_MISMATCH), WaitTimeoutError where it has not answered.
        """
        own = self._readings[name]
        if not own.complete:
            what = "its parameters are not known: get_parameters has not answered"
            raise WaitTimeoutError(f"{what} within {READ_TIMEOUT:g} s", READ_TIMEOUT)
        for parameter, value in own.values.items():
            for other, reading in self._readings.items():
                if reading.values.get(parameter, value) != value:
                    raise VimaError(
                        "CONFIG_MISMATCH",
                        f"{parameter} is {value!r} on {name} and {reading.values[parameter]!r} on "
                        f"{other}; valid: one value on all nodes, from the section /**: of the "
                        "robot's parameter file",
                    )


def _receive(reading: Reading, names: tuple[str, ...], future: Future) -> None:
    """Record a response; it is empty where the node does not declare the parameters."""
    if future.exception() is None:
        values = [parameter_value_to_python(value) for value in future.result().values]
        as_python = [value if isinstance(value, str) else list(value) for value in values]
        reading.values.update(zip(names, as_python, strict=False))
        reading.answered.add(names)
