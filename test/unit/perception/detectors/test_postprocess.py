import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vima_ros.errors import VimaError
from vima_ros.perception.detectors.postprocess import paste_masks

ONES = np.ones((4, 4))


def one(box, mask=ONES, score=0.9, **options):
    return paste_masks([box], [score], [mask], min_score=0.5, **options)


def sampled(box, mask):
    """Probabilities (128, 256) by torch's own bilinear sampling at the pixels' centres."""
    x1, y1, x2, y2 = box
    x = 2 * (torch.arange(256) + 0.5 - x1) / (x2 - x1) - 1
    y = 2 * (torch.arange(128) + 0.5 - y1) / (y2 - y1) - 1
    grid = torch.stack([x.expand(128, 256), y[:, None].expand(128, 256)], -1)[None].double()
    grid = grid.clamp(-1e6, 1e6)
    image = torch.as_tensor(mask, dtype=torch.float64)[None, None]
    return torch.nn.functional.grid_sample(image, grid, align_corners=False)[0, 0].numpy()


@pytest.mark.parametrize("seed", range(20))
def test_a_mask_is_interpolated_at_the_centres_of_the_pixels(seed):
    rng = np.random.default_rng(seed)
    low = rng.uniform([-20, -20], [250, 120])
    box = np.float32([*low, *(low + rng.uniform(1, 90, 2))])
    mask = rng.uniform(0, 1, (28, 28)).astype(np.float32)
    threshold = rng.uniform(0.2, 0.6)
    want = sampled(box, mask)
    clear = np.abs(want - threshold) > 1e-4
    if np.count_nonzero(want[clear] > threshold) < 2:
        return
    got = one(box, mask, threshold=threshold).mask > 0
    np.testing.assert_array_equal(got[clear], (want > threshold)[clear])


def test_a_full_mask_covers_the_box():
    found = one([20, 30, 60, 50], np.ones((40, 40)))
    rows, columns = np.nonzero(found.mask)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (30, 49, 20, 59)
    assert len(rows) == 20 * 40


@pytest.mark.parametrize("shift", [(1, 0), (0, 1), (37, 50), (-15, -20)])
def test_moving_a_box_by_pixels_moves_the_object(shift):
    box = np.array([30.3, 40.7, 61.1, 70.2])
    mask = np.random.default_rng(3).uniform(0, 1, (28, 28))
    moved = one(box + np.array(shift * 2), mask).mask
    np.testing.assert_array_equal(moved, np.roll(one(box, mask).mask, shift[::-1], (0, 1)))


def test_ids_fall_with_the_score_then_go_by_row_and_column():
    boxes = [[100, 50, 120, 70], [10, 80, 30, 99], [40, 50, 60, 70], [200, 10, 220, 30]]
    found = paste_masks(boxes, [0.8, 0.9, 0.8, 0.8], [ONES] * 4, min_score=0.5)
    assert found.ids.tolist() == [1, 2, 3, 4]
    np.testing.assert_allclose(found.scores, [0.9, 0.8, 0.8, 0.8])
    centres = ((20, 90), (210, 20), (50, 60), (110, 60))
    assert [found.mask[y, x] for x, y in centres] == [1, 2, 3, 4]


def test_a_pixel_goes_to_the_highest_probability():
    boxes = [[20, 20, 60, 60], [40, 20, 80, 60]]
    found = paste_masks(boxes, [0.9, 0.8], [0.7 * ONES, 0.9 * ONES], min_score=0.5)
    assert (found.mask[40, 25], found.mask[40, 50], found.mask[40, 75]) == (1, 2, 2)


def test_among_equal_probabilities_the_higher_score_gets_the_pixel():
    boxes = [[40, 20, 80, 60], [20, 20, 60, 60]]
    found = paste_masks(boxes, [0.8, 0.9], [ONES, ONES], min_score=0.5)
    assert found.mask[40, 50] == 1
    assert found.mask[40, 25] == 1
    assert found.mask[40, 75] == 2


def test_what_lies_behind_is_left_out_and_ids_have_no_gaps():
    boxes = [[20, 20, 60, 60], [30, 30, 50, 50], [100, 20, 140, 60]]
    found = paste_masks(boxes, [0.9, 0.8, 0.7], [ONES, 0.6 * ONES, ONES], min_score=0.5)
    assert found.ids.tolist() == [1, 2]
    np.testing.assert_allclose(found.scores, [0.9, 0.7])
    assert found.mask[40, 120] == 2
    assert found.mask[40, 40] == 1


def test_low_scores_are_left_out_and_counted_but_noise_is_not():
    boxes = [[20 * i, 20, 20 * i + 15, 60] for i in range(5)]
    found = paste_masks(boxes, [0.9, 0.5, 0.49, 0.25, 0.24], [ONES] * 5, min_score=0.5)
    assert len(found) == 2
    assert found.low_score_count == 2


def test_an_object_with_a_low_score_takes_no_pixels():
    box = [20, 20, 60, 60]
    found = paste_masks([box, box], [0.9, 0.4], [0.6 * ONES, ONES], min_score=0.5)
    np.testing.assert_array_equal(found.mask, one(box, 0.6 * ONES).mask)


@pytest.mark.parametrize(
    "box",
    [
        [300, 20, 320, 40],
        [20, -90, 40, -50],
        [50, 50, 50, 60],
        [60, 50, 50, 60],
        [20, 20, 20.2, 21],
    ],
)
def test_boxes_without_pixels_are_no_objects(box):
    assert len(one(box)) == 0


def test_a_box_may_leave_the_image():
    found = one([-1e9, -1e9, 1e9, 1e9], np.ones((28, 28)))
    assert found.mask.all()


def test_without_boxes_there_are_no_instances():
    found = paste_masks(np.zeros((0, 4)), [], np.zeros((0, 28, 28)), min_score=0.5)
    assert len(found) == 0


@pytest.mark.parametrize(
    ("boxes", "scores", "masks", "says"),
    [
        (np.zeros((2, 4)), np.zeros(1), np.zeros((1, 8, 8)), r"boxes \(2, 4\)"),
        (np.zeros((1, 5)), np.zeros(1), np.zeros((1, 8, 8)), r"valid: \(n, 4\)"),
        (np.zeros((1, 4)), np.zeros((1, 1)), np.zeros((1, 8, 8)), "scores"),
        (np.zeros((1, 4)), np.zeros(1), np.zeros((1, 8, 9)), r"\(n, M, M\)"),
        (np.zeros((1, 4)), np.zeros(1), np.float32(1), "masks"),
        (np.zeros((2000, 4)), np.zeros(2000), np.zeros((2000, 1, 1)), "up to 1000"),
        (np.full((1, 4), np.inf), np.ones(1), np.zeros((1, 8, 8)), "not finite"),
        (np.zeros((1, 4)), np.full(1, np.nan), np.zeros((1, 8, 8)), "not finite"),
        (np.zeros((1, 4)), np.ones(1), np.full((1, 8, 8), np.nan), "not finite"),
    ],
)
def test_nonsense_is_refused(boxes, scores, masks, says):
    with pytest.raises(VimaError, match=says) as error:
        paste_masks(boxes, scores, masks, min_score=0.5)
    assert error.value.code == "BAD_DETECTION"


@pytest.mark.parametrize(("covered", "found"), [(8, 2), (13, 1)])
def test_what_keeps_less_than_half_of_itself_was_found_already(covered, found):
    sure, again = (50.0, 50.0, 70.0, 70.0), (70.0 - covered, 50.0, 90.0 - covered, 70.0)
    masks = np.stack([np.full((8, 8), 0.95, np.float32), np.full((8, 8), 0.9, np.float32)])
    instances = paste_masks([sure, again], [0.9, 0.8], masks, min_score=0.5)
    assert len(instances) == found
    assert np.count_nonzero(instances.mask == 1) == pytest.approx(400, abs=45)


def test_of_several_that_share_an_object_not_all_are_left_out():
    turn = np.indices((20, 20)).sum(axis=0) % 3
    masks = np.stack([0.8 + 0.1 * (turn == i) for i in range(3)])  # each wins a third
    boxes = [(50.0, 50.0, 70.0, 70.0)] * 3
    instances = paste_masks(boxes, [0.9, 0.8, 0.7], masks, min_score=0.5)
    assert instances.scores == pytest.approx([0.9])
    assert np.count_nonzero(instances.mask) >= 400


@given(st.integers(0, 2**32 - 1))
def test_whatever_overlaps_something_is_found(seed):
    random = np.random.default_rng(seed)
    corners = random.uniform(0, 40, (12, 2)) + 40
    boxes = np.concatenate([corners, corners + random.uniform(10, 40, (12, 2))], axis=1)
    masks = random.uniform(0.5001, 1, (12, 6, 6)).astype(np.float32)
    instances = paste_masks(boxes, random.uniform(0.6, 1, 12), masks, min_score=0.5)
    assert len(instances) >= 1
