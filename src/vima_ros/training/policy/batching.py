"""Batches of training episodes, each laid out as the policy lays out a single one.

S slots of the whole batch, W words, A actions, B episodes, P prompt tokens, T history tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from torch import Tensor

from vima_ros.policy.model.batching import EpisodeBatch, PromptBatch, Slots
from vima_ros.specs import BINS, CROP_SIZE
from vima_ros.training.policy.detection_noise import DetectionNoise, add_covered_noise, add_noise
from vima_ros.training.policy.frame_order import next_frame_places, repeated_moves
from vima_ros.training.policy.picks import find_pick_tokens
from vima_ros.training.policy.privileged_labels import NOTHING
from vima_ros.training.policy.training_episode import TrainingEpisode
from vima_ros.training.policy.turns import Turn, find_episode_turns
from vima_ros.training.policy.visible_objects import ViewPair

FRONT, TOP = 0, 1
IN_SCENE = -2  # of what a scene of the prompt shows: it is of no step
UNKNOWN = (np.nan, np.nan)  # of an offset or a place
RESTORE_TASKS = ("rearrange_then_restore", "pick_in_order_then_restore")  # all comes back
MAX_LOOKS = 16  # that the words of a prompt name


@dataclass(frozen=True)
class PolicyBatch(EpisodeBatch):
    """Episodes of a training step with their actions.

    ``bins`` (n, 12); ``weight`` (n,): 1 / steps of the episode. ``episode_of`` (K,): of each crop,
    or image pair. ``names_colors`` (B,) bool: the prompt names colors. ``repeated`` (n,) bool: as
    of ``repeated_moves``.
    """

    bins: Tensor
    weight: Tensor
    episode_of: Tensor
    names_colors: Tensor
    repeated: Tensor


@dataclass(frozen=True)
class ObjectBatch(PolicyBatch):
    """Episodes as objects, with labels of these.

    ``objects`` (S,): index of the object in the slot, or NOTHING; ``grasps`` (S, 2): where it
    would be picked, as fractions of the workspace; ``step_of`` (S,): number of the action after
    its observation, NOTHING or IN_SCENE in the prompt; ``picked``, ``placed`` (n,): of
    ``objects``, or NOTHING. ``looks`` (S,), ``named_looks`` (W,): which of the batch's looks an
    object and a word has, as in ``PrivilegedLabels``. ``shapes`` (S,), ``grasp_offsets`` (S, 2):
    likewise of an object; NaN where there are none. ``first_places`` (S, 2): where an object would
    be put to be where it was first, as ``grasps``; NaN where it is not to come back. Picks that
    were not demonstrated: ``other_actions`` (u,) in whose place, ``other_tokens`` (u, 2) as
    ``picked_tokens``, ``other_places`` (u,) the action whose place is right.
    ``next_places`` (S, 2): where the prompt's next frame shows an object (``next_frame_places``).
    ``turned`` (n,): the angle of each of ``prompt.turns``, clockwise from above [deg], NaN where
    it is unknown.
    """

    objects: Tensor
    grasps: Tensor
    step_of: Tensor
    picked: Tensor
    placed: Tensor
    looks: Tensor
    named_looks: Tensor
    shapes: Tensor
    grasp_offsets: Tensor
    first_places: Tensor
    other_actions: Tensor
    other_tokens: Tensor
    other_places: Tensor
    turned: Tensor
    next_places: Tensor

    @property
    def slots(self) -> Slots:
        """Return all slots of the batch."""
        return cast(Slots, self.prompt.slots)


class _Timestep(NamedTuple):
    """A timestep: the episode's first object in the batch, its grasps and the step's number.

    An image of the prompt has no grasps and no step; ``first_places``: of what is to come back.
    ``next_places``: as of ``next_frame_places``.
    """

    first_object: int
    grasps: np.ndarray | None
    grasp_offsets: np.ndarray | None
    first_places: np.ndarray | None
    step: int
    next_places: np.ndarray | None = None


class _Slots:
    """Object slots in the order of adding, front and top apart."""

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
    episodes: Sequence[TrainingEpisode],
    random: np.random.Generator,
    detection_noise: DetectionNoise,
) -> ObjectBatch:
    """Build a batch with the objects of each view in random order and with ``detection_noise``.

    Each is laid out as if alone: padded within itself (docs/vima_architecture.md, "Object slots"),
    and then to the longest of the batch.
    """
    slots = _Slots()
    words: list[int] = []
    named_looks: list[int] = []
    prompts, histories, asks = [], [], []
    turns: list[Turn] = []
    picked: list[int] = []
    placed: list[int] = []
    first_object = steps = 0
    for number, episode in enumerate(episodes):
        detected = [add_covered_noise(p, random, detection_noise) for p in episode.images]
        images = [add_noise(p, episode, random, None) for p in detected]
        most = [max((len(p[v].crops) for p in images), default=0) for v in (FRONT, TOP)]
        prompt: list = []
        shown: list = []  # images with their slots
        for token, look in zip(episode.prompt, episode.named_looks, strict=True):
            if token >= 0:
                prompt.append(len(words))
                words.append(token)
                named_looks.append(NOTHING if look == NOTHING else number * MAX_LOOKS + look)
                continue
            of = IN_SCENE if ~token in episode.scenes else NOTHING
            context = _Timestep(first_object, None, None, None, of)
            shown.append(
                (~token, _place(slots, images[~token], most, number, episode, 0, context))
            )
            prompt += shown[-1][1]
        turns += find_episode_turns(episode, shown, most[FRONT])
        prompts.append(prompt)
        timesteps = [add_noise(p, episode, random, detection_noise) for p in episode.timesteps]
        max_slots = max(2 * max(len(m[FRONT].crops), len(m[TOP].crops)) for m in timesteps)
        history: list = []
        grasps, returns = episode.grasp_fractions, episode.return_fractions
        for step, timestep in enumerate(timesteps):
            count = max(len(timestep[FRONT].crops), len(timestep[TOP].crops))
            effector = int(episode.end_effector)
            first = returns[step] if step and episode.task in RESTORE_TASKS else None
            offsets = episode.grasp_offsets[step]
            after = next_frame_places(episode, step)
            context = _Timestep(first_object, grasps[step], offsets, first, steps + step, after)
            row = _place(slots, timestep, [count, count], number, episode, effector, context)
            history += [*row, *[None] * (max_slots - len(row))]
            asks.append((number, len(history) - 1))
            if step + 1 < len(timesteps):
                history.append(steps + step)
        for kind, into in ((episode.picked, picked), (episode.placed, placed)):
            into += [NOTHING if i == NOTHING else i + first_object for i in kind]
        histories.append(history)
        first_object += episode.places.shape[1]
        steps += len(timesteps)
    return _tensors(
        slots, words, named_looks, prompts, turns, histories, asks, picked, placed, episodes
    )


def _place(
    slots: _Slots,
    image: ViewPair,
    counts: Sequence[int],
    number: int,
    episode: TrainingEpisode,
    effector: int,
    context: _Timestep,
) -> list[tuple[int, int]]:
    """Add an image's objects and padding; return their slots, front before top."""
    places = []
    for view in (FRONT, TOP):
        shown = image[view]
        for crop, box, which in zip(shown.crops, shown.boxes, shown.ids, strict=True):
            row = slots.crop(number, episode, crop)
            name = NOTHING if which == NOTHING else which + context.first_object
            look = _label(episode.looks, which, NOTHING)
            look = NOTHING if look == NOTHING else number * MAX_LOOKS + look
            labels = (
                _label(context.grasps, which, (0.0, 0.0)),
                context.step,
                look,
                _label(episode.shapes, which, NOTHING),
                _label(context.grasp_offsets, which, UNKNOWN),
                _label(context.first_places, which, UNKNOWN),
                _label(context.next_places, which, UNKNOWN),
            )
            values = (row, box, True, effector, name, *labels)
            places.append(slots.add(view, *values))
        for _ in range(counts[view] - len(shown.crops)):
            no_place = (0.0, 0.0), *[NOTHING] * 3, *[UNKNOWN] * 3
            places.append(slots.add(view, 0, (0, 0, 0, 0), False, effector, NOTHING, *no_place))
    return places


def _label(values: Sequence | np.ndarray | None, which: int, unknown: Any) -> Any:
    """Return the value of an object; ``unknown`` of no object, and where there are no values."""
    return unknown if values is None or which == NOTHING else values[which]


def _tensors(
    slots: _Slots,
    words: list[int],
    named_looks: list[int],
    prompts: list[list],
    turns: list[Turn],
    histories: list[list],
    asks: list[tuple[int, int]],
    picked: list[int],
    placed: list[int],
    episodes: Sequence[TrainingEpisode],
) -> ObjectBatch:
    n_front = len(slots.views[FRONT])
    columns = (
        np.array(column) for column in zip(*slots.views[FRONT], *slots.views[TOP], strict=True)
    )
    rows, boxes, valid, effectors, objects, grasps, step_of, looks, shapes, *offsets = columns
    grasp_offsets, first_places, next_places = offsets
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
    tokens = padded(token_rows)
    bins, weight, fractions = action_targets(episodes)
    none, no_actions = np.full(1, NOTHING), np.full(len(bins), NOTHING)
    of_slots = (objects, step_of, np.arange(count) >= n_front)
    labels = np.stack([np.concatenate([none, of, no_actions])[tokens] for of in of_slots])
    picks = find_pick_tokens(episodes, labels)
    longest = tokens.shape[1]
    all_slots = Slots(
        torch.from_numpy(np.stack(slots.crops)),
        torch.from_numpy(rows),
        torch.from_numpy(boxes),
        torch.from_numpy(valid),
        n_front,
    )
    return ObjectBatch(
        PromptBatch(
            torch.tensor(words, dtype=torch.int64),
            all_slots,
            torch.from_numpy(padded(prompt_rows)),
            torch.tensor(
                [[NOTHING if at is None else slot(at) - 1 for at in turn[:3]] for turn in turns],
                dtype=torch.int64,
            ).reshape(-1, 3),
        ),
        torch.from_numpy(effectors),
        fractions,
        torch.from_numpy(tokens),
        torch.tensor([b * longest + at for b, at in asks]),
        torch.from_numpy(picks.picked),
        bins,
        weight,
        torch.tensor(slots.episode_of),
        torch.tensor([episode.names_colors for episode in episodes]),
        torch.from_numpy(np.concatenate([repeated_moves(episode) for episode in episodes])),
        torch.from_numpy(objects),
        torch.from_numpy(grasps.astype(np.float32)),
        torch.from_numpy(step_of),
        torch.tensor(picked, dtype=torch.int64),
        torch.tensor(placed, dtype=torch.int64),
        torch.from_numpy(looks),
        torch.tensor(named_looks, dtype=torch.int64),
        torch.from_numpy(shapes),
        torch.from_numpy(grasp_offsets.astype(np.float32)),
        torch.from_numpy(first_places.astype(np.float32)),
        torch.from_numpy(picks.actions),
        torch.from_numpy(picks.others),
        torch.from_numpy(picks.places),
        torch.tensor([turn.degrees for turn in turns], dtype=torch.float32),
        torch.from_numpy(next_places.astype(np.float32)),
    )


def action_targets(episodes: Sequence[TrainingEpisode]) -> tuple[Tensor, Tensor, Tensor]:
    """Return bins, weight and fractions of all actions (``PolicyBatch``)."""
    bins = np.concatenate([episode.bins for episode in episodes])
    weights = np.concatenate([np.full(len(e.bins), 1.0 / len(e.bins)) for e in episodes])
    fractions = (bins / BINS).astype(np.float32)
    return (
        torch.from_numpy(bins),
        torch.from_numpy(weights.astype(np.float32)),
        torch.from_numpy(fractions),
    )


def padded(rows: list[list[int]]) -> np.ndarray:
    """Pad rows on the right with 0 to the longest."""
    longest = max(map(len, rows))
    return np.array([row + [0] * (longest - len(row)) for row in rows], np.int64)
