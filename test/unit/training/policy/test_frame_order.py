"""Order from frames: labels are what the prompt shows; repeated moves weigh as asked."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from vima_ros.policy.checkpoints.load import SMALL
from vima_ros.policy.config import VimaConfig
from vima_ros.policy.tokenizer import bundled_tokenizer
from vima_ros.specs import HEADS, POSITION_BINS
from vima_ros.training.data.collect import CollectionPlan, collect
from vima_ros.training.policy.action_loss import action_losses
from vima_ros.training.policy.auxiliary_losses import PolicyWithAuxiliaryHeads
from vima_ros.training.policy.batching import DetectionNoise, make_batch
from vima_ros.training.policy.frame_order import next_frame_places, repeated_moves, shows_order
from vima_ros.training.policy.initialization import new_network
from vima_ros.training.policy.recipe import PolicyRecipe
from vima_ros.training.policy.trainer import train_policy
from vima_ros.training.policy.training_episode import read_training_episodes
from vima_ros.training.run_progress import Schedule


@pytest.fixture(scope="module")
def episodes(tmp_path_factory):
    out = tmp_path_factory.mktemp("demonstrations")
    for task, seed, count in (("follow_order", 19, 2), ("rearrange", 10, 1), ("twist", 10, 1)):
        plan = CollectionPlan(
            out, (task,), seeds=count, first_seed=seed, deterministic_oracle=True
        )
        for _ in collect(plan):
            pass
    return read_training_episodes([out])


@pytest.fixture(scope="module")
def config():
    return VimaConfig(**SMALL, vocabulary=bundled_tokenizer().words)


def batch_of(episodes):
    return make_batch(episodes, np.random.default_rng(2), DetectionNoise(0.0, 0.0, 0.0))


@pytest.mark.slow
def test_the_next_frame_shows_what_the_action_brings_about(episodes):
    """The frames have the scene's layout: the object moved is where the action puts it."""
    for episode in episodes:
        assert shows_order(episode) == (episode.task == "follow_order")
        for step, (which, target) in enumerate(
            zip(episode.picked, episode.targets[:, 1], strict=True)
        ):
            places = next_frame_places(episode, step)
            if episode.task != "follow_order":
                assert np.isnan(places).all()
                continue
            fraction = (target - episode.workspace.low) / episode.workspace.size
            assert places[which] == pytest.approx(fraction, abs=0.08)


def test_moves_of_an_object_that_moved_before_are_known(episodes):
    first = next(e for e in episodes if e.task == "follow_order")
    for picked, again in (([0, 0], [False, True]), ([1, 0], [False, False])):
        assert repeated_moves(replace(first, picked=np.array(picked))).tolist() == again
    other = next(e for e in episodes if e.task == "rearrange")
    assert not repeated_moves(replace(other, picked=np.zeros_like(other.picked))).any()


def test_the_loss_asks_for_the_place_in_the_next_frame(episodes, config):
    batch = batch_of(episodes)
    model, tokens = PolicyWithAuxiliaryHeads(new_network(config)), batch.rows
    slots = (tokens <= len(batch.step_of)) * tokens
    places = torch.cat([torch.full((1, 2), torch.nan), batch.next_places])[slots]
    logits = torch.zeros(*tokens.shape, sum(POSITION_BINS))
    for row, at in places.isfinite().all(-1).nonzero().tolist():
        x, y = np.ceil(places[row, at].numpy() * (49, 99)).astype(int)
        logits[row, at] = -50.0
        logits[row, at, [x, 50 + y]] = 50.0
    assert places.isfinite().any()
    model.next_frame_head = torch.nn.Identity()
    assert model.next_frame_loss(logits, batch) < 1e-6
    assert model.next_frame_loss(-logits, batch) > 40.0


def test_a_prompt_without_order_has_no_such_loss(episodes, config):
    batch = batch_of([e for e in episodes if e.task != "follow_order"])
    assert PolicyWithAuxiliaryHeads(new_network(config)).losses(batch, 0.7)["next_frame"] == 0
    assert not batch.repeated.any()


@pytest.mark.slow
def test_repeated_moves_weigh_as_much_as_the_recipe_says(episodes, config, tmp_path, monkeypatch):
    one = next(e for e in episodes if e.task == "follow_order")
    again = replace(one, picked=np.zeros_like(one.picked))
    weights = []

    def seen(logits, batch, smoothing):
        weights.append(batch.weight.tolist())
        return action_losses(logits, batch, smoothing)

    module = "vima_ros.training.policy.auxiliary_losses.action_losses"
    monkeypatch.setattr(module, seen)
    recipe = PolicyRecipe(
        steps=1,
        batch_size=1,
        micro_batches=1,
        layout_fraction=0.0,
        next_frame_weight=1.0,
        repeated_move_weight=3.0,
    )
    never = float("inf")
    schedule = Schedule(report_every=1, report_period=never, first_report=never)
    (progress,) = train_policy([again], (), config, recipe, tmp_path, schedule)
    assert weights == [[0.5, 1.5]]
    assert set(progress.losses) >= {*HEADS, "next_frame"}
