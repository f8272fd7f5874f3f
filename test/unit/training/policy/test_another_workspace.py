"""Training episodes of another workspace: bins, grasps and pixels are relative to it."""

import numpy as np
import pytest

from vima_ros.geometry import Workspace
from vima_ros.policy.tokenizer import PromptTokenizer
from vima_ros.policy_frame import project_to_view
from vima_ros.sim.recording import record
from vima_ros.training.data.demonstration import demonstration_of
from vima_ros.training.policy.layout_augmentation import randomize_layout
from vima_ros.training.policy.privileged_labels import NOTHING
from vima_ros.training.policy.training_episode import training_episode

WORKSPACE = Workspace((0.4, -0.2), (0.8, 0.6))


@pytest.fixture(scope="module", params=["visual_manipulation", "rotate"])
def episode(request):
    recording = record(request.param, None, 0, workspace=WORKSPACE, deterministic_oracle=True)
    return training_episode(demonstration_of(recording), PromptTokenizer())


def check(episode):
    fractions = (episode.targets - WORKSPACE.low) / WORKSPACE.size
    bins = episode.bins[:, [0, 1, 6, 7]].reshape(-1, 2, 2)
    assert bins / (49, 99) == pytest.approx(fractions, abs=0.03)
    steps = np.arange(len(bins))
    assert episode.grasp_fractions[steps, episode.picked] == pytest.approx(
        fractions[:, 0], abs=1e-5
    )
    _, top = episode.timesteps[0]
    for box, which in zip(top.boxes, top.ids, strict=True):
        row, column = project_to_view("top", [*episode.places[0, which], 0.0], WORKSPACE)
        assert (column, row) == pytest.approx(tuple(box[:2]), abs=12)


def test_bins_grasps_and_boxes_of_a_recorded_episode(episode):
    check(episode)
    assert NOTHING not in episode.shapes  # the episode was sampled again in its workspace


def test_scattered_objects_stay_on_it_and_where_their_boxes_are(episode):
    random = np.random.default_rng(0)
    scattered = [randomize_layout(episode, random) for _ in range(10)]
    assert sum(other is not episode for other in scattered) > 5
    for other in scattered:
        check(other)
        assert all(WORKSPACE.contains(*place) for place in other.places[0])
