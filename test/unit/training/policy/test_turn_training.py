"""Training of the turn reader: labels are the recorded turns; it learns before the rest does."""

import numpy as np
import pytest
import torch
from torch.nn.functional import one_hot

from vima_ros.errors import VimaError
from vima_ros.policy.checkpoints.load import SMALL
from vima_ros.policy.config import VimaConfig
from vima_ros.policy.model.batching import collate_prompts
from vima_ros.policy.tokenizer import PromptTokenizer, bundled_tokenizer
from vima_ros.specs import HEADS
from vima_ros.training.data.collect import CollectionPlan, collect
from vima_ros.training.data.readers import read_demonstrations
from vima_ros.training.policy.auxiliary_losses import PolicyWithAuxiliaryHeads
from vima_ros.training.policy.batching import DetectionNoise, make_batch
from vima_ros.training.policy.initialization import new_network
from vima_ros.training.policy.recipe import PolicyRecipe
from vima_ros.training.policy.trainer import train_policy
from vima_ros.training.policy.training_episode import read_training_episodes
from vima_ros.training.run_progress import Schedule

ANGLES = (30, 60, 90, 120, 150)
NEVER = float("inf")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("demonstrations")
    tasks = ("twist", "rotate")
    for _ in collect(CollectionPlan(out, tasks, seeds=2, first_seed=7, deterministic_oracle=True)):
        pass
    return out


@pytest.fixture(scope="module")
def episodes(folder):
    return read_training_episodes([folder])


@pytest.fixture(scope="module")
def config():
    return VimaConfig(**SMALL, vocabulary=bundled_tokenizer().words, turn_angles=ANGLES)


def batch_of(episodes):
    return make_batch(episodes, np.random.default_rng(2), DetectionNoise(0.0, 0.0, 0.0))


def yaw(pose):
    x, y, z, w = pose[3:]
    return np.degrees(np.arctan2(2 * (w * z + x * y), 1 - 2 * (y * y + z * z)))


@pytest.mark.slow
def test_the_angle_is_the_one_by_which_the_demonstration_turns_an_object(folder, episodes):
    batch, angles = batch_of(episodes), []
    assert len(batch.prompt.turns) == len(batch.turned) == 2 * 3  # none of rotate
    for demonstration, episode in zip(read_demonstrations(folder), episodes, strict=True):
        if episode.task == "twist":
            before, after = demonstration.object_poses[:2, episode.picked[0]]
            angles += [(yaw(before) - yaw(after)) % 360.0] * 3
    assert batch.turned.tolist() == pytest.approx(
        angles, abs=6.0
    )  # an action's rotation is in bins


@torch.no_grad()
def test_a_pair_is_read_as_the_running_policy_reads_it(folder, episodes, config):
    torch.manual_seed(0)
    network, read = new_network(config).eval(), []
    batch = batch_of(episodes)
    logits = network.read_turns(batch.prompt, network.object_encoder(batch.slots))
    for demonstration in read_demonstrations(folder):
        prompt = collate_prompts([demonstration.prompt(PromptTokenizer().encode)])
        if len(prompt.turns):
            read.append(network.read_turns(prompt, network.object_encoder(prompt.slots)))
            after = prompt.turns[:, 1:].sort().values
            assert (after[:, 0] < prompt.slots.n_front).all()  # front, then top
    assert torch.allclose(logits, torch.cat(read), atol=1e-5)


def test_the_loss_asks_for_the_angle(episodes, config):
    batch = batch_of(episodes)
    model = PolicyWithAuxiliaryHeads(new_network(config))
    nearest = (batch.turned.remainder(360.0)[:, None] - torch.tensor(ANGLES)).abs().argmin(-1)
    for shift, low, high in ((0, 0.0, 1e-6), (1, 40.0, 60.0)):
        right = 50.0 * one_hot((nearest + shift) % len(ANGLES), len(ANGLES)).float()
        model.network.turn_reader.forward = lambda *_, right=right: right
        assert low <= model.turn_loss(torch.zeros(1), batch) <= high
        assert model.turn_accuracy(torch.zeros(1), batch) == {"turn": float(shift == 0)}


def test_angles_that_the_network_does_not_know_are_left_out(episodes, config):
    config = VimaConfig(**(vars(config) | {"turn_angles": (1, 2)}))
    model, batch = PolicyWithAuxiliaryHeads(new_network(config)), batch_of(episodes)
    losses = model.losses(batch, 0.7)
    assert losses["turn"] == 0
    assert model.turn_accuracy(torch.zeros(1), batch) == {}


@pytest.mark.slow
def test_the_first_steps_train_the_reader_and_the_object_encoder_alone(episodes, config, tmp_path):
    torch.manual_seed(0)
    network = new_network(config)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    recipe = PolicyRecipe(
        steps=2, batch_size=2, micro_batches=1, turn_first_steps=1, warmup_steps=0, weight_decay=0
    )
    schedule = Schedule(report_every=1, report_period=NEVER, first_report=NEVER)
    run = train_policy(episodes, episodes, config, recipe, tmp_path, schedule, network)
    first = next(run)
    assert set(first.losses) == {"turn"}
    assert 0.0 <= first.validation["turn"] <= 1.0
    changed = {
        name.split(".")[0]
        for name, value in network.state_dict().items()
        if not torch.equal(value, before[name])
    }
    assert changed == {"turn_reader", "object_encoder"}
    (second,) = run
    assert set(second.losses) >= {"turn", "position", *HEADS}


@pytest.mark.parametrize(("angles", "says"), [((), "without turn_angles"), (ANGLES, "no task")])
def test_first_steps_without_anything_to_train_are_refused(
    episodes, config, tmp_path, angles, says
):
    config = VimaConfig(**(vars(config) | {"turn_angles": angles}))
    rotating = [episode for episode in episodes if episode.task == "rotate"]
    recipe = PolicyRecipe(steps=1, batch_size=2, micro_batches=1, turn_first_steps=1)
    with pytest.raises(VimaError, match=says) as caught:
        next(train_policy(rotating, (), config, recipe, tmp_path))
    assert caught.value.code == "BAD_CONFIG"
