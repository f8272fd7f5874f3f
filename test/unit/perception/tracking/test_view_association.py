from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tracked_scenes import BLUE, GREEN, RED, Block, follow, look

from vima_ros.boxes import box_edges
from vima_ros.perception.tracking import view_association
from vima_ros.perception.tracking.appearance import empty_features
from vima_ros.perception.tracking.view_association import (
    associate_views,
    linear_assignment,
)
from vima_ros.policy_frame import project_to_view


@given(st.integers(0, 2**32 - 1), st.integers(0, 4), st.integers(0, 4))
def test_the_cheapest_pairs_are_the_cheapest_of_all(seed, rows, columns):
    cost = np.random.default_rng(seed).uniform(0, 2, (rows, columns))
    pairs = linear_assignment(cost, 1.0)
    assert all(cost[pair] < 1.0 for pair in pairs)
    assert len({i for i, _ in pairs}) == len({j for _, j in pairs}) == len(pairs)
    count = min(rows, columns)
    best = min(
        sum(min(cost[i, j], 1.0) for i, j in zip(chosen, others, strict=True))
        for chosen in permutations(range(rows), count)
        for others in permutations(range(columns), count)
    )
    total = sum(cost[pair] for pair in pairs) + count - len(pairs)
    assert total == pytest.approx(best)


@given(st.floats(0.25, 0.75))
def test_a_point_of_the_table_has_its_row_in_front(x):
    top, front = (project_to_view(view, [x, 0.0, 0.0])[0] for view in ("top", "front"))
    row = view_association.ROW_OFFSET + view_association.ROW_RATIO * top
    assert row == pytest.approx(front, abs=0.02)


@settings(max_examples=20)
@given(st.integers(0, 2**32 - 1))
def test_alike_ones_are_paired_by_their_place(seed):
    cells = np.random.default_rng(seed).permutation(21)[:8].tolist()
    (seen,) = follow([look([Block(0.35 + 0.15 * (k % 3), -0.4 + 0.12 * (k // 3)) for k in cells])])
    assert seen["front"] == seen["top"]


def test_of_two_in_a_column_each_finds_its_own_though_the_front_one_hides_some():
    blocks = [Block(0.45, 0.0, height=0.05), Block(0.515, 0.0, height=0.05)]
    (seen,) = follow([look(blocks)])
    assert seen["front"] == seen["top"]


@pytest.mark.parametrize("z", [0.03, 0.06, 0.2])
def test_one_that_is_lifted_is_still_the_same_in_both_views(z):
    blocks = [Block(0.5, 0.0, RED, z=z), Block(0.35, 0.01, GREEN), Block(0.6, -0.02, BLUE)]
    (seen,) = follow([look(blocks)])
    assert seen["front"] == seen["top"]


def test_different_objects_in_different_places_are_no_pair():
    hidden = [("front", 0), ("top", 1)]
    (seen,) = follow([look([Block(0.4, -0.3), Block(0.4, 0.3)], hidden)])
    assert seen == {"front": {2: 2}, "top": {1: 1}}
    (seen,) = follow([look([Block(0.4, 0.0, RED), Block(0.7, 0.0, GREEN)], hidden)])
    assert seen == {"front": {2: 2}, "top": {1: 1}}


def test_what_was_a_pair_stays_one_when_another_could_be_too():
    front, top = (look([Block(0.5, 0.0)]).objects[view] for view in ("front", "top"))
    front, top = box_edges(front.boxes), box_edges(top.boxes)
    to_the_right = np.array([1.0, 0.0, 1.0, 0.0])  # [px]
    both = np.concatenate([top, top + 3 * to_the_right])
    features = empty_features(2)
    right = front + 2 * to_the_right
    known = np.array([[1.0, 0.0]])
    assert associate_views(right, both, features[:1], features, np.zeros((1, 2))) == [(0, 1)]
    assert associate_views(right, both, features[:1], features, known) == [(0, 0)]


def test_a_pair_that_is_known_stays_one_when_one_is_put_on_the_other():
    base = Block(0.5, 0.1, RED, side=0.12)
    apart = [base, Block(0.5, -0.2, BLUE)]
    stacked = [base, replace(apart[1], y=0.1, z=0.03)]
    before, after = follow([look(apart), look(stacked)])
    assert before == after
