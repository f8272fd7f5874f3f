"""The prompt encoder; test_policy_goldens.py compares its blocks with the published one's."""

import pytest
import torch

from vima_ros.policy.checkpoints.load import random_network
from vima_ros.policy.model.prompt_encoder import DROPOUT, RmsNorm, position_buckets

# Of T5's 32 buckets up to distance 128, 16 are for each direction: the first distance in each.
FIRST_DISTANCES = [0, 1, 2, 3, 4, 5, 6, 7, 8, 12, 16, 23, 32, 46, 64, 91]


@pytest.fixture(scope="module")
def network():
    return random_network({})


def test_buckets_of_keys_behind_and_before_the_query():
    distances = torch.arange(300)
    behind = position_buckets(-distances, 32, 128)
    assert [int((behind == i).nonzero()[0]) for i in range(16)] == FIRST_DISTANCES
    assert int(behind.max()) == 15
    torch.testing.assert_close(position_buckets(distances[1:], 32, 128), behind[1:] + 16)


def test_a_bias_by_relative_position_of_the_key_seen_from_the_query(network):
    table = network.t5.block[0].layer[0].SelfAttention.relative_attention_bias.weight
    bias = network.t5.position_bias(3)
    torch.testing.assert_close(bias[0, :, 0, 2], table[16 + 2])
    torch.testing.assert_close(bias[0, :, 2, 0], table[2])


@torch.inference_mode()
def test_masked_tokens_change_no_other(network):
    x = torch.randn(2, 6, network.config.t5_width, generator=torch.Generator().manual_seed(0))
    mask = torch.tensor([[1, 1, 0, 1, 1, 0], [1, 1, 1, 1, 1, 1]], dtype=torch.bool)
    other = torch.where(mask[..., None], x, x + 7)
    before, after = network.t5(x, mask), network.t5(other, mask)
    assert torch.equal(before[mask], after[mask])
    assert not torch.equal(before[~mask], after[~mask])


@torch.inference_mode()
def test_dropout_while_it_is_trained():
    encoder = random_network({}).t5.train()
    x, mask = torch.ones(1, 4, encoder.final_layer_norm.weight.numel()), torch.ones(1, 4).bool()
    torch.manual_seed(0)
    out = torch.stack([encoder(x, mask) for _ in range(50)])
    assert (out == 0).float().mean().item() == pytest.approx(DROPOUT, abs=0.02)  # of the last
    assert torch.equal(encoder.eval()(x, mask), encoder(x, mask))


def test_the_norm_has_the_weights_dtype():
    norm = RmsNorm(4).to(torch.bfloat16)
    out = norm(torch.tensor([[1.0, -1.0, 7.0, 7.0]], dtype=torch.bfloat16))
    assert out.dtype == torch.bfloat16
    torch.testing.assert_close(
        out.float(), torch.tensor([[0.2, -0.2, 1.4, 1.4]]), atol=0.01, rtol=0
    )
