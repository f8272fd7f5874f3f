import subprocess
import sys

import numpy as np
import pytest
from helpers import ROOT
from synthetic_tables import random_scene

from vima_ros.errors import VimaError
from vima_ros.perception.detectors.registry import (
    Detector,
    DetectorSettings,
    Instances,
    make_detector,
)

WITHOUT_WEIGHTS = (
    "ground_truth_masks",
    "plain_background",
)  # the others' own tests hold them to the contract
PACKAGES = {"onnx": "onnxruntime", "torchvision": "torchvision", "detectron2": "detectron2"}


@pytest.mark.parametrize("name", WITHOUT_WEIGHTS)
def test_every_backend_keeps_the_contract(name):
    detector = make_detector(name)
    image, mask = random_scene(np.random.default_rng(5), count=4)
    before = image.copy()
    found = detector.detect(image, "top", mask if detector.needs_mask else None)
    assert isinstance(detector, Detector)
    assert isinstance(found, Instances)
    assert len(found) == 4
    np.testing.assert_array_equal(image, before)
    again = make_detector(name).detect(image, "top", mask)
    np.testing.assert_array_equal(found.mask, again.mask)


def test_an_unknown_name_lists_the_valid_ones():
    with pytest.raises(
        VimaError, match=r"'yolo'.*ground_truth_masks, onnx, plain_background"
    ) as error:
        make_detector("yolo")
    assert error.value.code == "UNKNOWN_DETECTOR"


def test_only_the_backend_that_is_made_is_imported():
    says = (
        "import sys; from vima_ros.perception.detectors.registry import make_detector\n"
        "make_detector('ground_truth_masks')\n"
        "print({'onnxruntime', 'torch', 'torchvision', 'detectron2', 'scipy'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", says], capture_output=True, text=True, cwd=ROOT / "src"
    )
    assert (done.stdout.strip(), done.stderr) == ("set()", "")


@pytest.mark.parametrize("name", sorted(PACKAGES))
def test_without_its_package_a_backend_names_what_to_install(name, monkeypatch):
    monkeypatch.setitem(sys.modules, PACKAGES[name], None)
    monkeypatch.setitem(sys.modules, f"{PACKAGES[name]}.ops", None)
    monkeypatch.setitem(sys.modules, f"{PACKAGES[name]}.engine", None)
    with pytest.raises(VimaError, match=rf"detector {name} needs .*pip install") as error:
        make_detector(name)
    assert error.value.code == "NOT_INSTALLED"


def test_the_pair_to_install_is_the_one_that_is_tested():
    from vima_ros.perception.detectors.torchvision_mask_rcnn import TORCH_REQUIREMENT

    pinned = (ROOT / "requirements/torchvision.txt").read_text().split()
    assert set(TORCH_REQUIREMENT.split()) <= set(pinned)


@pytest.mark.parametrize("name", WITHOUT_WEIGHTS)
def test_weights_are_not_ignored_in_silence(name):
    with pytest.raises(VimaError, match="no weights") as error:
        make_detector(name, DetectorSettings(weights="mask_rcnn.pth"))
    assert error.value.code == "INVALID_VALUE"


@pytest.mark.parametrize(
    "wrong", [{"threads": 0}, {"threads": 1000}, {"min_score": -0.1}, {"min_score": 1.1}]
)
def test_settings_outside_their_range_are_refused(wrong):
    with pytest.raises(VimaError, match="valid") as error:
        DetectorSettings(**wrong)
    assert error.value.code == "INVALID_VALUE"
