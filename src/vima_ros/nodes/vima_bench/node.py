"""VIMA-Bench node: the original simulator in place of robot and cameras (docs/vima_bench.md)."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
from sensor_msgs.msg import CameraInfo, Image
from std_srvs.srv import Trigger

from vima_msgs.msg import ArmCommand, ArmState, TaskStatus
from vima_msgs.srv import LoadTask
from vima_ros.errors import VimaError
from vima_ros.geometry import Pose, quaternion_from_yaw
from vima_ros.nodes.common import (
    action_conversions,
    conversions,
    image_conversion,
    node_names,
    qos,
)
from vima_ros.nodes.common.base_frame import Frames
from vima_ros.nodes.common.diagnostics import OK, FunctionStatus
from vima_ros.nodes.common.lifecycle_node import VimaNode
from vima_ros.nodes.common.main import run
from vima_ros.nodes.common.simulated_cameras import camera_info
from vima_ros.nodes.vima_bench.parameters import VimaBenchParameters
from vima_ros.nodes.vima_bench.task import TaskPublisher
from vima_ros.policy_frame import CAMERAS
from vima_ros.sim.tasks.base import TaskEvaluation, TaskOutcome
from vima_ros.sim.vima_bench.runner import VimaBenchRunner
from vima_ros.specs import VIEWS

STATE_PERIOD = 0.2  # of arm_state [s]
POLL_PERIOD = 0.05  # of the end of a motion [s]
START_POSE = Pose(np.array([0.5, 0.0, 0.32]), quaternion_from_yaw(0.0))  # reported until a motion


class Motion(NamedTuple):
    """Motion that the simulator executes in one go; it cannot be stopped on its way."""

    command_id: str
    end: Pose
    result: Future[TaskEvaluation]


class VimaBenchNode(VimaNode[VimaBenchParameters]):
    """Simulated cell that publishes images, executes ``arm_command`` and evaluates a task."""

    name = node_names.VIMA_BENCH
    parameters_type = VimaBenchParameters

    def configure(self) -> None:
        """Start the simulator's process; create publishers, services and timers."""
        self._runner, self._worker = VimaBenchRunner(), ThreadPoolExecutor(1)
        self.resources.callback(self._worker.shutdown)
        self.resources.callback(self._runner.close)  # first: it ends what the worker waits for
        if self.parameters.workspace != self._runner.workspace:
            low, high = self._runner.workspace.low, self._runner.workspace.high
            raise VimaError(
                "BAD_PARAMETER",
                f"workspace {self.parameters.workspace}; valid: VIMA-Bench's, {low} to {high} m",
            )
        self._runner.start()
        self._frames, self._pose = Frames(self.parameters), START_POSE
        self._motion: Motion | None = None
        self._loaded: LoadTask.Request | None = None
        self._report = ArmState(state=ArmState.IDLE, code=ArmState.OK)
        self._task = TaskPublisher(self)
        kinds = {"image_raw": Image, "mask": Image, "camera_info": CameraInfo}
        self._cameras = {
            (view, name): self.create_publisher(kind, f"{view}/{name}", qos.SENSOR_DATA)
            for view in VIEWS
            for name, kind in kinds.items()
        }
        self._states = self.create_publisher(ArmState, "arm_state", qos.RELIABLE)
        self.create_subscription(ArmCommand, "arm_command", self._on_command, qos.RELIABLE)
        self.create_service(LoadTask, "load_task", self._on_load_task)
        self.create_service(Trigger, "reset", self._on_reset)
        self.create_timer(STATE_PERIOD, self._publish_state)
        self.create_timer(POLL_PERIOD, self._poll)
        self.create_timer(1.0 / self.parameters.camera_rate, self._publish_images)

    def _on_load_task(
        self, request: LoadTask.Request, response: LoadTask.Response
    ) -> LoadTask.Response:
        try:
            response.message, response.success = self._load(request), True
        except VimaError as error:
            response.success, response.message = False, f"{error.code}: {error}"
        return response

    def _on_reset(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        loaded = self._loaded
        answer = LoadTask.Response(success=False, message="no task is loaded; call load_task")
        if loaded is not None:
            answer = self._on_load_task(loaded, answer)
        response.success, response.message = answer.success, answer.message
        return response

    def _load(self, request: LoadTask.Request) -> str:
        """Begin an episode, after the end of a motion; return its description."""
        if self._motion is not None:
            self._motion.result.exception()  # waits
            self._motion = None
        episode = self._runner.load(request.task, request.level, request.seed)
        description = f"task {episode.task}, level {episode.level}, seed {episode.seed}"
        if self._report.state == ArmState.EXECUTING:
            reason, command_id = "the simulation was reset", self._report.command_id
            self._change(ArmState.ABORTED, ArmState.RESET, reason, command_id)
        self._loaded, self._pose = request, START_POSE
        self._change(ArmState.IDLE, ArmState.OK, description)
        self._task.start_episode(episode)
        self.get_logger().info(f"reset to {description}")
        return description

    def _on_command(self, message: ArmCommand) -> None:
        if not message.waypoints:  # a motion goes on to its end, which is not reported
            self._change(ArmState.STOPPED, "STOPPED", "stop commanded", self._report.command_id)
            return
        try:
            self._motion = self._start(message)
        except VimaError as error:
            reason = f"{error.code}: {error}"
            if self._report.state == ArmState.EXECUTING:  # the motion in progress continues
                self.get_logger().error(f"refused {message.command_id}: {reason}")
            else:
                self._change(ArmState.ABORTED, ArmState.BAD_COMMAND, reason, message.command_id)
            return
        self._change(ArmState.EXECUTING, ArmState.OK, "", message.command_id)

    def _start(self, message: ArmCommand) -> Motion:
        if not self.active or self._loaded is None:
            raise VimaError("NOT_ACTIVE", "the node is not active, or no task is loaded")
        if self._motion is not None:
            raise VimaError("BUSY", "a motion is in progress; valid: after its end")
        waypoints = action_conversions.waypoints_from_message(message)
        waypoints = self._frames.waypoints_to_table(waypoints, message.header.frame_id)
        result = self._worker.submit(self._runner.execute, waypoints)
        return Motion(message.command_id, waypoints[-1].pose, result)

    def _poll(self) -> None:
        """Report the end of a motion."""
        motion = self._motion
        if motion is None or not motion.result.done():
            return
        self._motion = None
        code, text = ArmState.OK, ""
        try:
            evaluation = motion.result.result()
            self._pose = motion.end
            code, text = self._runner.code or ArmState.OK, self._runner.message
        except VimaError as error:
            code, text = error.code, str(error)
            evaluation = TaskEvaluation(TaskOutcome.FAILURE, f"{code}: {text}")
            self.get_logger().error(f"{motion.command_id}: {code}: {text}")
        if self._report.state == ArmState.EXECUTING:
            state = ArmState.SUCCEEDED if code == ArmState.OK else ArmState.ABORTED
            self._change(state, code, text, motion.command_id)
        if self._task.status.outcome == TaskStatus.RUNNING:
            self._task.end_step(motion.command_id, evaluation)

    def _change(self, state: int, code: str, message: str, command_id: str = "") -> None:
        """Set the reported state and publish it."""
        self._report = ArmState(state=state, code=code, message=message, command_id=command_id)
        self._report.since = self.get_clock().now().to_msg()
        self._report.header.frame_id = self._frames.base
        self._publish_state()

    def _publish_state(self) -> None:
        if not self.active:
            return
        self._report.header.stamp = self.get_clock().now().to_msg()
        pose = self._frames.base_from_table.apply_to_pose(self._pose)
        self._report.tool_pose = conversions.pose_to_message(pose)
        if self._loaded is not None:
            self._report.end_effector = int(self._runner.end_effector)
        self._states.publish(self._report)

    def _publish_images(self) -> None:
        """Publish both views as they were after the last motion; during one there are none."""
        if not self.active or self._motion is not None or self._loaded is None:
            return
        stamp = self.get_clock().now().to_msg()
        render = {"image_raw": self._runner.render, "mask": self._runner.render_mask}
        for (view, name), publisher in self._cameras.items():
            if name == "camera_info":
                info = camera_info(CAMERAS[view], stamp, f"{view}_camera")
                publisher.publish(info)
            elif publisher.get_subscription_count():
                encoding = "rgb8" if name == "image_raw" else "mono8"
                image = render[name](view)
                publisher.publish(
                    image_conversion.encode(image, encoding, stamp, f"{view}_camera")
                )
        self._task.on_images_published()

    def diagnose(self) -> Iterator[FunctionStatus]:
        """Return the state of simulator and task for ``/diagnostics``."""
        message = f"{self._report.code} {self._report.message}".strip()
        yield FunctionStatus("simulation", OK, message, {})
        if self._loaded is not None:
            status = self._task.status
            values = {"outcome": status.outcome, "steps": status.steps}
            yield FunctionStatus("task", OK, status.reason, values)


def main(args: list[str] | None = None) -> None:
    """``ros2 run vima_ros vima_bench``."""
    run(VimaBenchNode, args)
