"""Training of the conditioned place: labels are right; it learns what heads alone cannot."""

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy, one_hot

from vima_ros.policy import BUNDLED
from vima_ros.policy.checkpoints.load import SMALL, load_network
from vima_ros.policy.config import VimaConfig
from vima_ros.policy.model.heads import (
    PICK_HEADS,
    PLACE_HEADS,
    ActionDecoder,
    PlaceContext,
    PlaceHead,
)
from vima_ros.policy.tokenizer import bundled_tokenizer
from vima_ros.specs import HEAD_BINS, HEADS, POSITION_BINS
from vima_ros.training.data.collect import CollectionPlan, collect
from vima_ros.training.policy.action_loss import cross_entropies
from vima_ros.training.policy.auxiliary_losses import PolicyWithAuxiliaryHeads
from vima_ros.training.policy.batching import RESTORE_TASKS, DetectionNoise, make_batch
from vima_ros.training.policy.initialization import load_matching_weights, new_network
from vima_ros.training.policy.layout_augmentation import SCENE_GOAL_TASKS, randomize_layout
from vima_ros.training.policy.picks import undemonstrated_picks
from vima_ros.training.policy.privileged_labels import NOTHING
from vima_ros.training.policy.recipe import PolicyRecipe
from vima_ros.training.policy.trainer import load_averaged, train_policy
from vima_ros.training.policy.training_episode import read_training_episodes
from vima_ros.training.run_progress import Schedule

TASKS = ("rearrange", "rearrange_then_restore", "visual_manipulation", "sweep_without_exceeding")
CLEAN = DetectionNoise(0.0, 0.0, 0.0)


@pytest.fixture(scope="module")
def episodes(tmp_path_factory):
    out = tmp_path_factory.mktemp("demonstrations")
    plan = CollectionPlan(out, TASKS, seeds=3, first_seed=10, deterministic_oracle=True)
    for _ in collect(plan):
        pass
    return read_training_episodes([out])


@pytest.fixture(scope="module")
def config():
    words = bundled_tokenizer().words
    return VimaConfig(**SMALL, vocabulary=words, place_head="conditioned", place_hidden=64)


def batch_of(episodes, noise=CLEAN):
    return make_batch(episodes, np.random.default_rng(2), noise)


# --- labels


@pytest.mark.slow
def test_each_actions_tokens_are_those_of_the_object_that_it_picks(episodes):
    batch = batch_of(episodes)
    tokens = batch.rows.flatten()
    sweeps = 0
    for action, (which, picked) in enumerate(
        zip(batch.picked.tolist(), batch.picked_tokens.tolist(), strict=True)
    ):
        if which == NOTHING:
            assert picked == [-1, -1]
            sweeps += 1
            continue
        for view, token in enumerate(picked):
            slot = int(tokens[token]) - 1
            assert (batch.objects[slot], batch.step_of[slot]) == (which, action)
            assert (slot >= batch.slots.n_front) == bool(view)
    assert sweeps


def test_an_object_that_is_missed_in_a_view_has_no_token_there(episodes):
    batch = batch_of(episodes, DetectionNoise(0.5, 0.0, 0.0))
    seen = batch.picked_tokens >= 0
    for action, which in enumerate(batch.picked.tolist()):
        slots = (batch.objects == which) & (batch.step_of == action) & (which != NOTHING)
        front = slots[: batch.slots.n_front].any()
        assert seen[action].tolist() == [front, slots[batch.slots.n_front :].any()]
    assert seen.any(0).all()
    assert not seen[batch.picked != NOTHING].all()
    assert (batch.other_tokens >= 0).any(1).all()


def test_the_place_of_a_pick_that_was_not_demonstrated_is_that_objects_own(episodes):
    """In the first stage its goal, which the scene shows; in the second its first place."""
    random, stages = np.random.default_rng(0), set()
    for recorded in episodes:
        for episode in (recorded, randomize_layout(recorded, random)):
            others = undemonstrated_picks(episode)
            if episode.task not in SCENE_GOAL_TASKS:
                assert others == []
                continue
            goals = dict(zip(episode.images[0][1].ids, episode.images[0][1].boxes, strict=True))
            for action, which, place in others:
                assert which != episode.picked[action]
                assert which == episode.picked[place]
                target = episode.targets[place, 1]
                stage = episode.picked[:action].tolist().count(episode.picked[action])
                stages.add(stage)
                if stage == 0:
                    shown = goals[which][[1, 0]] / (128, 256)
                    fraction = (target - episode.workspace.low) / episode.workspace.size
                    # The grasp may be beside the middle of the box.
                    assert fraction == pytest.approx(shown, abs=0.08)
                else:
                    came = episode.places[place, which] + target - episode.grasps[place, which]
                    assert came == pytest.approx(episode.places[0, which], abs=0.02)
    assert stages == {0, 1}


def test_picks_that_were_not_demonstrated_are_of_their_own_episode(episodes):
    batch = batch_of(episodes)
    assert len(batch.other_actions)
    length, tokens = batch.rows.shape[1], batch.rows.flatten()
    for action, picked, place in zip(
        batch.other_actions.tolist(),
        batch.other_tokens.tolist(),
        batch.other_places.tolist(),
        strict=True,
    ):
        assert batch.reads[action] // length == batch.reads[place] // length
        for token in picked:
            slot = int(tokens[token]) - 1
            assert batch.step_of[slot] == action
            assert batch.objects[slot] == batch.picked[place] != batch.picked[action]


def test_the_first_place_is_of_what_is_to_come_back(episodes, config):
    batch = batch_of(episodes)
    model, told = PolicyWithAuxiliaryHeads(new_network(config)), 0
    actions = [(e, t) for e in episodes for t in range(len(e.bins))]
    first = np.cumsum([0, *(e.places.shape[1] for e in episodes)])
    places = torch.randn(*batch.rows.shape, sum(POSITION_BINS)) * 50.0
    for row, tokens in enumerate(batch.rows.tolist()):
        for at, token in enumerate(tokens):
            slot = token - 1
            if not 0 <= slot < len(batch.objects) or batch.objects[slot] == NOTHING:
                continue
            episode, step = actions[int(batch.step_of[slot])]
            if episode.task not in RESTORE_TASKS or step == 0:
                continue
            own = int(batch.objects[slot]) - first[row]
            grasp = episode.grasps[step, own] - episode.places[step, own]
            back = (episode.places[0, own] + grasp - episode.workspace.low) / (0.5, 1.0)
            x, y = np.ceil(back * (49, 99)).astype(int)
            places[row, at] = -50.0
            places[row, at, [x, 50 + y]] = 50.0
            told += 1
    assert told
    model.first_place_head = torch.nn.Identity()
    assert model.first_place_loss(places, batch) < 1e-6
    assert model.first_place_loss(-places, batch) > 40.0


class Oracle(torch.nn.Module):
    """A place head that knows the place of each token."""

    def __init__(self, places):
        super().__init__()
        self.places = places

    def forward(self, context, picked):
        bins = torch.tensor([self.places[int(token)] for token in picked[:, 1]])
        logits = {}
        for head, first in zip(PLACE_HEADS, (6, 8), strict=True):
            parts = [
                50.0 * one_hot(bins[:, first + i], count)
                for i, count in enumerate(HEAD_BINS[head])
            ]
            logits[head] = torch.cat(parts, -1)
        return logits


def test_the_loss_of_other_picks_asks_for_their_places(episodes, config):
    batch, network = batch_of(episodes), new_network(config)
    place = network(batch).place
    places = {
        int(token): batch.bins[action].tolist()
        for token, action in zip(batch.other_tokens[:, 1], batch.other_places, strict=True)
    }
    model = PolicyWithAuxiliaryHeads(network)
    network.place_head = Oracle(places)
    assert model.other_picks_loss(place, batch, 0.0) < 1e-6
    demonstrated = zip(batch.other_tokens[:, 1], batch.other_actions, strict=True)
    network.place_head = Oracle({int(t): batch.bins[a].tolist() for t, a in demonstrated})
    assert model.other_picks_loss(place, batch, 0.0) > 1.0


def test_without_other_picks_their_loss_is_none(episodes, config):
    batch = batch_of([e for e in episodes if e.task == "visual_manipulation"])
    losses = PolicyWithAuxiliaryHeads(new_network(config)).losses(batch, 0.7)
    assert losses["other_picks"] == losses["first_place"] == 0


# --- learning


def two_goals(config):
    """Two episodes with the same inputs, of which each picks another object for another place."""
    rng = np.random.default_rng(0)
    width, tokens = config.embed_dim, 5
    state = torch.from_numpy(rng.normal(size=(1, tokens, width))).float().expand(2, -1, -1)
    place = PlaceContext(
        torch.tensor([tokens - 1, 2 * tokens - 1]),
        state,
        state.roll(1, dims=1),
        torch.zeros(2, tokens, 3),
        torch.zeros(2, 3, width),
        torch.zeros(2, 3, 2, 151),
    )
    picked = torch.tensor([[0, 2], [tokens + 1, tokens + 3]])
    bins = torch.zeros(2, 12, dtype=torch.int64)
    bins[0, 6:], bins[1, 6:] = torch.tensor([10, 20] + [25] * 4), torch.tensor([40, 80] + [12] * 4)
    return place, picked, bins


@pytest.mark.slow
@pytest.mark.parametrize("place_head", ["independent", "conditioned"])
def test_two_objects_with_two_goals_are_learned_by_a_conditioned_place_alone(place_head):
    """Heads that do not know the pick can at best give half to each goal: log 2."""
    torch.manual_seed(0)
    config, weight = VimaConfig(**SMALL, place_head="conditioned"), torch.ones(2)
    place, picked, bins = two_goals(config)
    conditioned, independent = PlaceHead(config), ActionDecoder(config, PLACE_HEADS)
    head = conditioned if place_head == "conditioned" else independent
    optimizer = torch.optim.Adam(head.parameters(), 3e-3)
    for _ in range(60):
        if place_head == "conditioned":
            logits = conditioned(place, picked)
        else:
            logits = independent(place.tokens.flatten(0, 1)[place.reads])
        losses = cross_entropies(logits, bins, weight, weight.sum(), 0.0)
        optimizer.zero_grad()
        sum(losses.values()).backward()
        optimizer.step()
    for loss in losses.values():
        if place_head == "conditioned":
            assert loss < 0.05
        else:
            assert np.log(2) - 1e-4 < loss < np.log(2) + 0.1


@pytest.mark.slow
def test_the_pointer_learns_to_copy_any_box():
    """Of places that it was not trained on, as a head on blurred tokens does not."""
    torch.manual_seed(0)
    config = VimaConfig(**SMALL, place_head="conditioned")
    head, width = PlaceHead(config), config.embed_dim
    torch.nn.init.zeros_(head.query.weight)  # as a new network begins
    optimizer = torch.optim.Adam(head.parameters(), 2e-3)

    def draw(count):
        tokens, images = 2, 4
        centers = torch.rand(count, images, 2)
        peaks = [
            torch.exp(-0.5 * (torch.arange(n) - (n - 1) * centers[..., axis, None]) ** 2)
            for axis, n in enumerate(POSITION_BINS)
        ]
        top = torch.cat([*peaks, torch.ones(count, images, 1)], -1)
        own = torch.randint(images, (count,))
        scores = torch.zeros(count, tokens, images)
        scores[torch.arange(count), 0, own] = 8.0
        state = torch.randn(2, count, tokens, width)
        reads = torch.arange(count) * tokens + 1
        boxes = torch.stack([torch.zeros_like(top), top], 2)
        place = PlaceContext(reads, *state, scores, torch.randn(count, images, width), boxes)
        picked = torch.stack([torch.full((count,), -1), reads - 1], 1)
        right = centers[torch.arange(count), own] * (torch.tensor(POSITION_BINS) - 1)
        return place, picked, right.round().long()

    def logits(place, picked):
        return head(place, picked)["pose1_position"].split(POSITION_BINS, -1)

    for _ in range(600):
        place, picked, right = draw(64)
        parts = zip(logits(place, picked), right.T, strict=True)
        loss = sum(cross_entropy(part, target) for part, target in parts)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    place, picked, right = draw(256)
    with torch.no_grad():
        best = torch.stack([part.argmax(-1) for part in logits(place, picked)], -1)
    assert ((best - right).abs() <= 2).all(-1).float().mean() > 0.9


@pytest.mark.slow
def test_training_with_all_of_it_goes_on(episodes, config, tmp_path):
    recipe = PolicyRecipe(
        steps=2, batch_size=4, micro_batches=2, layout_fraction=0.0, first_place_weight=1.0
    )
    never = float("inf")
    schedule = Schedule(report_every=1, report_period=never, first_report=never)
    (first, _) = train_policy(episodes, episodes[:2], config, recipe, tmp_path, schedule)
    assert first.losses.keys() >= {*HEADS, "first_place", "other_picks"}
    assert set(first.validation_losses) == {*HEADS}
    assert load_averaged(tmp_path, config)[0].place_head is not None


def test_it_starts_from_the_bundled_weights():
    """All but the second pose's heads is theirs, and it is known which are new."""
    trained, _ = load_network(BUNDLED, {})
    config = VimaConfig(**(vars(trained.config) | {"place_head": "conditioned"}))
    network, taken = load_matching_weights(config, trained)
    assert set(taken.anew.values()) == {"not in the file"}
    assert {name.split(".")[0] for name in taken.anew} == {"place_head"}
    assert {".".join(name.split(".")[:3]) for name in taken.unused} == {
        f"action_decoder.heads.{head}" for head in PLACE_HEADS
    }
    state = trained.state_dict()
    for name, value in network.state_dict().items():
        assert name in taken.anew or torch.equal(value, state[name])
    assert {*network.action_decoder.heads} == {*PICK_HEADS}
