"""Collection of demonstrations: workers write one shard at a time; existing ones are kept."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from concurrent.futures import as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2

from vima_ros.errors import NoRoomError, VimaError
from vima_ros.files import prepare_folder, write_atomic
from vima_ros.sim.episode_runner import choose_tasks, find_level
from vima_ros.sim.process_pool import worker_pool
from vima_ros.sim.recording import RecordedEpisode, record
from vima_ros.sim.tasks.base import Level
from vima_ros.training.data.demonstration import demonstration_of
from vima_ros.training.data.serialization import pack_demonstration, pack_recording
from vima_ros.training.data.shards import write_shard

FORMAT = "vima_ros demonstrations 1"
CONTENTS = ("crops", "masks", "frames")
SHARD = 25  # seeds: a few seconds of work, and few enough files for 100,000 episodes


@dataclass(frozen=True)
class CollectionPlan:
    """Collection plan: for each task the successes among ``seeds`` seeds from ``first_seed`` on.

    ``content``: "crops" (boxes and crops), "masks" (frames and instance masks) or "frames".
    ``visual_randomization``: strength of the domain randomization, 0 to 1.
    ``deterministic_oracle``: oracles without random choices. ``cluster``: address of the Ray
    cluster that records, in place of ``workers`` processes of this machine.

    Raises VimaError: UNKNOWN_TASK, UNKNOWN_LEVEL, INVALID_VALUE.
    """

    out: Path
    tasks: tuple[str, ...]
    seeds: int
    first_seed: int = 0
    level: str = Level.TRAIN.value
    content: str = "crops"
    visual_randomization: float = 0.0
    workers: int = 1
    deterministic_oracle: bool = False
    cluster: str | None = None

    def __post_init__(self) -> None:
        choose_tasks(self.tasks, find_level(self.level))
        if self.content not in CONTENTS:
            raise _invalid(f"content {self.content!r}; valid: {', '.join(CONTENTS)}")
        if not 0.0 <= self.visual_randomization <= 1.0:
            raise _invalid(f"visual_randomization {self.visual_randomization}; valid: 0 to 1")
        if self.seeds < 1 or self.first_seed < 0 or self.workers < 1:
            raise _invalid(
                f"{self.seeds} seeds from {self.first_seed}, {self.workers} workers; "
                "valid: 1 or more, from 0 or more, 1 or more"
            )


@dataclass(frozen=True)
class CollectionProgress:
    """Seeds to do in all, done so far, failed among these; seconds since the start.

    ``there``: seeds that earlier runs had done and this one leaves alone. ``failures``: those of
    the shard just finished, "task seed: why".
    """

    there: int
    total: int
    done: int
    failed: int
    seconds: float
    failures: tuple[str, ...] = ()


@dataclass(frozen=True)
class ShardJob:
    """Seeds of one task, recorded into one file."""

    plan: CollectionPlan
    task: str
    seeds: range

    @property
    def path(self) -> Path:
        """File of the shard."""
        name = f"{self.seeds[0]:09d}-{self.seeds[-1]:09d}.npz"
        return self.plan.out / self.task / self.plan.level / name


def collect(plan: CollectionPlan) -> Iterator[CollectionProgress]:
    """Write the missing shards; yield the progress after each.

    Whoever stops early waits for the shards under way. Raises VimaError: BAD_FOLDER, CANNOT_WRITE
    (the shards that are whole stay), OTHER_DEMONSTRATIONS where the folder holds another content
    or domain randomization, BAD_DEMONSTRATIONS where what it holds is not known, NO_RENDERER, and
    as ``cluster_shards``.
    """
    claim_folder(plan)
    jobs = [job for task in plan.tasks for job in missing_shards(plan, task)]
    total = sum(len(job.seeds) for job in jobs)
    there, began = len(plan.tasks) * plan.seeds - total, time.monotonic()
    done = failed = 0
    yield CollectionProgress(there, total, done, failed, 0.0)
    for job, failures in _written_shards(plan, jobs):
        done, failed = done + len(job.seeds), failed + len(failures)
        seconds = time.monotonic() - began
        yield CollectionProgress(there, total, done, failed, seconds, tuple(failures))


def _written_shards(
    plan: CollectionPlan, jobs: list[ShardJob]
) -> Iterator[tuple[ShardJob, list[str]]]:
    """Write the shard of each job, in any order; yield the job and its failed seeds."""
    if plan.cluster is not None:
        from vima_ros.training.data.cluster import cluster_shards

        yield from cluster_shards(jobs, plan.cluster)
        return
    with worker_pool(plan.workers) as pool:
        futures = {pool.submit(record_shard, job): job for job in jobs}
        for future in as_completed(futures):
            yield futures[future], future.result()


def claim_folder(plan: CollectionPlan) -> None:
    """Reserve the folder for one content, so that existing seeds are of the same kind."""
    path = plan.out / "demonstrations.json"
    wanted = {"format": FORMAT, "content": plan.content, "look": plan.visual_randomization}
    wanted |= {"steady": True} if plan.deterministic_oracle else {}
    prepare_folder(plan.out)
    if not path.exists():
        write_atomic(path, (json.dumps(wanted) + "\n").encode())
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError, RecursionError) as error:
        raise VimaError(
            "BAD_DEMONSTRATIONS",
            f"{path}: {error}; valid: {json.dumps(wanted)} if the folder holds that, else a new "
            "folder",
        ) from error
    if found != wanted:
        raise VimaError(
            "OTHER_DEMONSTRATIONS", f"{plan.out} holds {found}, not {wanted}; valid: a new folder"
        )


def missing_shards(plan: CollectionPlan, task: str) -> Iterator[ShardJob]:
    """Find runs of seeds that no file has yet, none across a multiple of SHARD."""
    names = [path.stem for path in (plan.out / task / plan.level).glob("*.npz")]
    found = [re.fullmatch(r"(\d+)-(\d+)", name) for name in names]
    there = {seed for m in found if m for seed in range(int(m[1]), int(m[2]) + 1)}
    begin, end = None, plan.first_seed + plan.seeds
    for seed in range(plan.first_seed, end + 1):
        cut = seed == end or seed in there or seed % SHARD == 0
        if begin is not None and cut:
            yield ShardJob(plan, task, range(begin, seed))
            begin = None
        if begin is None and seed < end and seed not in there:
            begin = seed


def record_shard(job: ShardJob) -> list[str]:
    """Record the seeds of a job and write their file; return the failed ones with reasons."""
    cv2.setNumThreads(1)  # a worker a core
    plan = job.plan
    facts, episodes, failed = [], [], []
    for seed in job.seeds:
        recording = _record(job, seed)
        if isinstance(recording, RecordedEpisode):
            if plan.content == "crops":
                fact, arrays = pack_demonstration(demonstration_of(recording))
            else:
                fact, arrays = pack_recording(recording)
            facts.append(fact)
            episodes.append(arrays)
        else:
            failed.append({"seed": seed, "reason": recording})
    header: dict[str, Any] = {
        "format": FORMAT,
        "content": plan.content,
        "look": plan.visual_randomization,
    }
    write_shard(job.path, header | {"failed": failed, "episodes": facts}, episodes)
    return [f"{job.task} {failure['seed']}: {failure['reason']}" for failure in failed]


def _record(job: ShardJob, seed: int) -> RecordedEpisode | str:
    """Record a seed, or return the reason for its failure."""
    plan = job.plan
    masks = plan.content != "frames"
    try:
        result = record(
            job.task,
            find_level(plan.level),
            seed,
            masks=masks,
            visual_randomization=plan.visual_randomization,
            deterministic_oracle=plan.deterministic_oracle,
        )
    except NoRoomError as error:
        return str(error)
    return result if isinstance(result, RecordedEpisode) else result.reason


def _invalid(message: str) -> VimaError:
    return VimaError("INVALID_VALUE", message)
