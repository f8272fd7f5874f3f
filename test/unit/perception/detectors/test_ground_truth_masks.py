import numpy as np
import pytest

from vima_ros.perception.detectors.ground_truth_masks import GroundTruthMaskDetector

IMAGE = np.zeros((128, 256, 3), np.uint8)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_ids_ascend_and_every_score_is_one(dtype):
    mask = np.zeros((128, 256), dtype)
    top = np.iinfo(dtype).max
    mask[2, 2], mask[5, 5], mask[9, 9] = top, 3, 7
    found = GroundTruthMaskDetector().detect(IMAGE, "front", mask)
    assert found.ids.tolist() == [3, 7, top]
    assert found.scores.tolist() == [1, 1, 1]
    np.testing.assert_array_equal(found.mask, mask)


def test_an_empty_mask_shows_nothing():
    assert len(GroundTruthMaskDetector().detect(IMAGE, "top", np.zeros((128, 256), np.uint8))) == 0


def test_it_declares_that_it_needs_a_mask():
    assert GroundTruthMaskDetector.needs_mask


def test_its_ids_are_identities():
    assert GroundTruthMaskDetector.has_stable_ids
