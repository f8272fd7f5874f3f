"""Order of moves that a prompt's frames show, as follow_order's: a frame before and after each."""

from __future__ import annotations

import numpy as np

from vima_ros.specs import POLICY_FRAME_HEIGHT, POLICY_FRAME_WIDTH, VIEWS
from vima_ros.training.policy.privileged_labels import NOTHING
from vima_ros.training.policy.training_episode import TrainingEpisode

TOP = VIEWS.index("top")


def shows_order(episode: TrainingEpisode) -> bool:
    """Return whether the prompt has a frame before and after each action, of known objects."""
    frames = [episode.images[scene] for scene in episode.scenes]
    known = all(set(frame[TOP].ids) - {NOTHING} for frame in frames)
    return known and len(frames) == len(episode.bins) + 1 > 2


def next_frame_places(episode: TrainingEpisode, step: int) -> np.ndarray:
    """Return where the prompt's frame after action ``step`` shows each object, (K, 2) float32.

    Centers of boxes from above as fractions of the policy frame, x down and y to the right; NaN
    where the object is not seen, and in prompts that show no order.
    """
    places = np.full((episode.places.shape[1], 2), np.nan, np.float32)
    if shows_order(episode):
        top = episode.images[episode.scenes[step + 1]][TOP]
        for box, which in zip(top.boxes, top.ids, strict=True):
            if which != NOTHING:
                places[which] = box[1] / POLICY_FRAME_HEIGHT, box[0] / POLICY_FRAME_WIDTH
    return places


def repeated_moves(episode: TrainingEpisode) -> np.ndarray:
    """Return which actions (T,) move an object that moved before, where frames show the order."""
    picked = episode.picked.tolist()
    again = [which in picked[:step] for step, which in enumerate(picked)]
    return np.array(again, bool) & shows_order(episode)
