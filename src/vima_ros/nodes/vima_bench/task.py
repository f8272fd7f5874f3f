"""Task of the VIMA-Bench node: its prompt and its status."""

from __future__ import annotations

from vima_msgs.msg import Prompt, TaskStatus
from vima_msgs.srv import GetTaskStatus
from vima_ros.nodes.common import qos
from vima_ros.nodes.common.lifecycle_node import VimaNode
from vima_ros.nodes.common.prompt_conversions import asset_to_message
from vima_ros.nodes.vima_bench.parameters import VimaBenchParameters
from vima_ros.sim.tasks.base import TaskEvaluation, TaskOutcome
from vima_ros.sim.vima_bench.runner import VimaBenchEpisode

OUTCOMES = {
    TaskOutcome.RUNNING: TaskStatus.RUNNING,
    TaskOutcome.SUCCESS: TaskStatus.SUCCESS,
    TaskOutcome.FAILURE: TaskStatus.FAILURE,
}


class TaskPublisher:
    """Publisher of ``task_prompt``, ``prompt`` and ``task_status``, as the tabletop node's."""

    def __init__(self, node: VimaNode[VimaBenchParameters]) -> None:
        self._node, self._prompt, self._pending = node, Prompt(), False
        self.status = TaskStatus()
        self._statuses = node.create_publisher(TaskStatus, "task_status", qos.LATCHED)
        self._prompts = node.create_publisher(Prompt, "task_prompt", qos.LATCHED)
        self._to_prompt_node = node.create_publisher(Prompt, "prompt", qos.LATCHED)
        node.create_service(GetTaskStatus, "get_task_status", self._on_get_status)

    def start_episode(self, episode: VimaBenchEpisode) -> None:
        """Publish prompt and status of an episode that begins."""
        self.status = TaskStatus(task=episode.task, level=episode.level, seed=episode.seed)
        self.status.step_limit, self.status.prompt = episode.step_limit, episode.prompt
        self._prompt = Prompt(text=episode.prompt)
        self._prompt.header.stamp = self._node.get_clock().now().to_msg()
        masks = self._node.parameters.prompt_masks
        self._prompt.assets = [
            asset_to_message(name, kind, {v: (i.rgb, i.mask) for v, i in views.items()}, masks)
            for name, (kind, views) in episode.images.items()
        ]
        self._pending = True
        self._prompts.publish(self._prompt)
        self._publish_status()

    def end_step(self, command_id: str, evaluation: TaskEvaluation) -> None:
        """Publish the status after a command; the step limit is a failure."""
        self.status.steps += 1
        self.status.command_id = command_id
        result = evaluation.at_step(self.status.steps, self.status.step_limit)
        self.status.outcome, self.status.reason = OUTCOMES[result.outcome], result.reason
        self._publish_status()

    def on_images_published(self) -> None:
        """Publish a pending prompt: from now on the images show the new scene."""
        if self._pending and self._node.parameters.send_prompt:
            self._to_prompt_node.publish(self._prompt)
        self._pending = False

    def _publish_status(self) -> None:
        self.status.header.stamp = self._node.get_clock().now().to_msg()
        self._statuses.publish(self.status)

    def _on_get_status(
        self, request: GetTaskStatus.Request, response: GetTaskStatus.Response
    ) -> GetTaskStatus.Response:
        response.success, response.status = bool(self.status.task), self.status
        response.message = "" if response.success else "no task is loaded; call load_task"
        return response
