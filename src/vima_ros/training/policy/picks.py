"""Picks of training episodes: tokens of the picked object, and picks that were not demonstrated.

In closed loop a policy picks another object than a demonstration does now and then; its place is
learned from these.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from vima_ros.training.policy.layout_augmentation import SCENE_GOAL_TASKS
from vima_ros.training.policy.privileged_labels import NOTHING
from vima_ros.training.policy.training_episode import TrainingEpisode


def undemonstrated_picks(episode: TrainingEpisode) -> list[tuple[int, int, int]]:
    """List (action, object, action whose place is the object's) of picks in place of the action's.

    In tasks whose scenes show where objects belong, any order is as good. An object's place in a
    stage is where the action brings it that picks it in this stage, the first for its goal and the
    next for its way back. Objects that no scene shows have none.
    """
    if episode.task not in SCENE_GOAL_TASKS:
        return []
    shown = {i for scene in episode.scenes for view in episode.images[scene] for i in view.ids}
    shown.discard(NOTHING)
    picked = [int(which) for which in episode.picked]
    stages = [picked[:action].count(which) for action, which in enumerate(picked)]
    place = {key: action for action, key in enumerate(zip(picked, stages, strict=True))}
    return [
        (action, other, place[other, stage])
        for action, (which, stage) in enumerate(zip(picked, stages, strict=True))
        if which in shown
        for other in sorted(shown - {which})
        if (other, stage) in place
    ]


class PickTokens(NamedTuple):
    """Tokens of the objects of a batch's picks, as ``EpisodeBatch`` and ``ObjectBatch`` have them.

    ``picked`` (n, 2); of picks that were not demonstrated and whose object is seen ``others``
    (u, 2), ``actions`` and ``places`` (u,).
    """

    picked: np.ndarray
    others: np.ndarray
    actions: np.ndarray
    places: np.ndarray


def find_pick_tokens(episodes: Sequence[TrainingEpisode], labels: np.ndarray) -> PickTokens:
    """Find the tokens of all picks; ``labels`` (3, B, T) as of ``find_tokens``.

    Actions and objects of the batch count on from one episode to the next.
    """
    picked: list[tuple[int, ...]] = []
    others: list[tuple[int, ...]] = []
    actions = objects = 0
    for row, episode in enumerate(episodes):
        for action, which in enumerate(episode.picked):
            picked.append((row, actions + action, which if which == NOTHING else objects + which))
        for action, which, place in undemonstrated_picks(episode):
            others.append((row, actions + action, objects + which, actions + place))
        actions += len(episode.bins)
        objects += episode.places.shape[1]
    columns = np.array(others, np.int64).reshape(-1, 4).T
    tokens = find_tokens(labels, *columns[:3])
    seen = (tokens != NOTHING).any(1)
    return PickTokens(
        find_tokens(labels, *np.array(picked, np.int64).T),
        tokens[seen],
        columns[1, seen],
        columns[3, seen],
    )


def find_tokens(
    labels: np.ndarray, rows: np.ndarray, actions: np.ndarray, objects: np.ndarray
) -> np.ndarray:
    """Find the tokens (m, 2) of objects, in front and top, at actions; -1: not seen there.

    ``labels`` (3, B, T): of each token of the history its object, its observation's action, and
    whether it is of the top view. ``rows``, ``actions``, ``objects`` (m,): episodes, and numbers
    of actions and objects, or NOTHING. A token is an index of the flattened (B, T).
    """
    length = labels.shape[2]
    of, steps, top = labels[:, rows]  # (m, T) each
    here = (of == objects[:, None]) & (steps == actions[:, None]) & (objects != NOTHING)[:, None]
    found = []
    for view in (0, 1):
        right = here & (top == view)
        found.append(np.where(right.any(1), right.argmax(1) + rows * length, NOTHING))
    return np.stack(found, axis=1)
