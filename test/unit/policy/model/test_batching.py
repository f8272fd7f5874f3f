"""Several sessions at once get what each gets alone; nothing is computed that nobody reads."""

from itertools import cycle

import numpy as np
import policy_goldens as goldens
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from policy_episodes import episodes, observation, observations, play, prompt, same, views

from vima_ros.errors import VimaError
from vima_ros.policy import load_policy
from vima_ros.policy.kv_cache import run_step
from vima_ros.specs import AssetKind, EncodedPrompt, Observation, PromptImage, ViewObjects


@pytest.fixture(scope="module")
def policy():
    return load_policy("random")


@pytest.fixture
def crops_seen(policy):
    """How many crops each call of the vision transformer gets."""
    counts = []
    hook = policy.network.object_encoder.vit.register_forward_hook(
        lambda _, inputs, __: counts.append(len(inputs[0]))
    )
    yield counts
    hook.remove()


@pytest.mark.slow
@settings(max_examples=30, derandomize=True)
@given(robots=st.lists(episodes(), min_size=1, max_size=4), seed=st.integers(0, 2**16))
def test_a_batch_equals_one_by_one(policy, robots, seed):
    """All differ; who has finished starts again while others go on."""
    rng = np.random.default_rng(seed)
    pictures = [rng.integers(1, 4, (rng.integers(0, 3), 2)).tolist() for _ in robots]
    words = [prompt(rng, *images) for images in pictures]
    seen = [observations(rng, steps) for steps in robots]
    want = [play(policy, *episode) for episode in zip(words, seen, strict=True)]
    sessions = [policy.session() for _ in robots]
    for step in range(max(map(len, seen))):
        turns = [step % len(steps) for steps in seen]
        for session, prompted, turn in zip(sessions, words, turns, strict=True):
            if turn == 0:
                session.reset(prompted)
        now = [steps[turn] for steps, turn in zip(seen, turns, strict=True)]
        decisions = policy.infer_batch(sessions, now)
        for b, (session, decision) in enumerate(zip(sessions, decisions, strict=True)):
            same(decision, want[b][turns[b]], atol=1e-4)
            session.record(decision)


def test_the_goldens_hold_in_a_batch():
    golden = load_policy(goldens.checkpoint(), config=goldens.CONFIG)
    other = golden.session()
    rng = np.random.default_rng(1)
    golden.reset(goldens.prompts()[0])
    other.reset(prompt(rng, (4, 4)))
    for step, (seen, crowd) in enumerate(zip(goldens.episode(), cycle([1, 9, 3]), strict=False)):
        decisions = golden.infer_batch([other, golden], [observation(rng, crowd, crowd), seen])
        np.testing.assert_array_equal(
            decisions[1].action.bins, goldens.heads(f"step/{step}/bins")[0, 0]
        )
        golden.record(decisions[1])
        if step % 2:
            other.record(decisions[0])


def test_sessions_share_weights_and_nothing_else(policy):
    rng = np.random.default_rng(2)
    one, other = policy.session(), policy.session()
    assert one.network is policy.network
    one.reset(prompt(rng, (1, 1)))
    with pytest.raises(VimaError) as error:
        other.infer(observation(rng, 1, 1))
    assert error.value.code == "NO_PROMPT"
    decision = one.infer(observation(rng, 2, 2))
    with pytest.raises(VimaError) as error:
        other.record(decision)
    assert error.value.code == "NOT_LATEST"


def test_sessions_that_make_no_batch_are_refused(policy):
    rng = np.random.default_rng(3)
    one, other, stranger = policy.session(), policy.session(), load_policy("random")
    for session in (one, stranger):
        session.reset(prompt(rng, (1, 1)))
    seen = observation(rng, 1, 1)
    for sessions, count, code in (
        ([], 0, "BAD_BATCH"),
        ([one], 2, "BAD_BATCH"),
        ([one, one], 2, "BAD_BATCH"),
        ([one, stranger], 2, "BAD_BATCH"),
        ([one, other], 2, "NO_PROMPT"),
    ):
        with pytest.raises(VimaError) as error:
            policy.infer_batch(sessions, [seen] * count)
        assert error.value.code == code


def test_one_bad_observation_leaves_every_session_as_it_was(policy):
    rng = np.random.default_rng(4)
    one, other = policy.session(), policy.session()
    for session in (one, other):
        session.reset(prompt(rng, (1, 1)))
    pending = one.infer(observation(rng, 1, 1))
    with pytest.raises(VimaError) as error:
        policy.infer_batch([one, other], [observation(rng, 1, 1), observation(rng, 0, 0)])
    assert error.value.code == "NO_OBJECT"
    one.record(pending)


def test_only_crops_that_count_are_encoded(policy, crops_seen):
    rng = np.random.default_rng(5)
    policy.reset(prompt(rng, (1, 1)))
    crops_seen.clear()
    policy.record(policy.infer(observation(rng, 3, 5)))  # two padded front slots
    policy.record(policy.infer(observation(rng, 5, 3)))  # the last top slot is padding, and asks
    policy.infer(observation(rng, 2, 1))  # a zero vector asks
    assert crops_seen == [8, 8 + 1, 3]


def test_a_picture_is_encoded_once_however_often_it_is_named(policy, crops_seen):
    rng = np.random.default_rng(6)
    front, top = views(rng, 1), views(rng, 2)
    again = ViewObjects(*(np.array(field) for field in top.fields))
    pictures = [PromptImage("a", AssetKind.OBJECT, front, view) for view in (top, again)]
    policy.reset(EncodedPrompt((pictures[0], 5, pictures[1], 6, pictures[0], 1)))
    assert crops_seen == [3]


def test_crops_are_shared_only_where_they_are_equal(policy, crops_seen):
    """Two objects that look alike, at different places, decide as two that nearly do."""
    rng = np.random.default_rng(7)
    pair = views(rng, 2)
    alike = pair.crops[[0, 0]]
    nearly = alike.copy()
    nearly[1, 2, 31, 31] ^= 1
    policy.reset(prompt(rng, (1, 1)))
    crops_seen.clear()
    got, want, other = (
        policy.infer(Observation(view, ViewObjects.empty(), slots=(2, 0)))
        for view in (
            ViewObjects(pair.boxes, crops, pair.scores, pair.track_ids)
            for crops in (alike, nearly, pair.crops)
        )
    )
    assert crops_seen == [1, 2, 2]
    for head, logits in got.logits.items():
        np.testing.assert_allclose(logits, want.logits[head], atol=0.01)
    assert any(np.abs(got.logits[h] - other.logits[h]).max() > 0.02 for h in got.logits)


def test_decisions_of_a_batch_do_not_hold_its_memory(policy, monkeypatch):
    """Each session's share is its own where lengths differ."""
    caches = []

    def noted(*arguments):
        out = run_step(*arguments)
        caches[:] = out.histories
        return out

    monkeypatch.setattr("vima_ros.policy.policy.run_step", noted)
    rng = np.random.default_rng(8)
    long, short = policy.session(), policy.session()
    for session, count in ((long, 9), (short, 1)):
        play(session, prompt(rng, (1, 1)), [observation(rng, count, count)] * 2)
    policy.infer_batch([long, short], [observation(rng, 1, 1)] * 2)
    keys, _ = caches[1].kv_cache[0]
    assert keys.untyped_storage().nbytes() == keys.numel() * torch.float32.itemsize
