import cv2
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from outlines_of import outline

from vima_ros.outlines import OUTLINE_POINTS, clearances, outline_fault

SQUARE = [(10, 10), (30, 10), (30, 30), (10, 30)]
HOLE = [(15, 15), (25, 15), (25, 25), (15, 25)]

polygons = st.lists(
    st.tuples(st.integers(0, 255), st.integers(0, 127)), min_size=3, max_size=20, unique=True
)
points = st.lists(
    st.tuples(st.floats(-20, 280), st.floats(-20, 150)), min_size=1, max_size=20
).map(np.array)


@example([(0, 1), (0, 2), (1, 0)], np.array([(0.0, -1e-310)]))  # beside a corner, by nothing
@given(polygons, points)
def test_the_clearance_is_the_signed_distance_to_the_edge(polygon, points):
    contour = cv2.convexHull(np.array(polygon, np.int32))
    want = [cv2.pointPolygonTest(contour, tuple(map(float, p)), True) for p in points]
    got = clearances(outline(contour[:, 0]), points)
    np.testing.assert_allclose(got, want, atol=1e-3)


@given(points)
def test_a_hole_is_outside_and_its_edge_is_one_of_the_object(points):
    x, y = points.T
    solid = cv2.convexHull(np.array(SQUARE, np.int32))
    want = []
    for px, py in zip(x, y, strict=True):
        outer = cv2.pointPolygonTest(solid, (float(px), float(py)), True)
        hole = cv2.pointPolygonTest(np.array(HOLE, np.int32), (float(px), float(py)), True)
        want.append(min(outer, -hole))
    np.testing.assert_allclose(clearances(outline(SQUARE, HOLE), points), want, atol=1e-3)


def test_an_object_of_one_pixel_has_no_inside():
    points = np.array([(10.0, 10.0), (13.0, 14.0)])
    assert clearances(outline([(10, 10)]), points).tolist() == [0, -5]
    assert clearances(outline([(10, 10), (20, 10)]), points).tolist() == [0, -4]


def test_rings_one_after_the_other_and_unused_points_last_are_valid():
    assert outline_fault(np.zeros((0, OUTLINE_POINTS, 3), np.uint8), 128) == ""
    several = np.stack([outline(), outline(SQUARE), outline(SQUARE, HOLE)])
    assert outline_fault(several, 128) == ""


def changed(place, value):
    points = outline(SQUARE, HOLE)
    points[place] = value
    return points


@pytest.mark.parametrize(
    ("points", "fault"),
    [
        (changed((0, 2), 0), "behind an unused one"),
        (changed((20, 0), 7), "behind an unused one"),
        (changed((20, 2), 3), "behind an unused one"),
        (changed((slice(0, 4), 2), 2), "rings"),
        (changed((slice(4, 8), 2), 3), "rings"),
        (changed((2, 2), 2), "rings"),
        (changed((1, 1), 128), "y up to 128; valid: below 128 px"),
    ],
)
def test_anything_else_is_named(points, fault):
    assert fault in outline_fault(points[None], 128)
