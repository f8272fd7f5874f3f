"""`replay`: play a recorded bag into the running nodes; report their decisions, step by step."""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Callable
from pathlib import Path

from vima_msgs.msg import Prompt
from vima_ros.cli.arguments import ArgumentParser
from vima_ros.client.bag_player.attention import AttentionRecorder
from vima_ros.client.bag_player.frame_pairs import pair_steps
from vima_ros.client.bag_player.player import MILLISECOND, BagPlayer
from vima_ros.client.bag_player.prompt import prompt_from_files, recorded_prompt
from vima_ros.client.client import Client
from vima_ros.client.node_processes import NodeProcesses
from vima_ros.client.running_suite import check_no_running_suite
from vima_ros.files import prepare_folder
from vima_ros.nodes.common.namespaces import add_namespace_option
from vima_ros.nodes.common.node_names import MANAGED, MANAGER, PERCEPTION
from vima_ros.nodes.common.ros_domain import isolate_ros_domain
from vima_ros.paths import path_argument, path_text_argument
from vima_ros.program import DONE, NEGATIVE, without_ros_args
from vima_ros.replay.bag import Bag
from vima_ros.replay.frames import Step
from vima_ros.replay.report import HEADINGS, StepRecord, write_report
from vima_ros.replay.storage import bad_bag
from vima_ros.specs import VIEWS, EndEffector
from vima_ros.tables import format_table

OTHER_CLOCK = 10_000_000_000  # a gap between views above it is no latency [ns]
EFFECTORS = [each.name.lower() for each in EndEffector]


def parse(args: list[str]) -> argparse.Namespace:
    """Parse the command line."""
    parser = ArgumentParser(prog="replay", description=__doc__)
    parser.add_argument(
        "bag", type=path_argument, help="Recording: rosbag2 folder (MCAP or SQLite), or its file"
    )
    parser.add_argument(
        "--out", type=path_argument, default=Path("out"), help="Folder for replay.json"
    )
    parser.add_argument(
        "--rate",
        type=float,
        help="Speed factor relative to the recording; default: wait for each decision",
    )
    parser.add_argument(
        "--bringup",
        action="store_true",
        help="Start of the nodes before, and their end afterwards",
    )
    parser.add_argument(
        "--checkpoint",
        type=path_text_argument,
        default="",
        help="Checkpoint of the policy with --bringup: a file, or gpt, gato, flamingo (bundled)",
    )
    parser.add_argument(
        "--attention",
        action="store_true",
        help="Attention of each decision to the prompt, in replay.json and as images",
    )
    add_namespace_option(parser)
    for view in VIEWS:
        parser.add_argument(
            f"--{view}",
            metavar="TOPIC",
            help=f"Topic of the {view} images in the bag, raw or compressed; default: "
            f"{view}/image_raw in any namespace, else with /compressed",
        )
    files = "NAME=FRONT.png[,TOP.png] or NAME=,TOP.png, each 256x128 px; may be repeated"
    parser.add_argument(
        "--prompt",
        metavar="TEXT",
        help='Prompt, such as "Put the {a} into the {b}."; default: the recorded one. The asset '
        "library has the placeholders that neither --image nor --scene gives",
    )
    parser.add_argument(
        "--image", action="append", default=[], help=f"Image of one object of --prompt: {files}"
    )
    parser.add_argument(
        "--scene", action="append", default=[], help=f"Image of a scene of --prompt: {files}"
    )
    parser.add_argument(
        "--end-effector",
        choices=EFFECTORS,
        default="",
        help="End effector; default: the recorded one, or suction",
    )
    parser.add_argument(
        "--step-seconds",
        type=float,
        default=1.0,
        help="Duration of a step where no action was recorded, in the bag's time [s]",
    )
    parser.add_argument(
        "--timeout", type=float, default=10.0, help="Time limit for a decision [s]"
    )
    options = parser.parse_args(args)
    if (options.image or options.scene) and options.prompt is None:
        parser.error("--image and --scene give images of --prompt, which is missing")
    if options.checkpoint and not options.bringup:
        parser.error("--checkpoint is for the nodes that --bringup starts, which is missing")
    return options


def play(
    player: BagPlayer,
    steps: list[Step],
    prompt: Prompt,
    rate: float | None,
    complete: Callable[[StepRecord], None] | None = None,
) -> tuple[dict, list[StepRecord]]:
    """Play step by step; between steps the robot reports that it has executed its commands.

    ``complete`` is called with each step's record before that is printed.
    """
    start = max(steps[0].frames[0].stamp - MILLISECOND, 1)  # a clock at 0 has not started
    player.start(start)
    answer = player.send_prompt(prompt, start)
    print(f"prompt: {answer['text']}\n  {answer['code']} {answer['message']}".rstrip(), flush=True)
    if not answer["accepted"]:
        return answer, [StepRecord(i, s.settled) for i, s in enumerate(steps)]
    slop = player.sync_slop()
    records: list[StepRecord] = []
    try:
        for index, (frames, step) in enumerate(zip(steps, pair_steps(steps, slop), strict=True)):
            if rate:
                records.append(player.play_at_rate(index, step, rate))
            else:
                records.append(player.play_step(index, step))
            done = records[-1]
            if complete:
                complete(done)
            if not step.pairs:
                done.message = unpaired(frames, step.gap, slop)
            print(f"  step {index}: {done.code} {done.message}".rstrip(), flush=True)
    finally:  # also of an interrupted one: else the arm node would wait for the robot for long
        player.complete_commands()
    return answer, records


def unpaired(step: Step, gap: int, slop: int) -> str:
    """Return why no images of the step form a pair; ``gap`` between the closest, ``slop`` [ns]."""
    for view in VIEWS:
        stamps = [frame.stamp for frame in step.frames if frame.view == view]
        if len(stamps) > 1 and len(set(stamps)) == 1:
            return f"the stamps of the {view} view stand still at {stamps[0] / 1e9:.3f} s"
    if gap > OTHER_CLOCK:
        return (
            f"the views are stamped by clocks {gap / 1e9:g} s apart; valid: one clock for both "
            "cameras (such as the host's, at the arrival of an image)"
        )
    return (
        f"no frames of both views stamped within {slop / 1e9:g} s of each other, the closest are "
        f"{gap / 1e9:g} s apart; valid: cameras triggered together, or nodes with a larger "
        "sync_slop (perception and arm)"
    )


def replay(
    options: argparse.Namespace, prompt: Prompt | None = None, end_effector: str = ""
) -> list[StepRecord]:
    """Play the bag; the records are also printed and written.

    ``prompt`` and ``end_effector`` replace the recorded ones.

    Raises VimaError for a bag that cannot be played, or nodes that do not come up.
    """
    prepare_folder(options.out)
    topics = {"front": options.front, "top": options.top}
    with contextlib.ExitStack() as stack:
        bag = stack.enter_context(Bag(options.bag, topics))
        recorded = bag.prompt() if prompt is None else None
        prompt = prompt or recorded_prompt(options.bag, recorded)
        effector = end_effector or (recorded.end_effector if recorded else bag.end_effector())
        steps = bag.steps(options.step_seconds)
        if not steps:
            raise bad_bag(options.bag, "has no step with frames of both views")
        processes = None
        if options.bringup:
            isolate_ros_domain()
            processes = stack.enter_context(
                NodeProcesses(
                    options.out / "logs",
                    params_file="recording",
                    namespace=options.namespace,
                    use_sim_time=True,
                )
            )
        client = stack.enter_context(Client("replay", options.namespace))
        if processes:
            check_no_running_suite(client)
            processes.start([PERCEPTION], {"use_compressed_images": bag.compressed})
            others = [name for name in (*MANAGED, MANAGER) if name != PERCEPTION]
            processes.start(others, {"checkpoint": options.checkpoint})
        player = BagPlayer(client, effector, options.timeout)
        check = processes.check_starting if processes else lambda: None
        client.wait_for_active(MANAGED, check=check)
        complete = None
        if options.attention:
            recorder = AttentionRecorder(client, options.out, options.timeout)
            complete = stack.enter_context(recorder).add_to
        answer, records = play(player, steps, prompt, options.rate, complete)
    print(format_table(HEADINGS, [record.row for record in records]))
    write_report(options.out / "replay.json", str(options.bag), answer, records)
    print(f"wrote {options.out / 'replay.json'}")
    return records


def main(args: list[str]) -> int:
    """Run the program ``replay``; its result is negative if a step got no decision."""
    options = parse(without_ros_args(args))
    prompt = None
    if options.prompt is not None:
        prompt = prompt_from_files(options.prompt, options.image, options.scene)
    records = replay(options, prompt, options.end_effector)
    return DONE if all(record.decided for record in records) else NEGATIVE
