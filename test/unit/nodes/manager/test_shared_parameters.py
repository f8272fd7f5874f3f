"""Comparison of shared parameters: who is asked when, and what is refused. Without processes."""

from types import SimpleNamespace

import pytest

pytest.importorskip("rclpy", reason="parameters are read by services of ROS 2")

from rclpy.parameter import Parameter
from rclpy.task import Future

from vima_ros.errors import VimaError, WaitTimeoutError
from vima_ros.liveness import NodeStatus
from vima_ros.nodes.manager.shared_parameters import READ_TIMEOUT, SharedParameters

WORKSPACE = {"table_frame": "table", "workspace_min": [0.25, -0.5], "workspace_max": [0.75, 0.5]}
FRAMES = {"base_frame": "base_link", "table_xyz": [0.0, 0.0, 0.0], "table_rpy": [0.0, 0.0, 0.0]}
CELL = WORKSPACE | FRAMES


class Nodes:
    """Nodes that answer as rclpy's parameter services do, with ``values`` by name."""

    def __init__(self, **values):
        self.values, self.requests, self.ready, self.silent = values, [], True, set()
        self.statuses = {name: NodeStatus(instance_id="1", state=1) for name in values}
        self.shared = SharedParameters(self, values)
        self.now = 100.0

    def create_client(self, kind, service):
        name = service.removesuffix("/get_parameters")
        return SimpleNamespace(
            service_is_ready=lambda: self.ready,
            call_async=lambda request: self.answer(name, request.names),
        )

    def answer(self, name, names):
        self.requests.append(name)
        future = Future()
        own = self.values[name]
        known = names if set(names) <= set(own) else []  # rclpy answers nothing otherwise
        values = [Parameter(n, value=own[n]).get_parameter_value() for n in known]
        if name not in self.silent:
            future.set_result(SimpleNamespace(values=values))
        return future

    def update(self, after=0.1):
        self.now += after
        return self.shared.update(self.statuses, self.now)


def refusal(nodes, name):
    with pytest.raises(VimaError) as caught:
        nodes.shared.check(name)
    assert caught.value.code == "CONFIG_MISMATCH"
    return str(caught.value)


def test_nodes_that_agree_pass_and_each_is_asked_once():
    nodes = Nodes(perception=WORKSPACE, prompt={}, arm=CELL, tabletop=CELL)
    assert [nodes.update(), nodes.update(), nodes.update(5.0)][-1]
    for name in nodes.values:
        nodes.shared.check(name)
    assert sorted(nodes.requests) == sorted(2 * list(nodes.values))  # once for each group


@pytest.mark.parametrize(
    ("parameter", "value"),
    [("workspace_max", [1.0, 0.5]), ("table_frame", "desk"), ("workspace_min", [0.25])],
)
def test_a_mismatch_names_parameter_nodes_and_both_values(parameter, value):
    nodes = Nodes(policy=WORKSPACE | {parameter: value}, prompt={}, arm=CELL)
    nodes.update()
    assert nodes.update()
    for name, other in (("policy", "arm"), ("arm", "policy")):
        sentence = refusal(nodes, name)
        own, others = (value, CELL[parameter]) if name == "policy" else (CELL[parameter], value)
        assert sentence.startswith(f"{parameter} is {own!r} on {name} and {others!r} on {other}; ")
        assert "valid: one value on all nodes" in sentence
    nodes.shared.check("prompt")


def test_only_what_two_nodes_have_is_compared():
    nodes = Nodes(policy=WORKSPACE, arm=CELL | {"table_xyz": [0.0, 0.0, -0.2]}, tabletop=CELL)
    nodes.update()
    assert nodes.update()
    nodes.shared.check("policy")
    assert refusal(nodes, "tabletop").startswith("table_xyz is [0.0, 0.0, 0.0] on tabletop")


def test_a_restarted_node_is_asked_again_and_a_dead_one_forgotten():
    nodes = Nodes(policy=WORKSPACE | {"workspace_max": [1.0, 0.5]}, arm=CELL)
    nodes.update()
    nodes.statuses["policy"].dead = True
    assert nodes.update()
    nodes.shared.check("arm")
    nodes.values["policy"] = WORKSPACE
    nodes.statuses["policy"] = NodeStatus(instance_id="2", state=1)
    nodes.update()
    assert nodes.update()
    nodes.shared.check("policy")
    nodes.values["policy"] = WORKSPACE | {"workspace_max": [1.0, 0.5]}
    nodes.statuses["policy"] = NodeStatus(instance_id="3", state=1)  # at once
    nodes.update()
    assert nodes.update()
    refusal(nodes, "policy")
    assert nodes.requests.count("policy") == 6


def test_a_node_that_does_not_answer_is_asked_again_and_holds_up_the_others_for_a_while():
    nodes = Nodes(policy=WORKSPACE, arm=CELL)
    nodes.silent = {"policy"}
    assert not nodes.update()
    assert not nodes.update(READ_TIMEOUT / 2)
    assert nodes.requests.count("policy") == 4
    assert nodes.update(READ_TIMEOUT)
    nodes.shared.check("arm")
    with pytest.raises(WaitTimeoutError, match="get_parameters has not answered"):
        nodes.shared.check("policy")


def test_nobody_is_brought_up_before_the_service_is_there():
    nodes = Nodes(arm=CELL)
    nodes.ready = False
    assert not nodes.update()
    assert nodes.requests == []
    nodes.ready = True
    nodes.update()
    assert nodes.update()
