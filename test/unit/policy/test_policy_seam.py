"""Properties of reset, infer and record, with the small random policy."""

import numpy as np
import policy_goldens as goldens
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
    views,
    whole,
)

from vima_ros.errors import VimaError
from vima_ros.policy import load_policy
from vima_ros.policy.action_selection import decide
from vima_ros.policy.checkpoints.load import random_network
from vima_ros.policy.model.batching import collate_prompts
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


@pytest.fixture(scope="module")
def policy():
    return load_policy("random")


@settings(max_examples=40, derandomize=True)
@given(steps=episodes(), seed=st.integers(0, 2**16))
def test_one_step_at_a_time_equals_the_whole_history_at_once(policy, steps, seed):
    rng = np.random.default_rng(seed)
    words = prompt(rng, (1, 1), (3, 0))
    seen = observations(rng, steps)
    decisions = play(policy, words, seen)
    fractions = torch.tensor(np.stack([d.action.fractions for d in decisions]))[None]
    with torch.inference_mode():
        logits = policy.network(whole([words], [seen], fractions)).logits
    for head in HEADS:
        np.testing.assert_allclose(decisions[-1].logits[head], logits[head][-1], atol=1e-4)


def test_the_policy_reads_prompt_observation_effector_and_history(policy):
    rng = np.random.default_rng(0)
    words, other_words = prompt(rng, (1, 1)), prompt(rng, (1, 1))
    first, second = observation(rng, 2, 2), observation(rng, 2, 2)
    spatula = Observation(second.front, second.top, EndEffector.SPATULA)
    decision = play(policy, words, [first, second])[1]
    assert differ(decision, play(policy, other_words, [first, second])[1])
    assert differ(decision, play(policy, words, [second, second])[1])
    assert differ(decision, play(policy, words, [first, first])[1])
    assert differ(decision, play(policy, words, [first, spatula])[1])


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


def test_reset_forgets_the_episode(policy):
    rng = np.random.default_rng(2)
    words, seen = prompt(rng, (1, 2)), [observation(rng, 2, 3), observation(rng, 3, 3)]
    want = play(policy, words, seen)
    play(policy, prompt(rng, (4, 4)), [observation(rng, 5, 5)] * 3)
    for got, expected in zip(play(policy, words, seen), want, strict=True):
        same(got, expected, atol=0)


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
        np.testing.assert_array_equal(other.action.bins[2:], first.action.bins[2:])
        # Nothing that is free is more probable.
        chosen = x[other.action.bins[0]] + y[other.action.bins[1]]
        better = np.argwhere(x[:, None] + y > chosen + 1e-6)
        assert all(min(np.abs(cell - pick).max() for pick in picks) <= 1 for cell in better)
        probability = np.exp(y - y.max()) / np.exp(y - y.max()).sum()
        assert other.confidence[1] == pytest.approx(probability[other.action.bins[1]])
        picks.append(other.action.bins[:2])


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


def test_hidden_slots_before_the_last_change_nothing(policy):
    rng = np.random.default_rng(4)
    words, front, top = prompt(rng, (1, 1)), views(rng, 2), views(rng, 3)
    want, *more = (
        play(policy, words, [Observation(front, top, slots=slots)] * 2)
        for slots in ((2, 3), (3, 3), (6, 3))
    )
    for decisions in more:
        for got, expected in zip(decisions, want, strict=True):
            same(got, expected)


def test_the_last_slot_counts_even_when_hidden(policy):
    rng = np.random.default_rng(5)
    words, front, top = prompt(rng, (1, 1)), views(rng, 2), views(rng, 3)
    seen, hidden = (
        play(policy, words, [Observation(front, top, slots=(2, n))])[0] for n in (3, 4)
    )
    assert differ(seen, hidden)
    same(hidden, play(policy, words, [Observation(front, top, slots=(2, 6))])[0])


def test_a_batch_gives_each_episode_what_it_gets_alone(policy):
    """Other prompts, steps and slots in the batch only add padding."""
    rng = np.random.default_rng(6)
    words = [prompt(rng, (2, 2)), prompt(rng, (1, 2), (2, 1), (2, 2))]
    seen = [
        [observation(rng, 2, 1, slots=(2, 2)), observation(rng, 4, 4)],
        [observation(rng, 3, 3), observation(rng, 4, 3), observation(rng, 1, 1)],
    ]
    played = [play(policy, *episode) for episode in zip(words, seen, strict=True)]
    fractions = torch.zeros(2, 3, 12)
    for b, decisions in enumerate(played):
        for step, decision in enumerate(decisions):
            fractions[b, step] = torch.from_numpy(decision.action.fractions)
    with torch.inference_mode():
        logits = policy.network(whole(words, seen, fractions)).logits
    for b, decisions in enumerate(played):
        last = len(decisions) - 1
        for head in HEADS:
            np.testing.assert_allclose(
                logits[head][3 * b + last], decisions[last].logits[head], rtol=0, atol=1e-4
            )


def test_every_weight_gets_a_gradient():
    rng = np.random.default_rng(7)
    network = random_network({})
    seen = [observation(rng, 2, 2), observation(rng, 2, 2)]
    logits = network(whole([prompt(rng, (1, 1))], [seen], torch.rand(1, 1, 12))).logits
    sum(value.square().sum() for value in logits.values()).backward()
    assert [name for name, p in network.named_parameters() if p.grad is None] == []


def test_confidence_is_the_softmax_of_the_chosen_bins():
    rng = np.random.default_rng(8)
    logits = {h: rng.normal(size=sum(n)).astype(np.float32) * 50 for h, n in HEAD_BINS.items()}
    decision = decide(logits, EndEffector.SUCTION, {})
    parts = [
        part
        for head, counts in HEAD_BINS.items()
        for part in torch.from_numpy(logits[head]).split(counts)
    ]
    np.testing.assert_array_equal(decision.action.bins, [int(part.argmax()) for part in parts])
    want = [float(part.softmax(0).max()) for part in parts]
    np.testing.assert_allclose(decision.confidence, want, rtol=1e-5)


def test_numbers_that_are_not_finite_are_no_decision():
    logits = {head: np.zeros(sum(n), np.float32) for head, n in HEAD_BINS.items()}
    logits["pose1_position"][7] = np.nan
    with pytest.raises(VimaError, match="pose1_position") as error:
        decide(logits, EndEffector.SUCTION, {})
    assert error.value.code == "NOT_FINITE"


def test_timings_add_up(policy):
    rng = np.random.default_rng(9)
    policy.reset(prompt(rng, (1, 1)))
    timings = policy.infer(observation(rng, 1, 1)).timings
    assert set(timings) == {"objects", "controller", "decoder", "total"}
    parts = timings["objects"] + timings["controller"] + timings["decoder"]
    assert timings["total"] == pytest.approx(parts)
    assert min(timings.values()) > 0
    assert policy.prompt_time > 0


def test_infer_needs_a_prompt():
    rng = np.random.default_rng(10)
    policy = load_policy("random")
    with pytest.raises(VimaError) as error:
        policy.infer(observation(rng, 1, 1))
    assert error.value.code == "NO_PROMPT"


@pytest.mark.parametrize("bad", ["NO_OBJECT", "UNKNOWN_WORD", "PROMPT_TOO_LONG"])
def test_a_refused_prompt_leaves_none(policy, bad):
    rng = np.random.default_rng(11)
    policy.reset(prompt(rng, (1, 1)))
    refused = {
        "NO_OBJECT": prompt(rng, (1, 1), (0, 0)),
        "UNKNOWN_WORD": EncodedPrompt((policy.network.config.vocabulary, 1)),
        "PROMPT_TOO_LONG": prompt(rng, (100, 1), (1, 100)),
    }
    with pytest.raises(VimaError) as error:
        policy.reset(refused[bad])
    assert error.value.code == bad
    with pytest.raises(VimaError) as error:
        policy.infer(observation(rng, 1, 1))
    assert error.value.code == "NO_PROMPT"


def test_the_longest_prompt(policy):
    policy.reset(EncodedPrompt((3,) * 255 + (1,)))
    with pytest.raises(VimaError, match=r"257 tokens.*at most 256"):
        policy.reset(EncodedPrompt((3,) * 256 + (1,)))


def test_the_longest_history(policy):
    """Steps times the most slots so far, and the actions between them: 512 at most."""
    rng = np.random.default_rng(12)
    policy.reset(prompt(rng, (1, 1)))
    policy.infer(observation(rng, 1, 1, slots=(500, 12)))
    with pytest.raises(VimaError, match=r"513 tokens.*at most 512") as error:
        policy.infer(observation(rng, 1, 1, slots=(500, 13)))
    assert error.value.code == "HISTORY_FULL"
    for _ in range(3):
        policy.record(policy.infer(observation(rng, 1, 1, slots=(50, 77))))
    policy.record(policy.infer(observation(rng, 1, 1)))  # 4 x 127 + 3 = 511
    with pytest.raises(VimaError, match=r"639 tokens.*at most 512"):
        policy.infer(observation(rng, 1, 1))


def test_how_far_the_prompt_encoder_tells_places_apart():
    words = EncodedPrompt((*range(100), 1))
    near, far = (
        load_policy("random", config={"t5_max_distance": distance}).network
        for distance in (32, 128)
    )
    batch = collate_prompts([words])
    with torch.inference_mode():
        assert not torch.allclose(near.encode_prompt(batch)[0], far.encode_prompt(batch)[0])


def test_an_observation_without_objects(policy):
    rng = np.random.default_rng(13)
    policy.reset(prompt(rng, (1, 1)))
    for nothing in (observation(rng, 0, 0), observation(rng, 0, 0, slots=(3, 3))):
        with pytest.raises(VimaError) as error:
            policy.infer(nothing)
        assert error.value.code == "NO_OBJECT"
    policy.record(policy.infer(observation(rng, 2, 2)))
    policy.infer(observation(rng, 0, 0, slots=(2, 2)))
    with pytest.raises(VimaError) as error:
        policy.infer(observation(rng, 0, 0))
    assert error.value.code == "NO_OBJECT"


@pytest.mark.parametrize("counts", [(0, 2), (2, 0)])
def test_one_view_without_objects_is_allowed(policy, counts):
    rng = np.random.default_rng(14)
    policy.reset(prompt(rng, counts))
    decision = policy.infer(observation(rng, *counts))
    assert np.isfinite(decision.confidence).all()


def test_a_prompt_of_words_alone_is_allowed(policy):
    rng = np.random.default_rng(15)
    policy.reset(prompt(rng))
    assert np.isfinite(policy.infer(observation(rng, 1, 1)).confidence).all()


def test_dark_crops_are_ordinary(policy):
    rng = np.random.default_rng(16)
    dark = ViewObjects([[9, 9, 5, 5]], np.zeros((1, 3, 32, 32), np.uint8), [1.0], [0])
    picture = PromptImage("dark", AssetKind.OBJECT, dark, dark)
    policy.reset(EncodedPrompt((picture, 1)))
    assert differ(policy.infer(Observation(dark, dark)), policy.infer(observation(rng, 1, 1)))


def test_the_golden_episode_does_not_depend_on_what_ran_before():
    policy = load_policy(goldens.checkpoint(), config=goldens.CONFIG)
    words, seen = goldens.prompts()[0], goldens.episode()
    want = play(policy, words, seen)
    play(policy, words, seen[::-1])
    for got, expected in zip(play(policy, words, seen), want, strict=True):
        same(got, expected, atol=0)
