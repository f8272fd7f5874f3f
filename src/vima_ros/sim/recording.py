"""Recording of episodes in which a task's oracle acts."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from vima_ros.geometry import Pose, Workspace
from vima_ros.policy_frame import VIMA_WORKSPACE
from vima_ros.sim.episode_runner import EpisodeRunner, with_random_appearance
from vima_ros.sim.rendering.prompt_renderer import render_prompt_images
from vima_ros.sim.tabletop import Tabletop
from vima_ros.sim.tasks import find_task
from vima_ros.sim.tasks.base import Asset, Level, TaskEvaluation, TaskOutcome
from vima_ros.specs import VIEWS, Action, AssetKind, EndEffector


@dataclass(frozen=True, eq=False)
class RecordedImages:
    """Images of n time steps in both views, front first.

    ``rgb`` (n, 2, 128, 256, 3) uint8; ``masks`` (n, 2, 128, 256) uint8: 0, or the index of an
    object + 1; None: not recorded.
    """

    rgb: np.ndarray
    masks: np.ndarray | None


@dataclass(frozen=True, eq=False)
class RecordedPromptAsset:
    """Images of a prompt asset with ``count`` objects.

    ``shows``: index of the episode's object for each mask id, or -1; empty if not known.
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
    names, in the order of the mask ids. ``images``: of T + 1 time steps, before each action and at
    the end. ``bins`` (T, 12) uint8: the executed actions, ``specs.Action.bins``. ``actions``
    (T, 12) float32: the actions before rounding, x, y [m], quaternion xyzw of pose0 and pose1.
    ``object_poses`` (T + 1, K, 7) float32: x, y, z [m], quaternion xyzw. ``workspace``: what the
    bins are fractions of.
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
    workspace: Workspace


def record(
    task: str,
    level: Level | None,
    seed: int,
    *,
    masks: bool = True,
    visual_randomization: float = 0.0,
    deterministic_oracle: bool = False,
    workspace: Workspace = VIMA_WORKSPACE,
) -> RecordedEpisode | TaskEvaluation:
    """Record the oracle's episode, with actions rounded to bins; return the result of a failure.

    ``level`` None: the task's first. ``visual_randomization``: strength of the domain
    randomization, 0 to 1. ``deterministic_oracle``: the oracle draws nothing at random.

    Raises VimaError: UNKNOWN_TASK, UNKNOWN_LEVEL, INVALID_VALUE, NO_RENDERER.
    """
    found = find_task(task)
    episode = with_random_appearance(found.sample(seed, level, workspace), visual_randomization)
    oracle = found.oracle(episode, None if deterministic_oracle else seed)
    frames, states, actions, bins = [], [], [], []
    with EpisodeRunner(episode) as run:
        while True:
            frames.append(_images(run.tabletop, masks))
            states.append(run.object_poses())
            poses = None if run.done else oracle.act(run.world_state())
            if poses is None:
                break
            action = Action.from_poses(*poses, workspace, run.primitive)
            actions.append(action_vector(*poses))
            bins.append(action.bins)
            run.step(*action.poses(workspace))
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
        _concatenate(frames),
        np.array(bins, np.uint8),
        np.array(actions, np.float32),
        np.array(states, np.float32),
        workspace,
    )


def action_vector(pose0: Pose, pose1: Pose) -> np.ndarray:
    """Return x, y [m] and quaternion xyzw of both poses, (12,)."""
    return np.concatenate(
        [part for pose in (pose0, pose1) for part in (pose.position[:2], pose.quaternion)]
    )


def _images(tabletop: Tabletop, masks: bool) -> RecordedImages:
    rgb = np.stack([tabletop.render(view) for view in VIEWS])
    ids = np.stack([tabletop.render_mask(view) for view in VIEWS]) if masks else None
    return RecordedImages(rgb[None], None if ids is None else ids[None])


def _concatenate(frames: list[RecordedImages]) -> RecordedImages:
    masks = [frame.masks for frame in frames if frame.masks is not None]
    return RecordedImages(
        np.concatenate([frame.rgb for frame in frames]),
        np.concatenate(masks) if masks else None,
    )


def _asset(name: str, asset: Asset, masks: bool) -> RecordedPromptAsset:
    views = render_prompt_images(asset.scene, asset.kind)
    rgb = np.stack([views[view].rgb for view in VIEWS])[None]
    ids = np.stack([views[view].mask for view in VIEWS])[None] if masks else None
    return RecordedPromptAsset(
        name, asset.kind, len(asset.scene.objects), RecordedImages(rgb, ids)
    )


def _failure(result: TaskEvaluation) -> TaskEvaluation:
    """Add to a RUNNING result that the episode has ended."""
    if result.outcome == TaskOutcome.RUNNING:
        return replace(result, reason=f"not done: {result.reason}")
    return result
