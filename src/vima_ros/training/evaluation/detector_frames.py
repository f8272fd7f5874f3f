"""Evaluation images with known objects, which our detectors were not trained on."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from vima_ros.errors import NoRoomError, VimaError
from vima_ros.sim.process_pool import worker_pool
from vima_ros.sim.recording import RecordedEpisode, RecordedImages, RecordedPromptAsset, record
from vima_ros.sim.tasks import TASKS, find_task
from vima_ros.sim.tasks.base import Level
from vima_ros.training.data.readers import demonstration_files
from vima_ros.training.data.vima_bench import read_bench_episode

# Detectors learn from the seeds below, and are measured with the seeds from there on.
FIRST_EVALUATION_SEED = 2_000_000
VISUAL_RANDOMIZATIONS = (0.0, 0.5, 1.0)
TABLETOP, BENCH = "tabletop", "VIMA-Bench"  # datasets
_TRIES = 20  # oracles fail on few seeds; a whole row of them is a mistake
_AHEAD = 8  # frames made before they are asked for, a worker


@dataclass(frozen=True, eq=False)
class EvaluationFrame:
    """Images of both views at one timestep, front first.

    ``rgb`` (2, 128, 256, 3) uint8; ``masks`` (2, 128, 256) uint8: 0 = background, else the place
    in ``kinds`` + 1. ``kinds``: the shape of each object, "" where it is not known.
    ``is_prompt_image``: of a prompt's asset instead of the scene. ``source``: group of frames
    that are counted together; ``name``: where the frame comes from, for people.
    """

    dataset: str
    is_prompt_image: bool
    source: str
    name: str
    rgb: np.ndarray
    masks: np.ndarray
    kinds: tuple[str, ...]


def check_seed(seed: int) -> None:
    """Check that no detector was trained on a seed. Raises VimaError (TRAINING_SEED)."""
    if seed < FIRST_EVALUATION_SEED:
        raise VimaError(
            "TRAINING_SEED", f"seed {seed}; valid for measuring: from {FIRST_EVALUATION_SEED} on"
        )


def tabletop_frames(
    count: int,
    first_seed: int,
    strengths: Sequence[float] = VISUAL_RANDOMIZATIONS,
    workers: int = 1,
) -> Iterator[EvaluationFrame]:
    """Render ``count`` timesteps of the tabletop, and as many prompt images.

    Each is from an episode of its own, at a random timestep of it, with a random image of its
    prompt. Tasks, ``strengths`` and levels take turns. Sources: "tabletop, visual randomization X"
    and "tabletop prompts". Raises VimaError: TRAINING_SEED, INVALID_VALUE, NO_RENDERER,
    ORACLE_FAILED.
    """
    check_seed(first_seed)
    if count < 1 or not strengths or not all(0.0 <= strength <= 1.0 for strength in strengths):
        raise VimaError(
            "INVALID_VALUE",
            f"{count} frames, visual randomizations {list(strengths)}; valid: 1 or more, 0 to 1",
        )
    jobs = [_FrameJob.number(i, count, first_seed, strengths) for i in range(count)]
    with worker_pool(workers) as pool:
        waiting = [pool.submit(_make, job) for job in jobs[: _AHEAD * workers]]
        left = iter(jobs[len(waiting) :])
        while waiting:
            yield from waiting.pop(0).result()
            waiting += [pool.submit(_make, job) for job in [next(left, None)] if job]


@dataclass(frozen=True)
class _FrameJob:
    task: str
    level: Level
    visual_randomization: float
    seeds: tuple[int, ...]  # the first that succeeds

    @classmethod
    def number(
        cls, index: int, count: int, first_seed: int, strengths: Sequence[float]
    ) -> _FrameJob:
        turn, task = divmod(index, len(TASKS))
        name = list(TASKS)[task]
        turn, strength = divmod(turn, len(strengths))
        levels = TASKS[name].levels
        seeds = tuple(first_seed + index + count * i for i in range(_TRIES))
        return cls(name, levels[turn % len(levels)], strengths[strength], seeds)


def _make(job: _FrameJob) -> list[EvaluationFrame]:
    """Render a timestep of the scene and an image of the prompt."""
    cv2.setNumThreads(1)  # a worker a core
    for seed in job.seeds:
        try:
            recording = record(
                job.task, job.level, seed, visual_randomization=job.visual_randomization
            )
        except NoRoomError:
            continue
        if isinstance(recording, RecordedEpisode):
            return _chosen(recording, job)
    raise VimaError(
        "ORACLE_FAILED",
        f"{job.task} {job.level.value}: no success with seeds {job.seeds[0]} to {job.seeds[-1]}",
    )


def _chosen(recording: RecordedEpisode, job: _FrameJob) -> list[EvaluationFrame]:
    random = np.random.default_rng(recording.seed)
    scene = find_task(job.task).sample(recording.seed, job.level, recording.workspace).scene
    kinds = tuple(item.shape for item in scene.objects)
    name = f"{job.task} {job.level.value} {recording.seed}"
    timestep = int(random.integers(len(recording.images.rgb)))
    asset = recording.assets[random.integers(len(recording.assets))]
    return [
        _scene_frame(
            TABLETOP,
            f"{TABLETOP}, visual randomization {job.visual_randomization:g}",
            name,
            recording.images,
            timestep,
            kinds,
        ),
        _prompt_frame(TABLETOP, name, asset),
    ]


def _scene_frame(
    dataset: str,
    source: str,
    name: str,
    images: RecordedImages,
    timestep: int,
    kinds: tuple[str, ...],
) -> EvaluationFrame:
    assert images.masks is not None
    rgb, masks = images.rgb[timestep], images.masks[timestep]
    return EvaluationFrame(dataset, False, source, f"{name} {timestep}", rgb, masks, kinds)


def _prompt_frame(dataset: str, name: str, asset: RecordedPromptAsset) -> EvaluationFrame:
    rgb, masks, kinds = asset.images.rgb[0], asset.images.masks, ("",) * asset.count
    assert masks is not None
    name = f"{name} {asset.name} 0"
    return EvaluationFrame(dataset, True, f"{dataset} prompts", name, rgb, masks[0], kinds)


def bench_frames(path: Path) -> Iterator[EvaluationFrame]:
    """Read all timesteps and prompt images of recorded VIMA-Bench episodes below ``path``.

    Sources: "VIMA-Bench" and "VIMA-Bench prompts". Raises VimaError: NO_DEMONSTRATIONS,
    BAD_DEMONSTRATIONS.
    """
    for file in demonstration_files(path):
        recording = read_bench_episode(file)
        objects = json.loads(file.with_suffix(".json").read_text())["obj_id_to_info"].values()
        kinds = tuple(item["obj_name"].replace(" ", "_") for item in objects)
        name = f"{recording.task} {recording.seed}"
        for timestep in range(len(recording.images.rgb)):
            yield _scene_frame(BENCH, BENCH, name, recording.images, timestep, kinds)
        for asset in recording.assets:
            yield _prompt_frame(BENCH, name, asset)
