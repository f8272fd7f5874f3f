import numpy as np
import pytest
from helpers import data
from hypothesis import given
from hypothesis import strategies as st

from vima_ros.errors import VimaError
from vima_ros.perception.crops import extract_objects
from vima_ros.perception.detectors.instances import Instances


@pytest.fixture(scope="module")
def golden():
    with np.load(data("golden/preproc.npz")) as arrays:
        return dict(arrays)


def objects_of(arrays, name, view):
    image = np.ascontiguousarray(arrays[f"{name}/rgb_{view}"].transpose(1, 2, 0))
    ids = arrays[f"{name}/obj_ids"]
    segmentation = arrays[f"{name}/segm_{view}"]
    mask = np.where(np.isin(segmentation, ids), segmentation, 0).astype(np.uint8)
    return extract_objects(image, Instances(mask, ids, np.ones(len(ids))))


@pytest.mark.parametrize("view", ["front", "top"])
def test_observations_have_the_boxes_and_crops_of_vima_bench(golden, view):
    found = objects_of(golden, "preproc_obs", view)
    visible = golden[f"preproc_obs/mask_{view}"][0, 0]
    assert 0 < len(found) == visible.sum() < len(visible)
    np.testing.assert_array_equal(found.boxes, golden[f"preproc_obs/bbox_{view}"][0, 0][visible])
    np.testing.assert_array_equal(found.crops, golden[f"preproc_obs/crops_{view}"][0, 0][visible])


@pytest.mark.parametrize("view", ["front", "top"])
@pytest.mark.parametrize(("place", "name"), [(0, "object"), (1, "scene")])
def test_prompt_images_have_the_boxes_and_crops_of_vima_bench(golden, place, name, view):
    found = objects_of(golden, f"preproc_prompt/{name}", view)
    visible = golden[f"preproc_prompt/mask_{view}"][place]
    assert len(found) == visible.sum()
    np.testing.assert_array_equal(
        found.boxes, golden[f"preproc_prompt/bbox_{view}"][place][visible]
    )
    np.testing.assert_array_equal(
        found.crops, golden[f"preproc_prompt/crops_{view}"][place][visible]
    )


@st.composite
def rectangles(draw):
    left, top = draw(st.integers(0, 254)), draw(st.integers(0, 126))
    return left, top, draw(st.integers(left, 255)), draw(st.integers(top, 127))


@given(rectangles())
def test_a_rectangle_gives_its_box_and_a_padded_square_crop(corners):
    left, top, right, bottom = corners
    mask = np.zeros((128, 256), np.uint8)
    mask[top : bottom + 1, left : right + 1] = 9
    image = np.full((128, 256, 3), (10, 200, 90), np.uint8)
    found = extract_objects(image, Instances(mask, [9], [0.25]))
    if left == right and top == bottom:
        assert len(found) == 0
        return
    box = [(left + right) // 2, (top + bottom) // 2, bottom - top, right - left]
    assert found.boxes.tolist() == [box]
    assert found.track_ids.tolist() == [9]
    assert found.scores.tolist() == [0.25]
    long, short = max(box[2:]) + 1, min(box[2:]) + 1
    share = found.crops[0, 1].mean() / 200
    assert share == pytest.approx(short / long, abs=0.02)
    ratios = found.crops[0].astype(int).max((1, 2))
    assert ratios[1] > ratios[2] > ratios[0]


def test_order_is_the_instances_and_hidden_ones_close_up():
    mask = np.zeros((128, 256), np.uint16)
    mask[10:20, 10:20], mask[50:60, 90:99], mask[0, 0] = 300, 4, 8
    image = np.zeros((128, 256, 3), np.uint8)
    found = extract_objects(image, Instances(mask, [300, 5, 8, 4], [0.1, 0.2, 0.3, 0.4]))
    assert found.track_ids.tolist() == [300, 4]
    assert found.scores.tolist() == pytest.approx([0.1, 0.4])


def test_nothing_visible_is_an_empty_view():
    none = Instances(np.zeros((128, 256), np.uint8), [3], [1])
    assert len(extract_objects(np.zeros((128, 256, 3), np.uint8), none)) == 0


def test_another_image_is_refused():
    none = Instances(np.zeros((128, 256), np.uint8), [], [])
    with pytest.raises(VimaError, match=r"\(64, 256, 3\)"):
        extract_objects(np.zeros((64, 256, 3), np.uint8), none)
