"""Objects that actions are about: of a stack the one on top."""

import numpy as np
import pytest

from vima_ros.training.data.collect import CollectionPlan, collect
from vima_ros.training.data.readers import read_demonstrations
from vima_ros.training.policy.action_objects import find_action_objects
from vima_ros.training.policy.privileged_labels import NOTHING, SHAPE_NAMES
from vima_ros.training.policy.training_episode import read_training_episodes

STACKED = (14, 19, 22)  # seeds of follow_order whose second move takes the top of a stack
BLOCK, BOWL = SHAPE_NAMES.index("block"), SHAPE_NAMES.index("bowl")


@pytest.mark.slow
def test_of_a_stack_the_object_that_moves_is_the_one_picked(tmp_path):
    for seed in STACKED:
        plan = CollectionPlan(
            tmp_path, ("follow_order",), seeds=1, first_seed=seed, deterministic_oracle=True
        )
        assert list(collect(plan))
    recorded = list(read_demonstrations(tmp_path))
    assert sorted(d.seed for d in recorded) == list(STACKED)
    for demonstration, episode in zip(recorded, read_training_episodes([tmp_path]), strict=True):
        positions = demonstration.object_poses[..., :3]
        moved = np.linalg.norm(np.diff(positions, axis=0), axis=-1).argmax(1)  # (T,)
        assert episode.picked.tolist() == moved.tolist()
        under = np.linalg.norm(positions[1, :, :2] - positions[1, moved[1], :2], axis=-1) < 0.01
        assert under.sum() == 2  # the second move's: it lay on another one


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1)])
def test_a_stack_is_as_its_uppermost_object_however_the_objects_are_listed(order):
    """The covered one is the nearest to the action, and does not count."""
    stack = np.array([[0.5, 0.0, 0.0], [0.502, 0.0, 0.03], [0.5, 0.3, 0.0]])[list(order)]
    lower, upper, single = (order.index(i) for i in range(3))
    there_and_back = np.array([[[0.5, 0.0], [0.5, 0.3]], [[0.5, 0.3], [0.5, 0.0]]])
    shapes = [BLOCK] * 3
    picked, placed = find_action_objects(np.stack([stack, stack]), there_and_back, shapes)
    assert picked.tolist() == [upper, single]
    assert placed.tolist() == [single, upper]
    assert lower not in (*picked, *placed)


def test_an_object_in_a_container_is_picked_and_others_are_placed_on_the_container():
    positions = np.array([[[0.5, 0.0, 0.1], [0.51, 0.0, 0.02], [0.5, 0.3, 0.0]]])
    shapes = [BOWL, BLOCK, BLOCK]
    out = find_action_objects(positions, np.array([[[0.5, 0.0], [0.5, 0.3]]]), shapes)
    assert [int(which[0]) for which in out] == [1, 2]
    into = find_action_objects(positions, np.array([[[0.5, 0.3], [0.5, 0.0]]]), shapes)
    assert [int(which[0]) for which in into] == [2, 0]


def test_an_action_far_from_all_objects_is_about_none():
    positions, targets = np.zeros((1, 1, 3)), np.array([[[0.5, 0.0], [0.0, 0.5]]])
    for shapes in ([BLOCK], []):
        found = find_action_objects(positions[:, : len(shapes)], targets, shapes)
        assert [which.tolist() for which in found] == [[NOTHING], [NOTHING]]
