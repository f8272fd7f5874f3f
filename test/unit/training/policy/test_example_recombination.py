"""Recombined examples of adjectives: what is asked for follows from them, and so does the pick."""

import numpy as np
import pytest

from vima_ros.sim.episode_runner import find_level
from vima_ros.sim.tasks import find_task
from vima_ros.training.data.collect import CollectionPlan, collect
from vima_ros.training.data.readers import read_demonstrations
from vima_ros.training.policy.batching import DetectionNoise, make_batch
from vima_ros.training.policy.example_recombination import ExampleBank, find_examples
from vima_ros.training.policy.privileged_labels import NOTHING
from vima_ros.training.policy.training_episode import read_training_episodes

FRONT = 0


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("demonstrations")
    for task, seeds in (("novel_adj", 8), ("rotate", 1)):
        for _ in collect(
            CollectionPlan(out, (task,), seeds=seeds, first_seed=10, deterministic_oracle=True)
        ):
            pass
    return out


@pytest.fixture(scope="module")
def episodes(folder):
    return read_training_episodes([folder])


def size(episode, which):
    """Height and brightness of an object of the scene by its front view."""
    view = episode.timesteps[0][FRONT]
    at = view.ids.index(which)
    crop = episode.crops[view.crops[at]].max(0)
    return float(view.boxes[at, 2]), float(crop[crop > 0].mean())


def picks_what_is_asked_for(episode):
    """Whether the picked one of two candidates has what the prompt's examples ask for."""
    found = find_examples(episode)
    picked = int(episode.picked[0])
    (other,) = (
        i
        for i, shape in enumerate(episode.shapes)
        if shape == episode.shapes[picked] and i != picked
    )
    axis = 0 if found.of_height else 1
    more = size(episode, picked)[axis] > size(episode, other)[axis]
    return more == (found.increases ^ found.less)


@pytest.mark.slow
def test_examples_are_read_as_the_task_drew_them(folder, episodes):
    for demonstration, episode in zip(read_demonstrations(folder), episodes, strict=True):
        found = find_examples(episode)
        if episode.task != "novel_adj":
            assert found is None
            continue
        spec = find_task("novel_adj").sample(
            demonstration.seed, find_level(demonstration.level), demonstration.workspace
        )
        more, less = (
            spec.assets[name].scene.objects[0]
            for name in ("demo_blicker_obj_1", "demo_less_blicker_obj_1")
        )
        assert found.of_height == (more.height_factor != less.height_factor)
        if found.of_height:
            assert found.increases == (more.height_factor > less.height_factor)
        else:
            assert found.increases == less.texture.startswith("dark_")
        assert found.less == (" less " in demonstration.text)
        assert len(found.pairs) == 3
        assert len(found.words) == 4
        assert picks_what_is_asked_for(episode)


@pytest.mark.slow
def test_recombined_episodes_still_pick_what_they_ask_for(episodes):
    random, bank = np.random.default_rng(0), ExampleBank(episodes)
    seen = set()
    for episode in episodes * 8:
        new = bank.recombine(episode, random)
        if episode.task != "novel_adj":
            assert new is episode
            continue
        found, own = find_examples(new), find_examples(episode)
        assert picks_what_is_asked_for(new)
        assert found.of_height == own.of_height
        swapped = int(new.picked[0]) != int(episode.picked[0])
        seen.add((swapped, found.less, found.increases))
        assert len(new.prompt) == len(new.named_looks)
        assert len(new.images) == len(episode.images)
        which = int(new.picked[0])
        assert new.targets[0, 0] == pytest.approx(episode.grasps[0, which], abs=1e-6)
        ways = (
            e.targets[0, 1] + e.places[0, e.picked[0]] - e.grasps[0, e.picked[0]]
            for e in (new, episode)
        )
        assert next(ways) == pytest.approx(next(ways), abs=1e-6)  # to the same place
        grey = next(~t for t in new.prompt[found.words[-1] :] if t < 0)
        for view in new.images[grey]:
            assert set(view.ids) <= {which}
        for pair in found.pairs:
            assert all(set(view.ids) <= {NOTHING} for i in pair for view in new.images[i])
        make_batch([new], random, DetectionNoise())
    assert len(seen) == 8
