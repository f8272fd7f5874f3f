"""One pair of messages for those who read whole images, objects, or both; without ROS's graph."""

import time

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="no ROS 2: run `make test`, which prepares it")
pytest.importorskip("vima_msgs", reason="vima_msgs is not built: run `make test`")

from vima_ros.errors import VimaError
from vima_ros.nodes.common import image_conversion
from vima_ros.nodes.perception.image_pair import ImagePair
from vima_ros.nodes.perception.pair_processing import Demand, process_pair
from vima_ros.perception.detectors.ground_truth_masks import GroundTruthMaskDetector
from vima_ros.perception.pipeline import PerceptionPipeline
from vima_ros.specs import VIEWS

WHOLE, OBJECTS = (Demand(whole, objects=False, masks=True) for whole in (True, False))
BOTH = Demand(whole_images=True, objects=True, masks=True)


class Identity:
    def apply(self, image, is_mask=False):
        return image


class FaultyDetector(GroundTruthMaskDetector):
    def _find(self, image_rgb, view, mask):
        raise ZeroDivisionError("oops")


def pair(mask=True):
    """A pair of images with an object each; without ``mask``, its masks cannot be decoded."""
    ids = np.zeros((128, 256), np.uint8)
    ids[40:60, 40:60] = 3
    messages = {}
    for view in VIEWS:
        image = np.full((128, 256, 3), 90, np.uint8)
        messages[f"{view}/image"] = image_conversion.encode(image, "rgb8")
        messages[f"{view}/mask"] = image_conversion.encode(ids, "mono8")
        if not mask:
            messages[f"{view}/mask"].data = b""
    return ImagePair(messages, dict.fromkeys(VIEWS, 5), 0, time.monotonic(), {})


def process(demand, detector=None, check=lambda pair: None, **options):
    pipeline = PerceptionPipeline(
        detector or GroundTruthMaskDetector(), dict.fromkeys(VIEWS, Identity())
    )
    return process_pair(pair(**options), pipeline, demand, 6, check)


def test_each_demand_gets_what_it_reads():
    whole, _, _ = process(WHOLE)
    objects, _, _ = process(OBJECTS)
    both, _, _ = process(BOTH)
    assert whole.observation.images is not None
    assert (len(whole.observation.front), whole.scene) == (0, None)
    assert objects.observation.images is None
    assert (len(objects.observation.front), objects.scene) == (1, None)
    assert both.observation.images is not None
    assert len(both.observation.front) == 0
    assert (both.scene.observation.images, len(both.scene.observation.front)) == (None, 1)
    assert ["detect" in each.times for each in (whole, objects, both)] == [False, True, True]


def test_masks_are_decoded_only_where_objects_are_read():
    assert process(WHOLE, mask=False)[0].code == "OK"
    assert process(OBJECTS, mask=False)[0].code == "BAD_IMAGE"


def test_a_fault_of_the_detector_leaves_the_whole_images_to_the_policy():
    result, images, fault = process(BOTH, FaultyDetector())
    assert result.code == "OK"
    assert result.observation.images is not None
    assert set(images) == {*VIEWS}
    assert "oops" in fault
    assert (result.scene.code, result.scene.observation) == ("INTERNAL_ERROR", None)


@pytest.mark.parametrize("demand", [WHOLE, OBJECTS, BOTH])
def test_a_pair_that_must_not_be_processed_is_refused_whatever_is_read(demand):
    def refuse(pair):
        raise VimaError("WRONG_CAMERA", "swapped")

    result, images, fault = process(demand, check=refuse)
    assert (result.code, result.observation, result.scene) == ("WRONG_CAMERA", None, None)
    assert (images, fault) == ({}, "")
