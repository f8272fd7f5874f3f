"""Batches of training episodes for a policy that reads whole images.

Each episode is laid out as the policy lays out a single one. There is no detector, so objects have
no order and no detection noise, and no token has an object's labels.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from vima_ros.policy.model.batching import ImageBatch, PromptBatch
from vima_ros.training.policy.batching import PolicyBatch, action_targets, padded
from vima_ros.training.policy.frame_order import repeated_moves
from vima_ros.training.policy.image_composition import compose
from vima_ros.training.policy.privileged_labels import NOTHING
from vima_ros.training.policy.training_episode import TrainingEpisode
from vima_ros.training.policy.visible_objects import ViewPair


def make_image_batch(episodes: Sequence[TrainingEpisode], image_tokens: int) -> PolicyBatch:
    """Build a batch in which every image pair is ``image_tokens`` tokens."""
    pairs: list[np.ndarray] = []
    episode_of: list[int] = []
    effectors: list[int] = []
    words: list[int] = []
    prompts: list[list] = []
    histories: list[list] = []
    reads: list[tuple[int, int]] = []
    actions = 0

    def add(pair: ViewPair, number: int, effector: int) -> list[tuple[str, int]]:
        pairs.append(_compose_pair(pair, episodes[number]))
        episode_of.append(number)
        effectors.extend([effector] * image_tokens)
        return [("slot", len(effectors) - image_tokens + i) for i in range(image_tokens)]

    for number, episode in enumerate(episodes):
        images = [add(pair, number, 0) for pair in episode.images]
        prompt: list[tuple[str, int]] = []
        for token in episode.prompt:
            if token < 0:
                prompt += images[~token]
                continue
            prompt.append(("word", len(words)))
            words.append(token)
        history: list[tuple[str, int]] = []
        for step, pair in enumerate(episode.timesteps):
            if step:
                history.append(("action", actions + step - 1))
            history += add(pair, number, int(episode.end_effector))
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
    return PolicyBatch(
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
    )


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
