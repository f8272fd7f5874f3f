import cv2
import numpy as np
import pytest

from vima_ros.perception.detectors.plain_background.split_touching import (
    chroma,
    fill_holes,
    split_touching,
)

RED, BLUE, GREEN, YELLOW = (220, 40, 40), (60, 90, 200), (80, 170, 70), (237, 201, 72)


def blocks(*boxes):
    """Truth masks and the picture of (slice, colour) boxes, later ones in front."""
    image = np.full((60, 90, 3), 47, np.uint8)
    owner = np.zeros((60, 90), int)
    for number, (box, colour) in enumerate(boxes, 1):
        image[box] = colour
        owner[box] = number
    return [owner == k for k in range(1, len(boxes) + 1)], image


def pieces_of(truth, image):
    return split_touching(np.logical_or.reduce(truth), chroma(image))


def assert_same(pieces, truth):
    assert len(pieces) == len(truth)
    for true in truth:
        assert max((true & p).sum() / (true | p).sum() for p in pieces) > 0.9


def test_blocks_that_meet_in_a_narrow_place_are_two():
    truth, image = blocks((np.s_[5:25, 10:30], RED), (np.s_[25:45, 22:42], BLUE))
    assert_same(pieces_of(truth, image), truth)


def test_three_in_a_row_are_three_though_the_outer_ones_look_alike():
    truth, image = blocks(
        (np.s_[2:18, 10:30], RED), (np.s_[18:34, 20:40], BLUE), (np.s_[34:50, 10:30], RED)
    )
    assert_same(pieces_of(truth, image), truth)


def test_a_block_across_a_thin_frame_is_apart_from_it():
    truth, image = blocks((np.s_[20:55, 10:80], YELLOW), (np.s_[10:35, 35:55], BLUE))
    hole = np.zeros((60, 90), bool)
    hole[23:52, 13:77] = True
    hole &= ~truth[1]
    truth[0] &= ~hole
    image[hole] = 47
    assert_same(pieces_of(truth, image), truth)


def test_a_block_inside_another_one_is_apart_from_it():
    truth, image = blocks((np.s_[5:50, 10:60], GREEN), (np.s_[18:36, 25:45], RED))
    assert_same(pieces_of(truth, image), truth)


def dumbbell():
    mask = np.zeros((60, 90), bool)
    mask[5:25, 10:30] = mask[20:40, 26:30] = mask[36:56, 22:42] = True
    return mask


@pytest.mark.parametrize("texture", ["plain", "shaded", "stripes", "dots", "rainbow"])
def test_one_texture_is_one_object_even_with_a_narrow_place(texture):
    mask = dumbbell()
    rows, columns = np.indices(mask.shape)
    image = np.full((60, 90, 3), RED, np.uint8)
    if texture == "shaded":
        image[rows > 30] = np.multiply(RED, 0.7)
    if texture == "stripes":
        image[columns % 8 < 4] = YELLOW
    if texture == "dots":
        image[(columns % 8 < 4) & (rows % 8 < 4)] = BLUE
    if texture == "rainbow":
        hue = (rows * 2.5).clip(0, 179).astype(np.uint8)
        full = np.full_like(hue, 255)
        image = cv2.cvtColor(cv2.merge([hue, full, full]), cv2.COLOR_HSV2RGB)
    image[~mask] = 47
    assert len(split_touching(mask, chroma(image))) == 1


def test_dots_inside_a_block_are_part_of_it():
    truth, image = blocks((np.s_[5:50, 10:60], GREEN))
    for row in range(14, 44, 9):
        for column in range(18, 54, 9):
            cv2.circle(image, (column, row), 3, YELLOW, -1)
    assert len(pieces_of(truth, image)) == 1


def test_pieces_are_disjoint_and_complete():
    truth, image = blocks((np.s_[5:25, 10:30], RED), (np.s_[25:45, 22:42], BLUE))
    pieces = pieces_of(truth, image)
    np.testing.assert_array_equal(np.sum(pieces, 0), np.sum(truth, 0))


def test_chroma_is_blind_to_shading():
    colour = np.array([[YELLOW, GREEN, BLUE]], np.float64)
    bright, dark = colour.astype(np.uint8), (0.7 * colour).astype(np.uint8)
    np.testing.assert_allclose(chroma(bright), chroma(dark), atol=0.02)
    apart = np.abs(chroma(bright)[0, 0] - chroma(bright)[0, 2]).max()
    assert apart > 0.3


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
