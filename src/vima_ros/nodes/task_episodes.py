"""Tasks of the simulated tabletop, done by the running nodes: set up, prompted, judged."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from sensor_msgs.msg import Image

from vima_msgs.msg import EpisodeStatus, PromptStatus, TaskStatus
from vima_msgs.srv import LoadTask
from vima_ros.errors import VimaError
from vima_ros.nodes import conversions, images, qos
from vima_ros.nodes.client import Client
from vima_ros.nodes.environment import keep_to_ourselves
from vima_ros.nodes.processes import NodeProcesses
from vima_ros.specs import VIEWS
from vima_ros.training.policy_evaluation import Attempt, Job

NODES = ("perception", "prompt", "policy", "arm", "tabletop", "manager")
SPEED = 10.0  # simulated seconds a second
TIMEOUT = 180.0  # of an episode [s]
OVER = (EpisodeStatus.FINISHED, EpisodeStatus.FAILED)


@dataclass(frozen=True)
class Ended:
    """What became of an episode: its code and reason, as ``EpisodeStatus`` has them; its prompt.

    ``steps``: decisions that the arm has answered.
    """

    code: str
    reason: str
    steps: int
    text: str


class TaskEpisodes:
    """Sets tasks up and waits until the policy is done with them."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._tasks = client.listen(TaskStatus, "task_status", qos.LATCHED)
        self._episodes = client.listen(EpisodeStatus, "episode", qos.EPISODE)
        self._prompts = client.listen(PromptStatus, "prompt_status", qos.LATCHED)
        client.meet(LoadTask, "load_task")

    def begin(self, task: str, level: str, seed: int) -> TaskStatus:
        """The table shows the task, and its prompt is on its way. Raises VimaError (NOT_LOADED)."""
        self._before = self._tasks.count, self._episodes.count, self._prompts.count
        request = LoadTask.Request(task=task, level=level, seed=seed)
        answer = self._client.call(LoadTask, "load_task", request)
        if not answer.success:
            raise VimaError("NOT_LOADED", answer.message)
        return self._tasks.wait(
            lambda m: (m.task, m.seed, m.steps) == (task, seed, 0), 60, "task", self._before[0]
        )

    def end(self, begun: TaskStatus) -> Ended:
        """How the episode of the task set up last ended. Raises VimaError (TIMEOUT)."""
        since = conversions.stamp_to_ns(begun.header.stamp)
        told = self._prompts.wait(
            lambda m: m.text == begun.prompt and conversions.stamp_to_ns(m.header.stamp) > since,
            60,
            "answer to the prompt",
            self._before[2],
        )
        if not told.prompt_id:
            return Ended(told.code, told.message, 0, begun.prompt)
        over = self._episodes.wait(
            lambda m: m.prompt_id == told.prompt_id and m.state in OVER,
            TIMEOUT,
            "end of the episode",
            self._before[1],
        )
        return Ended(over.code, over.message, over.step, begun.prompt)


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
        values = {"detector": detector, "checkpoint": checkpoint, "real_time_factor": SPEED}
        with NodeProcesses(logs, robot="tabletop") as processes, Client("evaluate") as client:
            processes.start(NODES, values)
            client.wait_for_active(NODES, check=processes.check_alive)
            episodes = TaskEpisodes(client)
            frames = {v: client.listen(Image, f"{v}/image_raw", qos.CAMERA) for v in VIEWS}
            for job in group:
                processes.check_alive()
                yield _attempt(job, episodes, frames)


def _attempt(job: Job, episodes: TaskEpisodes, frames: dict[str, Any]) -> Attempt:
    began = time.perf_counter()
    ended = episodes.end(episodes.begin(job.task, job.level, job.seed))
    seconds = time.perf_counter() - began
    picture = None
    if ended.code != "SUCCESS":
        last = [frames[view].messages[-1] for view in VIEWS]
        picture = np.vstack([images.decode_colour(message) for message in last])
    for inbox in frames.values():
        inbox.messages.clear()
    return Attempt(job, ended.code, ended.reason, ended.steps, seconds, picture)
