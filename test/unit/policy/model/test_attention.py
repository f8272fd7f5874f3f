"""Scores that training asks for are those that the outputs were computed with."""

import numpy as np
import pytest
import torch
from policy_episodes import observation, play, prompt, whole

from vima_ros.policy.checkpoints.load import random_network
from vima_ros.policy.model import controller as controllers
from vima_ros.policy.model.attention import attention, attention_scores
from vima_ros.policy.policy import Policy
from vima_ros.policy.tokenizer import T5


@pytest.fixture(autouse=True)
def no_gradients():
    with torch.inference_mode():
        yield


def test_scores_are_what_attention_takes_the_softmax_of():
    torch.manual_seed(0)
    query, keys, values = (torch.randn(2, 3, n, 4) for n in (5, 6, 6))
    attend = torch.rand(2, 5, 6) < 0.5
    attend[..., 0] = True
    scores = attention_scores(query, keys, attend)
    assert (scores.isneginf() == ~attend[:, None]).all()
    out = (scores.softmax(-1) @ values).transpose(1, 2).flatten(2)
    torch.testing.assert_close(out, attention(query, (keys, values), attend))


def test_asking_for_scores_changes_no_output():
    rng = np.random.default_rng(0)
    network = random_network({})
    words = [prompt(rng, (1, 1)), prompt(rng, (2, 2), (1, 3))]
    seen = [[observation(rng, 2, 2), observation(rng, 3, 1)], [observation(rng, 1, 4)]]
    batch = whole(words, seen, torch.rand(2, 1, 12))
    plain, asked = network(batch), network(batch, score_layers=(0, 1))
    for head, logits in plain.logits.items():
        assert torch.equal(asked.logits[head], logits)
    (b, t), p = batch.rows.shape, batch.prompt.rows.shape[1]
    seen = asked.attention
    assert list(seen.prompt) == list(seen.history) == [0, 1]
    assert seen.prompt[0].shape == (b, network.config.xattn_n_heads, t, p)
    assert seen.history[1].shape == (b, network.config.sattn_n_heads, t, t)
    assert seen.informed.shape == (b, t, network.config.embed_dim)
    later = torch.ones(t, t, dtype=torch.bool).triu(1)
    assert seen.history[1][..., later].isneginf().all()
    assert seen.history[1][:, :, 0, 0].isfinite().all()


def test_an_episode_that_runs_pays_for_no_scores(monkeypatch):
    def never(*_):
        raise AssertionError("scores were computed")

    monkeypatch.setattr(controllers, "attention_scores", never)
    rng = np.random.default_rng(1)
    policy = Policy(random_network({}), trained=False, description={}, tokenizer=T5)
    play(policy, prompt(rng, (1, 1)), [observation(rng, 2, 2), observation(rng, 1, 2)])
