"""The onnx detector with small files of test/data/onnx/make_detectors.py and the bundled one."""

import os

import numpy as np
import onnxruntime
import pytest
from helpers import ROOT

from vima_ros.errors import VimaError
from vima_ros.perception.detectors.onnx_runtime import BUNDLED
from vima_ros.perception.detectors.registry import DetectorSettings, make_detector

FILES = ROOT / "test/data/onnx"
SPOTS = {  # colour: rows and columns
    (255, 0, 0): np.s_[10:30, 20:50],
    (0, 255, 0): np.s_[60:80, 100:140],
    (0, 0, 255): np.s_[90:100, 200:210],
}


def spotted(*colours):
    """A grey image with spots of these colours, and the mask of each by order of score."""
    image, masks = np.full((128, 256, 3), 50, np.uint8), np.zeros((128, 256), np.uint16)
    for number, colour in enumerate(colours, 1):
        image[SPOTS[colour]] = colour
        masks[SPOTS[colour]] = number
    return image, masks


RED, GREEN, BLUE = SPOTS
IMAGE, TRUTH = spotted(RED, GREEN, BLUE)
BLANK, _ = spotted()


def make(path=FILES / "good.onnx", **settings):
    return make_detector("onnx", DetectorSettings(weights=str(path), **settings))


def refused(path, code="BAD_WEIGHTS", says=None, **settings):
    with pytest.raises(VimaError, match=says) as error:
        make(path, **settings)
    assert error.value.code == code


def test_objects_follow_the_output_of_the_network():
    before = IMAGE.copy()
    found = make(min_score=0.2).detect(IMAGE, "front")
    assert found.ids.tolist() == [1, 2, 3]
    np.testing.assert_allclose(found.scores, [0.9, 0.7, 0.3])
    differs = found.mask != TRUTH
    assert not (found.mask * differs).any()  # nothing beyond the boxes
    assert np.count_nonzero(differs) <= 8  # the corners
    np.testing.assert_array_equal(IMAGE, before)


def test_the_card_gives_the_minimum_score():
    detector = make()
    found = detector.detect(IMAGE, "top")
    assert detector.min_score == pytest.approx(0.6)
    assert len(found) == 2
    assert found.low_score_count == 1
    assert make(min_score=0.8).detect(IMAGE, "top").low_score_count == 1
    assert len(make(min_score=0.8).detect(IMAGE, "top")) == 1


def test_each_view_has_its_own_objects():
    other, _ = spotted(GREEN)
    detector = make()
    both = detector.detect_views({"top": other, "front": IMAGE})
    assert {view: len(found) for view, found in both.items()} == {"top": 1, "front": 2}
    for view, image in (("front", IMAGE), ("top", other)):
        alone = detector.detect(image, view)
        np.testing.assert_array_equal(alone.mask, both[view].mask)
        np.testing.assert_array_equal(alone.scores, both[view].scores)
    assert len(detector.detect(BLANK, "top")) == 0


def test_it_says_what_it_is():
    facts = make(threads=1).describe()
    assert facts.pop("card") == {"name": "colours", "min_score": 0.6}
    assert len(facts.pop("sha256")) == 12
    assert facts == {
        "backend": "onnx",
        "weights": "good.onnx",
        "provider": "CPUExecutionProvider",
        "threads": 1,
        "min_score": 0.6,
    }


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("float_input", r"inputs are .*tensor\(float\).*valid: only .*tensor\(uint8\)"),
        ("flat_masks", r"masks_front is tensor\(float\) \['n', 64\]"),
        ("card", "card is no JSON"),
        ("external", "another file"),
    ],
)
def test_a_file_with_another_interface_is_refused(name, says):
    refused(FILES / f"{name}.onnx", says=says)


def test_an_output_of_another_name_is_refused(tmp_path):
    path = tmp_path / "other.onnx"
    path.write_bytes((FILES / "good.onnx").read_bytes().replace(b"scores_top", b"scores_tip"))
    refused(path, says=r"outputs are .*scores_tip.*valid: .*scores_top")


@pytest.mark.parametrize(
    "card", ['{"min_score": 12}', '{"min_score": "12"}', '{"min_score": true}', "[" * 30, "9" * 30]
)
def test_a_card_with_nonsense_is_refused(card, tmp_path):
    good = b'{"name": "colours", "min_score": 0.6}'
    data = (FILES / "good.onnx").read_bytes()
    assert data.count(good) == 1
    path = tmp_path / "card.onnx"
    path.write_bytes(data.replace(good, card.encode().ljust(len(good))))
    refused(path, says="card")


@pytest.mark.parametrize("length", [0, 1, 100, 5000, 11000])
def test_part_of_a_file_is_refused(length, tmp_path):
    path = tmp_path / "part.onnx"
    path.write_bytes((FILES / "good.onnx").read_bytes()[:length])
    refused(path)


def test_bytes_that_are_no_onnx_are_refused(tmp_path):
    path = tmp_path / "noise.onnx"
    path.write_bytes(np.random.default_rng(0).bytes(20_000))
    refused(path)


def test_a_missing_file_is_refused(tmp_path):
    refused(tmp_path / "none.onnx", "NO_WEIGHTS", "is no file")
    refused(tmp_path, "NO_WEIGHTS", "is a folder")
    os.mkfifo(tmp_path / "pipe.onnx")
    refused(tmp_path / "pipe.onnx", "NO_WEIGHTS", "is no regular file")


def test_a_network_that_gives_nonsense_is_refused():
    with pytest.raises(VimaError, match=r"top view: .*not finite") as error:
        make(FILES / "nan.onnx").detect(IMAGE, "top")
    assert error.value.code == "BAD_DETECTION"


def test_a_provider_that_is_not_there_is_refused():
    refused(FILES / "good.onnx", "BAD_DEVICE", "valid here: .*CPUExec", provider="MyProvider")


def test_a_provider_that_does_not_start_is_refused(monkeypatch):
    there = [*onnxruntime.get_available_providers(), "CUDAExecutionProvider"]
    if len(set(there)) < len(there):
        pytest.skip("this ONNX Runtime can start CUDA")
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: there)
    with pytest.warns(UserWarning, match="not in available"):
        refused(
            FILES / "good.onnx", "BAD_DEVICE", "did not start", provider="CUDAExecutionProvider"
        )


def test_the_bundled_file_keeps_the_contract():
    if not BUNDLED.exists():
        pytest.skip("no bundled detector.onnx in this tree")
    detector = make("")
    assert detector.describe()["weights"] == "detector.onnx"
    assert 0 < detector.describe()["card"]["min_score"] < 1
    assert BUNDLED.stat().st_size < 25e6
    found = detector.detect_views({"front": BLANK, "top": IMAGE})
    assert len(found["front"]) == 0
    again = detector.detect(IMAGE, "top")
    np.testing.assert_array_equal(again.mask, found["top"].mask)
