"""Nothing but the arm node commands motion, read from the syntax trees."""

import ast
from pathlib import Path

import pytest

NODES = Path(__file__).parents[1] / "src" / "vima_ros" / "nodes"
ALLOWED = {
    "ArmCommand": {"arm_motion.py", "manager.py"},  # the manager's have no waypoints: stop
    "JointTrajectory": {"joint_arm.py"},
    "ToolCommand": {"joint_arm.py"},
}


def published(source):
    """The message types that a file makes publishers of."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call) or not node.args:
            continue
        name = getattr(node.func, "attr", "")
        if name in ("create_publisher", "publisher") and isinstance(node.args[0], ast.Name):
            yield node.args[0].id


@pytest.mark.parametrize("path", sorted(NODES.glob("*.py")), ids=lambda p: p.name)
def test_only_the_arm_node_publishes_motion(path):
    for kind in published(path.read_text()):
        assert path.name in ALLOWED.get(kind, {path.name}), f"{path.name} publishes {kind}"


def test_a_publisher_elsewhere_is_caught():
    assert list(published("self.create_publisher(ArmCommand, 'arm_command', 1)")) == ["ArmCommand"]


def test_the_managers_commands_are_empty():
    tree = ast.parse((NODES / "manager.py").read_text())
    made = [n for n in ast.walk(tree) if isinstance(n, ast.Call)]
    commands = [n for n in made if getattr(n.func, "id", "") == "ArmCommand"]
    assert commands
    assert not any(n.args or n.keywords for n in commands)
