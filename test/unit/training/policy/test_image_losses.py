"""Auxiliary losses of whole images: what they ask for, and that a network learns to answer."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from vima_ros.policy.checkpoints.load import SMALL
from vima_ros.policy.config import VimaConfig
from vima_ros.policy.model.batching import ImageBatch
from vima_ros.policy.tokenizer import bundled_tokenizer
from vima_ros.specs import VIEWS
from vima_ros.training.data.collect import CollectionPlan, collect
from vima_ros.training.policy.auxiliary_losses import PolicyWithAuxiliaryHeads
from vima_ros.training.policy.color_augmentation import recolor
from vima_ros.training.policy.image_batching import make_image_batch
from vima_ros.training.policy.image_losses import thumbnails_of
from vima_ros.training.policy.initialization import new_network
from vima_ros.training.policy.training_episode import read_training_episodes

TASKS = ("rearrange", "visual_manipulation")
TOP = VIEWS.index("top")
SIZES = {**SMALL, "vocabulary": bundled_tokenizer().words, "vit_patch": 16, "xf_n_layers": 1}


@pytest.fixture(scope="module")
def episodes(tmp_path_factory):
    out = tmp_path_factory.mktemp("demonstrations")
    plan = CollectionPlan(out, TASKS, seeds=3, content="masks", deterministic_oracle=True)
    for _ in collect(plan):
        pass
    return read_training_episodes([out], whole_images=True)


def test_an_object_is_asked_for_where_it_would_be_picked(episodes):
    for episode in episodes:
        shown = make_image_batch([episode], 1).shown
        first = len(episode.images)  # pairs of the prompt come first, then the steps
        for step, pair in enumerate(episode.timesteps):
            of_step = (shown.pairs == first + step) & (shown.views == TOP)
            expected = episode.grasp_fractions[step][list(pair[TOP].ids)]
            assert np.allclose(shown.places[of_step], expected, atol=1e-6)


def test_of_a_prompt_scenes_have_places_and_single_objects_are_alone(episodes):
    assert any(e.scenes for e in episodes)
    assert any(len(e.scenes) < len(e.images) for e in episodes)
    for episode in episodes:
        shown = make_image_batch([episode], 1).shown
        for i, pair in enumerate(episode.images):
            rows = shown.pairs == i
            assert shown.alone[rows].all() == (len(pair[TOP].ids) == 1)
            assert shown.places[rows].isfinite().all() == (i in episode.scenes)
            if i in episode.scenes:
                of_view = rows & (shown.views == TOP)
                middles = pair[TOP].boxes[:, [1, 0]] / (128, 256)  # of the policy frame
                assert np.allclose(shown.places[of_view], middles, atol=1e-6)


def test_a_thumbnail_has_the_colors_of_its_object_recolored_or_not(episodes):
    torch.manual_seed(0)
    for batch in (make_image_batch(episodes, 1), recolor(make_image_batch(episodes, 1), 1.0)):
        images, shown = batch.prompt.slots, batch.shown
        thumbnails = thumbnails_of(images, shown).unflatten(1, (25, 3))
        colors = ((thumbnails + 1.0) * 127.5).round()
        for number in range(0, len(colors), 7):
            x, y, height, width = (shown.boxes[number] / 2).tolist()  # of the half-size image
            pair, view = images.pair_rows[shown.pairs[number]], shown.views[number]
            rows = slice(int(max(y - height / 2, 0)), int(y + height / 2) + 1)
            columns = slice(int(max(x - width / 2, 0)), int(x + width / 2) + 1)
            within = images.pixels[pair, view, :, rows, columns].flatten(1).T.float().round()
            known = {tuple(color) for color in within.tolist()}
            assert {tuple(color) for color in colors[number].tolist()} <= known


@pytest.mark.slow
@pytest.mark.parametrize("conditioning", ["gpt", "gato", "flamingo"])
def test_what_an_object_looks_like_says_where_it_is(episodes, conditioning):
    torch.manual_seed(0)
    config = VimaConfig(**SIZES, conditioning=conditioning)
    model = PolicyWithAuxiliaryHeads(new_network(config)).train()
    batch = make_image_batch(episodes, model.network.image_tokens)
    optimizer, losses = torch.optim.AdamW(model.parameters(), 2e-3), []
    for _ in range(80):
        found = model.losses(batch, smoothing=0.0)
        loss = found["position"] + found["thumbnail"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append({name: float(value.detach()) for name, value in found.items()})
    assert losses[-1]["position"] < 0.7 * losses[0]["position"]
    assert losses[-1]["thumbnail"] < 0.8 * losses[0]["thumbnail"]
    heads, shown = model.image_heads, batch.shown
    with torch.no_grad():
        tokens = model.network(batch).objects.unflatten(0, (-1, model.network.image_tokens))
        thumbnails = thumbnails_of(batch.prompt.slots, shown)
        own = heads.position_loss(tokens, thumbnails, shown)
        other = heads.position_loss(tokens, thumbnails.roll(1, 0), shown)
        nowhere = replace(shown, places=torch.full_like(shown.places, torch.nan))
        assert heads.position_loss(tokens, thumbnails, nowhere) == 0.0
    assert own < 0.8 * other


@torch.no_grad()
@pytest.mark.parametrize("conditioning", ["gpt", "gato", "flamingo"])
def test_the_color_of_an_empty_table_says_nothing_at_first(conditioning):
    torch.manual_seed(0)
    network = new_network(VimaConfig(**SIZES, conditioning=conditioning))
    views = torch.zeros(2, 2, 3, 64, 128, dtype=torch.uint8)
    views[1] = 200
    images = ImageBatch(views, torch.tensor([0, 1]), network.image_tokens)
    one, other = network.object_encoder(images).unflatten(0, (2, network.image_tokens))
    assert torch.allclose(one, other, atol=1e-4)
