"""Recordings of the oracles at work."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from vima_ros.geometry import Pose, Workspace
from vima_ros.sim.episode_runner import EpisodeRunner, with_random_appearance
from vima_ros.sim.rendering.prompt_renderer import render_prompt_images
from vima_ros.sim.tabletop import Tabletop
from vima_ros.sim.tasks import find_task
from vima_ros.sim.tasks.base import Asset, Level, TaskOutcome, TaskResult
from vima_ros.specs import VIEWS, Action, AssetKind, EndEffector


@dataclass(frozen=True, eq=False)
class RecordedImages:
    """n moments in both views, front first.

    ``rgb`` (n, 2, 128, 256, 3) uint8; ``masks`` (n, 2, 128, 256) uint8: 0, or an object's place
    in the list of objects + 1; None: not taken.
    """

    rgb: np.ndarray
    masks: np.ndarray | None


@dataclass(frozen=True, eq=False)
class RecordedPromptAsset:
    """A picture of the prompt: one moment, of ``count`` objects.

    ``shows``: which of the episode's objects each mask id is, or -1; empty where only the task
    knows.
    """

    name: str
    kind: AssetKind
    count: int
    images: RecordedImages
    shows: tuple[int, ...] = ()


@dataclass(frozen=True, eq=False)
class RecordedEpisode:
    """Episode of T actions with K objects; other fields as in ``sim.tasks.base.TaskEpisode``.

    ``prompt``: text with {placeholders}. ``assets``: in the order of the text. ``objects``: their
    names, in the order of the mask ids. ``pictures``: of T + 1 moments, before each action and at
    the end. ``bins`` (T, 12) uint8: the actions as carried out, ``specs.Action.bins``.
    ``actions`` (T, 12) float32: the same before they were rounded, pose0 x, y [m], quaternion
    xyzw, pose1 alike. ``object_poses`` (T + 1, K, 7) float32: x, y, z [m], quaternion xyzw.
    """

    task: str
    level: str
    seed: int
    prompt: str
    assets: tuple[RecordedPromptAsset, ...]
    end_effector: EndEffector
    step_limit: int
    objects: tuple[str, ...]
    images: RecordedImages
    bins: np.ndarray
    actions: np.ndarray
    object_poses: np.ndarray


def record(
    task: str,
    level: Level | None,
    seed: int,
    *,
    masks: bool = True,
    visual_randomization: float = 0.0,
    deterministic_oracle: bool = False,
) -> RecordedEpisode | TaskResult:
    """The oracle's episode, its actions rounded to bins; the verdict if it was no success.

    ``level`` None: the task's first. ``visual_randomization``: strength of the domain
    randomization, 0 to 1. ``deterministic_oracle``: the oracle draws nothing at random.

    Raises VimaError: UNKNOWN_TASK, UNKNOWN_LEVEL, INVALID_VALUE, NO_RENDERER.
    """
    found = find_task(task)
    episode = with_random_appearance(found.sample(seed, level), visual_randomization)
    oracle = found.oracle(episode, None if deterministic_oracle else seed)
    moments, states, actions, bins = [], [], [], []
    with EpisodeRunner(episode) as run:
        while True:
            moments.append(_look(run.tabletop, masks))
            states.append(run.object_poses())
            poses = None if run.done else oracle.act(run.world_state())
            if poses is None:
                break
            action = Action.from_poses(*poses, Workspace(), run.primitive)
            actions.append(numbers(*poses))
            bins.append(action.bins)
            run.step(*action.poses(Workspace()))
        if run.result.outcome != TaskOutcome.SUCCESS:
            return _failure(run.result)
    return RecordedEpisode(
        task,
        episode.level.value,
        seed,
        episode.prompt,
        tuple(_asset(name, asset, masks) for name, asset in episode.assets.items()),
        episode.scene.end_effector,
        episode.step_limit,
        tuple(item.name for item in episode.scene.objects),
        _joined(moments),
        np.array(bins, np.uint8),
        np.array(actions, np.float32),
        np.array(states, np.float32),
    )


def numbers(pose0: Pose, pose1: Pose) -> np.ndarray:
    """(12,): x, y [m] and quaternion xyzw of both."""
    return np.concatenate(
        [part for pose in (pose0, pose1) for part in (pose.position[:2], pose.quaternion)]
    )


def _look(tabletop: Tabletop, masks: bool) -> RecordedImages:
    rgb = np.stack([tabletop.render(view) for view in VIEWS])
    ids = np.stack([tabletop.render_mask(view) for view in VIEWS]) if masks else None
    return RecordedImages(rgb[None], None if ids is None else ids[None])


def _joined(moments: list[RecordedImages]) -> RecordedImages:
    masks = [moment.masks for moment in moments if moment.masks is not None]
    return RecordedImages(
        np.concatenate([moment.rgb for moment in moments]),
        np.concatenate(masks) if masks else None,
    )


def _asset(name: str, asset: Asset, masks: bool) -> RecordedPromptAsset:
    views = render_prompt_images(asset.scene, asset.kind)
    rgb = np.stack([views[view].rgb for view in VIEWS])[None]
    ids = np.stack([views[view].mask for view in VIEWS])[None] if masks else None
    return RecordedPromptAsset(
        name, asset.kind, len(asset.scene.objects), RecordedImages(rgb, ids)
    )


def _failure(verdict: TaskResult) -> TaskResult:
    """A RUNNING episode that has ended ran out of steps, or of ideas."""
    if verdict.outcome == TaskOutcome.RUNNING:
        return replace(verdict, reason=f"not done: {verdict.reason}")
    return verdict
