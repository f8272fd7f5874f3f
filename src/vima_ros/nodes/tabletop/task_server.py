"""Task server of the tabletop node: publishes the prompt and evaluates the task."""

from __future__ import annotations

from dataclasses import dataclass

from vima_msgs.msg import ArmState, Prompt, TaskStatus
from vima_msgs.srv import GetTaskStatus
from vima_ros.geometry import Workspace
from vima_ros.nodes.common import conversions, qos
from vima_ros.nodes.common.lifecycle_node import VimaNode
from vima_ros.nodes.common.prompt_conversions import asset_to_message
from vima_ros.nodes.tabletop.parameters import TabletopParameters
from vima_ros.sim.episode_runner import find_level, world_state
from vima_ros.sim.rendering.prompt_renderer import render_prompt_images
from vima_ros.sim.robots.base import MAX_SETTLE_TIME
from vima_ros.sim.scene import RANDOM_SCENE, SCENES, Scene, random_scene, scatter
from vima_ros.sim.tabletop import Tabletop
from vima_ros.sim.tasks import find_task
from vima_ros.sim.tasks.base import SuccessCriterion, TaskEpisode, TaskOutcome

OUTCOMES = {
    TaskOutcome.RUNNING: TaskStatus.RUNNING,
    TaskOutcome.SUCCESS: TaskStatus.SUCCESS,
    TaskOutcome.FAILURE: TaskStatus.FAILURE,
}


@dataclass(frozen=True)
class WorldSelection:
    """Selected task or, if ``task`` is empty, scene; the fields are parameters of the node.

    ``workspace``: what the scene lies on.
    """

    task: str
    level: str
    scene: str
    seed: int
    workspace: Workspace

    def __str__(self) -> str:
        """Describe the selection in log messages."""
        if not self.task:
            return f"scene {self.scene}, seed {self.seed}"
        return f"task {self.task}, level {self.level or 'first'}, seed {self.seed}"

    def make(self) -> tuple[Scene, TaskEpisode | None]:
        """Return the scene, and the episode of a task.

        Raises VimaError (UNKNOWN_TASK, UNKNOWN_LEVEL, NO_ROOM).
        """
        if self.task:
            level = find_level(self.level or None)
            episode = find_task(self.task).sample(self.seed, level, self.workspace)
            return episode.scene, episode
        if self.scene == RANDOM_SCENE:
            return random_scene(self.seed, workspace=self.workspace), None
        scene = SCENES[self.scene].moved_to(self.workspace)
        return scatter(scene, self.seed) if self.seed else scene, None


class TaskServer:
    """Evaluator of a task that publishes ``task_status`` and ``task_prompt``."""

    def __init__(self, node: VimaNode[TabletopParameters], tabletop: Tabletop) -> None:
        self._node, self._tabletop = node, tabletop
        self._episode: TaskEpisode | None = None
        self._criterion: SuccessCriterion | None = None
        self._last_command_id, self._start_ns, self._ended_at = "", 0, float("inf")
        self._prompt_pending = False
        self.status = TaskStatus()
        self._statuses = node.create_publisher(TaskStatus, "task_status", qos.LATCHED)
        self._prompts = node.create_publisher(Prompt, "task_prompt", qos.LATCHED)
        self._to_prompt_node = node.create_publisher(Prompt, "prompt", qos.LATCHED)
        node.create_subscription(ArmState, "arm_state", self._on_arm_state, qos.RELIABLE)
        node.create_service(GetTaskStatus, "get_task_status", self._on_get_status)

    def start_episode(self, episode: TaskEpisode | None) -> None:
        """Start to evaluate ``episode``, which the simulation was reset to, or none."""
        self._episode, self._ended_at = episode, float("inf")
        self._criterion = find_task(episode.task).success_criterion(episode) if episode else None
        self._start_ns = self._node.now_ns()
        self.status = TaskStatus()
        self._prompt = Prompt()
        self._prompt.header.stamp = conversions.ns_to_stamp(self._start_ns)
        if episode is not None:
            self.status.task, self.status.level = episode.task, episode.level.value
            self.status.seed, self.status.step_limit = episode.seed, episode.step_limit
            self.status.prompt = self._prompt.text = episode.prompt
            self._prompt.assets = [
                asset_to_message(
                    name,
                    asset.kind,
                    render_prompt_images(asset.scene, asset.kind),
                    with_masks=self._node.parameters.prompt_masks,
                )
                for name, asset in episode.assets.items()
            ]
        self._prompt_pending = episode is not None
        self._prompts.publish(self._prompt)
        self._publish_status()

    def update(self) -> None:
        """Monitor the task, and evaluate it once the scene is at rest after a command."""
        if self._criterion is None:
            return
        world = world_state(self._tabletop)
        self._criterion.monitor(world)
        if self._tabletop.time < self._ended_at:
            return
        if not (self._tabletop.at_rest or self._tabletop.time > self._ended_at + MAX_SETTLE_TIME):
            return
        self._ended_at = float("inf")
        status = self.status
        status.steps += 1
        status.command_id = self._last_command_id
        result = self._criterion.update(world).at_step(status.steps, status.step_limit)
        status.outcome, status.reason = OUTCOMES[result.outcome], result.reason
        self._publish_status()

    def on_images_published(self) -> None:
        """Publish a pending prompt: from now on the images show the new scene."""
        if self._prompt_pending and self._node.parameters.send_prompt:
            self._to_prompt_node.publish(self._prompt)
        self._prompt_pending = False

    def _on_arm_state(self, message: ArmState) -> None:
        """Count the end of each command once, however often it is reported."""
        ended = message.state in (ArmState.SUCCEEDED, ArmState.ABORTED)
        if not (ended and message.command_id) or message.code == ArmState.RESET:
            return
        before = conversions.since_ns(message) <= self._start_ns
        if before or message.command_id == self._last_command_id:
            return
        self._last_command_id = message.command_id
        if self.status.outcome == TaskStatus.RUNNING:
            self._ended_at = self._tabletop.time

    def _publish_status(self) -> None:
        self.status.header.stamp = self._node.get_clock().now().to_msg()
        self._statuses.publish(self.status)
        if self._episode is not None:
            s = self.status
            outcome = next(name.value for name, number in OUTCOMES.items() if number == s.outcome)
            text = f"{s.task}, seed {s.seed}, step {s.steps} of {s.step_limit}: {outcome}"
            self._node.get_logger().info(f"{text} {s.reason}".strip())

    def _on_get_status(
        self, request: GetTaskStatus.Request, response: GetTaskStatus.Response
    ) -> GetTaskStatus.Response:
        response.success, response.status = self._episode is not None, self.status
        response.message = "" if response.success else "no task is loaded; call load_task"
        return response
