"""The attention of a decision is the network's own, read where the objects and the action are."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from policy_episodes import differ, prompt, same, views

from vima_ros.errors import VimaError
from vima_ros.policy.checkpoints.load import random_network
from vima_ros.policy.model.batching import collate_observations, collate_prompts
from vima_ros.policy.model.controller import causal, position_ids
from vima_ros.policy.policy import Policy
from vima_ros.policy.tokenizer import T5
from vima_ros.specs import VIEW_IMAGE_SIZE, EncodedPrompt, Observation, PromptImage, ViewImages

CROSS, PREFIX = ("vima", "flamingo"), ("gpt", "gato")
KINDS = pytest.mark.parametrize("kind", CROSS + PREFIX)
COUNTS = [(2, 3), (4, 1), (0, 2), (3, 3)]  # objects of each step: wider, narrower, hidden


def make_policy(kind):
    config = {"conditioning": kind, **({} if kind == "vima" else {"vit_patch": 32})}
    return Policy(random_network(config), trained=False, description={}, tokenizer=T5)


def images(rng):
    return ViewImages(*rng.integers(0, 256, (2, 3, *VIEW_IMAGE_SIZE), dtype=np.uint8))


def asked(rng, *counts):
    """A prompt with images of so many objects, which it shows whole as well."""
    tokens = (
        PromptImage(t.name, t.kind, t.front, t.top, images(rng))
        if isinstance(t, PromptImage)
        else t
        for t in prompt(rng, *counts).tokens
    )
    return EncodedPrompt(tuple(tokens))


def seen(rng, front, top):
    return Observation(views(rng, front), views(rng, top), images=images(rng))


def full(policy, words, episode, decisions):
    """Attention of the last step, with the whole history and its padding computed at once."""
    network, image_tokens = policy.network, policy.network.image_tokens
    controller = network.controller
    tokens, valid = network.encode_prompt(collate_prompts([words], image_tokens))
    memory = controller.read_prompt(tokens, valid)
    objects, mask = network.encode_observations(collate_observations([episode], image_tokens))
    parts, masks = [], []
    for step, decision in enumerate([*decisions, None]):
        parts.append(objects[0, step])
        masks.append(mask[0, step])
        if decision is not None:
            parts.append(network.action_encoder(torch.from_numpy(decision.action.fractions)[None]))
            masks.append(torch.ones(1, dtype=torch.bool))
    history, real = torch.cat(parts)[None], torch.cat(masks)[None]
    layers = range(network.config.xf_n_layers)
    out = controller(history, position_ids(real), causal(real), memory, score_layers=layers)
    rows = torch.nonzero(real[0])[:, 0]
    rows = rows[rows >= history.shape[1] - objects.shape[2]]
    columns = torch.nonzero(valid[0])[:, 0]
    found = []
    for layer in layers:
        scores, own = out.attention.prompt[layer][0], out.attention.history[layer][0]
        if network.config.conditioning in PREFIX:
            both = torch.cat([scores, own], -1).softmax(-1)
            to_prompt, to_history = both.split([scores.shape[-1], own.shape[-1]], -1)
        else:
            to_prompt, to_history = scores.softmax(-1), own.softmax(-1)
        found.append(
            (
                to_prompt[:, rows][..., columns],
                to_prompt[:, -1][..., columns],
                to_history[:, -1][..., rows],
            )
        )
    return [torch.stack(each) for each in zip(*found, strict=True)]


@pytest.mark.slow
@KINDS
@torch.inference_mode()
def test_incremental_attention_is_that_of_the_whole_history(kind):
    rng = np.random.default_rng(3)
    policy = make_policy(kind)
    words = asked(rng, (1, 1), (2, 1), (1, 3))
    policy.reset(words)
    episode, decisions, spread = [], [], 0.0
    for counts in COUNTS:
        episode.append(seen(rng, *counts))
        decision = policy.infer(episode[-1], return_attention=True)
        got = decision.attention
        for name, want in zip(
            ("objects", "action", "action_objects"),
            full(policy, words, episode, decisions),
            strict=True,
        ):
            np.testing.assert_allclose(getattr(got, name), want, rtol=0, atol=1e-5, err_msg=name)
        spread = max(spread, got.objects.std())
        decisions.append(decision)
        policy.record(decision)
    assert spread > 1e-3  # else any row would do


@KINDS
def test_what_sums_to_one(kind):
    rng = np.random.default_rng(4)
    policy = make_policy(kind)
    policy.reset(asked(rng, (2, 1), (1, 1)))
    for counts in COUNTS:
        decision = policy.infer(seen(rng, *counts), return_attention=True)
        got = decision.attention
        totals = got.objects.sum(-1), got.action.sum(-1)
        own = got.action_objects.sum(-1)
        if kind in CROSS:
            assert all(np.allclose(total, 1, atol=1e-5) for total in totals)
            assert (own < 1 + 1e-5).all()
        else:
            assert all((total < 1).all() for total in totals)
            assert (totals[1] + own < 1).all()  # the rest: the separator and earlier steps
        policy.record(decision)


@pytest.mark.slow
@KINDS
def test_each_session_of_a_batch_gets_what_it_gets_alone(kind):
    rng = np.random.default_rng(5)
    first = make_policy(kind)
    sessions, now = [], []
    for number, counts in enumerate(([(1, 1)], [(1, 2), (3, 1), (1, 1)], [(2, 2)])):
        sessions.append(first.session())
        sessions[-1].reset(asked(rng, *counts))
        for step in range(number):
            sessions[-1].record(sessions[-1].infer(seen(rng, 1 + step, 4 - step)))
        now.append(seen(rng, 3 - number, 1 + number))
    together = first.infer_batch(sessions, now, return_attention=True)
    for session, each, got in zip(sessions, now, together, strict=True):
        alone = session.infer(each, return_attention=True).attention
        assert (got.attention.prompt, got.attention.observed) == (alone.prompt, alone.observed)
        for name in ("objects", "action", "action_objects"):
            np.testing.assert_allclose(
                getattr(got.attention, name), getattr(alone, name), rtol=0, atol=1e-5
            )


@KINDS
def test_asking_changes_no_decision(kind):
    rng = np.random.default_rng(6)
    policy = make_policy(kind)
    policy.reset(asked(rng, (1, 1)))
    one, other = seen(rng, 2, 2), seen(rng, 2, 2)
    plain, with_attention = policy.infer(one), policy.infer(one, return_attention=True)
    assert plain.attention is None
    assert "attention" not in plain.timings
    same(with_attention, plain, atol=0)
    assert differ(policy.infer(other), plain)


def test_tokens_of_objects_have_names_and_no_padding():
    rng = np.random.default_rng(7)
    policy = make_policy("vima")
    policy.reset(prompt(rng, (1, 2), (2, 0)))
    now = seen(rng, 2, 1)
    got = policy.infer(now, return_attention=True).attention
    named = got.name_words({5: "▁Put", 6: "▁the", 7: "▁into", 8: ".", 1: "</s>"}.__getitem__)
    assert [(t.text, t.token, t.view, t.slot) for t in named.prompt] == [
        ("Put", 0, "", 0),
        ("the", 1, "", 0),
        ("{image0}", 2, "front", 0),
        ("{image0}", 2, "top", 0),
        ("{image0}", 2, "top", 1),
        ("into", 3, "", 0),
        ("{image1}", 4, "front", 0),
        ("{image1}", 4, "front", 1),
        (".", 5, "", 0),
        ("</s>", 6, "", 0),
    ]
    assert got.labels[:3] == ("#5", "#6", "{image0}")
    boxes = [*now.front.boxes.tolist(), *now.top.boxes.tolist()]
    assert [(t.view, t.slot, t.track_id) for t in got.observed] == [
        ("front", 0, 0),
        ("front", 1, 1),
        ("top", 0, 0),
    ]
    assert [list(t.box) for t in got.observed] == boxes
    merged = named.action_to_labels
    assert merged.shape == (len(named.labels),) == (7,)
    np.testing.assert_allclose(merged[2], named.action.mean((0, 1))[2:5].sum(), rtol=1e-6)
    np.testing.assert_allclose(merged.sum(), 1, atol=1e-5)
    np.testing.assert_allclose(named.label_scores[:2].sum(0), 1, atol=1e-5)  # the front view's
    np.testing.assert_allclose(named.label_scores[2], 1, atol=1e-5)  # alone in its view


def test_patches_cover_both_views():
    rng = np.random.default_rng(8)
    policy = make_policy("gato")
    policy.reset(asked(rng, (1, 1)))
    got = policy.infer(seen(rng, 1, 1), return_attention=True).attention
    covered = {view: np.zeros((128, 256), int) for view in ("front", "top")}
    for token in got.observed:
        x, y, height, width = token.box
        top, left = y - height // 2, x - width // 2
        covered[token.view][top : top + height + 1, left : left + width + 1] += 1
    assert all((each == 1).all() for each in covered.values())
    fronts = [t.box for t in got.observed if t.view == "front"]
    assert all(b[0] > a[0] or b[1] > a[1] for a, b in pairwise(fronts))  # in reading order
    assert [t.view for t in got.prompt if t.text == "{image0}"] == ["front"] * 8 + ["top"] * 8


@pytest.mark.parametrize("latents", ["prompt_latents", "history_latents"])
def test_attention_to_what_latents_have_read_is_refused(latents):
    rng = np.random.default_rng(9)
    network = random_network({latents: 3, "perceiver_heads": 4})
    policy = Policy(network, trained=False, description={}, tokenizer=T5)
    policy.reset(prompt(rng, (1, 1)))
    with pytest.raises(VimaError, match="valid: prompt_latents 0") as raised:
        policy.infer(seen(rng, 1, 1), return_attention=True)
    assert raised.value.code == "BAD_CONFIG"
    assert policy.infer(seen(rng, 1, 1)).attention is None
