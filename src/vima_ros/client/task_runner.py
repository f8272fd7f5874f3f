"""Tasks of the simulated tabletop, done by the running nodes: set up, prompted, judged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from vima_msgs.msg import EpisodeStatus, PromptStatus, TaskStatus
from vima_msgs.srv import LoadTask
from vima_ros.client.client import Client
from vima_ros.client.node_processes import NodeProcesses
from vima_ros.client.running_suite import check_none_runs
from vima_ros.errors import VimaError
from vima_ros.nodes.common import conversions, qos

SEEING = "perception"
NODES = (SEEING, "prompt", "policy", "arm", "tabletop", "manager")
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


def start_nodes(
    processes: NodeProcesses, client: Client, detector: str, values: Mapping[str, Any]
) -> None:
    """Bring all up, with ``detector`` for the cameras' pictures. Raises VimaError."""
    check_none_runs(client)
    processes.start([SEEING], {**values, "detector": detector})
    processes.start([name for name in NODES if name != SEEING], values)
    client.wait_for_active(NODES, check=processes.check_starting)


class TaskEpisodes:
    """Sets tasks up and waits until the policy is done with them."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._tasks = client.subscribe(TaskStatus, "task_status", qos.LATCHED)
        self._episodes = client.subscribe_episodes()
        self._prompts = client.subscribe(PromptStatus, "prompt_status", qos.LATCHED)
        client.wait_for_service(LoadTask, "load_task")

    def begin(self, task: str, level: str, seed: int) -> TaskStatus:
        """Show the task; its prompt is then on its way. Raises VimaError (NOT_LOADED)."""
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
            quiet=True,
        )
        return Ended(over.code, over.message, over.step, begun.prompt)
