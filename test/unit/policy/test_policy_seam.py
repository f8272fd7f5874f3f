"""Reset, infer and record of VIMA, with the small random policy.

What holds for every conditioning is in test_conditioning_properties.py.
"""

import numpy as np
import policy_goldens as goldens
import pytest
import torch
from outlines_of import outline
from policy_episodes import (
    differ,
    observation,
    play,
    prompt,
    same,
    views,
)

from vima_ros.errors import VimaError
from vima_ros.outlines import clearances
from vima_ros.policy import load_policy
from vima_ros.policy.action_selection import decide, select_pick
from vima_ros.policy.model.batching import collate_prompts
from vima_ros.policy.picked_object import Pick, bin_pixels
from vima_ros.specs import (
    HEAD_BINS,
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


def test_confidence_is_the_softmax_of_the_chosen_bins():
    rng = np.random.default_rng(8)
    logits = {h: rng.normal(size=sum(n)).astype(np.float32) * 50 for h, n in HEAD_BINS.items()}
    decision = decide(logits, select_pick(logits["pose0_position"]), EndEffector.SUCTION, {})
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
        decide(logits, Pick((0, 0)), EndEffector.SUCTION, {})
    assert error.value.code == "NOT_FINITE"


def with_outlines(objects):
    """The objects, each a square of 30 px, side by side."""
    left = [10 + 40 * i for i in range(len(objects))]
    squares = [outline([(x, 20), (x + 30, 20), (x + 30, 50), (x, 50)]) for x in left]
    ids = np.arange(len(objects)) + 5
    return ViewObjects(*objects.fields[:3], ids, np.stack(squares))


def test_a_grounded_pick_is_inside_the_object_that_the_decision_names():
    rng = np.random.default_rng(10)
    policy, by_bins = load_policy("random", pick="grounded"), load_policy("random")
    words, seen = prompt(rng, (1, 1)), Observation(views(rng, 3), with_outlines(views(rng, 3)))
    policy.reset(words)
    by_bins.reset(words)
    got, want = policy.infer(seen), by_bins.infer(seen)
    assert not differ(got, want), "the logits are the same"
    np.testing.assert_array_equal(got.action.bins[2:], want.action.bins[2:])
    index = seen.top.track_ids.tolist().index(got.picked)
    point = bin_pixels()[got.action.bins[0], got.action.bins[1]]
    assert clearances(seen.top.outlines[index], point[None])[0] >= 2
    assert want.picked is None
    sessions = [policy.session() for _ in range(2)]
    sessions[1].pick = "bins"
    for session in sessions:
        session.reset(words)
    for decision, alone in zip(policy.infer_batch(sessions, [seen] * 2), (got, want), strict=True):
        same(decision, alone)
        assert decision.picked == alone.picked


@pytest.mark.parametrize("case", ["a spatula", "no outlines", "nothing in the top view"])
def test_a_pick_that_cannot_be_grounded_is_by_the_bins(case):
    rng = np.random.default_rng(11)
    policy, by_bins = load_policy("random", pick="grounded"), load_policy("random")
    front, top = views(rng, 2), with_outlines(views(rng, 2))
    seen = {
        "a spatula": Observation(front, top, EndEffector.SPATULA),
        "no outlines": Observation(front, ViewObjects(*top.fields[:4])),
        "nothing in the top view": Observation(front, ViewObjects.empty()),
    }[case]
    words = prompt(rng, (1, 1))
    policy.reset(words)
    by_bins.reset(words)
    got, want = policy.infer(seen), by_bins.infer(seen)
    same(got, want)
    assert got.picked is None


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
    nothing = PromptImage("nothing", AssetKind.OBJECT, ViewObjects.empty(), ViewObjects.empty())
    refused = {
        "NO_OBJECT": EncodedPrompt((*prompt(rng, (1, 1)).tokens, nothing)),
        "UNKNOWN_WORD": EncodedPrompt((policy.network.config.vocabulary, 1)),
        "PROMPT_TOO_LONG": prompt(rng, (100, 1), (1, 100)),
    }
    with pytest.raises(VimaError) as error:
        policy.reset(refused[bad])
    assert error.value.code == bad
    with pytest.raises(VimaError) as error:
        policy.infer(observation(rng, 1, 1))
    assert error.value.code == "NO_PROMPT"


def test_a_history_has_at_most_512_tokens(policy):
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


def test_a_first_observation_without_objects_is_refused_a_later_one_needs_slots(policy):
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
