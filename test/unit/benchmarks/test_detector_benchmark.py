import ast
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers import ROOT

from vima_ros.benchmarks import detector_baseline
from vima_ros.benchmarks.detector import WARM_UP, detector_times, network_times
from vima_ros.perception.detectors.base import Detector
from vima_ros.perception.detectors.instances import FRAME_SHAPE, Instances


class Counting(Detector):
    def __init__(self):
        super().__init__()
        self.looks = []

    def _find(self, image_rgb, view, mask):
        self.looks.append((view, int(image_rgb[0, 0, 0])))
        mask = np.zeros(FRAME_SHAPE, np.uint16)
        mask[10:30, 10:30] = 1
        return Instances(mask, [1], [1.0])


def test_every_pair_takes_its_turn_and_warming_up_is_not_counted():
    pairs = [
        {view: np.full((*FRAME_SHAPE, 3), i, np.uint8) for view in ("front", "top")}
        for i in range(2)
    ]
    detector = Counting()
    times = detector_times(detector, pairs, 5)
    assert {name: len(values) for name, values in times.items()} == {"detector": 5, "crops": 5}
    assert min(min(values) for values in times.values()) > 0
    timed = detector.looks[2 * len(pairs) :]  # first it finds what is to be cropped
    assert timed == [(view, turn % 2) for turn in range(WARM_UP + 5) for view in ("front", "top")]


def test_the_baseline_imports_nothing_that_another_python_may_lack():
    tree = ast.parse(Path(detector_baseline.__file__).read_text())
    names = [a.name for node in ast.walk(tree) if isinstance(node, ast.Import) for a in node.names]
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    assert set(names) - set(sys.stdlib_module_names) == {"numpy", "torch", "torchvision"}


def test_the_network_is_timed_as_it_is():
    pytest.importorskip("onnxruntime", reason="pip install onnxruntime")
    pair = {view: np.zeros((*FRAME_SHAPE, 3), np.uint8) for view in ("front", "top")}
    times = network_times(str(ROOT / "test" / "data" / "onnx" / "good.onnx"), [pair], 4, 1)
    assert len(times) == 4
