import cv2
import numpy as np
import pytest
from helpers import EPISODES
from hypothesis import given, settings
from hypothesis import strategies as st
from outlines_of import outline

from vima_ros.outlines import OUTLINE_POINTS, clearances, outline_fault
from vima_ros.perception.outline_extraction import extract_outline
from vima_ros.training.data.readers import read_recordings

ROWS, COLUMNS = np.indices((128, 256))


def rings_of(found):
    return [found[found[:, 2] == ring, :2].tolist() for ring in range(1, found[:, 2].max() + 1)]


def filled(found):
    """The pixels of an outline, bool (128, 256): its edge is of the object, that of a hole too."""
    pixels = np.stack([COLUMNS, ROWS], -1).reshape(-1, 2).astype(np.float64)
    inside = clearances(found, pixels).reshape(128, 256) > -1e-9
    return inside


def disc(x, y, radius):
    return np.hypot(COLUMNS - x, ROWS - y) <= radius


def of(pixels):
    return extract_outline(pixels.astype(np.uint8))


def test_a_rectangle_is_its_corner_pixels():
    mask = np.zeros((128, 256), np.uint8)
    mask[20:31, 40:61] = 1
    (ring,) = rings_of(extract_outline(mask))
    assert sorted(ring) == [[40, 20], [40, 30], [60, 20], [60, 30]]
    np.testing.assert_array_equal(
        extract_outline(mask[15:40, 30:70], left=30, top=15), extract_outline(mask)
    )


def test_a_hole_is_a_ring_of_the_pixels_around_it():
    mask = np.zeros((128, 256), bool)
    mask[20:60, 40:100] = True
    mask[30:50, 50:90] = False
    outer, hole = rings_of(of(mask))
    assert sorted(outer) == [[40, 20], [40, 59], [99, 20], [99, 59]]
    assert np.isin(hole, (49, 90, 29, 50, 30, 89)).all()
    middle = np.array([(70.0, 40.0)])
    assert clearances(of(mask), middle)[0] == pytest.approx(-11, abs=1)
    np.testing.assert_array_equal(filled(of(mask)), mask)


@pytest.mark.parametrize("size", [1, 2, 3])
def test_a_hole_of_a_pixel_or_two_is_a_fault_of_the_mask(size):
    mask = np.zeros((128, 256), bool)
    mask[20:60, 40:100] = True
    mask[40, 70 : 70 + size] = False
    assert len(rings_of(of(mask))) == (1 if size < 3 else 2)


def test_of_several_parts_the_largest_has_the_outline():
    parts = disc(50, 50, 6) | disc(150, 60, 12) | disc(230, 100, 9)
    np.testing.assert_array_equal(of(parts), of(disc(150, 60, 12)))
    np.testing.assert_array_equal(
        of(disc(150, 60, 12) & (COLUMNS != 151)), of(disc(150, 60, 12) & (COLUMNS < 151))
    )


def test_nothing_has_no_outline_and_a_pixel_or_a_line_one_without_an_inside():
    assert not extract_outline(np.zeros((9, 9), np.uint8)).any()
    mask = np.zeros((128, 256), bool)
    mask[30, 50] = True
    np.testing.assert_array_equal(of(mask), outline([(50, 30)]))
    mask[30, 50:80] = True
    assert clearances(of(mask), np.array([(60.0, 30.0), (60.0, 31.0)])).tolist() == [0, -1]


@pytest.mark.parametrize("radius", [3, 8, 20, 60])
def test_a_disc_is_followed_within_half_a_pixel(radius):
    found = of(disc(128, 64, radius))
    angles = np.linspace(0, 2 * np.pi, 360)
    rim = np.array([128, 64]) + radius * np.stack([np.cos(angles), np.sin(angles)], -1)
    assert np.abs(clearances(found, rim)).max() < 1.5  # of which 1 is the pixels' own roundness


@st.composite
def masks(draw):
    """Discs and rectangles, added and cut out, with pixels that flicker at their edges."""
    pixels = np.zeros((128, 256), bool)
    for _ in range(draw(st.integers(1, 6))):
        x, y, size = draw(st.integers(0, 255)), draw(st.integers(0, 127)), draw(st.integers(1, 40))
        part = disc(x, y, size)
        if draw(st.booleans()):
            part = (abs(COLUMNS - x) <= size) & (abs(ROWS - y) <= max(size // 3, 1))
        pixels = pixels & ~part if draw(st.integers(0, 3)) == 0 else pixels | part
    share = draw(st.sampled_from([0.0, 0.0, 0.02, 0.4]))
    noise = np.random.default_rng(draw(st.integers(0, 99))).random(pixels.shape)
    return pixels ^ (noise < share)


@settings(max_examples=60, deadline=None)
@given(masks())
def test_an_outline_is_valid_whatever_the_mask(pixels):
    found = of(pixels)
    assert outline_fault(found[None], 128) == ""
    assert np.count_nonzero(found[:, 2]) <= OUTLINE_POINTS
    assert bool(found[:, 2].any()) == bool(pixels.any())


def largest_part(mask):
    """Its largest part, with its holes."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8))
    return labels == 1 + stats[1:, cv2.CC_STAT_AREA].argmax()


@pytest.mark.slow
@pytest.mark.parametrize("folder", EPISODES)
def test_outlines_of_recorded_objects_cover_their_masks(folder):
    """The share of an object's pixels that its outline adds or leaves out: docs/detector.md."""
    errors, points = [], []
    for recording in read_recordings(folder):
        for mask in recording.images.masks[0]:
            for number in np.unique(mask[mask > 0]):
                pixels = largest_part(mask == number)
                found = of(pixels)
                drawn = np.zeros(pixels.shape, np.uint8)
                cv2.fillPoly(drawn, [np.array(ring) for ring in rings_of(found)], 1)
                errors.append((drawn.astype(bool) ^ pixels).sum() / pixels.sum())
                points.append(np.count_nonzero(found[:, 2]))
    assert len(errors) > 100
    assert max(points) <= OUTLINE_POINTS
    assert np.mean(errors) < 0.03
    assert np.max(errors) < 0.2
