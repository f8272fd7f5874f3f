"""`replay`: a recorded bag through the running nodes; a table and replay.json of what they did."""

from __future__ import annotations

import argparse
import contextlib
import sys
import time
from pathlib import Path

from rclpy.utilities import remove_ros_args

from vima_ros.errors import VimaError
from vima_ros.nodes.client import Client
from vima_ros.nodes.environment import keep_to_ourselves
from vima_ros.nodes.namespaces import add_namespace_option
from vima_ros.nodes.player import Player
from vima_ros.nodes.processes import NodeProcesses
from vima_ros.paths import path_argument
from vima_ros.replay.bag import Bag, RecordedPrompt, Step
from vima_ros.replay.report import HEADINGS, StepRecord, format_table, write_report

MILLISECOND = 1_000_000  # [ns]


def _arguments(args: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="replay", description=__doc__)
    parser.add_argument("bag", type=path_argument, help="rosbag2 folder (MCAP or SQLite)")
    parser.add_argument(
        "--out", type=path_argument, default=Path("out"), help="folder for replay.json"
    )
    parser.add_argument(
        "--rate", type=float, help="play at this speed; default: wait for each decision"
    )
    parser.add_argument(
        "--bringup", action="store_true", help="start the nodes too, and end them afterwards"
    )
    add_namespace_option(parser)
    parser.add_argument("--front", default="/front/image_raw", help="front images in the bag")
    parser.add_argument("--top", default="/top/image_raw", help="top images in the bag")
    parser.add_argument(
        "--step-seconds",
        type=float,
        default=1.0,
        help="length of a step where no action was recorded [s]",
    )
    parser.add_argument("--timeout", type=float, default=10.0, help="for a decision [s]")
    return parser.parse_args(args)


def _play(
    player: Player, steps: list[Step], prompt: RecordedPrompt | None, rate: float | None
) -> tuple[dict, list[StepRecord]]:
    """Step after step; between them the robot reports that it has done as told."""
    answer: dict = {}
    start = steps[0].frames[0].stamp - MILLISECOND
    player.begin(start)
    if prompt is not None:
        answer = player.send_prompt(prompt, start)
        print(f"prompt: {answer['text']}\n  {answer['code']} {answer['message']}", flush=True)
        if not answer["accepted"]:
            return answer, [StepRecord(i, s.settled) for i, s in enumerate(steps)]
    records: list[StepRecord] = []
    began = (time.monotonic(), steps[0].frames[0].stamp)
    for index, step in enumerate(steps):
        if rate:
            records.append(player.play_at_rate(index, step, rate, began))
        else:
            records.append(player.play_locked(index, step))
        done = records[-1]
        print(f"  step {index}: {done.code} {done.message}", flush=True)
    player.end_motion(steps[-1].frames[-1].stamp + MILLISECOND)
    return answer, records


def replay(options: argparse.Namespace) -> list[StepRecord]:
    """Play the bag; the records are also printed and written.

    Raises VimaError for a bag that cannot be played, or nodes that do not come up.
    """
    topics = {"front": options.front, "top": options.top}
    with contextlib.ExitStack() as stack:
        bag = stack.enter_context(Bag(options.bag, topics))
        prompt, steps = bag.prompt(), bag.steps(options.step_seconds)
        if not steps:
            raise VimaError("BAD_BAG", f"bag {options.bag} has no step with frames of both views")
        processes = None
        if options.bringup:
            keep_to_ourselves()
            processes = stack.enter_context(
                NodeProcesses(
                    options.out / "logs",
                    robot="recording",
                    namespace=options.namespace,
                    use_sim_time=True,
                )
            )
            processes.start(["perception", "prompt", "policy", "arm", "manager"])
        client = stack.enter_context(Client("replay", options.namespace))
        effector = prompt.end_effector if prompt else "suction"
        player = Player(client, effector, options.timeout)
        check = processes.check_alive if processes else lambda: None
        client.wait_for_active(["perception", "prompt", "policy", "arm"], check=check)
        answer, records = _play(player, steps, prompt, options.rate)
    print(format_table(HEADINGS, [record.row for record in records]))
    write_report(options.out / "replay.json", str(options.bag), answer, records)
    print(f"wrote {options.out / 'replay.json'}")
    return records


def main(args: list[str] | None = None) -> None:
    """``ros2 run vima_ros replay``: exit code 1 if a step got no decision, 2 on an error."""
    options = _arguments(remove_ros_args(args or sys.argv)[1:])
    try:
        records = replay(options)
    except VimaError as error:
        print(f"replay: {error.code}: {error}", file=sys.stderr)
        sys.exit(2)
    sys.exit(0 if all(record.decided for record in records) else 1)
