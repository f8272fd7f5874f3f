import ast
import importlib
import re
from dataclasses import dataclass, fields
from typing import get_args, get_origin, get_type_hints

import pytest
import yaml
from helpers import ROOT

pytest.importorskip("rclpy", reason="parameters are declared with ROS 2")
pytest.importorskip("vima_msgs.msg", reason="vima_msgs is not built")

import rclpy
from rcl_interfaces.msg import SetParametersResult
from rclpy.node import Node
from rclpy.parameter import Parameter

from vima_ros.errors import VimaError
from vima_ros.nodes.common import parameter_defaults, parameters
from vima_ros.nodes.common.base_frame import Frames
from vima_ros.nodes.common.cell_parameters import CellParameters
from vima_ros.nodes.common.lifecycle_node import VimaNode
from vima_ros.nodes.common.node_names import NODES as NODE_NAMES
from vima_ros.nodes.common.parameters import parameter

CONFIG = ROOT / "config"
NODES = sorted(NODE_NAMES)
ROBOTS = sorted(path.stem for path in (CONFIG / "robots").glob("*.yaml"))


def declared(node):
    """The dataclass of a node's parameters."""
    module = importlib.import_module(f"vima_ros.nodes.{node}.node")
    (kind,) = (
        value.parameters_type
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, VimaNode) and value is not VimaNode
    )
    return kind


def read(path):
    """{node: {parameter: value}}"""
    content = yaml.safe_load(path.read_text())
    assert all(key.startswith("/**") for key in content)
    assert all(set(values) == {"ros__parameters"} for values in content.values())
    return {key[4:]: values["ros__parameters"] for key, values in content.items()}


ALL = ""  # the section /**:


def defaults():
    return {node: parameter_defaults.default_values(node) for node in NODES}


def with_robot(robot):
    """All values, those of the robot's file in place of the defaults."""
    overlay = read(CONFIG / "robots" / f"{robot}.yaml")
    return {
        node: {**values, **overlay.get(ALL, {}), **overlay.get(node, {})}
        for node, values in defaults().items()
    }


def own_fields(node):
    """The names of the parameters that a node does not share."""
    shared = [field.name for field in fields(CellParameters)]
    return [field.name for field in fields(declared(node)) if field.name not in shared]


def fits(value, hint):
    """As ROS 2 sees it: a bool is no integer and an integer no double."""
    if get_origin(hint) is list:
        return type(value) is list and all(fits(item, *get_args(hint)) for item in value)
    return type(value) is hint


def check(node, values):
    kind = declared(node)
    hints = get_type_hints(kind)
    for field in fields(kind):
        if field.name not in values:
            continue
        value = values[field.name]
        assert fits(value, hints[field.name]), f"{node}.{field.name}: {value!r}"
        if field.metadata["range"]:
            low, high = field.metadata["range"]
            assert low <= value <= high, f"{node}.{field.name}"
        if field.metadata["choices"]:
            assert value in field.metadata["choices"], f"{node}.{field.name}"


def test_every_node_has_its_file():
    sources = (ROOT / "src" / "vima_ros" / "nodes").glob("*/node.py")
    nodes = [p.parent.name for p in sources if "    parameters_type = " in p.read_text()]
    assert sorted(nodes) == NODES
    assert sorted(path.stem for path in CONFIG.glob("*.yaml")) == sorted([*NODES, "cell"])


def test_every_node_is_installed_as_an_executable():
    setup = (ROOT / "setup.py").read_text()
    assert sorted(ast.literal_eval(re.search(r"^NODES = (.*)$", setup, re.M)[1])) == NODES


@pytest.mark.parametrize("node", NODES)
def test_a_file_has_exactly_the_declared_parameters_with_valid_values(node):
    content = read(CONFIG / f"{node}.yaml")
    assert set(content) == {node}
    assert list(content[node]) == own_fields(node)
    check(node, content[node])


def test_the_file_of_the_cell_has_exactly_the_shared_parameters_with_valid_values():
    content = read(CONFIG / "cell.yaml")
    assert set(content) == {ALL}
    assert list(content[ALL]) == [field.name for field in fields(CellParameters)]
    check("arm", content[ALL])


@pytest.mark.parametrize("node", NODES)
def test_every_parameter_is_described_and_its_range_has_two_ends(node):
    hints = get_type_hints(declared(node))
    for field in fields(declared(node)):
        assert field.metadata["description"], field.name
        assert hints[field.name] in parameters.TYPES, field.name
        if field.metadata["range"]:
            low, high = field.metadata["range"]
            assert low < high, field.name


@pytest.mark.parametrize("robot", ROBOTS)
def test_a_robot_names_only_declared_parameters_with_valid_values(robot):
    for node, values in read(CONFIG / "robots" / f"{robot}.yaml").items():
        if node == ALL:
            assert set(values) <= {field.name for field in fields(CellParameters)}
            check("arm", values)
        else:
            assert node in NODES
            assert set(values) <= set(own_fields(node))  # the others stand once, for all nodes
            check(node, values)


@pytest.mark.parametrize("robot", [None, *ROBOTS])
def test_a_robot_has_a_workspace_and_frames(robot):
    values = (with_robot(robot) if robot else defaults())["arm"]
    parameters_of_arm = declared("arm")(**values)
    assert parameters_of_arm.workspace
    assert Frames(parameters_of_arm)


@pytest.mark.parametrize("robot", [None, *ROBOTS])
def test_the_manager_brings_up_existing_nodes_each_once(robot):
    names = (with_robot(robot) if robot else defaults())["manager"]["nodes"]
    assert len(names) == len(set(names))
    assert set(names) <= set(NODES) - {"manager"}
    assert {"perception", "prompt", "policy", "arm"} <= set(names)


def test_nothing_moves_by_default():
    assert defaults()["arm"]["dry_run"] is True
    assert with_robot("example")["arm"]["dry_run"] is True


def test_the_robot_to_copy_uses_the_bundled_detector():
    perception = with_robot("example")["perception"]
    assert (perception["detector"], perception["weights"]) == ("onnx", "")


# --- parameters on a node


@dataclass(frozen=True)
class Example:
    speed: float = parameter("of the tool [m/s]", low=0.1, high=2)
    count: int = parameter("of tries", low=1, high=5)
    colour: str = parameter("of the lamp", choices=("red", "green"))
    place: str = parameter("where it stands", read_only=True)

    def __post_init__(self):
        if self.colour == "red" and self.count > 4:
            raise VimaError("BAD_PARAMETER", "red means stop; valid: a count up to 4")


VALUES = {"speed": 0.5, "count": 3, "colour": "red", "place": "here"}


@pytest.fixture
def declare(monkeypatch):
    """Declares Example on a node of its own, with these values on the command line."""
    values = dict(VALUES)
    monkeypatch.setattr(parameters, "default_values", lambda name: values)
    context = rclpy.Context()
    rclpy.init(args=[], context=context)
    nodes = []

    def make(without=None, first=None, **overrides):
        values.pop(without, None)
        node = Node(
            "example",
            context=context,
            enable_rosout=False,
            start_parameter_services=False,
            parameter_overrides=[Parameter(name, value=v) for name, v in overrides.items()],
        )
        nodes.append(node)
        node.parameters = parameters.declare(node, "example", Example)
        if first:  # rclpy calls the latest first
            node.add_on_set_parameters_callback(first)
        parameters.follow_changes(node)
        return node

    yield make
    for node in nodes:
        node.destroy_node()
    rclpy.shutdown(context=context)


def change(node, **changes):
    (result,) = node.set_parameters([Parameter(n, value=v) for n, v in changes.items()])
    return result


def test_the_file_gives_the_values_and_the_command_line_beats_it(declare):
    assert declare().parameters == Example(**VALUES)
    assert declare(count=4).parameters == Example(**{**VALUES, "count": 4})


@pytest.mark.parametrize(
    ("name", "value"),
    [("speed", 2.5), ("count", 0), ("colour", "blue"), ("speed", "fast"), ("count", 2.0)],
)
def test_a_bad_value_is_refused_by_name_with_what_is_valid(declare, name, value):
    with pytest.raises(VimaError) as caught:
        declare(**{name: value})
    assert caught.value.code == "BAD_PARAMETER"
    assert f"parameter {name}" in str(caught.value)
    assert str(value) in str(caught.value)
    assert "valid: " in str(caught.value)


def test_a_whole_number_where_a_float_is_meant_is_one(declare):
    node = declare(speed=1)
    assert (node.parameters.speed, type(node.parameters.speed)) == (1.0, float)
    assert change(node, speed=2).successful
    assert type(node.parameters.speed) is float


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_not_finite_is_refused(declare, value):
    with pytest.raises(VimaError, match=r"parameter speed is (nan|inf); valid: a number from 0.1"):
        declare(speed=value)
    assert not change(declare(), speed=value).successful


def test_a_file_that_lacks_a_parameter_is_named(declare):
    with pytest.raises(VimaError, match=r"config/example\.yaml lacks count") as caught:
        declare(without="count")
    assert caught.value.code == "BAD_PARAMETER"


def test_a_parameter_says_what_it_means_and_what_it_may_be(declare):
    node = declare()
    speed, count, colour, place = (node.describe_parameter(name) for name in VALUES)
    assert speed.description == "of the tool [m/s]"
    assert (speed.floating_point_range[0].from_value, speed.read_only) == (0.1, False)
    assert (count.integer_range[0].from_value, count.integer_range[0].to_value) == (1, 5)
    assert colour.additional_constraints == "one of: red, green"
    assert place.read_only


def test_a_change_is_followed(declare):
    node = declare()
    assert change(node, speed=1.0).successful
    assert change(node, colour="green").successful
    assert node.parameters == Example(**{**VALUES, "speed": 1.0, "colour": "green"})


@pytest.mark.parametrize(
    ("name", "value"),
    [("speed", 9.0), ("count", 6), ("colour", "blue"), ("place", "there"), ("count", "two")],
)
def test_a_bad_change_is_refused_with_a_reason_and_changes_nothing(declare, name, value):
    node = declare()
    result = change(node, **{name: value})
    assert not result.successful
    assert result.reason
    assert node.parameters == Example(**VALUES)
    assert node.get_parameter(name).value == VALUES[name]


def change_together(node, **changes):
    return node.set_parameters_atomically([Parameter(n, value=v) for n, v in changes.items()])


@pytest.mark.parametrize("bad", [{"count": 6}, {"speed": 9.0}, {"place": "there"}])
def test_of_changes_set_together_none_is_made_where_one_is_refused(declare, bad):
    node = declare()
    for changes in ({"colour": "green", **bad}, {**bad, "colour": "green"}):
        result = change_together(node, **changes)
        assert not result.successful
        assert result.reason
        assert node.parameters == Example(**VALUES)
        assert node.get_parameter("colour").value == VALUES["colour"]


def test_a_change_that_another_callback_refuses_is_not_made(declare):
    def refuse(changes):
        return SetParametersResult(successful=False, reason="not now")

    node = declare(first=refuse)
    assert not change(node, colour="green").successful
    assert node.parameters == Example(**VALUES)


def test_a_check_across_parameters_judges_the_changes_together(declare):
    node = declare()
    refusal = change(node, count=5)
    assert not refusal.successful
    assert refusal.reason == "red means stop; valid: a count up to 4"
    assert change_together(node, count=5, colour="green").successful
    assert node.parameters == Example(**{**VALUES, "count": 5, "colour": "green"})
    assert not change(node, colour="red").successful
    assert node.parameters.colour == "green"
