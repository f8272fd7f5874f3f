"""Scenes that were never rendered: the objects of an episode, each somewhere else.

VIMA's cameras are orthographic, so that an object looks the same wherever it stands: its crop
stays, its box moves by as many pixels a metre as the camera has (sim/cameras.py).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from vima_ros.geometry import Workspace
from vima_ros.sim.cameras import project
from vima_ros.specs import (
    POLICY_FRAME_HEIGHT,
    POLICY_FRAME_WIDTH,
    POSITION_BINS,
    VIEWS,
)
from vima_ros.training.policy_episodes import NOTHING, SAME_PLACE, Picture, Shown, TrainingEpisode

TRIES = 30
EDGE = 0.04  # of the workspace: no object's centre comes nearer [m]
GAP = 0.01  # between objects [m]
LEAST_RADIUS = 0.03  # of an object [m]


def scattered(episode: TrainingEpisode, random: np.random.Generator) -> TrainingEpisode:
    """The same objects and the same prompt, every object at a place of its own.

    Only what takes one action, whose two poses are each at an object, can be told anew; another
    episode, or one for whose objects no free places are found, stays as it is.
    """
    tied = _tied(episode)
    if tied is None:
        return episode
    space, (moment,), places = Workspace(), episode.moments, episode.places[0]
    radius = _radius(moment, len(places))
    low, high = np.array(space.low), np.array(space.high)
    drawn = random.uniform(low + EDGE, high - EDGE, (TRIES, *places.shape))
    distances = np.linalg.norm(drawn[:, :, None] - drawn[:, None], axis=-1)  # (tries, K, K)
    needed = radius[:, None] + radius + GAP - 1e3 * np.eye(len(places))
    for new in drawn[(distances > needed).all((1, 2))]:
        moved = new - places
        views = [_shifted(s, v, moved) for s, v in zip(moment, VIEWS, strict=True)]
        targets = episode.targets[0] + moved[tied]  # (2, 2)
        inside = ((targets >= low) & (targets <= high)).all()
        if not inside or any(view is None for view in views):
            continue
        bins = episode.bins.copy()
        fractions = (targets - low) / (high - low)
        at = np.ceil(fractions * (np.array(POSITION_BINS) - 1)).astype(np.int64)
        bins[0, [0, 1, 6, 7]] = at.ravel()
        return replace(
            episode,
            moments=((views[0], views[1]),),  # type: ignore[arg-type]
            bins=bins,
            places=new[None].astype(np.float32),
            targets=targets[None],
        )
    return episode


def _tied(episode: TrainingEpisode) -> list[int] | None:
    """The objects that both poses of the only action are at; None where that is not so."""
    if len(episode.bins) != 1 or episode.picked[0] == NOTHING:
        return None
    first, second = int(episode.picked[0]), int(episode.placed[0])
    if np.linalg.norm(episode.targets[0, 0] - episode.targets[0, 1]) < SAME_PLACE:
        second = first  # it is turned where it stands
    return None if second == NOTHING else [first, second]


def _radius(moment: Picture, count: int) -> np.ndarray:
    """(K,) of each object seen from above [m]."""
    radius = np.full(count, LEAST_RADIUS)
    top = moment[VIEWS.index("top")]
    metres = 1.0 / _pixels("top", np.array([[0.0, 1.0]]))[0, 0]
    for box, which in zip(top.boxes, top.ids, strict=True):
        radius[which] = max(radius[which], metres * max(box[2:]) / 2)
    return radius


def _pixels(view: str, moved: np.ndarray) -> np.ndarray:
    """(n, 2) [m] to columns and rows (n, 2) [px]."""
    points = np.concatenate([moved, np.zeros((len(moved), 1))], axis=1)
    return (project(view, points) - project(view, np.zeros(3)))[:, ::-1]


def _shifted(shown: Shown, view: str, moved: np.ndarray) -> Shown | None:
    """Its objects ``moved`` (K, 2) [m]; None where one would not be wholly in the picture."""
    boxes = shown.boxes.astype(np.int64)
    boxes[:, :2] += np.rint(_pixels(view, moved[list(shown.ids)])).astype(np.int64)
    half = (boxes[:, [3, 2]] + 1) // 2
    frame = np.array([POLICY_FRAME_WIDTH, POLICY_FRAME_HEIGHT])
    if (boxes[:, :2] < half).any() or (boxes[:, :2] + half > frame).any():
        return None
    return Shown(shown.crops, boxes, shown.ids)
