"""Pairs of prompt frames of training episodes, with the angles between them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from vima_ros.policy.model.frame_pairs import PromptFrame, find_turns
from vima_ros.training.policy.training_episode import TrainingEpisode

Slot = tuple[int, int]  # view, number within it


class Turn(NamedTuple):
    """Slots of a pair of frames, as ``PromptBatch.turns`` has them, and its angle.

    ``degrees``: clockwise from above, NaN where unknown.
    """

    before: Slot
    after: Slot
    after_in_front: Slot | None
    degrees: float


def find_episode_turns(
    episode: TrainingEpisode, shown: Sequence[tuple[int, Sequence[Slot]]], front: int
) -> list[Turn]:
    """Find the pairs of frames of a prompt.

    ``shown``: indices of its images in reading order with their slots, ``front`` of them of the
    front view.
    """
    frames = [
        PromptFrame(i in episode.scenes, *(view.boxes for view in episode.images[i]))
        for i, _ in shown
    ]
    turns = []
    for index in find_turns(frames):
        (first, before), (second, after) = shown[index : index + 2]
        degrees = np.degrees(episode.yaws[first] - episode.yaws[second])
        in_front = after[0] if len(frames[index + 1].front) else None
        turns.append(Turn(before[front], after[front], in_front, float(degrees)))
    return turns
