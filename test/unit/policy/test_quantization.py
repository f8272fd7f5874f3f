"""Packed, bfloat16 and 8-bit weights decide nearly as the plain float32 network does."""

import gc
import weakref

import numpy as np
import pytest
import torch
from policy_episodes import observation, play, prompt, whole
from torch import nn

from vima_ros.policy import load_policy
from vima_ros.policy.checkpoints.load import random_network
from vima_ros.policy.quantization import prepare
from vima_ros.specs import HEADS

# Largest difference of a logit, whose standard deviation is about 0.3.
TOLERANCE = {"float32": 1e-5, "bfloat16": 0.05, "int8": 0.15}


@pytest.fixture(scope="module")
def plain():
    return random_network({"vocabulary": load_policy("random").network.config.vocabulary})


@pytest.mark.parametrize("dtype", TOLERANCE)
def test_close_to_the_plain_network(plain, dtype):
    rng = np.random.default_rng(0)
    policy = load_policy("random", dtype=dtype)
    words = prompt(rng, (1, 2), (2, 2))
    seen = [observation(rng, 3, 4), observation(rng, 4, 2)]
    decisions = play(policy, words, seen)
    fractions = torch.tensor(np.stack([d.action.fractions for d in decisions]))[None]
    with torch.inference_mode():
        logits = plain(whole([words], [seen], fractions)).logits
    worst = 0.0
    for head in HEADS:
        assert decisions[-1].logits[head].dtype == np.float32
        worst = max(worst, np.abs(decisions[-1].logits[head] - logits[head][-1].numpy()).max())
    assert worst < TOLERANCE[dtype]
    if dtype != "float32":  # or it was not computed in it
        assert worst > TOLERANCE["float32"]


@pytest.mark.parametrize("dtype", TOLERANCE)
def test_the_description_names_dtype_and_kernels(dtype):
    told = load_policy("random", dtype=dtype).description
    assert told["dtype"] == dtype
    assert told["kernels"]
    assert told["parameters"] == load_policy("random").description["parameters"]


@pytest.mark.parametrize("dtype", ["float32", "int8"])
def test_no_plain_layer_is_left(dtype):
    network = load_policy("random", dtype=dtype).network
    assert not [name for name, part in network.named_modules() if type(part) is nn.Linear]


@pytest.mark.parametrize("dtype", ["float32", "int8"])
def test_each_plain_layer_is_freed_at_once(dtype):
    network = random_network({})
    plain = [weakref.ref(part) for part in network.modules() if type(part) is nn.Linear]
    gc.disable()
    try:
        prepare(network, torch.device("cpu"), dtype)
        assert len(plain) > 50
        assert [layer for layer in plain if layer() is not None] == []
    finally:
        gc.enable()


def test_without_onednn_the_plain_layers_decide(monkeypatch):
    rng = np.random.default_rng(1)
    words, seen = prompt(rng, (1, 1)), observation(rng, 2, 2)
    packed = load_policy("random")
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    policy = load_policy("random")
    assert policy.description["kernels"] != packed.description["kernels"]
    want, got = play(packed, words, [seen])[0], play(policy, words, [seen])[0]
    np.testing.assert_array_equal(got.action.bins, want.action.bins)


@pytest.mark.parametrize("dtype", TOLERANCE)
def test_what_decides_does_not_pretend_to_train(dtype):
    rng = np.random.default_rng(2)
    network = load_policy("random", dtype=dtype).network
    kind = network.word_table.weight.dtype
    seen, none = [observation(rng, 2, 2)], torch.zeros(1, 0, 12, dtype=kind)
    logits = network(whole([prompt(rng, (1, 1))], [seen], none)).logits
    with pytest.raises(RuntimeError, match="does not require grad"):
        sum(value.sum() for value in logits.values()).backward()
