"""Training on whole images: they are composed as recorded, and batches are as the policy runs."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch

from vima_ros.errors import VimaError
from vima_ros.policy import policy as policy_module
from vima_ros.policy.action_selection import decide
from vima_ros.policy.checkpoints.load import SMALL
from vima_ros.policy.model.conditioning import CONDITIONINGS
from vima_ros.policy.policy import Policy
from vima_ros.policy.tokenizer import PromptTokenizer, bundled_tokenizer
from vima_ros.specs import HEADS, VIEWS, Observation, ViewObjects
from vima_ros.training.data.collect import CollectionPlan, collect
from vima_ros.training.data.readers import read_demonstrations
from vima_ros.training.policy import color_augmentation
from vima_ros.training.policy.image_batching import make_image_batch
from vima_ros.training.policy.layout_augmentation import randomize_layout
from vima_ros.training.policy.trainer import (
    IMAGE_LOSSES,
    OBJECT_LOSSES,
    PolicyRecipe,
    VimaConfig,
    new_network,
    train_policy,
)
from vima_ros.training.policy.training_episode import read_training_episodes
from vima_ros.training.run_progress import Schedule

TASKS = ("rearrange_then_restore", "sweep_without_exceeding", "visual_manipulation")
TOP = VIEWS.index("top")
OF_IMAGES = [name for name, kind in CONDITIONINGS.items() if kind.inputs.observation == "images"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("demonstrations")
    plan = CollectionPlan(
        out, TASKS, seeds=3, first_seed=10, content="masks", deterministic_oracle=True
    )
    for _ in collect(plan):
        pass
    return out


@pytest.fixture(scope="module")
def demonstrations(folder):
    return list(read_demonstrations(folder))


@pytest.fixture(scope="module")
def episodes(folder):
    return read_training_episodes([folder], whole_images=True)


def network_of(conditioning, **latents):
    torch.manual_seed(0)
    sizes = {**SMALL, "vocabulary": bundled_tokenizer().words, "conditioning": conditioning}
    sizes |= latents
    return new_network(VimaConfig(**sizes))


def recorded_images(demonstration):
    """Return what a batch should hold of an episode: its prompt's images, then the steps'."""
    shown = [*demonstration.images.values(), *demonstration.observations[:-1]]
    return [np.stack([item.images.front, item.images.top]) for item in shown]


@pytest.mark.slow
def test_composed_images_are_those_that_were_recorded(demonstrations, episodes):
    batch = make_image_batch(episodes, 1)
    expected = np.stack([image for d in demonstrations for image in recorded_images(d)])
    assert (batch.prompt.slots.pixels.numpy() == expected).all()


@pytest.mark.slow
@pytest.mark.parametrize("conditioning", OF_IMAGES)
@torch.no_grad()
def test_a_batch_says_what_the_policy_says_of_each_episode_alone(
    demonstrations, episodes, conditioning
):
    network = network_of(conditioning).eval()
    batch = make_image_batch(episodes, network.image_tokens)
    logits = network(batch).logits
    policy = Policy(network, trained=True, description={}, tokenizer=bundled_tokenizer())
    encode, row, nothing = PromptTokenizer().encode, 0, ViewObjects.empty()
    for demonstration in demonstrations:
        policy.reset(demonstration.prompt(encode))
        for seen, action in zip(demonstration.observations, demonstration.actions, strict=False):
            seen = Observation(nothing, nothing, seen.end_effector, images=seen.images)
            with pytest.MonkeyPatch.context() as patch:  # what was demonstrated is decided
                patch.setattr(policy_module, "decide", partial(decide_on, action))
                decision = policy.infer(seen)
            for head in HEADS:
                assert decision.logits[head] == pytest.approx(logits[head][row].numpy(), abs=2e-4)
            policy.record(decision)
            row += 1
    assert row == len(batch.bins)


def decide_on(action, *arguments):
    return replace(decide(*arguments), action=action)


def test_moved_objects_are_seen_where_their_boxes_are(episodes):
    """Moved by whole pixels, an object that stands alone looks the same at its new place."""
    random, compared = np.random.default_rng(0), 0
    for episode in episodes * 5:
        other = randomize_layout(episode, random)
        old, new = (
            make_image_batch([e], 1).prompt.slots.pixels[len(e.images), TOP].numpy()
            for e in (episode, other)
        )
        boxes = [e.timesteps[0][TOP].boxes.astype(int) for e in (episode, other)]
        for i, (box, new_box) in enumerate(zip(*boxes, strict=True)):
            moved = (new_box - box)[:2]
            alone = all(stands_alone(i, of_view) for of_view in boxes)
            if not moved.any() or (moved % 2).any() or not alone:
                continue
            assert (within(old, box) == within(new, new_box)).all()
            compared += 1
    assert compared > 5


def stands_alone(number, boxes):
    """Return whether no other object and no border of the table is near an object's box."""
    low = boxes[:, :2] - boxes[:, [3, 2]] // 2 - 2
    high = boxes[:, :2] + boxes[:, [3, 2]] // 2 + 3
    apart = (low[number] > high).any(1) | (high[number] < low).any(1)
    apart[number] = (low[number] > 6).all() and (high[number] < (250, 122)).all()
    return apart.all()


def within(image, box):
    """Return the half-size image (3, h, w) within a box of the policy frame."""
    x, y, height, width = box
    rows = slice((y - height // 2) // 2, (y - height // 2 + height) // 2 + 1)
    columns = slice((x - width // 2) // 2, (x - width // 2 + width) // 2 + 1)
    return image[:, rows, columns]


def test_colors_of_whole_images_change_alike_within_an_episode(episodes, monkeypatch):
    monkeypatch.setattr(color_augmentation, "FLICKER", 0.0)
    torch.manual_seed(0)
    batch = make_image_batch(episodes, 1)
    other = color_augmentation.recolor(batch, 1.0)
    pixels, changed = batch.prompt.slots.pixels, other.prompt.slots.pixels
    assert changed.shape == pixels.shape
    table = pixels[-1, TOP].flatten(1).median(1).values  # of all episodes
    tables = []
    for episode in range(len(episodes)):
        own = batch.episode_of == episode
        on_table = (pixels[own] == table.view(3, 1, 1)).all(2)  # (K, 2, h, w)
        colors = changed[own].movedim(2, -1)[on_table]  # (n, 3)
        assert len(colors) > 1000
        assert (colors == colors[0]).all()
        tables.append(colors[0])
    assert len(torch.stack(tables).unique(dim=0)) == len(episodes)


LATENTS = {"prompt_latents": 8, "history_latents": 8}
# Of the encoder's tokens.
OF_TOKENS = {"position", "grasp_offset", "identity", "brightness", "shape"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("conditioning", "latents", "auxiliary"),
    [
        ("vima", {}, set(OBJECT_LOSSES)),
        *((conditioning, {}, set(IMAGE_LOSSES)) for conditioning in OF_IMAGES),
        ("vima", LATENTS, OF_TOKENS),
        ("gpt", LATENTS, set(IMAGE_LOSSES)),
    ],
)
def test_the_loss_falls_whatever_the_conditioning(
    episodes, conditioning, latents, auxiliary, tmp_path
):
    recipe = PolicyRecipe(
        steps=30, batch_size=6, warmup_steps=5, learning_rate=3e-3, layout_fraction=0.0
    )
    never = float("inf")  # by time: a busy machine reports as an idle one
    schedule = Schedule(report_every=5, report_period=never, first_report=never)
    config = network_of(conditioning, **latents).config
    progress = list(train_policy(episodes, episodes[:1], config, recipe, tmp_path, schedule))
    first, last = progress[0].losses, progress[-1].losses
    assert last["pose0_position"] < 0.93 * first["pose0_position"]
    assert set(first) == {*HEADS, *auxiliary}


@pytest.mark.slow
def test_crops_alone_are_refused_where_images_are_read(tmp_path):
    for _ in collect(CollectionPlan(tmp_path, ("rotate",), seeds=1)):
        pass
    with pytest.raises(VimaError) as caught:
        read_training_episodes([tmp_path], whole_images=True)
    assert caught.value.code == "NO_IMAGES"
    assert "content masks" in str(caught.value)
