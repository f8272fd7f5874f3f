"""Random prompts and observations, and how decisions are compared, for several tests."""

import numpy as np
from hypothesis import strategies as st

from vima_ros.specs import (
    HEADS,
    AssetKind,
    EncodedPrompt,
    EndEffector,
    Observation,
    PromptImage,
    ViewObjects,
)


def views(rng, count):
    """``count`` random objects; the upper bounds keep every box inside the policy frame."""
    return ViewObjects(
        rng.integers(0, (257, 129, 129, 257), (count, 4)),
        rng.integers(0, 256, (count, 3, 32, 32), dtype=np.uint8),
        np.ones(count),
        np.arange(count),
    )


def observation(rng, front, top, **more):
    return Observation(views(rng, front), views(rng, top), **more)


def prompt(rng, *images):
    """Two words, each picture (front, top) followed by a word, the end."""
    tokens = [5, 6]
    for i, (front, top) in enumerate(images):
        picture = PromptImage(f"image{i}", AssetKind.OBJECT, views(rng, front), views(rng, top))
        tokens += [picture, 7 + i]
    return EncodedPrompt((*tokens, 1))


def play(policy, words, observations):
    policy.reset(words)
    decisions = []
    for seen in observations:
        decisions.append(policy.infer(seen))
        policy.record(decisions[-1])
    return decisions


def same(got, want, atol=1e-5):
    np.testing.assert_array_equal(got.action.bins, want.action.bins)
    for head in HEADS:
        np.testing.assert_allclose(got.logits[head], want.logits[head], rtol=0, atol=atol)


def differ(one, other):
    return max(np.abs(one.logits[head] - other.logits[head]).max() for head in HEADS) > 1e-4


@st.composite
def episodes(draw, least=1):
    """Object counts and slots of each step, growing and shrinking; the first step shows some."""
    steps = []
    for step in range(draw(st.integers(least, 5))):
        front, top = draw(st.tuples(st.integers(0, 4), st.integers(0, 4)))
        if step == 0 and front + top == 0:
            front = 1
        more = draw(st.one_of(st.none(), st.tuples(st.integers(0, 2), st.integers(0, 2))))
        slots = None if more is None else (front + more[0], top + more[1])
        if front + top == 0:
            slots = (1 + step, 2)
        steps.append((front, top, slots, draw(st.sampled_from(EndEffector))))
    return steps


def observations(rng, steps):
    """What ``episodes`` drew, with random objects."""
    return [
        observation(rng, front, top, slots=slots, end_effector=effector)
        for front, top, slots, effector in steps
    ]
