"""The arrows between packages point one way (CONTRIBUTING.md), read from the syntax trees."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1] / "src" / "vima_ros"
BASE = {
    *(
        "specs",
        "decision_attention",
        "discretization",
        "errors",
        "error_codes",
        "geometry",
        "files",
        "liveness",
    ),
    *("paths", "program"),
    *("shared_memory", "state_dict_names", "tables", "weight_files", "policy_frame"),
    *("boxes", "outlines"),
}
# Of the library, by package: what it may import besides BASE and itself.
ARROWS = {
    "arm": set(),
    "perception": set(),
    "policy": set(),
    "episode": set(),
    "replay": set(),
    "sim": {"arm", "perception"},
    "prompt": {"perception", "policy"},
}
ARROWS["training"] = set(ARROWS)
ARROWS["benchmarks"] = set(ARROWS)
LIBRARY = {*BASE, *ARROWS}
TORCH = ("policy", "perception/detectors", "training", "benchmarks")
MESSAGES = ("vima_msgs", "_msgs", "_srvs", "_interfaces")
# Programs that talk to a running suite or start one; all others run where ROS is not installed.
WITH_ROS = {
    *("assets", "bench", "demo", "evaluate_robot", "grab_image", "oracle", "replay", "resume"),
    *("send_prompt", "sim", "stop"),
}
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


def name_of(path: Path) -> str:
    """Top-level package or module; with ``nodes`` and ``cli`` the node or program."""
    parts = path.with_suffix("").parts
    return "/".join(parts[:2]) if parts[0] in ("nodes", "cli") else parts[0]


def may_import(package: str, target: str) -> bool:
    """Whether a file of one package may import another of ours, both as ``name_of`` has them."""
    if package == target or target == "__version__":
        return True
    if package in BASE:
        return target in BASE
    if package in ARROWS:
        return target in BASE | ARROWS[package]
    if package.startswith("nodes/"):
        return target in LIBRARY | {"nodes/common"}
    if package == "client":
        return target in LIBRARY | {"nodes/common"}
    if package.startswith("cli/"):
        return target in LIBRARY | {"nodes/common", "client"} or target.startswith("cli/")
    return False


def uses_ros(package: str) -> bool:
    program = package.removeprefix("cli/")
    return package == "client" or package.startswith("nodes") or program in WITH_ROS


def violations(path: Path, source: str) -> list[str]:
    """What a file at ``path`` (relative to the package) may not import."""
    package, found = name_of(path), []
    for module in imports(source):
        top, *rest = module.split(".")
        if module.startswith("."):
            found.append("relative import")
        ours = top == "vima_ros" and bool(rest)
        with_ros = is_ros(module) or (ours and rest[0] in ("nodes", "client"))
        if with_ros and not uses_ros(package):
            found.append(f"{module}: ROS only in nodes/, client/ and {sorted(WITH_ROS)}")
        if top == "torch" and not str(path).startswith(TORCH):
            found.append(f"{module}: torch only in {TORCH}")
        if top == "mujoco" and package != "sim":
            found.append(f"{module}: mujoco only in sim/")
        if ours and not may_import(package, target := name_of(Path(*rest))):
            found.append(f"{module}: {package} may not import {target}")
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_follow_the_arrows(path):
    assert violations(path.relative_to(ROOT), path.read_text()) == []


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("arm/safety_gate.py", "import rclpy"),
        ("prompt/assembly.py", "def f():\n    from vima_msgs.msg import Prompt"),
        ("arm/primitives.py", "from vima_ros.perception import crops"),
        ("arm/primitives.py", "import mujoco"),
        ("sim/scene.py", "import torch"),
        ("perception/crops.py", "import torch"),
        ("nodes/arm/node.py", "import mujoco"),
        ("nodes/arm/node.py", "from vima_ros.nodes.perception import parameters"),
        ("nodes/common/qos.py", "from vima_ros.client.client import Client"),
        ("nodes/policy/node.py", "from vima_ros.cli import sim"),
        ("client/client.py", "from vima_ros.nodes.arm.node import ArmNode"),
        ("cli/train_policy.py", "from rclpy.node import Node"),
        ("cli/train_policy.py", "from vima_ros.nodes.common import qos"),
        ("specs.py", "from vima_ros.arm import safety_gate"),
    ],
)
def test_a_wrong_arrow_is_caught(path, source):
    assert violations(Path(path), source)
