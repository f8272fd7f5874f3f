import json

import cv2
import numpy as np
import pytest
from helpers import EPISODES, shared
from hypothesis import given, settings
from hypothesis import strategies as st
from synthetic_tables import exactly_found, random_scene

from vima_ros.errors import VimaError
from vima_ros.perception.detectors.plain_background.detector import (
    PlainBackgroundDetector,
    fill_holes,
)

DETECTOR = PlainBackgroundDetector()


def true_masks(segmentation, ids):
    """Bool masks of the visible objects (docs/vima_architecture.md, "Crops and boxes")."""
    masks = [segmentation == k for k in ids]
    return [mask for mask in masks if mask.sum() >= 2]


@pytest.mark.slow
@settings(max_examples=60)
@given(st.integers(0, 2**32 - 1), st.sampled_from([0, 2, 5]))
def test_random_shapes_on_a_random_table_are_found_exactly(seed, noise):
    image, mask = random_scene(np.random.default_rng(seed), noise)
    found = DETECTOR.detect(image, "top")
    assert exactly_found(true_masks(mask, range(1, mask.max() + 1)), found, least=0.8)


@settings(max_examples=20)
@given(st.integers(0, 2**32 - 1))
def test_order_is_row_then_column_of_the_box_centre(seed):
    image, _ = random_scene(np.random.default_rng(seed))
    found = DETECTOR.detect(image, "front")
    centres = []
    for k in found.ids:
        rows, columns = np.nonzero(found.mask == k)
        centres.append((rows.min() + rows.max(), columns.min() + columns.max()))
    assert centres == sorted(centres)
    assert found.ids.tolist() == list(range(1, len(found) + 1))


def test_an_empty_table_shows_nothing():
    assert len(DETECTOR.detect(np.full((128, 256, 3), 90, np.uint8), "top")) == 0


def test_speckle_and_slivers_at_the_rim_are_not_objects():
    image = np.full((128, 256, 3), 47, np.uint8)
    image[20:23, 30:33] = image[90, 100:110] = 240  # [px] 9 and 10
    image[:2, 60:100] = image[40:80, 254:] = 140
    assert len(DETECTOR.detect(image, "top")) == 0
    image[60:69, 70:79] = 240
    assert len(DETECTOR.detect(image, "top")) == 1


def test_a_ring_keeps_its_hole():
    image = np.full((128, 256, 3), 255, np.uint8)
    cv2.circle(image, (100, 60), 14, (200, 40, 40), 7)
    found = DETECTOR.detect(image, "top")
    assert len(found) == 1
    assert found.mask[60, 100] == 0
    assert found.mask[60, 114] == 1


def test_the_score_falls_with_contrast():
    scores = []
    for level in (60, 52, 48.5):
        image = np.full((128, 256, 3), 40, np.uint8)
        image[50:70, 50:70] = level
        scores.append(float(DETECTOR.detect(image, "top").scores[0]))
    assert scores[0] == 1
    assert 1 > scores[1] > scores[2] > 0.3


@pytest.mark.parametrize("turned", [False, True])
def test_all_four_sides_of_the_rim_count(turned):
    """Of the rim 310 of 744 px are of the table: the upper side, and 30 px of two others."""
    noise = np.random.default_rng(0).integers(0, 256, (128, 256, 3)).astype(np.uint8)
    image = noise.copy()
    image[:120, 8:248] = image[:33] = 90
    with pytest.raises(VimaError, match=r"4\d% of its rim"):
        DETECTOR.detect(image[::-1] if turned else image, "top")


def test_an_image_without_a_plain_table_is_refused():
    image = np.random.default_rng(0).integers(0, 256, (128, 256, 3)).astype(np.uint8)
    with pytest.raises(VimaError) as error:
        DETECTOR.detect(image, "top")
    assert error.value.code == "NO_UNIFORM_BACKGROUND"


@pytest.fixture(scope="module", params=EPISODES)
def episodes(request):
    """The recorded episodes (arrays, description) except those with a spatula."""
    found = []
    for path in sorted(request.param.glob("*/*.npz")):
        if not path.parent.name.startswith("sweep_"):
            found.append((np.load(path), json.loads(path.with_suffix(".json").read_text())))
    assert len(found) == (60 if request.param == shared("bench/episodes") else 15)
    return found


# Required: 90 % and 75 %. Measured 100 % and 85 % (objects that touch are found as one); a change
# may not lose more than two images.
@pytest.mark.slow
@pytest.mark.parametrize(("view", "share"), [("top", 0.96), ("front", 0.81)])
def test_objects_of_recorded_episodes_are_found_at_least_as_often_as_before(episodes, view, share):
    hits = []
    for arrays, about in episodes:
        image = np.ascontiguousarray(arrays[f"obs_rgb_{view}"][0].transpose(1, 2, 0))
        ids = sorted(int(k) for k in about["obj_id_to_info"])
        found = DETECTOR.detect(image, view)
        truth = true_masks(arrays[f"obs_segm_{view}"][0], ids)
        hits.append(exactly_found(truth, found, least=0.5))
    assert np.mean(hits) >= share


@pytest.mark.slow
@pytest.mark.parametrize("view", ["front", "top"])
def test_the_object_of_every_recorded_prompt_image_is_found(episodes, view):
    hits = []
    for arrays, about in episodes:
        for asset in about["placeholders"]:
            if asset["placeholder_type"] == "object":
                name = asset["name"]
                image = arrays[f"prompt__{name}__rgb_{view}"].transpose(1, 2, 0)
                truth = [arrays[f"prompt__{name}__segm_{view}"] == 0]
                found = DETECTOR.detect(np.ascontiguousarray(image), view)
                hits.append(exactly_found(truth, found, least=0.8))
    assert len(hits) > (100 if len(episodes) == 60 else 15)
    assert all(hits)


def test_holes_are_filled_by_size_and_only_if_closed():
    mask = np.ones((20, 30), bool)
    mask[2:4, 2:4] = mask[8:14, 8:14] = mask[0:2, 20:22] = False
    want = mask.copy()
    want[2:4, 2:4] = True
    np.testing.assert_array_equal(fill_holes(mask, 4), want)
    np.testing.assert_array_equal(fill_holes(mask, 3), mask)
    notched = np.ones((5, 5), bool)
    notched[0, 0] = False
    assert not fill_holes(notched, 100)[0, 0]
