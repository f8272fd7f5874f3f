"""Properties that hold for all four conditionings, all latents and both ways to place."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from policy_episodes import (
    differ,
    episodes,
    observation,
    observations,
    play,
    prompt,
    same,
    whole,
    whole_images,
)
from policy_weights import refused

from vima_ros.errors import VimaError
from vima_ros.policy import load_policy
from vima_ros.policy.checkpoints.load import load_network, random_network
from vima_ros.policy.checkpoints.published import save_checkpoint
from vima_ros.policy.checkpoints.safetensors import save_weights
from vima_ros.policy.config import CONDITIONINGS
from vima_ros.policy.inputs import PROMPT_KINDS, PolicyInputs
from vima_ros.specs import (
    HEAD_BINS,
    HEADS,
    AssetKind,
    EncodedPrompt,
    EndEffector,
    Observation,
    PromptImage,
    ViewObjects,
)

NONE = ViewObjects.empty()
SMALL = {"vocabulary": 60, "vit_patch": 32, "perceiver_heads": 4}
LATENTS = {
    "tokens": {},
    "prompt latents": {"prompt_latents": 5},
    "history latents": {"history_latents": 3},
    "both latents": {"prompt_latents": 2, "history_latents": 6},
}
NETWORKS = {
    f"{kind}, {name}": SMALL | {"conditioning": kind} | latents
    for kind in CONDITIONINGS
    for name, latents in LATENTS.items()
} | {"vima, conditioned place": SMALL | {"place_head": "conditioned", "place_hidden": 40}}
# Sizes that are all different, from each other and from those of the recorded arrays.
ODD = {
    "embed_dim": 84,
    "xf_n_layers": 3,
    "sattn_n_heads": 7,
    "xattn_n_heads": 6,
    "vit_width": 30,
    "vit_layers": 1,
    "vit_heads": 5,
    "vit_output": 26,
    "vit_patch": 16,
    "box_width": 22,
    "action_hidden": 18,
    "action_width": 21,  # four of them are as wide as embed_dim: the layer behind does not exist
    "decoder_hidden": 38,
    "prompt_object_hidden": 34,
    "vocabulary": 67,
    "t5_width": 36,
    "t5_layers": 3,
    "t5_heads": 5,
    "t5_head_width": 10,
    "t5_feed_forward": 46,
    "t5_buckets": 12,
    "t5_max_distance": 40,
    "max_positions": 700,
    "perceiver_latents": 7,
    "perceiver_heads": 3,
    "perceiver_layers": 2,
    "perceiver_blocks": 5,
}
KINDS = pytest.mark.parametrize("kind", CONDITIONINGS)


@cache
def built(name):
    return load_policy("random", config=NETWORKS[name])


@pytest.fixture(params=NETWORKS)
def policy(request):
    return built(request.param).session()


def of_kind(kind, latents="tokens"):
    return built(f"{kind}, {latents}").session()


def logits_at_once(policy, prompts, seen, fractions):
    """Logits {head: (B L, C)} of whole episodes."""
    network = policy.network
    with torch.inference_mode():
        return network(whole(prompts, seen, fractions, network.image_tokens)).logits


def read_at_slots(policy):
    """Whether a decision is read at the last slot of a step that others may be wider than."""
    return policy.network.image_tokens is None and policy.network.history_reader is None


def taken(decisions):
    return torch.from_numpy(np.stack([d.action.fractions for d in decisions]))


# --- one step at a time, all at once, in a batch


@pytest.mark.slow
@settings(max_examples=8, derandomize=True)
@given(steps=episodes(), seed=st.integers(0, 2**16), images=st.integers(0, 3))
@pytest.mark.parametrize("name", NETWORKS)
def test_one_step_at_a_time_equals_the_whole_history_at_once(name, steps, seed, images):
    rng, policy = np.random.default_rng(seed), built(name).session()
    words = prompt(rng, *((1, 1), (3, 0), (0, 2))[:images])
    seen = observations(rng, steps)
    decisions = play(policy, words, seen)
    logits = logits_at_once(policy, [words], [seen], taken(decisions)[None])
    for step, decision in enumerate(decisions):
        if step < len(decisions) - 1 and read_at_slots(policy):
            continue  # a later, wider step changes where earlier ones are read
        for head in HEADS:
            np.testing.assert_allclose(decision.logits[head], logits[head][step], atol=1e-4)


@pytest.mark.slow
def test_a_batch_gives_each_episode_what_it_gets_alone(policy):
    """Other prompts, steps and slots in the batch only add padding, in either pass."""
    rng = np.random.default_rng(6)
    words = [prompt(rng), prompt(rng, (2, 2)), prompt(rng, (1, 2), (2, 1), (2, 2))]
    seen = [
        [observation(rng, 4, 4)],
        [observation(rng, 2, 1, slots=(2, 2)), observation(rng, 4, 4)],
        [observation(rng, 3, 3), observation(rng, 4, 3), observation(rng, 1, 1)],
    ]
    alone = [play(policy, *episode) for episode in zip(words, seen, strict=True)]

    sessions = [policy.session() for _ in words]
    for session, text, shown in zip(sessions, words, seen, strict=True):
        play(session, text, shown[:-1])
    last = [observations[-1] for observations in seen]
    for got, decisions in zip(policy.infer_batch(sessions, last), alone, strict=True):
        same(got, decisions[-1])

    fractions = torch.zeros(3, 3, 12)
    for b, decisions in enumerate(alone):
        fractions[b, : len(decisions)] = taken(decisions)
    logits = logits_at_once(policy, words, seen, fractions)
    for b, decisions in enumerate(alone):
        for head in HEADS:
            got = logits[head][3 * b + len(decisions) - 1]
            np.testing.assert_allclose(got, decisions[-1].logits[head], rtol=0, atol=1e-4)


@pytest.mark.slow
def test_padding_changes_nothing(policy):
    """Neither at the end of the prompt nor of the history."""
    rng, network = np.random.default_rng(7), policy.network
    seen = [[observation(rng, 2, 1), observation(rng, 3, 3)]]
    fractions = torch.rand(1, 2, 12)
    batch = whole([prompt(rng, (1, 2))], seen, fractions, network.image_tokens)
    padded = replace(
        batch,
        prompt=replace(batch.prompt, rows=torch.nn.functional.pad(batch.prompt.rows, (0, 4))),
        rows=torch.nn.functional.pad(batch.rows, (0, 9)),
    )
    with torch.inference_mode():
        one, other = network(batch).logits, network(padded).logits
    for head in HEADS:
        np.testing.assert_allclose(one[head], other[head], rtol=0, atol=1e-5)


@pytest.mark.slow
def test_what_is_decided_depends_on_all_that_was_given(policy):
    rng = np.random.default_rng(0)
    words, other_words = prompt(rng, (1, 1)), prompt(rng, (1, 1))
    first, second = observation(rng, 2, 2), observation(rng, 2, 2)
    spatula = replace(second, end_effector=EndEffector.SPATULA)
    decision = play(policy, words, [first, second])[1]
    assert differ(decision, play(policy, other_words, [first, second])[1])
    assert differ(decision, play(policy, words, [second, second])[1])
    assert differ(decision, play(policy, words, [first, first])[1])
    assert differ(decision, play(policy, words, [first, spatula])[1])


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_every_weight_gets_a_gradient(name):
    rng, network = np.random.default_rng(7), random_network(NETWORKS[name])
    seen = [[observation(rng, 2, 2), observation(rng, 2, 2)]]
    words = [prompt(rng, (1, 1))]
    logits = network(whole(words, seen, torch.rand(1, 1, 12), network.image_tokens)).logits
    sum(value.square().sum() for value in logits.values()).backward()
    assert [name for name, p in network.named_parameters() if p.grad is None] == []


# --- infer, record, miss; sessions


@pytest.mark.slow
def test_infer_without_record_leaves_no_trace(policy):
    rng = np.random.default_rng(1)
    words = prompt(rng, (2, 1))
    first, second = observation(rng, 3, 2), observation(rng, 1, 4)
    want = play(policy, words, [first, second])
    policy.reset(words)
    policy.infer(observation(rng, 9, 9))
    got = policy.infer(first)
    same(got, want[0], atol=0)
    policy.record(got)
    policy.infer(observation(rng, 9, 9, end_effector=EndEffector.SPATULA))
    same(policy.infer(second), want[1], atol=0)


@pytest.mark.slow
def test_reset_forgets_the_episode(policy):
    rng = np.random.default_rng(2)
    words, seen = prompt(rng, (1, 2)), [observation(rng, 2, 3), observation(rng, 3, 3)]
    want = play(policy, words, seen)
    play(policy, prompt(rng, (4, 4)), [observation(rng, 5, 5)] * 3)
    for got, expected in zip(play(policy, words, seen), want, strict=True):
        same(got, expected, atol=0)


@pytest.mark.slow
def test_sessions_share_nothing_but_the_weights(policy):
    rng, other = np.random.default_rng(3), policy.session()
    words, seen = prompt(rng, (1, 2)), [observation(rng, 2, 3), observation(rng, 3, 3)]
    want = play(policy, words, seen)
    policy.reset(words)
    got = []
    for step in seen:
        got.append(policy.infer(step))
        play(other, prompt(rng, (2, 2)), [observation(rng, 1, 1)])
        policy.record(got[-1])
    for one, expected in zip(got, want, strict=True):
        same(one, expected, atol=0)


@pytest.mark.slow
def test_only_the_latest_decision_is_recorded_once(policy):
    rng = np.random.default_rng(3)
    policy.reset(prompt(rng, (1, 1)))
    seen = observation(rng, 2, 2)
    stale, latest = policy.infer(seen), policy.infer(seen)
    for wrong in (stale, None):
        with pytest.raises(VimaError, match="latest infer") as error:
            policy.record(wrong)
        assert error.value.code == "NOT_LATEST"
    policy.record(latest)
    with pytest.raises(VimaError) as error:
        policy.record(latest)
    assert error.value.code == "NOT_LATEST"
    before_reset = policy.infer(seen)
    policy.reset(prompt(rng, (1, 1)))
    with pytest.raises(VimaError) as error:
        policy.record(before_reset)
    assert error.value.code == "NOT_LATEST"


@pytest.mark.slow
def test_a_missed_pick_is_tried_elsewhere_until_something_was_executed(policy):
    rng = np.random.default_rng(5)
    policy.reset(prompt(rng, (1, 1)))
    seen = observation(rng, 2, 2)
    first = policy.infer(seen)
    picks, x_bins = [first.action.bins[:2]], HEAD_BINS["pose0_position"][0]
    x, y = np.split(first.logits["pose0_position"], [x_bins])
    for _ in range(4):
        latest = policy.infer(seen)
        policy.miss(latest)
        with pytest.raises(VimaError) as error:
            policy.miss(latest)
        assert error.value.code == "NOT_LATEST"
        other = policy.infer(seen)
        assert all(np.abs(other.action.bins[:2] - pick).max() > 1 for pick in picks)
        rest = slice(2, 12 if policy.network.place_head is None else 6)
        np.testing.assert_array_equal(other.action.bins[rest], first.action.bins[rest])
        # Nothing that is free is more probable.
        chosen = x[other.action.bins[0]] + y[other.action.bins[1]]
        better = np.argwhere(x[:, None] + y > chosen + 1e-6)
        assert all(min(np.abs(cell - pick).max() for pick in picks) <= 1 for cell in better)
        probability = np.exp(y - y.max()) / np.exp(y - y.max()).sum()
        assert other.confidence[1] == pytest.approx(probability[other.action.bins[1]])
        picks.append(other.action.bins[:2])


@pytest.mark.slow
def test_a_miss_is_forgotten_with_the_next_execution_or_episode(policy):
    rng = np.random.default_rng(6)
    words, seen = prompt(rng, (1, 1)), observation(rng, 2, 2)
    want = play(policy, words, [seen, seen])
    policy.reset(words)
    policy.miss(policy.infer(seen))
    policy.reset(words)
    same(policy.infer(seen), want[0], atol=0)
    policy.miss(policy.infer(seen))
    second = policy.infer(seen)
    assert tuple(second.action.bins[:2]) != tuple(want[0].action.bins[:2])
    policy.record(second)
    third = policy.infer(seen)
    for head in ("pose0_position", "pose1_position"):
        best = [part.argmax() for part in np.split(third.logits[head], [HEAD_BINS[head][0]])]
        start = 0 if head == "pose0_position" else 6
        np.testing.assert_array_equal(third.action.bins[start : start + 2], best)


# --- limits


@KINDS
@pytest.mark.parametrize("latents", ["tokens", "both latents"])
def test_the_longest_prompt(kind, latents):
    """256 tokens; where prompt and history share positions, all of these but two."""
    policy = of_kind(kind, latents)
    most = 510 if kind in ("gpt", "gato") else 256
    policy.reset(EncodedPrompt((3,) * (most - 1) + (1,)))
    longer = EncodedPrompt((3,) * most + (1,))
    if latents == "tokens":
        with pytest.raises(VimaError, match=rf"{most + 1} tokens.*at most {most}"):
            policy.reset(longer)
    else:
        policy.reset(longer)


@pytest.mark.slow
@KINDS
@pytest.mark.parametrize("latents", ["tokens", "history latents"])
def test_the_longest_history(kind, latents):
    """All positions but those of a prefix; latents have none to run out of."""
    config = SMALL | LATENTS[latents] | {"conditioning": kind, "max_positions": 90}
    policy, rng = load_policy("random", config=config), np.random.default_rng(12)
    policy.reset(prompt(rng))
    slots = policy.network.image_tokens or 4
    before = 4 if kind in ("gpt", "gato") else 0  # three words and the separator
    steps = (90 - before + 1) // (slots + 1)
    seen = observation(rng, 2, 2)
    for _ in range(steps):
        policy.record(policy.infer(seen))
    if latents == "tokens":
        with pytest.raises(VimaError, match=rf"{steps} makes .*at most {90 - before}") as error:
            policy.infer(seen)
        assert error.value.code == "HISTORY_FULL"
    else:
        policy.infer(seen)


def test_the_memory_of_latents_does_not_grow():
    """A long episode takes no more of it than a short one, which is what they are for."""
    rng, policy = np.random.default_rng(13), of_kind("vima", "history latents")
    policy.reset(prompt(rng, (1, 1)))
    seen = observation(rng, 3, 3)
    tokens = []
    policy.network.controller.register_forward_pre_hook(lambda _, args: tokens.append(args[0]))
    for _ in range(4):
        policy.record(policy.infer(seen))
    assert [part.shape[1] for part in tokens] == [3] * 4


# --- what a policy declares and refuses


@KINDS
def test_a_policy_declares_what_it_reads(kind):
    want = "objects" if kind == "vima" else "images"
    assert of_kind(kind).inputs == PolicyInputs(PROMPT_KINDS, want, "pose_pair")


def scene(**views):
    return PromptImage("world", AssetKind.SCENE, **({"front": NONE, "top": NONE} | views))


@pytest.mark.slow
@KINDS
@pytest.mark.parametrize(
    ("declared", "what"),
    [(("words",), "{image0}, of kind object"), (("words", "object"), "{world}, of kind scene")],
)
def test_a_prompt_of_a_kind_that_is_not_declared(kind, declared, what):
    rng = np.random.default_rng(14)
    policy = load_policy("random", config=SMALL | {"conditioning": kind})
    words = prompt(rng, (1, 1))
    shown = scene(front=words.images[0].front, images=whole_images(rng))
    both = EncodedPrompt((*words.tokens, shown))
    policy.reset(both)
    policy.network.inputs = replace(policy.inputs, prompt=declared)
    with pytest.raises(VimaError) as error:
        policy.reset(both)
    assert error.value.code == "UNREADABLE_PROMPT"
    assert what in str(error.value)
    assert f"valid: {', '.join(declared)}" in str(error.value)
    with pytest.raises(VimaError, match="infer before reset"):
        policy.infer(observation(rng, 1, 1))


@KINDS
def test_a_prompt_image_in_the_other_form(kind):
    rng, policy = np.random.default_rng(15), of_kind(kind)
    objects = observation(rng, 1, 1).front
    one, code = (scene(images=whole_images(rng)), "UNREADABLE_PROMPT")
    if kind != "vima":
        one, code = scene(front=objects, top=objects), "NO_IMAGES"
    with pytest.raises(VimaError, match=r"image \{world\}") as error:
        policy.reset(EncodedPrompt((one, 1)))
    assert error.value.code == code


@KINDS
def test_an_observation_in_the_other_form(kind):
    rng, policy = np.random.default_rng(16), of_kind(kind)
    policy.reset(prompt(rng, (1, 1)))
    both = observation(rng, 1, 1)
    other = (
        replace(both, images=None)
        if kind != "vima"
        else Observation(NONE, NONE, images=both.images)
    )
    with pytest.raises(VimaError) as error:
        policy.infer(other)
    assert error.value.code == ("NO_IMAGES" if kind != "vima" else "NO_OBJECT")
    policy.infer(both)  # it goes on


@pytest.mark.parametrize(
    "wrong",
    [
        {"prompt": ("words", "sounds")},
        {"prompt": ()},
        {"observation": "points"},
        {"action": "joints"},
    ],
)
def test_inputs_of_unknown_kinds(wrong):
    with pytest.raises(VimaError, match="valid: ") as error:
        PolicyInputs(**wrong)
    assert error.value.code == "INVALID_VALUE"


# --- sizes, files, number formats


@pytest.mark.slow
@KINDS
@pytest.mark.parametrize("latents", LATENTS)
def test_other_sizes_are_saved_and_decide(tmp_path, kind, latents):
    """Nothing is tied to one width, head count, patch or number of latents."""
    network = random_network(ODD | {"conditioning": kind} | LATENTS[latents])
    own, published = tmp_path / "own.safetensors", tmp_path / "published.ckpt"
    save_weights(network, own, {})
    loaded, _ = load_network(own, {})
    assert loaded.config == network.config
    assert loaded.inputs == network.inputs
    rng = np.random.default_rng(17)
    words, seen = prompt(rng, (2, 1), (1, 3)), [observation(rng, 3, 2), observation(rng, 1, 4)]
    policy = load_policy(own)
    decisions = play(policy, words, seen)
    with torch.inference_mode():
        batch = whole([words], [seen], taken(decisions)[None], network.image_tokens)
        logits = network(batch).logits
    for head in HEADS:
        np.testing.assert_allclose(decisions[-1].logits[head], logits[head][-1], atol=1e-4)
    if latents != "tokens":
        with pytest.raises(VimaError, match="latents, which the published form") as error:
            save_checkpoint(network, published)
        assert error.value.code == "CANNOT_WRITE"
        return
    save_checkpoint(network, published)
    for got, want in zip(play(load_policy(published), words, seen), decisions, strict=True):
        same(got, want, atol=0)


@pytest.mark.slow
@KINDS
def test_another_conditioning_than_the_tensors(tmp_path, kind):
    """Each file is recognized by its tensors, and a card that says otherwise is refused."""
    path = tmp_path / "own.safetensors"
    save_weights(random_network(NETWORKS[f"{kind}, tokens"]), path, {})
    name = load_policy(path).description["card"]["name"]
    assert name.upper().startswith("VIMA " if kind == "vima" else f"VIMA-{kind.upper()} ")
    card = path.with_suffix(".json")
    card.write_text(card.read_text().replace(f'"{kind}"', '"other"'))
    refused(path, f"conditioning other, the tensors are of {kind}")


# Largest difference of a logit, whose standard deviation is about 0.3.
TOLERANCE = {"bfloat16": 0.12, "int8": 0.3}


@pytest.mark.slow
@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("name", NETWORKS)
def test_other_number_formats_decide_nearly_the_same(name, dtype):
    rng = np.random.default_rng(18)
    words, seen = prompt(rng, (1, 2), (2, 2)), [observation(rng, 3, 4), observation(rng, 4, 2)]
    plain, policy = built(name), load_policy("random", config=NETWORKS[name], dtype=dtype)
    plain.reset(words)
    policy.reset(words)
    worst = 0.0
    for step in seen:
        want, got = plain.infer(step), policy.infer(step)
        worst = max(worst, *(np.abs(got.logits[h] - want.logits[h]).max() for h in HEADS))
    assert 1e-5 < worst < TOLERANCE[dtype]
