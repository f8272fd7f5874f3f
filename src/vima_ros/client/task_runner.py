"""Tasks of a simulator, executed by the running nodes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from vima_msgs.msg import EpisodeStatus, PromptStatus, TaskStatus
from vima_msgs.srv import LoadTask
from vima_ros.client.client import Client
from vima_ros.client.node_processes import NodeProcesses
from vima_ros.client.running_suite import check_no_running_suite
from vima_ros.errors import VimaError
from vima_ros.nodes.common import conversions, qos
from vima_ros.nodes.common.node_names import PERCEPTION, SUITE, TABLETOP

EPISODE_TIMEOUT = 180.0  # [s]
END_STATES = (EpisodeStatus.FINISHED, EpisodeStatus.FAILED)


@dataclass(frozen=True)
class TaskRunResult:
    """End of an episode: its code and reason as in ``EpisodeStatus``, and its prompt.

    ``steps``: number of decisions.
    """

    code: str
    reason: str
    steps: int
    text: str


def start_nodes(
    processes: NodeProcesses,
    client: Client,
    detector: str,
    values: Mapping[str, Any],
    simulator: str = TABLETOP,
) -> None:
    """Start all nodes, with ``detector`` for the camera images, and wait until they are active.

    ``simulator``: TABLETOP or VIMA_BENCH, the node in place of robot and cameras. It adds true
    masks to the images of a prompt only where the detector is ground_truth_masks. Raises
    VimaError.
    """
    check_no_running_suite(client)
    processes.start([PERCEPTION], {**values, "detector": detector})
    values = {**values, "prompt_masks": detector == "ground_truth_masks"}
    suite = [simulator if name == TABLETOP else name for name in SUITE]
    processes.start([name for name in suite if name != PERCEPTION], values)
    client.wait_for_active(suite, check=processes.check_starting)


class TaskRunner:
    """Loads tasks and waits for the ends of their episodes."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._tasks = client.subscribe(TaskStatus, "task_status", qos.LATCHED)
        self._episodes = client.subscribe_episodes()
        self._prompts = client.subscribe(PromptStatus, "prompt_status", qos.LATCHED)
        client.wait_for_service(LoadTask, "load_task")

    def start(self, task: str, level: str, seed: int) -> TaskStatus:
        """Load the task, whose prompt is then sent. Raises VimaError (NOT_LOADED)."""
        self._before = self._tasks.count, self._episodes.count, self._prompts.count
        request = LoadTask.Request(task=task, level=level, seed=seed)
        answer = self._client.call(LoadTask, "load_task", request)
        if not answer.success:
            raise VimaError("NOT_LOADED", answer.message)
        return self._tasks.wait(
            lambda m: (m.task, m.seed, m.steps) == (task, seed, 0), 60, "task", self._before[0]
        )

    def wait_for_end(self, started: TaskStatus) -> TaskRunResult:
        """Return the result of the task started last. Raises VimaError (TIMEOUT)."""
        since = conversions.stamp_to_ns(started.header.stamp)
        status = self._prompts.wait(
            lambda m: m.text == started.prompt and conversions.stamp_to_ns(m.header.stamp) > since,
            60,
            "answer to the prompt",
            self._before[2],
        )
        if not status.prompt_id:
            return TaskRunResult(status.code, status.message, 0, started.prompt)
        last = self._episodes.wait(
            lambda m: m.prompt_id == status.prompt_id and m.state in END_STATES,
            EPISODE_TIMEOUT,
            "end of the episode",
            self._before[1],
            quiet=True,
        )
        return TaskRunResult(last.code, last.message, last.step, started.prompt)
