"""What nodes and programs do not import at their start: each takes a part of a second.

A program shows its help with what it has imported by then; it imports the rest when it is used.
"""

import subprocess
import sys
from pathlib import Path

import pytest

SRC = Path(__file__).parents[2] / "src"
HEAVY = {"torch", "transformers", "matplotlib", "onnxruntime", "scipy", "mujoco", "cv2"}
# Of these, what each may import.
NODES = {
    "arm": set(),
    "manager": set(),
    "prompt": {"cv2"},
    "perception": {"cv2", "scipy"},
    "tabletop": {"cv2", "mujoco"},
    "vima_bench": {"cv2", "mujoco"},
    "policy": {"torch", "cv2"},
}
PROGRAMS = {
    "stop": set(),
    "resume": set(),
    "convert_checkpoint": set(),
    "train_policy": set(),
    "train_detector": set(),
    "send_prompt": {"cv2"},
    "assets": {"cv2"},
    "grab_image": {"cv2"},
    "calibrate": {"cv2", "scipy"},
    "replay": {"cv2", "scipy"},
    "sim": {"cv2", "mujoco"},
    "demo": {"cv2", "mujoco", "scipy"},
    "oracle": {"cv2", "mujoco", "scipy"},
    "bench": {"cv2", "mujoco", "scipy"},
    "demonstrate": {"cv2", "mujoco", "scipy"},
    "evaluate_detector": {"cv2", "mujoco", "scipy"},
    "evaluate_policy": {"cv2", "mujoco", "scipy"},
    "evaluate_robot": {"cv2", "mujoco", "scipy"},
}
IMPORT = """
import importlib, sys
module = importlib.import_module(sys.argv[1])
if hasattr(module, "__path__"):
    importlib.import_module(module.__name__ + ".main")
print(*sys.modules)
"""


def imported(module: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(SRC)!r})\n{IMPORT}", module],
        capture_output=True,
        text=True,
        check=True,
    )
    return HEAVY & set(done.stdout.split())


@pytest.mark.slow
@pytest.mark.parametrize("name", NODES)
def test_a_node_imports_no_heavy_module_that_it_does_not_need(name):
    assert imported(f"vima_ros.nodes.{name}.node") <= NODES[name]


@pytest.mark.slow
@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_imports_no_heavy_module_before_it_is_used(name):
    assert imported(f"vima_ros.cli.{name}") <= PROGRAMS[name]
