"""Layout augmentation: an episode's objects at other positions, without rendering.

VIMA's cameras are orthographic, so that an object's crop does not depend on its position; its box
moves by the camera's pixels per metre (policy_frame.py). Whole images are composed anew
(image_composition.py).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from vima_ros.geometry import Workspace
from vima_ros.policy_frame import CAMERAS, project_to_view
from vima_ros.specs import POLICY_FRAME_HEIGHT, POLICY_FRAME_WIDTH, VIEWS
from vima_ros.training.policy.action_objects import MAX_STACK_DISTANCE, SAME_PLACE
from vima_ros.training.policy.privileged_labels import NOTHING
from vima_ros.training.policy.training_episode import (
    POSITION_COLUMNS,
    TrainingEpisode,
    position_bins,
)
from vima_ros.training.policy.visible_objects import ViewPair

TRIES = 30
MIN_EDGE_DISTANCE = 0.04  # from an object's center to the edge of the workspace [m]
MIN_GAP = 0.01  # between objects [m]
MIN_RADIUS = 0.03  # of an object [m]
RELATIVE_POSITION_TASKS = ("manipulate_old_neighbor", "sweep_without_exceeding")
SCENE_GOAL_TASKS = ("rearrange", "rearrange_then_restore")  # prompt scenes show the targets


@dataclass(frozen=True)
class _Constraints:
    """Positions that may be randomized: N of the K objects at the start and in prompt images.

    ``homes`` (N, 2): original positions [m]; ``tied`` (N,): index of the position that each moves
    with, its own or another; ``anchors`` (T + 1, K): position of each object over time.
    """

    homes: np.ndarray
    tied: np.ndarray
    anchors: np.ndarray


def randomize_layout(episode: TrainingEpisode, random: np.random.Generator) -> TrainingEpisode:
    """Randomize the position of every object; the prompt and the objects stay.

    Objects that are put onto another one, back to an earlier position or to where a scene image
    shows them keep that relation. Where this does not determine all positions, or the task depends
    on relative positions, all objects and scene images move alike. An episode for which no room is
    found stays unchanged.
    """
    constraints = _find_constraints(episode)
    space, places = episode.workspace, episode.places[0]
    low, high = np.array(space.low), np.array(space.high)
    count = len(places)
    if constraints is None:
        least, most = (
            low + MIN_EDGE_DISTANCE - places.min(0),
            high - MIN_EDGE_DISTANCE - places.max(0),
        )
        if (least > most).any():
            return episode
        anchors = np.tile(np.arange(count), (len(episode.bins) + 1, 1))
        alike = random.uniform(least, most, (TRIES, 1, 2)).repeat(count + 1, 1)
        tried = (_moved(episode, shift, anchors, shift) for shift in alike)
    else:
        radius = _radius(episode, count)[np.arange(len(constraints.homes)) % count]
        drawn = random.uniform(
            low + MIN_EDGE_DISTANCE, high - MIN_EDGE_DISTANCE, (TRIES, *constraints.homes.shape)
        )
        drawn = (
            drawn[:, constraints.tied] + constraints.homes - constraints.homes[constraints.tied]
        )
        distances = np.linalg.norm(drawn[:, :, None] - drawn[:, None], axis=-1)  # (tries, N, N)
        apart = constraints.tied[:, None] != constraints.tied
        needed = np.where(apart, radius[:, None] + radius + MIN_GAP, 0.0)
        drawn = drawn[(distances >= needed).all((1, 2))]
        if not len(drawn):  # crowded: exchange positions
            drawn = _exchanged(constraints, random)[None]
        shown = np.zeros((len(drawn), count + 1, 2))
        if episode.task in SCENE_GOAL_TASKS:
            shown[:, :count] = (drawn - constraints.homes)[:, count:]
        tried = (
            _moved(episode, shift, constraints.anchors, scene_shift)
            for shift, scene_shift in zip(drawn - constraints.homes, shown, strict=True)
        )
    return next((new for new in tried if new is not None), episode)


def _find_constraints(episode: TrainingEpisode) -> _Constraints | None:
    """Find the constraints; None where an object's targets are not known."""
    if episode.task in RELATIVE_POSITION_TASKS or NOTHING in episode.picked:
        return None
    places, targets = episode.places, episode.targets
    count = places.shape[1]
    shown_objects = {which for i in episode.scenes for which in episode.images[i][0].ids}
    near = np.linalg.norm(places[0][:, None] - places[0], axis=-1) < MAX_STACK_DISTANCE  # (K, K)
    now = near.argmax(1)
    homes, tied, rows = np.tile(places[0], (2, 1)), np.tile(now, 2), [now]
    for step, (picked, placed) in enumerate(zip(episode.picked, episode.placed, strict=True)):
        now = now.copy()
        way = targets[step, 1] - targets[step, 0]
        before = np.linalg.norm(places[: step + 1, picked] - targets[step, 1], axis=-1)
        if np.linalg.norm(way) < SAME_PLACE:
            pass  # it is rotated in place
        elif before.min() < SAME_PLACE:
            now[picked] = rows[int(before.argmin())][picked]
        elif episode.task in SCENE_GOAL_TASKS:
            goal = count + picked
            if placed != NOTHING or picked not in shown_objects or tied[goal] == goal:
                return None
            homes[goal], tied[goal] = places[step, picked] + way, goal
            now[picked] = goal
        elif placed != NOTHING:
            now[picked] = now[placed]
        else:
            return None
        rows.append(now)
    return _Constraints(homes, tied, np.array(rows))


def _exchanged(constraints: _Constraints, random: np.random.Generator) -> np.ndarray:
    """Exchange the positions of groups of objects; returns (N, 2)."""
    first, group = np.unique(constraints.tied, return_inverse=True)
    taken = constraints.homes[random.permutation(first)]
    return taken[group] + constraints.homes - constraints.homes[constraints.tied]


def _moved(
    episode: TrainingEpisode, shift: np.ndarray, anchors: np.ndarray, scene_shift: np.ndarray
) -> TrainingEpisode | None:
    """Move everything by the ``shift`` (N, 2) [m] of its anchor, scene images by ``scene_shift``.

    ``scene_shift`` (K + 1, 2) [m]: of each object, and last of anything else. None where something
    would leave an image or the workspace.
    """
    images, space = list(episode.images), episode.workspace
    if scene_shift.any():
        for index in episode.scenes:
            images[index] = _shifted(images[index], scene_shift, space)  # type: ignore[assignment]
    timesteps = [
        _shifted(timestep, shift[row], space)
        for timestep, row in zip(episode.timesteps, anchors[:-1], strict=True)
    ]
    if None in images or None in timesteps:
        return None
    steps = np.arange(len(episode.bins))
    low, high = np.array(space.low), np.array(space.high)
    picked = np.maximum(episode.picked, 0)
    ways = np.stack([shift[anchors[steps, picked]], shift[anchors[steps + 1, picked]]], 1)
    targets = episode.targets + ways  # (T, 2, 2)
    if ((targets < low) | (targets > high)).any():
        return None
    bins = episode.bins.copy()
    bins[:, POSITION_COLUMNS] = position_bins(targets, space)
    return replace(
        episode,
        images=tuple(images),
        timesteps=tuple(timesteps),  # type: ignore[arg-type]
        bins=bins,
        places=(episode.places + shift[anchors[:-1]]).astype(np.float32),
        grasps=(episode.grasps + shift[anchors[:-1]]).astype(np.float32),
        targets=targets,
    )


def _radius(episode: TrainingEpisode, count: int) -> np.ndarray:
    """Estimate the radius (K,) of each object from its top view at the start [m]."""
    radius = np.full(count, MIN_RADIUS)
    top = episode.timesteps[0][VIEWS.index("top")]
    metres = 1.0 / CAMERAS["top"].over(episode.workspace).scale
    for box, which in zip(top.boxes, top.ids, strict=True):
        radius[which] = max(radius[which], metres * max(box[2:]) / 2)
    return radius


def _pixels(view: str, moved: np.ndarray, workspace: Workspace) -> np.ndarray:
    """Convert displacements (n, 2) [m] to columns and rows (n, 2) [px]."""
    points = np.concatenate([moved, np.zeros((len(moved), 1))], axis=1)
    origin = project_to_view(view, np.zeros(3), workspace)
    return (project_to_view(view, points, workspace) - origin)[:, ::-1]


def _shifted(image: ViewPair, moved: np.ndarray, workspace: Workspace) -> ViewPair | None:
    """Shift an image's objects by ``moved`` (K, 2) [m]; None where one would leave the image."""
    views = []
    for shown, view in zip(image, VIEWS, strict=True):
        boxes = shown.boxes.astype(np.int64)
        boxes[:, :2] += np.rint(_pixels(view, moved[list(shown.ids)], workspace)).astype(np.int64)
        half = (boxes[:, [3, 2]] + 1) // 2
        frame = np.array([POLICY_FRAME_WIDTH, POLICY_FRAME_HEIGHT])
        if (boxes[:, :2] < half).any() or (boxes[:, :2] + half > frame).any():
            return None
        views.append(replace(shown, boxes=boxes))
    return views[0], views[1]
