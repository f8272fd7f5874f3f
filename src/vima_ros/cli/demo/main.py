"""`demo`: a tour of tasks on the simulated tabletop, from camera pixels to a moving arm.

Brings up every node as a process of its own, has the tabletop set tasks up and prompt for them,
and tells what was seen, decided, let through and done, and what each task's judge says of it.
Leaves a film, a picture of each step, and a page with all of it.
"""

from __future__ import annotations

import argparse
import functools
import random
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rclpy.utilities import remove_ros_args
from sensor_msgs.msg import Image

from vima_msgs.msg import ArmCommand, ArmState, Observation, PolicyAction
from vima_ros.cli.demo.html_report import Scene, Step, write_page
from vima_ros.cli.demo.step_image import save_step
from vima_ros.cli.demo.video import Film
from vima_ros.client.client import Client
from vima_ros.client.node_processes import NodeProcesses
from vima_ros.client.task_runner import NODES, TaskEpisodes, start_nodes
from vima_ros.errors import VimaError
from vima_ros.files import prepare_folder
from vima_ros.nodes.common import conversions, qos
from vima_ros.nodes.common.dds import isolate_ros_domain
from vima_ros.paths import path_argument
from vima_ros.sim.tasks.base import Level
from vima_ros.specs import VIEWS, Primitive
from vima_ros.training.evaluation.detector_frames import FIRST_EVALUATION_SEED

TOUR = (
    "visual_manipulation",
    "rotate",
    "scene_understanding",
    "sweep_without_exceeding",
    "pick_in_order_then_restore",
    "same_shape",
    "novel_noun",
)
SPEED = 4.0  # simulated seconds a second
PICTURES = 10.0  # of the cameras, and frames of the film [Hz]
ENDED = (ArmState.SUCCEEDED, ArmState.REFUSED, ArmState.ABORTED, ArmState.STOPPED)


@dataclass(frozen=True)
class Plan:
    """What to show, how seen, and where to leave it."""

    tasks: tuple[str, ...]
    seeds: tuple[int, ...]
    detector: str
    out: Path


class Tour:
    """Follows the running nodes, prints and draws what they do."""

    def __init__(self, client: Client, out: Path, film: Film) -> None:
        self._client, self._out, self._film, self._number = client, out, film, 0
        self._observations = client.subscribe(Observation, "observation")
        self._actions = client.subscribe(PolicyAction, "action")
        self._commands = client.subscribe(ArmCommand, "arm_command")
        self._states = client.subscribe(ArmState, "arm_state")
        self._frames = {
            v: client.subscribe(Image, f"{v}/image_raw", qos.SENSOR_DATA) for v in VIEWS
        }
        self._episodes = TaskEpisodes(client)

    def show(self, task: str, seed: int) -> Scene:
        """One task, to its end. Raises VimaError (TIMEOUT)."""
        first = self._actions.count
        begun = self._episodes.begin(task, Level.TRAIN.value, seed)
        self._film.caption = begun.prompt
        print(f"\n{task}, seed {seed}\nprompt: {begun.prompt}", flush=True)
        ended = self._episodes.end(begun)
        steps = [self._step(action, ended.text) for action in self._actions.messages[first:]]
        good = ended.code == "SUCCESS"
        verdict = "SUCCESS" if good else f"{ended.code}: {ended.reason}"
        self._film.caption = f"{begun.prompt} -> {verdict}"
        print(f"  judge: {verdict}", flush=True)
        self._forget()
        return Scene(task, seed, ended.text, verdict, good, steps)

    def _step(self, action: PolicyAction, text: str) -> Step:
        """Print, and draw, what was seen for an action and what became of it."""
        stamp = action.observation_stamp
        seen = self._observations.wait(lambda m: m.header.stamp == stamp, 10, "observation")
        command_id = conversions.action_id(action)
        done = self._states.wait(
            lambda m: m.judged and m.command_id == command_id and m.state in ENDED,
            60,
            "end of the motion",
            quiet=True,
        )
        sent = [m for m in self._commands.messages if m.command_id == command_id and m.waypoints]
        counts = " and ".join(f"{len(getattr(seen, v).objects)} in the {v} view" for v in VIEWS)
        gate = f"OK, {len(sent[0].waypoints)} waypoints" if sent else done.code
        told = {ArmState.SUCCEEDED: "carried out", ArmState.REFUSED: "did not move"}
        outcome = ". ".join(
            filter(None, dict.fromkeys((told.get(done.state, done.code), done.message)))
        )
        lines = [
            f"objects: {counts}",
            f"action: {_describe(action)}",
            f"gate: {gate}    arm: {outcome}",
        ]
        print("  step {}: {}".format(action.step, "\n          ".join(lines)), flush=True)
        frames = {
            view: self._frames[view].wait(
                functools.partial(_has_stamp, getattr(seen, view).header.stamp), 5, view
            )
            for view in VIEWS
        }
        self._number += 1
        path = self._out / f"{self._number:02d}_step.png"
        save_step(path, text, lines, frames, seen, action)
        return Step(path, tuple(lines))

    def _forget(self) -> None:
        """What was drawn is not needed any more."""
        for inbox in self._frames.values():
            inbox.messages.clear()


def _describe(action: PolicyAction) -> str:
    places = " to ".join(
        f"({p.position.x:.2f}, {p.position.y:+.2f}) m" for p in (action.pose0, action.pose1)
    )
    return f"{Primitive(action.primitive).name.lower()} {places}"


def run(plan: Plan) -> None:
    """Raises VimaError where something did not come or did not come up."""
    prepare_folder(plan.out)
    isolate_ros_domain()
    out, scenes = plan.out, []
    with NodeProcesses(out / "logs", params_file="tabletop") as processes:
        print(f"starting {', '.join(NODES)} (logs in {out / 'logs'}) …", flush=True)
        values: dict[str, Any] = {"real_time_factor": SPEED, "rate": PICTURES}
        with Client("demo") as client, Film(client, out / "demo.mp4", PICTURES) as film:
            start_nodes(processes, client, plan.detector, values)
            tour = Tour(client, out, film)
            for task, seed in zip(plan.tasks, plan.seeds, strict=True):
                processes.check_alive()
                scenes.append(tour.show(task, seed))
    solved = sum(scene.good for scene in scenes)
    print(f"\n{solved} of {len(scenes)} tasks solved")
    page = write_page(scenes, plan.detector, out)
    print(f"all of it on one page: {page}; the film: {out}/demo.mp4")


def _has_stamp(stamp: Any, message: Any) -> bool:
    return message.header.stamp == stamp


def main(args: list[str] | None = None) -> None:
    """``ros2 run vima_ros demo``: exit code 2 on an error."""
    parser = argparse.ArgumentParser(prog="demo", description=__doc__.splitlines()[0])
    parser.add_argument(
        "--out", type=path_argument, default=Path("out"), help="folder for what it leaves"
    )
    parser.add_argument("--tasks", nargs="+", default=TOUR, help="names")
    parser.add_argument("--seed", type=int, help="of the first task; default: drawn")
    parser.add_argument("--detector", default="onnx", help="onnx, or ground_truth_masks")
    options = parser.parse_args(remove_ros_args(args or sys.argv)[1:])
    first = options.seed
    if first is None:  # nothing was ever trained on seeds from here on
        first = random.randrange(FIRST_EVALUATION_SEED, 2**31 - len(options.tasks))  # noqa: S311
    print(f"seeds from {first} on: demo --seed {first} shows the same again")
    seeds = tuple(range(first, first + len(options.tasks)))
    try:
        run(Plan(tuple(options.tasks), seeds, options.detector, options.out))
    except VimaError as error:
        print(f"demo: {error.code}: {error}", file=sys.stderr)
        sys.exit(2)
