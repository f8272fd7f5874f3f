"""Objects attend to the prompt images that show them: docs/attention.md."""

from dataclasses import replace

import numpy as np
import pytest

from vima_ros.policy import load_policy
from vima_ros.policy.tokenizer import PromptTokenizer
from vima_ros.training.evaluation.grounding import (
    exchange_images,
    first_attention,
    first_scene,
    grounded,
)

SEEDS = range(3_001_000, 3_001_200)
IMAGES = ("dragged_obj_1", "base_obj")


def shares(hits):
    """Share of views in which the pictured object had the highest score, by label."""
    found = {}
    for each in hits:
        for label, views in each.items():
            found.setdefault(label, []).extend(views)
    return {label: np.mean(views) for label, views in found.items()}


@pytest.mark.slow
def test_the_pictured_object_has_the_highest_score_for_its_image():
    """In at least 90 % of views; the scores follow the images when these are exchanged."""
    policy, tokenizer = load_policy(), PromptTokenizer()
    as_asked, exchanged, unmoved = [], [], []
    for seed in SEEDS:
        scene = first_scene("visual_manipulation", seed, tokenizer.encode)
        swapped = exchange_images(scene, *IMAGES)
        for each, hits in ((scene, as_asked), (swapped, exchanged)):
            attention = first_attention(policy, each)
            hits.append(grounded(attention, attention.label_scores, each.shown))
        unmoved.append(grounded(attention, attention.label_scores, scene.shown))
    for hits in (as_asked, exchanged):
        assert len(hits) == len(SEEDS)
        assert min(shares(hits).values()) >= 0.9
    assert max(shares(unmoved).values()) <= 0.1  # no object keeps a score that its place gives it


def test_an_image_that_several_objects_attend_to_counts_for_the_one_with_the_highest_score():
    tokenizer = PromptTokenizer()
    scene = first_scene("visual_manipulation", SEEDS[0], tokenizer.encode)
    attention = first_attention(load_policy(), scene)
    assert set(scene.shown) == {f"{{{name}}}" for name in IMAGES}
    ids = np.array([token.track_id for token in attention.observed])
    label = f"{{{IMAGES[0]}}}"
    for track_id in scene.shown.values():
        scores = np.zeros((len(ids), len(attention.labels)), np.float32)
        scores[ids == track_id] = 1.0
        hits = grounded(attention, scores, scene.shown)
        right = scene.shown[label] == track_id
        assert hits[label] == [right] * 2  # in both views
    hidden = {label: 99}  # seen in neither view
    assert grounded(attention, scores, hidden) == {label: []}


def test_exchanged_images_keep_their_placeholders():
    scene = first_scene("visual_manipulation", SEEDS[0], PromptTokenizer().encode)
    swapped = exchange_images(scene, *IMAGES)
    before, after = scene.prompt.images, swapped.prompt.images
    assert [image.name for image in after] == [image.name for image in before] == list(IMAGES)
    for image, other in zip(after, reversed(before), strict=True):
        np.testing.assert_array_equal(image.front.crops, other.front.crops)
    again = exchange_images(swapped, *IMAGES)
    assert again.shown == scene.shown
    assert replace(again, prompt=scene.prompt).observation is scene.observation
