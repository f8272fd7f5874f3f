"""The arrows between packages point one way (CONTRIBUTING.md), read from the syntax trees."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1] / "src" / "vima_ros"
BASE = {"specs", "errors", "geometry", "output", "paths", "shared_memory", "weight_files"}
DOMAIN = {"policy", "prompt", "perception", "arm", "sim", "replay", "training"}
MESSAGES = ("vima_msgs", "_msgs", "_srvs", "_interfaces")
FILES = sorted(ROOT.rglob("*.py"))


def imports(source: str) -> Iterator[str]:
    """Every module a file imports, inside functions too; ``from a import b`` gives ``a.b``."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                yield "." * node.level
            else:
                yield from (f"{node.module}.{alias.name}" for alias in node.names)


def is_ros(module: str) -> bool:
    top = module.split(".")[0]
    return top in {"rclpy", "launch", "launch_ros", "cv_bridge", "ament_index_python"} or (
        top.endswith(MESSAGES)
    )


def violations(path: Path, source: str) -> list[str]:
    """What a file at ``path`` (relative to the package) may not import."""
    package = path.parts[0] if len(path.parts) > 1 else path.stem
    found = []
    for module in imports(source):
        top, *rest = module.split(".")
        if module.startswith("."):
            found.append("relative import")
        if is_ros(module) and package != "nodes":
            found.append(f"{module}: ROS only in nodes/")
        if top == "torch" and package not in {"policy", "perception", "training"}:
            found.append(f"{module}: torch only in policy/, perception/, training/")
        if top == "mujoco" and package != "sim":
            found.append(f"{module}: mujoco only in sim/")
        if top != "vima_ros" or not rest:
            continue
        target = rest[0]
        if target == package or target in BASE or target == "__version__":
            continue
        if package == "nodes" and target in {*DOMAIN, "program"}:
            continue
        if package == "training" and target in DOMAIN:
            continue
        if package == "sim" and target == "arm":
            continue
        found.append(f"{module}: {package} may not import {target}")
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_follow_the_arrows(path):
    assert violations(path.relative_to(ROOT), path.read_text()) == []


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("arm/gate.py", "import rclpy"),
        ("prompt/text.py", "def f():\n    from vima_msgs.msg import Prompt"),
        ("prompt/text.py", "from vima_ros.perception import crops"),
        ("arm/motion.py", "import mujoco"),
        ("sim/world.py", "import torch"),
        ("nodes/arm.py", "import mujoco"),
        ("specs.py", "from vima_ros.arm import gate"),
    ],
)
def test_a_wrong_arrow_is_caught(path, source):
    assert violations(Path(path), source)
