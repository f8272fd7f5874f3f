import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vima_ros.sim.model.polygons import convex_parts, depth, triangulate

SQUARE = ((0.0, 0.0), (4.0, 0.0), (4.0, 4.0), (0.0, 4.0))
HOLES = (((1.0, 1.0), (1.0, 3.0), (1.5, 3.0), (1.5, 1.0)), ((2.0, 1.0), (2.5, 3.0), (3.0, 1.0)))


def area(polygon):
    x, y = np.array(polygon).T
    return float((x * np.roll(y, -1) - np.roll(x, -1) * y).sum() / 2)


@st.composite
def outlines(draw):
    """A wavy disc, perhaps with a wavy hole."""
    count = draw(st.integers(3, 24))
    radii = draw(st.lists(st.floats(1.0, 3.0), min_size=count, max_size=count))
    angles = 2 * math.pi * np.arange(count) / count
    outer = np.stack([radii * np.cos(angles), radii * np.sin(angles)], axis=1)
    polygons = [outer]
    if draw(st.booleans()):
        share = draw(st.floats(0.1, 0.4))
        polygons.append(share * outer[::-1])
    return tuple(tuple(map(tuple, polygon.tolist())) for polygon in polygons)


@pytest.mark.slow
@given(outlines())
def test_triangles_and_convex_parts_cover_the_outline_once(outline):
    want = sum(map(area, outline))
    triangles, parts = triangulate(outline), convex_parts(outline)
    assert sum(map(area, triangles)) == pytest.approx(want)
    assert min(map(area, triangles)) >= 0
    assert sum(map(area, parts)) == pytest.approx(want)
    middles = triangles.mean(axis=1)
    assert (depth(middles, outline) > -1e-9).all()


@pytest.mark.slow
@given(outlines())
def test_convex_parts_are_convex_and_no_more_than_the_triangles(outline):
    parts = convex_parts(outline)
    assert len(parts) <= len(triangulate(outline))
    for part in parts:
        corners = np.array(part)
        edges = np.roll(corners, -1, axis=0) - corners
        following = np.roll(edges, -1, axis=0)
        assert (edges[:, 0] * following[:, 1] - edges[:, 1] * following[:, 0] > -1e-6).all()


def test_a_square_is_one_part_and_holes_stay_open():
    assert len(convex_parts((SQUARE,))) == 1
    outline = (SQUARE, *HOLES)
    assert sum(map(area, triangulate(outline))) == pytest.approx(16 - 1 - 1)


@pytest.mark.parametrize(
    ("point", "want"),
    [
        ((2.0, 0.5), 0.5),
        ((0.25, 2.0), 0.25),
        ((1.25, 2.0), -0.25),  # in a hole
        ((5.0, 2.0), -1.0),
        ((5.0, 5.0), -math.sqrt(2)),
        ((-3.0, 4.0), -3.0),  # level with an edge
        ((1.75, 1.0), 0.25),  # level with the holes' edges
    ],
)
def test_depth_is_the_distance_to_the_edge_and_negative_outside(point, want):
    assert depth(np.array([point]), (SQUARE, *HOLES)) == pytest.approx([want])


@given(outlines(), st.floats(-4, 4), st.floats(-4, 4))
def test_depth_changes_no_faster_than_the_place(outline, x, y):
    step = np.array([[x, y], [x + 0.01, y - 0.02]])
    first, second = depth(step, outline)
    assert abs(first - second) <= math.hypot(0.01, 0.02) + 1e-9
