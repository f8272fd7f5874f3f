"""Random prompts and observations, and how decisions are compared, for several tests."""

import numpy as np
import torch
from hypothesis import strategies as st

from vima_ros.policy.model.batching import (
    EpisodeBatch,
    ImageBatch,
    PromptBatch,
    Slots,
    collate_observations,
    collate_prompts,
)
from vima_ros.policy.picked_object import Pick, picked_in_views
from vima_ros.specs import (
    HEADS,
    VIEW_IMAGE_SIZE,
    Action,
    AssetKind,
    EncodedPrompt,
    EndEffector,
    Observation,
    PromptImage,
    ViewImages,
    ViewObjects,
)


def whole(prompts, episodes, fractions, image_tokens=None):
    """Everything at once: L steps of B episodes; fractions (B, L - 1 or L, 12).

    The last tells a conditioned place alone what is picked; without it nothing is.
    Row b L + l of the outputs is episode b's step l. ``image_tokens``: as of the network.
    """
    prompt = collate_prompts(prompts, image_tokens, 1 << 20)
    seen = collate_observations(episodes, image_tokens)
    merge = merged_slots if image_tokens is None else merged_images
    slots, at_ours, at_theirs = merge(prompt.slots, seen.slots)
    words = len(prompt.words)
    prompt_rows = torch.cat([torch.arange(1 + words), 1 + words + at_ours])[prompt.rows]
    steps = torch.cat([torch.zeros(1, dtype=torch.int64), 1 + at_theirs])[seen.rows]  # (B, L, Q)
    b, count, q = steps.shape
    first = 1 + len(at_ours) + len(at_theirs)
    actions = first + torch.arange(b * (count - 1)).reshape(b, count - 1)
    actions = torch.nn.functional.pad(actions, (0, 1))[:, :, None]
    history = torch.cat([steps, actions], dim=2).flatten(1, 2)[:, :-1]
    reads = torch.arange(b)[:, None] * history.shape[1] + torch.arange(count) * (q + 1) + q - 1
    end_effectors = torch.zeros(first - 1, dtype=torch.int64)
    end_effectors[at_theirs] = seen.end_effectors
    picked = torch.full((b, count, 2), -1)
    if image_tokens is None:
        for i, episode in enumerate(episodes):
            for step, (shown, action) in enumerate(zip(episode, fractions[i], strict=False)):
                pick = Action.from_fractions(action.float().numpy()).bins[:2]
                start = i * history.shape[1] + step * (q + 1)
                starts = start, start + shown.slot_counts[0]
                views = zip(picked_in_views(shown, Pick(tuple(pick))), starts, strict=True)
                picked[i, step] = torch.tensor([at + s if at >= 0 else -1 for at, s in views])
    return EpisodeBatch(
        PromptBatch(prompt.words, slots, prompt_rows),
        end_effectors,
        fractions[:, : count - 1].flatten(0, 1),
        history,
        reads.flatten(),
        picked.flatten(0, 1),
    )


def merged_slots(ours, theirs):
    """The slots of both, and where each one's are: the front slots of both, then the tops."""
    n_front = ours.n_front + theirs.n_front
    tops = len(ours.mask) - ours.n_front
    at = torch.arange(len(ours.mask) + len(theirs.mask))
    at_ours = torch.cat([at[: ours.n_front], at[n_front : n_front + tops]])
    at_theirs = torch.cat([at[ours.n_front : n_front], at[n_front + tops :]])

    def merged(one, other):
        out = torch.zeros(len(at), *one.shape[1:], dtype=one.dtype)
        out[at_ours], out[at_theirs] = one, other
        return out

    slots = Slots(
        torch.cat([ours.crops, theirs.crops]),
        merged(ours.crop_rows, theirs.crop_rows + len(ours.crops)),
        merged(ours.boxes, theirs.boxes),
        merged(ours.mask, theirs.mask),
        n_front,
    )
    return slots, at_ours, at_theirs


def merged_images(ours, theirs):
    """The image pairs of both, one's after the other's."""
    rows = torch.cat([ours.pair_rows, theirs.pair_rows + len(ours.pixels)])
    images = ImageBatch(torch.cat([ours.pixels, theirs.pixels]), rows, ours.tokens)
    at = torch.arange(len(images.mask))
    return images, at[: len(ours.mask)], at[len(ours.mask) :]


def views(rng, count):
    """``count`` random objects; the upper bounds keep every box inside the policy frame."""
    return ViewObjects(
        rng.integers(0, (257, 129, 129, 257), (count, 4)),
        rng.integers(0, 256, (count, 3, 32, 32), dtype=np.uint8),
        np.ones(count),
        np.arange(count),
    )


def whole_images(rng):
    return ViewImages(*rng.integers(0, 256, (2, 3, *VIEW_IMAGE_SIZE), dtype=np.uint8))


def observation(rng, front, top, **more):
    return Observation(views(rng, front), views(rng, top), images=whole_images(rng), **more)


def prompt(rng, *images):
    """Two words, each picture (front, top) followed by a word, the end."""
    tokens = [5, 6]
    for i, (front, top) in enumerate(images):
        shown = views(rng, front), views(rng, top), whole_images(rng)
        tokens += [PromptImage(f"image{i}", AssetKind.OBJECT, *shown), 7 + i]
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
