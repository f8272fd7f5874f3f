"""Grounding of prompt images: whether objects attend to the images that show them.

The first decisions of episodes, with objects and images by their true masks: what is asked is what
the policy does with an image, not whether a detector finds it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from vima_ros.decision_attention import DecisionAttention
from vima_ros.perception.crops import extract_objects
from vima_ros.perception.detectors.registry import make_detector
from vima_ros.policy.policy import Policy
from vima_ros.sim.episode_runner import EpisodeRunner
from vima_ros.sim.tasks import find_task
from vima_ros.specs import VIEWS, AssetKind, EncodedPrompt, Observation, PromptImage
from vima_ros.training.evaluation.policy_rollouts import encode_prompt

Encode = Callable[[str, Sequence[str]], Sequence[int | str]]  # the tokenizer's


@dataclass(frozen=True, eq=False)
class FirstScene:
    """First observation of an episode with its prompt.

    ``shown``: {label of an image, ``{name}``: track id of the object it shows}; ``frames``: RGB by
    view.
    """

    prompt: EncodedPrompt
    observation: Observation
    shown: Mapping[str, int]
    frames: Mapping[str, np.ndarray]


def first_scene(task: str, seed: int, encode: Encode) -> FirstScene:
    """Render the start of an episode of a task's first level. Raises VimaError (NO_RENDERER)."""
    detector = make_detector("ground_truth_masks")
    with EpisodeRunner(find_task(task).sample(seed)) as run:
        prompt = encode_prompt(run, encode, true_masks=True)
        frames = {view: run.tabletop.render(view) for view in VIEWS}
        masks = {view: run.tabletop.render_mask(view) for view in VIEWS}
        assets = run.episode.assets.items()
        names = [item.name for item in run.episode.scene.objects]
    views = {v: extract_objects(frames[v], detector.detect(frames[v], v, masks[v])) for v in VIEWS}
    shown = {
        f"{{{name}}}": 1 + names.index(asset.scene.objects[0].name)  # ids of the mask
        for name, asset in assets
        if asset.kind == AssetKind.OBJECT and asset.scene.objects[0].name in names
    }
    return FirstScene(prompt, Observation(views["front"], views["top"]), shown, frames)


def exchange_images(scene: FirstScene, one: str, other: str) -> FirstScene:
    """Exchange the images of two placeholders: each then shows what the other did."""
    images = {image.name: image for image in scene.prompt.images}
    swapped = {one: replace(images[other], name=one), other: replace(images[one], name=other)}
    tokens = tuple(
        swapped.get(t.name, t) if isinstance(t, PromptImage) else t for t in scene.prompt.tokens
    )
    labels = f"{{{one}}}", f"{{{other}}}"
    shown = {**scene.shown, labels[0]: scene.shown[labels[1]], labels[1]: scene.shown[labels[0]]}
    return replace(scene, prompt=replace(scene.prompt, tokens=tokens), shown=shown)


def first_attention(policy: Policy, scene: FirstScene) -> DecisionAttention:
    """Return the attention of the first decision on a scene."""
    policy.reset(scene.prompt)
    attention = policy.infer(scene.observation, return_attention=True).attention
    assert attention is not None
    return attention


def grounded(
    attention: DecisionAttention, scores: np.ndarray, shown: Mapping[str, int]
) -> dict[str, list[bool]]:
    """Return for each image, per view that shows its object, if that has the highest score.

    ``scores`` (n, K): ``attention.label_scores``, or those of other layers and heads.
    """
    found: dict[str, list[bool]] = {label: [] for label in shown}
    for label, track_id in shown.items():
        k = attention.labels.index(label)
        for view in VIEWS:
            rows = [i for i, token in enumerate(attention.observed) if token.view == view]
            ids = [attention.observed[i].track_id for i in rows]
            if track_id in ids:
                found[label].append(ids[int(np.argmax(scores[rows, k]))] == track_id)
    return found
