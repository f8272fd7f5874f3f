"""The recorded arrays of golden/{gpt,gato,flamingo}.npz as values of specs.py."""

import json
from functools import cache

import numpy as np
from helpers import data

from vima_ros.policy import load_policy
from vima_ros.specs import (
    HEADS,
    AssetKind,
    EncodedPrompt,
    Observation,
    PromptImage,
    ViewImages,
    ViewObjects,
)

STEPS = 5
NONE = ViewObjects.empty()


@cache
def arrays(kind: str) -> dict[str, np.ndarray]:
    with np.load(data(f"golden/{kind}.npz")) as content:
        return dict(content)


@cache
def policy(kind: str):
    about = json.loads(data(f"golden/{kind}.json").read_text())
    heads = about["dims"]["override"]["vit_heads"]
    return load_policy(data(f"golden/{kind}.ckpt"), config={"vit_heads": heads})


def images(kind: str, prefix: str, *index) -> ViewImages:
    golden = arrays(kind)
    return ViewImages(*(golden[f"{prefix}rgb_{view}"][index] for view in ("front", "top")))


def prompts(kind: str, prefix: str = "") -> list[EncodedPrompt]:
    """The batch's prompts, from ``<prefix>prompt/*``."""
    golden, place = arrays(kind), f"{prefix}prompt/"
    words = iter(golden[f"{place}word_ids"].tolist())
    types = iter(golden[f"{place}token_types"].tolist())
    numbers = iter(range(len(golden[f"{place}rgb_front"])))

    def image() -> PromptImage:
        number = next(numbers)
        whole = images(kind, place, number)
        return PromptImage(f"image{number}", AssetKind.SCENE, NONE, NONE, whole)

    return [
        EncodedPrompt(tuple(image() if next(types) else next(words) for _ in range(length)))
        for length in golden[f"{place}lengths"]
    ]


def observation(kind: str, prefix: str, step: int = 0, sample: int = 0) -> Observation:
    """One step of one sample, from ``<prefix>*``."""
    end_effector = int(arrays(kind)[f"{prefix}ee"][step, sample])
    return Observation(NONE, NONE, end_effector, images=images(kind, prefix, step, sample))


def heads(kind: str, prefix: str) -> np.ndarray:
    """The four heads' arrays side by side, their order that of specs.HEADS."""
    golden = arrays(kind)
    return np.concatenate([golden[f"{prefix}/{name}"] for name in HEADS], axis=-1)
