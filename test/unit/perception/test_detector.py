import numpy as np
import pytest
from synthetic_tables import random_scene

from vima_ros.errors import VimaError
from vima_ros.perception.detector import DETECTORS, Detector, Instances, make_detector


@pytest.mark.parametrize("name", sorted(DETECTORS))
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
    with pytest.raises(VimaError, match=r"'yolo'.*masks, plain_background") as error:
        make_detector("yolo")
    assert error.value.code == "UNKNOWN_DETECTOR"
