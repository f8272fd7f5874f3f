"""Launch files: flat, about our own executables, and loadable where launch_ros is installed."""

import ast
import re
from importlib.machinery import SourceFileLoader
from pathlib import Path

import pytest
from helpers import ROOT

from vima_ros.nodes.common.launch_arguments import CHECKS

FILES = sorted((ROOT / "launch").glob("*.launch.py"))
CONTROL_FLOW = (ast.If, ast.For, ast.While, ast.Try, ast.With, ast.IfExp, ast.comprehension)


def executables() -> set[str]:
    """The programs that setup.py installs."""
    text = (ROOT / "setup.py").read_text()
    lists = re.findall(r"^(?:NODES|TOOLS) = (\[.*?\])$", text, re.MULTILINE)
    return {name for found in lists for name in ast.literal_eval(found)}


def test_there_are_three_launch_files():
    names = {path.name for path in FILES}
    assert names == {"bringup.launch.py", "sim.launch.py", "replay.launch.py"}


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.name)
def test_a_launch_file_has_no_control_flow(path: Path):
    nodes = list(ast.walk(ast.parse(path.read_text())))
    assert not [type(node).__name__ for node in nodes if isinstance(node, CONTROL_FLOW)]


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.name)
def test_a_launch_file_starts_only_what_is_installed(path: Path):
    started = re.findall(r'executable="(\w+)"|\bnode\(\s*"(\w+)"', path.read_text())
    names = {a or b for a, b in started}
    assert names
    assert names <= executables()


def description(path: Path) -> list[ast.Call]:
    """The actions of the launch description, in order."""
    (made,) = [
        node
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "LaunchDescription"
    ]
    return made.args[0].elts


def declared(path: Path) -> set[str]:
    actions = [a for a in description(path) if ast.unparse(a.func) == "DeclareLaunchArgument"]
    return {action.args[0].value for action in actions}


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.name)
def test_all_arguments_are_checked_before_a_node_starts(path: Path):
    kinds = [ast.unparse(action.func) for action in description(path)]
    at = kinds.index("check_arguments")
    assert set(kinds[:at]) == {"DeclareLaunchArgument"}
    assert "DeclareLaunchArgument" not in kinds[at:]
    included = declared(path.with_name("bringup.launch.py"))
    words = re.findall(r"'(\w+)'", ast.unparse(description(path)[at]))
    assert sorted(words) == sorted(declared(path) | included)
    assert CHECKS.keys() >= {*words}


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.name)
def test_every_node_ends_with_the_launch(path: Path):
    text = path.read_text()
    assert 'END_WITH = {"VIMA_ROS_END_WITH": str(os.getpid())}' in text
    assert text.count("additional_env=END_WITH") == text.count(" Node(")


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.name)
def test_a_launch_file_loads_where_launch_is_installed(path: Path):
    pytest.importorskip("launch_ros", reason="no launch_ros: it comes with a distribution")
    module = SourceFileLoader(path.stem.replace(".", "_"), str(path)).load_module()
    assert module.generate_launch_description().entities
