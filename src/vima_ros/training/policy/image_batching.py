"""Batches of training episodes for a policy that reads whole images.

Each episode is laid out as the policy lays out a single one. There is no detector, so objects have
no order and no detection noise, and no token has an object's labels: those are of the image pairs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor

from vima_ros.policy.model.batching import ImageBatch, PromptBatch
from vima_ros.specs import POLICY_FRAME_HEIGHT, POLICY_FRAME_WIDTH
from vima_ros.training.policy.batching import TOP, UNKNOWN, PolicyBatch, action_targets, padded
from vima_ros.training.policy.frame_order import repeated_moves
from vima_ros.training.policy.image_composition import compose
from vima_ros.training.policy.privileged_labels import NOTHING
from vima_ros.training.policy.training_episode import TrainingEpisode
from vima_ros.training.policy.visible_objects import ViewPair


@dataclass(frozen=True)
class ShownObjects:
    """The objects that the views of a batch's image pairs show, one row for each view of each.

    ``pairs`` (v,) int64: number of the image pair, in the order of ``ImageBatch.pair_rows``;
    ``views`` (v,): FRONT or TOP; ``boxes`` (v, 4) int64 [px of the policy frame]. ``places``
    (v, 2) float32: where it would be picked, as fractions of the workspace; in a prompt's scene
    the middle of its top view, as fractions of the frame; NaN in other images of a prompt.
    ``alone`` (v,) bool: it is the only object of its pair.
    """

    pairs: Tensor
    views: Tensor
    boxes: Tensor
    places: Tensor
    alone: Tensor

    def to(self, device: torch.device) -> ShownObjects:
        """Return a copy on ``device``."""
        return ShownObjects(*(getattr(self, item.name).to(device) for item in fields(self)))


@dataclass(frozen=True)
class WholeImageBatch(PolicyBatch):
    """Episodes as whole images, with labels of what these show."""

    shown: ShownObjects


def make_image_batch(episodes: Sequence[TrainingEpisode], image_tokens: int) -> WholeImageBatch:
    """Build a batch in which every image pair is ``image_tokens`` tokens."""
    pairs: list[np.ndarray] = []
    episode_of: list[int] = []
    effectors: list[int] = []
    words: list[int] = []
    prompts: list[list] = []
    histories: list[list] = []
    reads: list[tuple[int, int]] = []
    shown: list[tuple] = []
    actions = 0

    def add(
        pair: ViewPair, number: int, effector: int, places: np.ndarray | None
    ) -> list[tuple[str, int]]:
        shown.extend(_shown(pair, len(pairs), places))
        pairs.append(_compose_pair(pair, episodes[number]))
        episode_of.append(number)
        effectors.extend([effector] * image_tokens)
        return [("slot", len(effectors) - image_tokens + i) for i in range(image_tokens)]

    for number, episode in enumerate(episodes):
        images = [
            add(pair, number, 0, _scene_places(pair, episode) if i in episode.scenes else None)
            for i, pair in enumerate(episode.images)
        ]
        prompt: list[tuple[str, int]] = []
        for token in episode.prompt:
            if token < 0:
                prompt += images[~token]
                continue
            prompt.append(("word", len(words)))
            words.append(token)
        history: list[tuple[str, int]] = []
        grasps, effector = episode.grasp_fractions, int(episode.end_effector)
        for step, pair in enumerate(episode.timesteps):
            if step:
                history.append(("action", actions + step - 1))
            history += add(pair, number, effector, grasps[step])
            reads.append((number, len(history) - 1))
        actions += len(episode.timesteps)
        prompts.append(prompt)
        histories.append(history)

    first = {"word": 1, "slot": 1 + len(words)}  # row 0 is the padding
    prompt_rows = padded([[first[kind] + row for kind, row in prompt] for prompt in prompts])
    first = {"slot": 1, "action": 1 + len(effectors)}
    rows = padded([[first[kind] + row for kind, row in history] for history in histories])
    bins, weight, fractions = action_targets(episodes)
    images_of_all = ImageBatch(
        torch.from_numpy(np.stack(pairs)), torch.arange(len(pairs)), image_tokens
    )
    of_pair, views, boxes, places, alone = map(np.array, zip(*shown, strict=True))
    return WholeImageBatch(
        PromptBatch(
            torch.tensor(words, dtype=torch.int64), images_of_all, torch.from_numpy(prompt_rows)
        ),
        torch.tensor(effectors),
        fractions,
        torch.from_numpy(rows),
        torch.tensor([number * rows.shape[1] + at for number, at in reads]),
        torch.full((len(reads), 2), NOTHING),
        bins,
        weight,
        torch.tensor(episode_of),
        torch.tensor([episode.names_colors for episode in episodes]),
        torch.from_numpy(np.concatenate([repeated_moves(episode) for episode in episodes])),
        ShownObjects(
            torch.from_numpy(of_pair),
            torch.from_numpy(views),
            torch.from_numpy(boxes.astype(np.int64)),
            torch.from_numpy(places.astype(np.float32)),
            torch.from_numpy(alone),
        ),
    )


def _shown(pair: ViewPair, number: int, places: np.ndarray | None) -> list[tuple]:
    """List the objects of both views as rows of ``ShownObjects``; ``places`` (K, 2) by object."""
    alone = max(len(view.ids) for view in pair) == 1
    rows = []
    for view, seen in enumerate(pair):
        for box, which in zip(seen.boxes, seen.ids, strict=True):
            place = UNKNOWN if places is None or which == NOTHING else places[which]
            rows.append((number, view, box, place, alone))
    return rows


def _scene_places(pair: ViewPair, episode: TrainingEpisode) -> np.ndarray:
    """Return the middles (K, 2) of the objects in the top view, NaN of what it does not show."""
    places = np.full((episode.places.shape[1], 2), np.nan)
    for box, which in zip(pair[TOP].boxes, pair[TOP].ids, strict=True):
        if which != NOTHING:
            places[which] = box[1] / POLICY_FRAME_HEIGHT, box[0] / POLICY_FRAME_WIDTH
    return places


def _compose_pair(pair: ViewPair, episode: TrainingEpisode) -> np.ndarray:
    """Compose the whole images (2, 3, 64, 128) uint8 of both views."""
    return np.stack(
        [
            compose(
                episode.backgrounds[view.background],
                view.boxes,
                [episode.cutouts[row] for row in view.cutouts],
            )
            for view in pair
        ]
    )
