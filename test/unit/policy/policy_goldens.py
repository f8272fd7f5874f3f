"""The recorded arrays of test/data/golden/vima.npz as values of specs.py, for several tests."""

from functools import cache

import numpy as np
from helpers import data

from vima_ros.specs import AssetKind, EncodedPrompt, Observation, PromptImage, ViewObjects

CONFIG = {"vit_heads": 4}  # golden/vima.json
STEPS = 5
ATOL = 1e-4  # golden/README.md: how closely to match


def checkpoint():
    return data("golden/vima.ckpt")


@cache
def arrays() -> dict[str, np.ndarray]:
    with np.load(data("golden/vima.npz")) as content:
        return dict(content)


def view_objects(crops, boxes, mask) -> ViewObjects:
    """One view's slots, whose objects come first (docs/vima_architecture.md, "Object slots")."""
    count = int(mask.sum())
    assert mask[:count].all()
    return ViewObjects(boxes[:count], crops[:count], np.ones(count), np.arange(count))


def _views(prefix: str, *index) -> dict[str, ViewObjects]:
    golden = arrays()
    return {
        view: view_objects(
            *(golden[f"{prefix}/{name}_{view}"][index] for name in ("crops", "bbox", "mask"))
        )
        for view in ("front", "top")
    }


def prompts(prefix: str = "") -> list[EncodedPrompt]:
    """The batch's prompts, from ``<prefix>prompt/*``."""
    golden = arrays()
    place = f"{prefix}prompt"
    words = iter(golden[f"{place}/word_ids"].tolist())
    images = iter(range(len(golden[f"{place}/mask_front"])))
    types = iter(golden[f"{place}/token_types"].tolist())
    batch = []
    for length in golden[f"{place}/lengths"]:
        tokens = []
        for _ in range(length):
            if next(types):
                number = next(images)
                views = _views(place, number)
                tokens.append(PromptImage(f"image{number}", AssetKind.SCENE, **views))
            else:
                tokens.append(next(words))
        batch.append(EncodedPrompt(tuple(tokens)))
    return batch


def observation(prefix: str, step: int = 0, sample: int = 0) -> Observation:
    """One step of one sample, from ``<prefix>/*``."""
    golden = arrays()
    slots = tuple(golden[f"{prefix}/mask_{view}"].shape[-1] for view in ("front", "top"))
    end_effector = int(golden[f"{prefix}/ee"][step, sample])
    return Observation(**_views(prefix, step, sample), end_effector=end_effector, slots=slots)


def episode() -> list[Observation]:
    """The rollout's observations."""
    return [observation(f"obs/{step}") for step in range(STEPS)]


def heads(prefix: str) -> np.ndarray:
    """The four heads' arrays side by side, their order that of specs.HEADS."""
    golden = arrays()
    names = ("pose0_position", "pose0_rotation", "pose1_position", "pose1_rotation")
    return np.concatenate([golden[f"{prefix}/{name}"] for name in names], axis=-1)
