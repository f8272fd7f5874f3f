"""Evaluation by cameras, nodes and the simulated UR5e, as a robot would be used."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from sensor_msgs.msg import Image

from vima_ros.client.client import Client, Inbox
from vima_ros.client.node_processes import NodeProcesses
from vima_ros.client.task_runner import TaskEpisodes, start_nodes
from vima_ros.nodes.common import image_conversion, qos
from vima_ros.nodes.common.dds import keep_to_ourselves
from vima_ros.specs import VIEWS
from vima_ros.training.evaluation.policy_rollouts import Attempt, Job

SPEED = 10.0  # simulated seconds a second


def attempt_by_ros(jobs: Sequence[Job], out: Path) -> Iterator[Attempt]:
    """Each by cameras, nodes and the simulated UR5e. Raises VimaError where nodes do not come up.

    All of one detector and one policy are done by the same processes.
    """
    groups: dict[tuple[str, str], list[Job]] = {}
    for job in jobs:
        groups.setdefault((job.detector, job.checkpoint), []).append(job)
    keep_to_ourselves()
    for number, ((detector, checkpoint), group) in enumerate(groups.items()):
        logs = out / "logs" / f"{number}_{detector}"
        values = {"checkpoint": checkpoint, "real_time_factor": SPEED}
        with (
            NodeProcesses(logs, params_file="tabletop") as processes,
            Client("evaluate") as client,
        ):
            start_nodes(processes, client, detector, values)
            episodes = TaskEpisodes(client)
            frames = {v: client.listen(Image, f"{v}/image_raw", qos.CAMERA) for v in VIEWS}
            for job in group:
                processes.check_alive()
                yield attempt(job, episodes, frames)


def attempt(job: Job, episodes: TaskEpisodes, frames: Mapping[str, Inbox]) -> Attempt:
    """One episode; ``frames``: what the cameras publish. Raises VimaError (TIMEOUT)."""
    began = time.perf_counter()
    ended = episodes.end(episodes.begin(job.task, job.level, job.seed))
    seconds = time.perf_counter() - began
    picture = None
    if ended.code != "SUCCESS":
        last = [frames[view].messages[-1] for view in VIEWS]
        picture = np.vstack([image_conversion.decode_colour(message) for message in last])
    for inbox in frames.values():
        inbox.messages.clear()
    return Attempt(job, ended.code, ended.reason, ended.steps, seconds, picture)
