"""The pipeline from images to an observation or a coded refusal, with fake detectors."""

import dataclasses

import numpy as np
import pytest

from vima_ros.errors import VimaError
from vima_ros.perception.detectors.base import Detector
from vima_ros.perception.detectors.ground_truth_masks import GroundTruthMaskDetector
from vima_ros.perception.detectors.instances import Instances
from vima_ros.perception.pipeline import AcceptanceLimits, PerceptionPipeline, PerceptionResult
from vima_ros.perception.tracking.tracker import Tracker
from vima_ros.perception.view_images import view_image
from vima_ros.perception.view_transform import to_policy_frame
from vima_ros.specs import VIEWS

SECOND = 1_000_000_000
FIRST_ID = 11  # of the detector: no id of a new tracker
RNG = np.random.default_rng(5)


class CentredView:
    """The policy frame as it is without calibration."""

    def apply(self, image, is_mask=False):
        return to_policy_frame(image, is_mask=is_mask)


class FixedScores(Detector):
    """Finds blocks side by side with the scores it was told, by view."""

    def __init__(self, low_score_count=0, **scores):
        super().__init__()
        self.min_score = 0.0
        self.scores = {"front": (), "top": ()} | scores
        self.low_score_count, self.calls = low_score_count, []

    def _find_views(self, images_rgb, masks):
        self.calls.append(tuple(images_rgb))
        return super()._find_views(images_rgb, masks)

    def _find(self, image_rgb, view, mask):
        scores = self.scores[view]
        if isinstance(scores, Exception):
            raise scores
        mask = np.zeros((128, 256), np.uint16)
        for i in range(len(scores)):
            mask[40:60, 20 * i : 20 * i + 10] = FIRST_ID + i
        ids = np.arange(FIRST_ID, FIRST_ID + len(scores))
        return Instances(mask, ids, np.array(scores, np.float32), self.low_score_count)


def pipeline_with(detector, tracker=None, **limits):
    return PerceptionPipeline(
        detector, dict.fromkeys(VIEWS, CentredView()), tracker, AcceptanceLimits(**limits)
    )


def make_images(height=480, width=640):
    return {view: RNG.integers(0, 255, (height, width, 3), np.uint8) for view in VIEWS}


def process(pipeline, at=SECOND, images=None, masks=None, now=None):
    stamps = {"front": at, "top": at + 5}
    return pipeline.process(images or make_images(), masks, stamps, at + 9 if now is None else now)


def test_a_good_pair_becomes_an_observation_that_can_be_traced():
    result = process(pipeline_with(FixedScores(front=(0.9, 0.8), top=(0.7,))), at=3 * SECOND)
    assert (result.code, result.message, result.view) == ("OK", "", "")
    assert result.observation.stamp == result.stamp == 3 * SECOND
    assert result.stamps == {"front": 3 * SECOND, "top": 3 * SECOND + 5}
    assert result.min_accepted_score == pytest.approx(0.7)
    for view in VIEWS:
        objects = getattr(result.observation, view)
        assert objects is result.objects[view]
        for box, crop in zip(objects.boxes, objects.crops, strict=True):
            x, y, height, width = box.tolist()
            patch = result.frames[view][y - height // 2 :, x - width // 2 :][
                : height + 1, : width + 1
            ]
            # Area averages keep the mean; the black bars beside a narrow object do not.
            share = (width + 1) / (height + 1)
            assert crop.mean() == pytest.approx(patch.mean() * share, abs=2)
    assert set(result.times) == {"staleness", "view", "detect", "crops"}
    assert all(seconds >= 0 for seconds in result.times.values())


@pytest.mark.parametrize("tracker", [None, Tracker()])
def test_each_accepted_object_has_the_outline_of_its_mask(tracker):
    detector = FixedScores(front=(0.9, 0.1, 0.8), top=(0.7, 0.9))
    observation = process(pipeline_with(detector, tracker, min_score=0.5)).observation
    for view, places in (("front", (0, 2)), ("top", (0, 1))):
        objects = getattr(observation, view)
        for box, got in zip(objects.boxes, objects.outlines, strict=True):
            left, right = box[0] - box[3] // 2, box[0] - box[3] // 2 + box[3]
            assert left in [20 * place for place in places]
            corners = {(x, y, 1) for x in (left, right) for y in (40, 59)}
            assert set(map(tuple, got[:4].tolist())) == corners
            assert not got[4:].any()


def test_both_views_go_to_the_detector_in_one_call():
    detector = FixedScores(front=(0.9,))
    process(pipeline_with(detector))
    assert detector.calls == [("front", "top")]


@pytest.mark.parametrize(
    ("detector", "limits", "code", "view"),
    [
        (FixedScores(), {}, "NO_OBJECT", ""),
        (FixedScores(low_score_count=2), {}, "LOW_SCORE", ""),
        (FixedScores(front=(0.2, 0.1)), {"min_score": 0.3}, "LOW_SCORE", ""),
        (FixedScores(top=(0.9,) * 5), {"max_objects": 4}, "TOO_MANY_OBJECTS", "top"),
        (
            FixedScores(front=VimaError("NO_UNIFORM_BACKGROUND", "a chessboard")),
            {},
            "NO_UNIFORM_BACKGROUND",
            "front",
        ),
    ],
)
def test_what_cannot_be_trusted_is_refused_with_a_code(detector, limits, code, view):
    result = process(pipeline_with(detector, **limits))
    assert (result.code, result.view, result.observation) == (code, view, None)
    assert result.message
    assert view in result.message


def test_objects_with_low_scores_are_left_out_and_counted():
    result = process(
        pipeline_with(
            FixedScores(front=(0.9, 0.2, 0.8), top=(0.1, 0.9), low_score_count=1), min_score=0.5
        )
    )
    assert [len(result.objects[view]) for view in VIEWS] == [2, 1]
    assert result.low_score_count == 4
    assert result.objects["front"].track_ids.tolist() == [11, 13]
    assert set(np.unique(result.labels("front"))) == {0, 11, 13}


def test_the_limit_is_the_detectors_own_unless_one_is_set():
    detector = FixedScores(front=(0.9, 0.2, 0.6))
    detector.min_score = 0.5
    assert len(process(pipeline_with(detector)).objects["front"]) == 2
    assert len(process(pipeline_with(detector, min_score=0.8)).objects["front"]) == 1


def test_exactly_max_objects_pass():
    assert process(pipeline_with(FixedScores(front=(0.9,) * 4), max_objects=4)).code == "OK"


def test_a_bad_image_names_its_view():
    result = process(
        pipeline_with(FixedScores()),
        images={**make_images(), "top": np.zeros((1, 1, 3), np.uint8)},
    )
    assert (result.code, result.view) == ("INVALID_REGION", "top")


def test_masks_take_the_same_way_as_images():
    ids = np.zeros((480, 640), np.uint16)
    ids[200:250, 100:160] = 300
    result = process(pipeline_with(GroundTruthMaskDetector()), masks=dict.fromkeys(VIEWS, ids))
    assert result.objects["front"].track_ids.tolist() == [300]
    assert set(result.times) == {"staleness", "view", "detect", "crops"}
    result = process(pipeline_with(GroundTruthMaskDetector()))
    assert (result.code, result.view) == ("NO_MASK", "front")


def test_stale_and_frozen_images_are_refused_before_anything_is_detected():
    detector = FixedScores(front=(0.9,))
    pipeline = pipeline_with(
        detector, max_age=1.0, frozen_timeout=0.5, frozen_timeout_noiseless=0.5
    )
    still = make_images()
    assert process(pipeline, at=10 * SECOND, images=still).code == "OK"
    result = process(pipeline, at=11 * SECOND, images={**make_images(), "top": still["top"]})
    assert (result.code, result.view) == ("FROZEN", "top")
    result = process(pipeline, at=12 * SECOND, now=14 * SECOND)
    assert (result.code, result.view) == ("STALE", "")
    assert len(detector.calls) == 1
    assert process(pipeline, at=15 * SECOND).code == "OK"


def test_limits_may_change_between_images():
    pipeline = pipeline_with(FixedScores(front=(0.9, 0.9)))
    assert process(pipeline).code == "OK"
    pipeline.limits = dataclasses.replace(pipeline.limits, max_objects=1)
    assert process(pipeline, at=2 * SECOND).code == "TOO_MANY_OBJECTS"


# --- identity


def test_a_tracker_names_the_objects_and_the_mask_follows():
    tracker = Tracker()
    pipeline = pipeline_with(FixedScores(front=(0.9, 0.8), top=(0.7, 0.9)), tracker)
    images = make_images()
    first, second = (process(pipeline, at=at * SECOND, images=images) for at in (1, 2))
    for view in VIEWS:
        ids = first.objects[view].track_ids
        assert (ids == second.objects[view].track_ids).all()
        assert set(np.unique(second.labels(view))) == {0, *ids.tolist()}
        for box, track in zip(second.objects[view].boxes, ids, strict=True):
            assert second.labels(view)[box[1], box[0]] == track
    assert all(second.ages[i] == pytest.approx(1.0) for i in ids.tolist())
    assert "track" in second.times


def test_stamps_that_jump_back_begin_anew_and_are_no_error():
    pipeline = pipeline_with(
        FixedScores(front=(0.9,)), Tracker(), frozen_timeout=1.0, frozen_timeout_noiseless=1.0
    )
    images = make_images()
    assert process(pipeline, at=100 * SECOND, images=images).code == "OK"
    result = process(pipeline, at=5 * SECOND, images=images)
    assert result.code == "OK"
    assert set(result.ages.values()) == {0.0}
    assert process(pipeline, at=5 * SECOND + 10, images=images).code == "OK"


def test_too_many_objects_are_not_tracked():
    tracker = Tracker()
    process(pipeline_with(FixedScores(front=(0.9,) * 9), tracker, max_objects=8))
    assert tracker.ages(SECOND) == {}


def test_a_fault_in_a_detector_is_not_hidden():
    with pytest.raises(ZeroDivisionError):
        process(pipeline_with(FixedScores(front=ZeroDivisionError("oops"))))


def test_a_given_result_is_continued():
    result = PerceptionResult({"front": 1, "top": 2}, times={"queue": 0.5})
    pipeline = pipeline_with(FixedScores(front=(0.9,)))
    assert pipeline.process(make_images(), None, result.stamps, 3, result) is result
    assert result.times["queue"] == 0.5


def whole(pipeline, at=SECOND, now=None):
    stamps = {"front": at, "top": at + 5}
    now = at + 9 if now is None else now
    return pipeline.process(make_images(), None, stamps, now, whole_images=True)


def test_whole_images_are_the_frames_at_half_size_and_no_detector_is_run():
    detector = FixedScores(front=(0.9,))
    result = whole(pipeline_with(detector), at=3 * SECOND)
    seen = result.observation
    assert (result.code, seen.stamp, len(seen.front), len(seen.top)) == ("OK", 3 * SECOND, 0, 0)
    assert set(result.times) == {"staleness", "view"}
    for view in VIEWS:
        expected = view_image(result.frames[view])
        np.testing.assert_array_equal(getattr(seen.images, view), expected)
    assert detector.calls == []
    assert process(pipeline_with(detector)).observation.images is None


def test_whole_images_are_refused_for_their_stamps_and_pixels_as_others():
    pipeline = pipeline_with(FixedScores(), max_age=1.0)
    assert whole(pipeline, now=3 * SECOND).code == "STALE"
    assert whole(pipeline).code == "OK", "an empty table is for the policy to judge"


def test_objects_of_whole_images_are_found_on_request_as_without_them():
    detector, other = (FixedScores(front=(0.9, 0.8), top=(0.7,)) for _ in range(2))
    pipeline = pipeline_with(detector, Tracker())
    seen = whole(pipeline)
    scene = PerceptionResult(seen.stamps, frames=seen.frames)
    pipeline.find_objects(scene, None)
    expected = process(pipeline_with(other, Tracker()))
    for view in VIEWS:
        found, wanted = (getattr(r.observation, view) for r in (scene, expected))
        np.testing.assert_array_equal(found.boxes, wanted.boxes)
        np.testing.assert_array_equal(found.track_ids, wanted.track_ids)
    assert seen.observation.images is not None
    assert len(seen.observation.front) == 0
