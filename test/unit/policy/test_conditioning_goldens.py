"""The policies that read whole images decide as the published code does, to float rounding."""

import conditioning_goldens as goldens
import numpy as np
import pytest
import torch

from vima_ros.policy.model.batching import collate_observations, collate_prompts
from vima_ros.policy.model.controller import causal, position_ids
from vima_ros.specs import HEADS

ATOL = {"gpt": 1e-4, "gato": 1e-4, "flamingo": 1e-3}  # test/data/golden/README.md
KINDS = pytest.mark.parametrize("kind", ATOL)


def close(kind, got, want):
    got = got.numpy() if isinstance(got, torch.Tensor) else got
    np.testing.assert_allclose(got, want, rtol=0, atol=ATOL[kind])


@pytest.mark.slow
@KINDS
@pytest.mark.parametrize("prefix", ["", "batch2/"])
@torch.inference_mode()
def test_prompts_are_encoded_as_recorded(kind, prefix):
    network, golden = goldens.policy(kind).network, goldens.arrays(kind)
    batch = collate_prompts(goldens.prompts(kind, prefix), network.image_tokens)
    assembled, mask = network.assemble_prompt(batch)
    tokens, _ = network.encode_prompt(batch)
    np.testing.assert_array_equal(mask, golden[f"{prefix}prompt/mask"])
    close(kind, assembled.transpose(0, 1), golden[f"{prefix}prompt/debug/assembled"])
    close(kind, tokens.transpose(0, 1), golden[f"{prefix}prompt/tokens"])


@KINDS
@torch.inference_mode()
def test_observations_are_encoded_as_recorded(kind):
    network, golden = goldens.policy(kind).network, goldens.arrays(kind)
    for step in range(goldens.STEPS):
        seen = goldens.observation(kind, f"obs/{step}/")
        tokens, mask = network.encode_observations(
            collate_observations([[seen]], network.image_tokens)
        )
        want = golden[f"obs/{step}/tokens"]
        close(kind, tokens.reshape(want.shape), want)
        assert mask.all()


@KINDS
def test_an_episode_is_decided_as_recorded(kind):
    session = goldens.policy(kind).session()
    (prompt,) = goldens.prompts(kind)
    session.reset(prompt)
    for step in range(goldens.STEPS):
        decision = session.infer(goldens.observation(kind, f"obs/{step}/"))
        logits = np.concatenate([decision.logits[head] for head in HEADS])
        close(kind, logits[None, None], goldens.heads(kind, f"step/{step}/logits"))
        bins = goldens.heads(kind, f"step/{step}/bins")
        np.testing.assert_array_equal(decision.action.bins[None, None], bins)
        session.record(decision)


@KINDS
@torch.inference_mode()
def test_two_episodes_at_once_are_decided_as_recorded(kind):
    network, golden = goldens.policy(kind).network, goldens.arrays(kind)
    prompt = collate_prompts(goldens.prompts(kind, "batch2/"), network.image_tokens)
    memory = network.controller.read_prompt(*network.encode_prompt(prompt))
    episodes = [
        [goldens.observation(kind, "batch2/obs/", step, sample) for step in range(2)]
        for sample in range(2)
    ]
    tokens, mask = network.encode_observations(
        collate_observations(episodes, network.image_tokens)
    )
    action = torch.from_numpy(golden["batch2/action_tokens"]).transpose(0, 1)  # (B, 1, E)
    history = torch.cat([tokens[:, 0], action, tokens[:, 1]], dim=1)
    valid = torch.ones(history.shape[:2], dtype=torch.bool)
    out = network.controller(history, position_ids(valid), causal(valid), memory)
    slots = mask.shape[2]
    reads = out.tokens[:, [slots - 1, 2 * slots]]  # the last token of each step
    close(kind, reads.transpose(0, 1), golden["batch2/predicted"])
