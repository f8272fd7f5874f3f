"""Batches of episodes, each laid out as the policy lays out one that runs alone.

S slots of the whole batch, W words, A actions, B episodes, P prompt tokens, T history tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from vima_ros.policy.model.batching import PromptBatch, Slots
from vima_ros.specs import BINS, CROP_SIZE, POLICY_FRAME_HEIGHT, POLICY_FRAME_WIDTH
from vima_ros.training.policy.privileged_labels import NOTHING
from vima_ros.training.policy.training_episode import Picture, Shown, TrainingEpisode
from vima_ros.training.recipes import check, setting

FRONT, TOP = 0, 1
IN_SCENE = -2  # of what a scene of the prompt shows: it is of no step
NO_LEAN = (np.nan, np.nan)
MOST_LOOKS = 16  # that the words of a prompt name
LARGEST_BOX = (
    POLICY_FRAME_WIDTH - 1,
    POLICY_FRAME_HEIGHT - 1,
    POLICY_FRAME_HEIGHT,
    POLICY_FRAME_WIDTH,
)


@dataclass(frozen=True)
class Spoiling:
    """What a detector gets wrong, as shares of the objects of a view. Raises VimaError."""

    missed: float = setting(0.02, "share of the objects that are not found", low=0, high=1)
    invented: float = setting(
        0.02, "crops of other objects at other places, as a share of the objects", low=0, high=1
    )
    off: float = setting(
        0.3, "share of the boxes that are moved or resized by a pixel", low=0, high=1
    )

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True)
class PolicyBatch:
    """Everything a teacher-forced step of training needs, as tensors.

    ``prompt``: its slots are all slots of the batch, the moments' too. ``effectors`` (S,) int64.
    ``tokens`` (B, T): rows of [zero, slots, actions]; ``mask`` (B, T) bool; ``ask`` (n,): places
    in the flattened (B T) where the n actions are read; ``fractions`` (A, 12); ``bins`` (n, 12);
    ``weight`` (n,): 1 / steps of the episode. ``objects`` (S,): which of the batch's objects each
    slot shows, or NOTHING; ``grasps`` (S, 2): where it would be picked [m]; ``step_of`` (S,):
    number of the action before which it was seen, NOTHING or IN_SCENE in the prompt; ``picked``,
    ``placed`` (n,): of ``objects``, or NOTHING. ``episode_of`` (K,): of each crop.
    ``names_colours`` (B,) bool: whether the prompt's words do. ``looks`` (S,), ``spoken`` (W,):
    which of the batch's looks an object has and a word is of, as in ``Clues``. ``shapes`` (S,),
    ``leans`` (S, 2): of an object, alike; NaN where there are none.
    """

    prompt: PromptBatch
    effectors: Tensor
    tokens: Tensor
    mask: Tensor
    ask: Tensor
    fractions: Tensor
    bins: Tensor
    weight: Tensor
    objects: Tensor
    grasps: Tensor
    step_of: Tensor
    picked: Tensor
    placed: Tensor
    episode_of: Tensor
    names_colours: Tensor
    looks: Tensor
    spoken: Tensor
    shapes: Tensor
    leans: Tensor

    def to(self, device: torch.device) -> PolicyBatch:
        """The same on ``device``."""
        return PolicyBatch(*(getattr(self, item.name).to(device) for item in fields(self)))


class _Moment(NamedTuple):
    """Number of the episode's first object in the batch, where to pick its objects, which step.

    A picture of the prompt has no such places and is of no step.
    """

    first_object: int
    grasps: np.ndarray | None
    leans: np.ndarray | None
    step: int


class _Slots:
    """Object slots as they are added; front and top apart."""

    def __init__(self) -> None:
        self.crops: list[np.ndarray] = [np.zeros((3, CROP_SIZE, CROP_SIZE), np.uint8)]
        self.episode_of = [0]
        self.rows_of: dict[tuple[int, int], int] = {}
        self.views: tuple[list[tuple], list[tuple]] = ([], [])

    def crop(self, number: int, episode: TrainingEpisode, row: int) -> int:
        key = (number, row)
        if key not in self.rows_of:
            self.rows_of[key] = len(self.crops)
            self.crops.append(episode.crops[row])
            self.episode_of.append(number)
        return self.rows_of[key]

    def add(self, view: int, *values: object) -> tuple[int, int]:
        self.views[view].append(values)
        return view, len(self.views[view]) - 1


def make_batch(
    episodes: Sequence[TrainingEpisode], random: np.random.Generator, spoiling: Spoiling
) -> PolicyBatch:
    """Of ``episodes``, the objects of each view in a random order and ``spoiling`` done to them.

    Each is laid out as if alone: padded within itself (docs/vima_architecture.md, "Object slots"),
    and then to the longest of the batch.
    """
    slots = _Slots()
    words: list[int] = []
    spoken: list[int] = []
    prompts, histories, asks = [], [], []
    picked: list[int] = []
    placed: list[int] = []
    first_object = steps = 0
    for number, episode in enumerate(episodes):
        pictures = [_spoilt(p, episode, random, None) for p in episode.pictures]
        most = [max((len(p[v].crops) for p in pictures), default=0) for v in (FRONT, TOP)]
        prompt: list = []
        for token, look in zip(episode.prompt, episode.spoken, strict=True):
            if token >= 0:
                prompt.append(len(words))
                words.append(token)
                spoken.append(NOTHING if look == NOTHING else number * MOST_LOOKS + look)
                continue
            of = IN_SCENE if ~token in episode.scenes else NOTHING
            told = _Moment(first_object, None, None, of)
            prompt += _place(slots, pictures[~token], most, number, episode, 0, told)
        prompts.append(prompt)
        moments = [_spoilt(p, episode, random, spoiling) for p in episode.moments]
        widest = max(2 * max(len(m[FRONT].crops), len(m[TOP].crops)) for m in moments)
        history: list = []
        for step, moment in enumerate(moments):
            count = max(len(moment[FRONT].crops), len(moment[TOP].crops))
            effector = int(episode.end_effector)
            seen = _Moment(first_object, episode.grasps[step], episode.leans[step], steps + step)
            row = _place(slots, moment, [count, count], number, episode, effector, seen)
            history += [*row, *[None] * (widest - len(row))]
            asks.append((number, len(history) - 1))
            if step + 1 < len(moments):
                history.append(steps + step)
        for kind, into in ((episode.picked, picked), (episode.placed, placed)):
            into += [NOTHING if i == NOTHING else i + first_object for i in kind]
        histories.append(history)
        first_object += episode.places.shape[1]
        steps += len(moments)
    return _tensors(slots, words, spoken, prompts, histories, asks, picked, placed, episodes)


def _place(
    slots: _Slots,
    picture: Picture,
    counts: Sequence[int],
    number: int,
    episode: TrainingEpisode,
    effector: int,
    seen: _Moment,
) -> list[tuple[int, int]]:
    """Add a picture's objects and padding; where they are, front then top."""
    places = []
    for view in (FRONT, TOP):
        shown = picture[view]
        for crop, box, which in zip(shown.crops, shown.boxes, shown.ids, strict=True):
            row = slots.crop(number, episode, crop)
            name = NOTHING if which == NOTHING else which + seen.first_object
            grasp = (0.0, 0.0) if seen.grasps is None or which == NOTHING else seen.grasps[which]
            look = NOTHING if which == NOTHING else episode.looks[which]
            look = NOTHING if look == NOTHING else number * MOST_LOOKS + look
            shape = NOTHING if which == NOTHING else episode.shapes[which]
            lean = NO_LEAN if seen.leans is None or which == NOTHING else seen.leans[which]
            values = (row, box, True, effector, name, grasp, seen.step, look, shape, lean)
            places.append(slots.add(view, *values))
        for _ in range(counts[view] - len(shown.crops)):
            no_place = (0.0, 0.0), *[NOTHING] * 3, NO_LEAN
            places.append(slots.add(view, 0, (0, 0, 0, 0), False, effector, NOTHING, *no_place))
    return places


def _spoilt(
    picture: Picture,
    episode: TrainingEpisode,
    random: np.random.Generator,
    spoiling: Spoiling | None,
) -> Picture:
    """In a random order; for a moment also as a detector might have seen it."""
    views = []
    for shown in picture:
        order = random.permutation(len(shown.crops))
        if spoiling is not None and len(order) > 1:
            found = order[random.random(len(order)) >= spoiling.missed]
            order = found if len(found) else order[:1]
        crops = [shown.crops[i] for i in order]
        boxes, ids = shown.boxes[order].astype(np.int64), [shown.ids[i] for i in order]
        if spoiling is not None and len(order):
            off = random.random(len(boxes)) < spoiling.off
            boxes[off] = np.clip(
                boxes[off] + random.integers(-1, 2, (off.sum(), 4)), 0, LARGEST_BOX
            )
            if random.random() < spoiling.invented * len(order):
                other = shown.boxes[random.integers(len(shown.boxes))].astype(np.int64)
                other[:2] = random.integers(0, LARGEST_BOX[:2])
                at = random.integers(len(order) + 1)
                crops.insert(at, int(random.integers(len(episode.crops))))
                ids.insert(at, NOTHING)
                boxes = np.insert(boxes, at, other, axis=0)
        views.append(Shown(tuple(crops), boxes, tuple(ids)))
    return views[0], views[1]


def _tensors(
    slots: _Slots,
    words: list[int],
    spoken: list[int],
    prompts: list[list],
    histories: list[list],
    asks: list[tuple[int, int]],
    picked: list[int],
    placed: list[int],
    episodes: Sequence[TrainingEpisode],
) -> PolicyBatch:
    n_front = len(slots.views[FRONT])
    rows, boxes, valid, effectors, objects, grasps, step_of, looks, shapes, leans = (
        np.array(column) for column in zip(*slots.views[FRONT], *slots.views[TOP], strict=True)
    )
    count = len(rows)

    def slot(at: tuple[int, int]) -> int:
        return 1 + at[0] * n_front + at[1]  # row 0 is the padding

    prompt_rows = [
        [1 + t if isinstance(t, int) else len(words) + slot(t) for t in prompt]
        for prompt in prompts
    ]
    # Of [zero, slots, actions]; an int is an action's number.
    token_rows = [
        [0 if t is None else 1 + count + t if isinstance(t, int) else slot(t) for t in history]
        for history in histories
    ]
    tokens = _padded(token_rows)
    known = np.concatenate([[False], valid, np.ones(len(asks), bool)])
    bins = np.concatenate([episode.bins for episode in episodes])
    weights = np.concatenate([np.full(len(e.bins), 1.0 / len(e.bins)) for e in episodes])
    longest = tokens.shape[1]
    all_slots = Slots(
        torch.from_numpy(np.stack(slots.crops)),
        torch.from_numpy(rows),
        torch.from_numpy(boxes),
        torch.from_numpy(valid),
        n_front,
    )
    return PolicyBatch(
        PromptBatch(
            torch.tensor(words, dtype=torch.int64),
            all_slots,
            torch.from_numpy(_padded(prompt_rows)),
        ),
        torch.from_numpy(effectors),
        torch.from_numpy(tokens),
        torch.from_numpy(known[tokens]),
        torch.tensor([b * longest + at for b, at in asks]),
        torch.from_numpy((bins / BINS).astype(np.float32)),
        torch.from_numpy(bins),
        torch.from_numpy(weights.astype(np.float32)),
        torch.from_numpy(objects),
        torch.from_numpy(grasps.astype(np.float32)),
        torch.from_numpy(step_of),
        torch.tensor(picked, dtype=torch.int64),
        torch.tensor(placed, dtype=torch.int64),
        torch.tensor(slots.episode_of),
        torch.tensor([episode.names_colours for episode in episodes]),
        torch.from_numpy(looks),
        torch.tensor(spoken, dtype=torch.int64),
        torch.from_numpy(shapes),
        torch.from_numpy(leans.astype(np.float32)),
    )


def _padded(rows: list[list[int]]) -> np.ndarray:
    longest = max(map(len, rows))
    return np.array([row + [0] * (longest - len(row)) for row in rows], np.int64)
