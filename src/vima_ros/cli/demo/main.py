"""`demo`: run a set of tasks on the simulated tabletop, from camera images to arm motions.

Starts every node as a process of its own, loads the tasks one after the other and prints the
detections, the action, the gate's decision and the result of each step. Writes a video, an image
per step and an HTML report.
"""

from __future__ import annotations

import functools
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from builtin_interfaces.msg import Time
from sensor_msgs.msg import Image

from vima_msgs.msg import ArmCommand, ArmState, Observation, PolicyAction, PolicyInputs
from vima_ros.cli.arguments import ArgumentParser
from vima_ros.cli.demo.html_report import StepReport, TaskReport, write_page
from vima_ros.cli.demo.step_image import save_step
from vima_ros.cli.demo.video import VideoRecorder
from vima_ros.client.client import Client
from vima_ros.client.command_ends import ends_command
from vima_ros.client.node_processes import NodeProcesses
from vima_ros.client.task_runner import EPISODE_TIMEOUT, TaskRunner, start_nodes
from vima_ros.files import prepare_folder, write_image
from vima_ros.nodes.common import action_conversions, image_conversion, qos
from vima_ros.nodes.common.node_names import SUITE
from vima_ros.nodes.common.ros_domain import isolate_ros_domain
from vima_ros.paths import path_argument, path_text_argument
from vima_ros.perception.detectors.registry import DETECTORS, make_detector
from vima_ros.program import without_ros_args
from vima_ros.sim.episode_runner import choose_tasks
from vima_ros.sim.scene import MAX_SEED
from vima_ros.sim.tasks.base import Level
from vima_ros.specs import VIEWS, Primitive
from vima_ros.training.evaluation.detector_frames import FIRST_EVALUATION_SEED

DEMO_TASKS = (
    "visual_manipulation",
    "rotate",
    "scene_understanding",
    "sweep_without_exceeding",
    "pick_in_order_then_restore",
    "same_shape",
    "novel_noun",
    "manipulate_old_neighbor",
)
COMPARED_TASKS = (  # on which the policies of the other conditionings are trained
    "visual_manipulation",
    "rotate",
    "novel_noun",
    "rearrange",
    "follow_order",
)
REAL_TIME_FACTOR = 5.0  # simulated seconds per second
CAMERA_RATE = 10.0  # also the frame rate of the video [Hz]
STEPS_PER_EPISODE = 20  # max_steps of config/policy.yaml, and as many again
IMAGES_PER_EPISODE = round(EPISODE_TIMEOUT * CAMERA_RATE)  # its steps are drawn at its end


@dataclass(frozen=True)
class DemoSettings:
    """Tasks with their seeds, detector and policy, and the folder of the results."""

    tasks: tuple[str, ...]
    seeds: tuple[int, ...]
    detector: str
    checkpoint: str
    out: Path


class DemoRunner:
    """Runner of tasks on the running nodes that prints and draws each step."""

    def __init__(self, client: Client, out: Path, video: VideoRecorder) -> None:
        self._client, self._out, self._video, self._number = client, out, video, 0
        self._observations = client.subscribe(
            Observation, "observation", capacity=IMAGES_PER_EPISODE
        )
        self._inputs = client.subscribe(PolicyInputs, "policy_inputs", qos.LATCHED)
        self._actions = client.subscribe(PolicyAction, "action")
        self._commands = client.subscribe(ArmCommand, "arm_command")
        self._states = client.subscribe(ArmState, "arm_state")
        self._frames = {
            v: client.subscribe(Image, f"{v}/image_raw", qos.SENSOR_DATA, IMAGES_PER_EPISODE)
            for v in VIEWS
        }
        self._attention = client.subscribe(Image, "debug/attention", capacity=STEPS_PER_EPISODE)
        self._episodes = TaskRunner(client)

    @property
    def whole_images(self) -> bool:
        """True if the policy reads whole images, and no objects."""
        declared = self._inputs.wait(lambda _: True, 10, "policy_inputs")
        return bool(declared.observation == PolicyInputs.IMAGES)

    def run(self, task: str, seed: int) -> TaskReport:
        """Run one task to its end and return its report. Raises VimaError (TIMEOUT)."""
        first = self._actions.count
        begun = self._episodes.start(task, Level.TRAIN.value, seed)
        self._video.caption = begun.prompt
        print(f"\n{task}, seed {seed}\nprompt: {begun.prompt}", flush=True)
        ended = self._episodes.wait_for_end(begun)
        steps = [self._step(action, ended.text) for action in self._actions.since(first)]
        success = ended.code == "SUCCESS"
        result = "SUCCESS" if success else f"{ended.code}: {ended.reason}"
        self._video.caption = f"{begun.prompt} -> {result}"
        print(f"  result: {result}", flush=True)
        return TaskReport(task, seed, ended.text, result, success, steps)

    def _step(self, action: PolicyAction, text: str) -> StepReport:
        """Print and draw the observation, the action and its result."""
        stamp = action.observation_stamp
        observation = self._observations.wait(lambda m: m.header.stamp == stamp, 10, "observation")
        command_id = action_conversions.action_id(action)
        done = self._states.wait(
            lambda m: ends_command(m, command_id),
            60,
            "end of the motion",
            quiet=True,
        )
        sent = [m for m in self._commands.messages if m.command_id == command_id and m.waypoints]
        seen = "objects: " + " and ".join(
            f"{len(getattr(observation, v).objects)} in the {v} view" for v in VIEWS
        )
        if observation.images.front:
            seen = "both views whole"
        gate = f"OK, {len(sent[0].waypoints)} waypoints" if sent else done.code
        names = {ArmState.SUCCEEDED: "executed", ArmState.REFUSED: "did not move"}
        outcome = ". ".join(
            filter(None, dict.fromkeys((names.get(done.state, done.code), done.message)))
        )
        lines = [
            seen,
            f"action: {_describe(action)}",
            f"gate: {gate}    arm: {outcome}",
        ]
        print("  step {}: {}".format(action.step, "\n          ".join(lines)), flush=True)
        frames = {
            view: self._frames[view].wait(
                functools.partial(_has_stamp, getattr(observation, view).header.stamp), 5, view
            )
            for view in VIEWS
        }
        self._number += 1
        path = self._out / f"{self._number:02d}_step.png"
        save_step(path, text, lines, frames, observation, action)
        overlay = self._attention.wait(functools.partial(_has_stamp, stamp), 5, "debug/attention")
        attention_path = self._out / f"{self._number:02d}_attention.png"
        write_image(attention_path, image_conversion.decode_colour(overlay))
        return StepReport((path, attention_path), tuple(lines))


def _describe(action: PolicyAction) -> str:
    places = " to ".join(
        f"({p.position.x:.2f}, {p.position.y:+.2f}) m" for p in (action.pose0, action.pose1)
    )
    return f"{Primitive(action.primitive).name.lower()} {places}"


def run(settings: DemoSettings) -> None:
    """Run the demo and write its results.

    Raises VimaError for an unknown task, or an unusable detector or policy, before any node is
    started, and if a node does not become active or an expected message does not arrive.
    """
    choose_tasks(settings.tasks, Level.TRAIN)
    make_detector(settings.detector)
    if settings.checkpoint:
        from vima_ros.policy.checkpoints.load import load_policy  # importing torch takes seconds

        load_policy(settings.checkpoint)
    prepare_folder(settings.out)
    isolate_ros_domain()
    out, reports = settings.out, []
    with NodeProcesses(out / "logs", params_file="tabletop") as processes:
        print(f"starting {', '.join(SUITE)} (logs in {out / 'logs'}) …", flush=True)
        values: dict[str, Any] = {
            "real_time_factor": REAL_TIME_FACTOR,
            "camera_rate": CAMERA_RATE,
            "checkpoint": settings.checkpoint,
            "publish_attention": True,
        }
        with (
            Client("demo") as client,
            VideoRecorder(client, out / "demo.mp4", CAMERA_RATE) as video,
        ):
            start_nodes(processes, client, settings.detector, values)
            runner = DemoRunner(client, out, video)
            for task, seed in zip(settings.tasks, settings.seeds, strict=True):
                processes.check_alive()
                reports.append(runner.run(task, seed))
            detector = "" if runner.whole_images else settings.detector
    solved = sum(report.success for report in reports)
    print(f"\n{solved} of {len(reports)} tasks solved")
    page = write_page(reports, detector, out)
    print(f"report: {page}; video: {out}/demo.mp4")


def _has_stamp(stamp: Time, message: Image) -> bool:
    return message.header.stamp == stamp


def main(args: list[str]) -> None:
    """``ros2 run vima_ros demo``."""
    parser = ArgumentParser(prog="demo", description=__doc__.splitlines()[0])
    parser.add_argument(
        "--out", type=path_argument, default=Path("out"), help="Folder for the results"
    )
    parser.add_argument(
        "--tasks",
        nargs="+",
        help=f"Names of tasks; default: eight; of another policy {', '.join(COMPARED_TASKS)}",
    )
    parser.add_argument("--seed", type=int, help="Seed of the first task; default: random")
    parser.add_argument(
        "--detector", default="onnx", choices=sorted(DETECTORS), help="Detector of the cameras"
    )
    parser.add_argument(
        "--checkpoint",
        type=path_text_argument,
        default="",
        help="Checkpoint of the policy: a file, or gpt, gato, flamingo (bundled)",
    )
    options = parser.parse_args(without_ros_args(args))
    tasks = options.tasks or (COMPARED_TASKS if options.checkpoint else DEMO_TASKS)
    first, last = options.seed, MAX_SEED - len(tasks) + 1
    if first is None:  # seeds from here on are not used in training
        first = random.randint(FIRST_EVALUATION_SEED, last)  # noqa: S311
    if not 0 <= first <= last:
        parser.error(f"--seed {first}; valid: 0 to {last}")
    print(f"seeds from {first}: demo --seed {first} repeats the same episodes")
    seeds = tuple(range(first, first + len(tasks)))
    settings = tuple(tasks), seeds, options.detector, options.checkpoint, options.out
    run(DemoSettings(*settings))
