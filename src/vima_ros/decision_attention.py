"""Attention of a decision: which tokens of the prompt the objects and the action attend to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from vima_ros.errors import VimaError

Box = tuple[int, int, int, int]  # as in ViewObjects.boxes


@dataclass(frozen=True)
class AttentionToken:
    """Token of a prompt or of an observation, with what names it to people.

    ``text``: of a prompt's word its id (``#12``) or, once named, its text; of a prompt's image
    ``{name}``; of an observation empty. ``token``: index into ``EncodedPrompt.tokens``; one image
    there is several tokens here. ``word``: the word's id. ``view``: ``front`` or ``top`` for an
    object or a patch, empty for a word and for what is of both views. ``slot``: its number in the
    view. ``box``, ``track_id``: of an object, as in ViewObjects; a patch of an image has a
    box.
    """

    text: str = ""
    token: int = 0
    word: int | None = None
    view: str = ""
    slot: int = 0
    box: Box | None = None
    track_id: int = 0


@dataclass(frozen=True, eq=False)
class DecisionAttention:
    """Softmaxed attention of one decision, per layer and head (L layers, H heads).

    ``prompt``: the P tokens of the prompt, without padding. ``observed``: the n tokens of the
    observation: its objects, front view first, or what a policy of whole images reads them as.
    ``objects`` (L, H, n, P) float32: how much each of these attends to each token of the prompt.
    ``action`` (L, H, P): the same of the token at which the action is read, which in some
    observations is the last object itself. ``action_objects`` (L, H, n): how much that token
    attends to the n tokens; of the self-attention, whose number of heads may be another.

    Cross-attention: every row of ``objects`` and ``action`` sums to 1, and the rows of
    ``action_objects`` to at most 1: the rest lies on earlier steps and on the token itself.
    Prefix: prompt, separator and history share one softmax, of which these are parts.
    """

    prompt: tuple[AttentionToken, ...]
    observed: tuple[AttentionToken, ...]
    objects: np.ndarray
    action: np.ndarray
    action_objects: np.ndarray

    def __post_init__(self) -> None:
        layers, heads = self.objects.shape[:2]
        n, length = len(self.observed), len(self.prompt)
        shapes = {
            "objects": (layers, heads, n, length),
            "action": (layers, heads, length),
            "action_objects": (layers, self.action_objects.shape[1], n),
        }
        for name, shape in shapes.items():
            array = np.asarray(getattr(self, name), np.float32)
            if array.shape != shape:
                raise VimaError(
                    "INVALID_VALUE", f"DecisionAttention.{name} is {array.shape}; valid: {shape}"
                )
            object.__setattr__(self, name, array)

    def name_words(self, piece: Callable[[int], str]) -> DecisionAttention:
        """Return a copy whose words have their text; ``piece``: of a word id, as a tokenizer's."""
        named = (
            t if t.word is None else replace(t, text=piece(t.word).replace("▁", " ").strip())
            for t in self.prompt
        )
        return replace(self, prompt=tuple(named))

    @property
    def labels(self) -> tuple[str, ...]:
        """Texts of the K words and images of the prompt in reading order, an image once."""
        return tuple({t.token: t.text for t in self.prompt}.values())

    @property
    def label_scores(self) -> np.ndarray:
        """How the tokens of a view share the attention that a label gets, (n, K) float32.

        Mean over layers and heads of the attention of ``observed`` to ``labels``, after division
        in each layer and head by its sum over the tokens of the same view: what is compared is
        the objects, not how much any object attends to a word or an image. 1 / objects in the
        view: as much as any other.
        """
        weights = self._per_label(self.objects)  # (L, H, n, K)
        views = np.array([t.view for t in self.observed])
        same = (views[:, None] == views).astype(np.float32)  # (n, n)
        totals = np.maximum(same @ weights, np.finfo(np.float32).tiny)
        return (weights / totals).mean((0, 1))

    @property
    def action_to_labels(self) -> np.ndarray:
        """Attention of the action's token to each label, (K,), mean over layers and heads."""
        return self._per_label(self.action).mean((0, 1))

    @property
    def action_to_observed(self) -> np.ndarray:
        """Attention of the action's token to each of ``observed``, (n,), mean as above."""
        return self.action_objects.mean((0, 1))

    def _per_label(self, weights: np.ndarray) -> np.ndarray:
        """Sum weights (..., P) over the tokens of each image, to (..., K) as ``labels``."""
        tokens = list(dict.fromkeys(t.token for t in self.prompt))
        member = np.array([[t.token == k for k in tokens] for t in self.prompt], np.float32)
        return weights @ member

    def describe(self) -> dict[str, Any]:
        """Describe the three means above for a JSON report, to four digits."""

        def rounded(values: np.ndarray) -> list[float]:
            return [round(float(value), 4) for value in values]

        rows = zip(self.observed, self.label_scores, self.action_to_observed, strict=True)
        return {
            "labels": list(self.labels),
            "action": rounded(self.action_to_labels),
            "observed": [
                {
                    "view": token.view,
                    "slot": token.slot,
                    "track_id": token.track_id,
                    "scores": rounded(scores),
                    "action": rounded(action[None])[0],
                }
                for token, scores, action in rows
            ],
        }
