"""Demonstrations as arrays, from which batches are made fast."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from vima_ros.discretization import fractions_to_bins
from vima_ros.errors import PromptTooLongError, VimaError
from vima_ros.geometry import Workspace
from vima_ros.policy.tokenizer import PromptTokenizer
from vima_ros.sim.model.textures import COLOURS, IMAGE_TEXTURES
from vima_ros.specs import (
    POSITION_BINS,
    AssetKind,
    EndEffector,
    PromptImage,
)
from vima_ros.training.data.demonstration import Demonstration
from vima_ros.training.data.readers import read_demonstrations
from vima_ros.training.evaluation.detector_frames import FIRST_EVALUATION_SEED
from vima_ros.training.policy.action_objects import find_action_objects
from vima_ros.training.policy.image_composition import ImageParts
from vima_ros.training.policy.privileged_labels import NOTHING, find_labels
from vima_ros.training.policy.visible_objects import ViewPair, ViewStore

SAME_GRASP = 1e-4  # what float32 makes of a place differs less [m]
POSITION_COLUMNS = [0, 1, 6, 7]  # of the twelve bins
COLOUR_WORDS = {word for name in (*COLOURS, *IMAGE_TEXTURES) for word in name.split("_")}


@dataclass(frozen=True, eq=False)
class TrainingEpisode:
    """An episode of T steps, P prompt tokens, K objects and C different crops.

    ``prompt``: word ids, and ``~i`` for image ``i`` of ``images``; ``scenes``: indices of images
    that show a scene; ``yaws``: of each image as in ``PrivilegedLabels`` [rad], NaN where unknown;
    ``timesteps``: observation before each action. ``bins`` (T, 12); ``targets``
    (T, 2, 2): x, y of both poses before rounding, picked where a deterministic oracle would [m];
    ``places`` (T, K, 2): positions of the objects [m]; ``grasps``, ``grasp_offsets``: as in
    ``PrivilegedLabels``; ``picked``, ``placed`` (T,): as of ``find_action_objects``, NOTHING of a
    sweep. ``crops`` uint8 (C, 3, 32, 32). ``names_colors``: the prompt names colors.
    ``named_looks`` (P,), ``looks``, ``shapes`` (K,): as in ``PrivilegedLabels``. ``workspace``:
    what the bins are fractions of. ``cutouts``, ``backgrounds``: as in ``ImageParts``.
    """

    task: str
    prompt: tuple[int, ...]
    images: tuple[ViewPair, ...]
    scenes: tuple[int, ...]
    yaws: tuple[float, ...]
    timesteps: tuple[ViewPair, ...]
    end_effector: EndEffector
    bins: np.ndarray
    targets: np.ndarray
    places: np.ndarray
    grasps: np.ndarray
    grasp_offsets: np.ndarray
    picked: np.ndarray
    placed: np.ndarray
    crops: np.ndarray
    names_colors: bool
    named_looks: tuple[int, ...]
    looks: tuple[int, ...]
    shapes: tuple[int, ...]
    workspace: Workspace
    cutouts: tuple[np.ndarray, ...] = ()
    backgrounds: tuple[np.ndarray, ...] = ()

    @property
    def grasp_fractions(self) -> np.ndarray:
        """Fractions (T, K, 2) of the workspace that ``grasps`` are, float32."""
        low, size = np.array([self.workspace.low, self.workspace.size], np.float32)
        return (self.grasps - low) / size

    @property
    def return_fractions(self) -> np.ndarray:
        """Fractions (T, K, 2) to put each object at so that it is where it was first, float32."""
        way = (self.places[0] - self.places) / np.array(self.workspace.size, np.float32)
        return self.grasp_fractions + way

    def truncated(self, steps: int) -> TrainingEpisode:
        """Truncate the episode to ``steps``."""
        cut = {
            name: getattr(self, name)[:steps]
            for name in (
                "bins",
                "targets",
                "places",
                "grasps",
                "grasp_offsets",
                "picked",
                "placed",
            )
        }
        return replace(self, timesteps=self.timesteps[:steps], **cut)


def training_episode(
    demonstration: Demonstration,
    tokenizer: PromptTokenizer,
    backgrounds: dict[bytes, np.ndarray] | None = None,
) -> TrainingEpisode:
    """Convert a demonstration, with its whole images where ``backgrounds`` (``ImageParts``) is.

    Raises VimaError: PROMPT_TOO_LONG, NO_IMAGES where images are needed and only crops known.
    """
    d = demonstration
    if backgrounds is not None and d.recording is None:
        raise VimaError(
            "NO_IMAGES",
            f"{d.task} {d.seed} has crops only; valid for a policy that reads whole images: "
            "demonstrations of content masks",
        )
    parts = None if backgrounds is None else ImageParts(backgrounds)
    views = ViewStore(parts)
    shown_images = {a.name: a.images for a in d.recording.assets} if d.recording else {}
    encoded = d.prompt(tokenizer.encode)
    labels = find_labels(d, encoded.tokens, tokenizer)
    prompt: list[int] = []
    images: list[ViewPair] = []
    scenes: list[int] = []
    index_of: dict[str, int] = {}
    for token in encoded.tokens:
        if not isinstance(token, PromptImage):
            prompt.append(token)
            continue
        if token.name not in index_of:
            index_of[token.name] = len(images)
            if token.kind == AssetKind.SCENE:
                scenes.append(len(images))
            unknown = (NOTHING,) * 255
            which = labels.shown.get(token.name, unknown)
            add = views.add_scene if token.kind == AssetKind.SCENE else views.add
            images.append(add(token, which, shown_images.get(token.name)))
        prompt.append(~index_of[token.name])
    observations = d.observations[: len(d.actions)]
    frames = d.recording.images if d.recording else None
    timesteps = tuple(views.add(o, None, frames, step) for step, o in enumerate(observations))
    positions = d.object_poses[: len(d.actions), :, :3].astype(np.float32)
    sweeps = d.observations[0].end_effector == EndEffector.SPATULA
    targets = d.unrounded[:, POSITION_COLUMNS].reshape(-1, 2, 2).astype(np.float64)
    picked, placed = find_action_objects(positions, targets, labels.shapes)
    if sweeps:
        picked, placed = np.full((2, len(targets)), NOTHING)
    bins = np.array([action.bins for action in d.actions], np.int64)
    moved = _without_grasp_noise(d, targets, picked, labels.grasps)
    for step in np.flatnonzero(np.abs(moved - targets).max((1, 2)) > SAME_GRASP):
        targets[step] = moved[step]
        bins[step, POSITION_COLUMNS] = position_bins(targets, d.workspace)[step]
    return TrainingEpisode(
        d.task,
        tuple(prompt),
        tuple(images),
        tuple(scenes),
        tuple(labels.yaws.get(name, np.nan) for name in index_of),
        timesteps,
        d.observations[0].end_effector,
        bins,
        targets,
        positions[..., :2],
        labels.grasps[: len(d.actions)].astype(np.float32),
        labels.grasp_offsets[: len(d.actions)].astype(np.float32),
        picked,
        placed,
        np.stack(views.crops),
        not COLOUR_WORDS.isdisjoint(re.findall(r"\w+", d.text.lower())),
        labels.named_looks,
        labels.looks,
        labels.shapes,
        d.workspace,
        tuple(parts.cutouts) if parts else (),
        tuple(parts.backgrounds) if parts else (),
    )


def _without_grasp_noise(
    demonstration: Demonstration, targets: np.ndarray, picked: np.ndarray, grasps: np.ndarray
) -> np.ndarray:
    """Compute ``targets`` (T, 2, 2) of the same motions with picks at ``grasps`` [m].

    VIMA-Bench's pick anywhere on an object. Where in the workspace both places are, and an object
    is known to be ``picked``; as they were elsewhere.
    """
    space, moved = demonstration.workspace, targets.copy()
    steps = np.arange(len(targets))
    numbers = demonstration.unrounded.astype(np.float64)
    headings = 2.0 * np.arctan2(numbers[:, [4, 10]], numbers[:, [5, 11]])  # about z [rad]
    turn = headings[:, 1] - headings[:, 0]
    away = grasps[steps, np.maximum(picked, 0)] - targets[:, 0]
    turned = np.stack(
        [
            np.cos(turn) * away[:, 0] - np.sin(turn) * away[:, 1],
            np.sin(turn) * away[:, 0] + np.cos(turn) * away[:, 1],
        ],
        axis=1,
    )
    new = targets + np.stack([away, turned], axis=1)
    fits = ((new >= space.low) & (new <= space.high)).all((1, 2)) & (picked != NOTHING)
    moved[fits] = new[fits]
    return moved


def position_bins(targets: np.ndarray, workspace: Workspace) -> np.ndarray:
    """Convert x, y of both poses (T, 2, 2) [m] to bins (T, 4) of an action."""
    fractions = (targets - workspace.low) / workspace.size
    return fractions_to_bins(fractions, POSITION_BINS).reshape(-1, 4)


def read_training_episodes(
    folders: Sequence[Path],
    tasks: Iterable[str] = (),
    max_steps: int = 100,
    whole_images: bool = False,
) -> list[TrainingEpisode]:
    """Read the demonstrations in ``folders`` of these ``tasks`` (none named: all).

    Longer ones are truncated to ``max_steps``. Invalid inputs of a policy are left out: a prompt
    that is too long, an image or a timestep without objects. ``whole_images``: for a policy that
    reads them. Raises VimaError as read_demonstrations and training_episode, EVALUATION_SEED, and
    NO_DEMONSTRATIONS where none is left.
    """
    tokenizer, wanted, episodes = PromptTokenizer(), set(tasks), []
    backgrounds: dict[bytes, np.ndarray] | None = {} if whole_images else None
    for folder in folders:
        for demonstration in read_demonstrations(folder):
            if wanted and demonstration.task not in wanted:
                continue
            if demonstration.seed >= FIRST_EVALUATION_SEED:
                raise VimaError(
                    "EVALUATION_SEED",
                    f"{folder} has seed {demonstration.seed}; valid for training: below "
                    f"{FIRST_EVALUATION_SEED}, the rest is for evaluation",
                )
            try:
                episode = training_episode(demonstration, tokenizer, backgrounds)
            except PromptTooLongError:
                continue
            episode = episode.truncated(max_steps)
            if all(any(len(v.crops) for v in p) for p in episode.images + episode.timesteps):
                episodes.append(episode)
    if not episodes:
        raise VimaError(
            "NO_DEMONSTRATIONS", f"none of {sorted(wanted) or 'any task'} in {folders}"
        )
    return episodes
