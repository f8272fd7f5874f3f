"""The library and its programs run where neither ROS nor a message package is installed."""

import json
import os
import subprocess
import sys

import pytest
import yaml
from helpers import ROOT
from test_layering import LIBRARY, WITH_ROS

from vima_ros.policy.checkpoints.load import SMALL

HIDE = '''
"""Refuse every import of ROS, in worker processes too."""
import sys

NAMES = {"rclpy", "ament_index_python", "cv_bridge", "launch", "launch_ros", "rosidl_runtime_py"}


class Hidden:
    @staticmethod
    def find_spec(name, path=None, target=None):
        top = name.partition(".")[0]
        if top in NAMES or top.endswith(("_msgs", "_srvs", "_interfaces")):
            raise ModuleNotFoundError(f"No module named {name!r} (hidden)", name=top)


sys.meta_path.insert(0, Hidden)
'''
PROGRAMS = """
import importlib, json, sys
if __name__ == "__main__":  # and not in the processes that it starts
    for name, *words in json.loads(sys.argv[1]):
        importlib.import_module(f"vima_ros.cli.{name}").main(words)
"""
OPTIONAL = {"torchvision", "detectron2", "onnx"}  # requirements/torchvision.txt
IMPORT = f"""
import importlib, sys
for name in sys.argv[1:]:
    try:
        importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name not in {OPTIONAL}:
            raise
"""
SOURCE = ROOT / "src" / "vima_ros"


@pytest.fixture
def python(tmp_path):
    """Run Python without ROS; what it prints."""
    site = tmp_path / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text(HIDE)
    environment = {**os.environ, "PYTHONPATH": f"{site}:{ROOT / 'src'}", "OMP_NUM_THREADS": "1"}

    def run(*words, **options):
        done = subprocess.run(
            [sys.executable, *map(str, words)],
            env=environment,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=300,
            **options,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def modules():
    """Names of all modules that may not need ROS."""
    for path in sorted(SOURCE.rglob("*.py")):
        parts = path.relative_to(SOURCE).with_suffix("").parts
        program = parts[1] if parts[0] == "cli" and len(parts) > 1 else ""
        if parts[0] in LIBRARY or (program and program not in WITH_ROS):
            yield ".".join(("vima_ros", *parts)).removesuffix(".__init__")


def test_ros_is_hidden(python):
    with pytest.raises(AssertionError, match="No module named 'rclpy' \\(hidden\\)"):
        python("-c", "import rclpy")


@pytest.mark.slow
def test_every_module_of_the_library_can_be_imported(python):
    names = list(modules())
    assert {"vima_ros.cli.train_policy", "vima_ros.sim.tabletop"} <= set(names)
    python("-c", IMPORT, *names)


@pytest.mark.slow
def test_programs_demonstrate_train_evaluate_and_convert(python, tmp_path):
    """One after the other in one process: each start would import torch and its models again."""
    (tmp_path / "recipe.yaml").write_text(
        yaml.safe_dump({"network": SMALL, "recipe": {"batch_size": 2}})
    )
    programs = (
        "demonstrate --tasks rotate --episodes 2 --workers 1 --out data",
        "train_policy --data data --config recipe.yaml --steps 2 --out run",
        "evaluate_policy --policy run/policy.safetensors --tasks rotate --seeds 1 "
        "--detector ground_truth_masks --workers 1 --out report",
        "convert_checkpoint run/policy.safetensors policy.ckpt",
    )
    (tmp_path / "programs.py").write_text(PROGRAMS)
    python("programs.py", json.dumps([line.split() for line in programs]))
    assert len(json.loads((tmp_path / "report" / "report.json").read_text())["episodes"]) == 1
    assert (tmp_path / "policy.ckpt").stat().st_size > 0
