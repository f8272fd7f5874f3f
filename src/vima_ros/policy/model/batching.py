"""Conversion of prompts and observations (specs.py) to padded tensors.

Words and object slots lie flat, one per row, and an index maps places of the sequence to rows.
Row 0 is a zero vector, never attended to: the padding.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from vima_ros.errors import PromptTooLongError, VimaError
from vima_ros.policy.model.frame_pairs import PromptFrame, find_turns
from vima_ros.specs import (
    CROP_SIZE,
    MAX_PROMPT_TOKENS,
    VIEW_IMAGE_SIZE,
    EncodedPrompt,
    Observation,
    PromptImage,
    ViewObjects,
)


@dataclass(frozen=True)
class Slots:
    """Object slots of many images: all front slots, then all top slots (N in all).

    A padded slot has a zero crop and a zero box, and is False in ``mask``. Slots with the same
    crop share it: the padding, an image that a prompt repeats, an object that did not move.
    """

    crops: Tensor  # (K, 3, 32, 32) uint8, no two alike
    crop_rows: Tensor  # (N,) int64, which of them a slot shows
    boxes: Tensor  # (N, 4) int64
    mask: Tensor  # (N,) bool
    n_front: int

    def to(self, device: torch.device) -> Slots:
        """Return a copy on ``device``."""
        return Slots(
            self.crops.to(device),
            self.crop_rows.to(device),
            self.boxes.to(device),
            self.mask.to(device),
            self.n_front,
        )


@dataclass(frozen=True)
class ImageBatch:
    """Whole images of M image pairs, each of which becomes ``tokens`` tokens (N in all).

    Takes the place of ``Slots`` where a policy reads images; a token of an image is a slot.
    """

    pixels: Tensor  # (K, 2, 3, 64, 128) uint8, front then top, no two pairs alike
    pair_rows: Tensor  # (M,) int64, which of them a pair is
    tokens: int

    @property
    def mask(self) -> Tensor:
        """All tokens (N,) as valid."""
        ones = torch.ones(len(self.pair_rows) * self.tokens, dtype=torch.bool)
        return ones.to(self.pixels.device)

    def to(self, device: torch.device) -> ImageBatch:
        """Return a copy on ``device``."""
        return ImageBatch(self.pixels.to(device), self.pair_rows.to(device), self.tokens)


@dataclass(frozen=True)
class PromptBatch:
    """Batch of B prompts of P tokens; ``rows`` counts through [padding, words, slots].

    ``turns``: slots of each pair of frames (``find_turns``): the object from above before and
    after, and from the front after; -1: not seen there.
    """

    words: Tensor  # (W,) int64
    slots: Slots | ImageBatch
    rows: Tensor  # (B, P) int64
    turns: Tensor = field(default_factory=lambda: torch.zeros(0, 3, dtype=torch.int64))  # (n, 3)

    def to(self, device: torch.device) -> PromptBatch:
        """Return a copy on ``device``."""
        return PromptBatch(*(getattr(self, item.name).to(device) for item in fields(self)))


@dataclass(frozen=True)
class ObservationBatch:
    """Batch of B episodes of L steps of Q slots; ``rows`` counts through [padding, slots]."""

    slots: Slots | ImageBatch
    end_effectors: Tensor  # (N,) int64, of the observation a slot belongs to
    rows: Tensor  # (B, L, Q) int64

    def to(self, device: torch.device) -> ObservationBatch:
        """Return a copy on ``device``."""
        return ObservationBatch(
            self.slots.to(device), self.end_effectors.to(device), self.rows.to(device)
        )


_Batch = TypeVar("_Batch", bound="EpisodeBatch")


@dataclass(frozen=True)
class EpisodeBatch:
    """Batch of B whole episodes of at most T history tokens, with the actions taken in them.

    A history is obs0 act0 obs1 act1 … obsN, a step's slots padded to the widest of the episode
    (docs/vima_architecture.md, "History sequence").
    """

    prompt: PromptBatch  # its slots are all of the batch, those of the observations included
    end_effectors: Tensor  # (N,) int64, of the observation a slot belongs to
    fractions: Tensor  # (A, 12) float32, of each action: ``Action.fractions``
    rows: Tensor  # (B, T) int64, which count through [padding, slots, actions]
    reads: Tensor  # (n,) int64, of the flattened (B, T): the tokens at which an action is decided
    picked_tokens: Tensor  # (n, 2) int64, likewise: the picked object's in front and top, -1: none

    def to(self: _Batch, device: torch.device) -> _Batch:
        """Return a copy on ``device``."""
        return type(self)(*(getattr(self, item.name).to(device) for item in fields(self)))


def collate_prompts(
    prompts: Sequence[EncodedPrompt],
    image_tokens: int | None = None,
    max_tokens: int = MAX_PROMPT_TOKENS,
) -> PromptBatch:
    """Pad prompts on the right to the longest (docs/vima_architecture.md, "Prompt encoding").

    Each image takes as many slots per view as the fullest image of the batch has objects there;
    with ``image_tokens`` it is read whole, as so many tokens. Raises PromptTooLongError for more
    than ``max_tokens``, padded slots included.
    """
    images = [image for prompt in prompts for image in prompt.images]
    front = max((len(image.front) for image in images), default=0)
    top = max((len(image.top) for image in images), default=0)
    per_image = front + top if image_tokens is None else image_tokens
    for prompt in prompts:
        length = len(prompt.tokens) + len(prompt.images) * (per_image - 1)
        if length > max_tokens:
            each = (
                f"{front} + {top} object slots" if image_tokens is None else f"{per_image} tokens"
            )
            raise PromptTooLongError(
                f"the prompt has {length} tokens: {len(prompt.tokens) - len(prompt.images)} words "
                f"and {len(prompt.images)} images of {each}; valid: at most {max_tokens}",
                length,
            )
    words = [token for prompt in prompts for token in prompt.tokens if isinstance(token, int)]
    slots, slot_rows = _pack_all(images, [(front, top)] * len(images), image_tokens)
    next_word = iter(range(1, 1 + len(words)))
    next_image = iter(slot_rows)
    sequences: list[list[int]] = []
    for prompt in prompts:
        sequence: list[int] = []
        for token in prompt.tokens:
            if isinstance(token, int):
                sequence.append(next(next_word))
            else:
                sequence.extend(1 + len(words) + row for row in next(next_image))
        sequences.append(sequence)
    longest = max(len(sequence) for sequence in sequences)
    rows = [sequence + [0] * (longest - len(sequence)) for sequence in sequences]
    turns = _find_turns(prompts, slot_rows, front) if image_tokens is None else []
    return PromptBatch(
        torch.tensor(words, dtype=torch.int64),
        slots,
        torch.tensor(rows, dtype=torch.int64),
        torch.tensor(turns, dtype=torch.int64).reshape(-1, 3),
    )


def _find_turns(
    prompts: Sequence[EncodedPrompt], slot_rows: Sequence[Sequence[int]], front: int
) -> list[tuple[int, int, int]]:
    """Find the slots of pairs of frames; ``front``: slots of the front view, of each image."""
    turns, start = [], 0
    for prompt in prompts:
        frames = [PromptFrame.of(image) for image in prompt.images]
        for index in find_turns(frames):
            before, after = slot_rows[start + index : start + index + 2]
            seen = len(frames[index + 1].front)
            turns.append((before[front], after[front], after[0] if seen else -1))
        start += len(prompt.images)
    return turns


def collate_observations(
    episodes: Sequence[Sequence[Observation]], image_tokens: int | None = None
) -> ObservationBatch:
    """Pad steps to the most slots, episodes to the most steps.

    docs/vima_architecture.md, "Object slots", "Observation encoding".
    """
    flat = [observation for episode in episodes for observation in episode]
    counts = [observation.slot_counts for observation in flat]
    slots, slot_rows = _pack_all(flat, counts, image_tokens)
    end_effectors = torch.zeros(len(slots.mask), dtype=torch.int64)
    for observation, observation_rows in zip(flat, slot_rows, strict=True):
        end_effectors[observation_rows] = int(observation.end_effector)
    max_slots = max(len(observation_rows) for observation_rows in slot_rows)
    most_steps = max(len(episode) for episode in episodes)
    rows = torch.zeros(len(episodes), most_steps, max_slots, dtype=torch.int64)
    next_rows = iter(slot_rows)
    for b, episode in enumerate(episodes):
        for step in range(len(episode)):
            step_rows = next(next_rows)
            rows[b, step, : len(step_rows)] = 1 + torch.tensor(step_rows, dtype=torch.int64)
    return ObservationBatch(slots, end_effectors, rows)


def _pack_all(
    seen: Sequence[PromptImage | Observation],
    counts: Sequence[tuple[int, int]],
    image_tokens: int | None,
) -> tuple[Slots | ImageBatch, list[list[int]]]:
    """Pack the objects or the whole images of ``seen``; return each one's slot numbers."""
    if image_tokens is None:
        return _pack(seen, counts)
    pairs = [np.stack([item.images.front, item.images.top]) for item in seen if item.images]
    if len(pairs) < len(seen):
        raise VimaError(
            "NO_IMAGES",
            "an observation or prompt image has no whole images; valid: both views, as images",
        )
    row_of: dict[bytes, int] = {}
    rows = [row_of.setdefault(pair.tobytes(), len(row_of)) for pair in pairs]
    kept = [pairs[rows.index(row)] for row in range(len(row_of))]
    pixels = np.stack(kept) if kept else np.zeros((0, 2, 3, *VIEW_IMAGE_SIZE), np.uint8)
    batch = ImageBatch(
        torch.from_numpy(pixels), torch.tensor(rows, dtype=torch.int64), image_tokens
    )
    starts = range(0, len(pairs) * image_tokens, image_tokens)
    return batch, [list(range(start, start + image_tokens)) for start in starts]


def _pack(
    images: Sequence[PromptImage | Observation], counts: Sequence[tuple[int, int]]
) -> tuple[Slots, list[list[int]]]:
    """Pack all slots of ``images``; return each image's slot numbers, front before top."""
    views = [_padded(p.front, n) for p, (n, _) in zip(images, counts, strict=True)]
    views += [_padded(p.top, n) for p, (_, n) in zip(images, counts, strict=True)]
    views.append(_padded(ViewObjects.empty(), 0))  # concatenate wants at least one
    crops, boxes, mask = (np.concatenate(part) for part in zip(*views, strict=True))
    row_of: dict[bytes, int] = {}
    crop_rows = [row_of.setdefault(crop.tobytes(), len(row_of)) for crop in crops]
    _, firsts = np.unique(np.array(crop_rows, np.int64), return_index=True)
    n_front = sum(front for front, _ in counts)
    rows, next_front, next_top = [], 0, n_front
    for front, top in counts:
        rows.append([*range(next_front, next_front + front), *range(next_top, next_top + top)])
        next_front, next_top = next_front + front, next_top + top
    slots = Slots(
        torch.from_numpy(crops[firsts]),
        torch.tensor(crop_rows, dtype=torch.int64),
        torch.from_numpy(boxes),
        torch.from_numpy(mask),
        n_front,
    )
    return slots, rows


def _padded(view: ViewObjects, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    crops = np.zeros((count, 3, CROP_SIZE, CROP_SIZE), np.uint8)
    boxes = np.zeros((count, 4), np.int64)
    crops[: len(view)], boxes[: len(view)] = view.crops, view.boxes
    return crops, boxes, np.arange(count) < len(view)
