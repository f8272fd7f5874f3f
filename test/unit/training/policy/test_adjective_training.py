"""Training for adjectives: brightness is the crop's; relative biases have a rate of their own."""

import numpy as np
import pytest
import torch

from vima_ros.policy.checkpoints.load import SMALL
from vima_ros.policy.config import VimaConfig
from vima_ros.policy.model.batching import Slots
from vima_ros.training.policy.auxiliary_losses import (
    BRIGHTNESS_STEP,
    PolicyWithAuxiliaryHeads,
    brightness,
)
from vima_ros.training.policy.initialization import new_network
from vima_ros.training.policy.parameter_groups import parameter_groups
from vima_ros.training.policy.recipe import PolicyRecipe


@pytest.fixture(scope="module")
def model():
    return PolicyWithAuxiliaryHeads(new_network(VimaConfig(**SMALL, vocabulary=60)))


def crop(color, rows=32):
    pixels = np.zeros((3, 32, 32), np.uint8)
    pixels[:, :rows] = np.array(color, np.uint8)[:, None, None]
    return pixels


def test_brightness_is_of_the_object_and_not_of_the_padding_around_it():
    crops = np.stack(
        [crop((200, 10, 0)), crop((200, 10, 0), rows=8), crop((0, 30, 60)), crop((0,) * 3)]
    )
    bright = brightness(torch.from_numpy(crops))
    assert bright[:3].tolist() == [200.0, 200.0, 60.0]
    assert bright[3].isnan()


class Batch:
    """Two slots of objects and a padded one."""

    crops = np.stack([crop((0,) * 3), crop((80, 0, 0)), crop((0, 160, 0))])
    slots = Slots(
        torch.from_numpy(crops),
        torch.tensor([1, 2, 0]),
        torch.zeros(3, 4, dtype=torch.int64),
        torch.tensor([True, True, False]),
        2,
    )


def test_the_loss_asks_for_the_brightness(model, monkeypatch):
    monkeypatch.setattr(model, "brightness_head", torch.nn.Identity())
    right = torch.tensor([[80.0], [160.0], [7.0]]) / BRIGHTNESS_STEP
    assert model.brightness_loss(right, Batch()) == 0
    assert model.brightness_loss(right.flip(0), Batch()) > 1.0


def test_relative_biases_have_their_own_rate_where_the_recipe_says_so(model):
    plain = parameter_groups(model, PolicyRecipe())
    assert [group["rate"] for group in plain] == [1.0, 1.0]
    groups = parameter_groups(model, PolicyRecipe(relative_bias_rate=25.0))
    assert [group["rate"] for group in groups] == [1.0, 1.0, 25.0]
    table = model.network.t5.block[0].layer[0].SelfAttention.relative_attention_bias.weight
    assert [parameter is table for parameter in groups[2]["params"]] == [True]
    for kind in (plain, groups):
        listed = [id(parameter) for group in kind for parameter in group["params"]]
        assert sorted(listed) == sorted(map(id, model.parameters()))
        assert kind[1]["weight_decay"] == 0.0 < kind[0]["weight_decay"]
