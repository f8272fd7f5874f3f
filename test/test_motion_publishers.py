"""Nothing but the arm node commands motion, read from the syntax trees."""

import ast
from pathlib import Path

import pytest

SOURCES = Path(__file__).parents[1] / "src" / "vima_ros"
ALLOWED = {
    "ArmCommand": {
        "nodes/arm/robot_commands.py",
        "nodes/manager/node.py",
    },  # the manager's have no waypoints: stop
    "JointTrajectory": {"nodes/arm/joint_driver.py"},
    "ToolCommand": {"nodes/arm/joint_driver.py"},
}


def published(source):
    """The message types that a file makes publishers of."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call) or not node.args:
            continue
        name = getattr(node.func, "attr", "")
        if name in ("create_publisher", "publisher") and isinstance(node.args[0], ast.Name):
            yield node.args[0].id


PATHS = sorted(str(path.relative_to(SOURCES)) for path in SOURCES.rglob("*.py"))


@pytest.mark.parametrize("path", PATHS)
def test_only_the_arm_node_publishes_motion(path):
    for kind in published((SOURCES / path).read_text()):
        assert path in ALLOWED.get(kind, {path}), f"{path} publishes {kind}"


def test_a_publisher_elsewhere_is_caught():
    assert list(published("self.create_publisher(ArmCommand, 'arm_command', 1)")) == ["ArmCommand"]


def test_the_managers_commands_are_empty():
    tree = ast.parse((SOURCES / "nodes" / "manager" / "node.py").read_text())
    made = [n for n in ast.walk(tree) if isinstance(n, ast.Call)]
    commands = [n for n in made if getattr(n.func, "id", "") == "ArmCommand"]
    assert commands
    assert not any(n.args or n.keywords for n in commands)
