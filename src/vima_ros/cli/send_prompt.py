"""`send_prompt`: a prompt from the command line, with pictures, and what becomes of it."""

from __future__ import annotations

import argparse
import sys
import threading
from pathlib import Path
from typing import Any

from rclpy.utilities import remove_ros_args

from vima_msgs.action import ExecutePrompt
from vima_msgs.msg import ConfirmationRequest, EpisodeStatus, PromptAsset
from vima_msgs.msg import Prompt as PromptMessage
from vima_msgs.srv import CaptureAsset, ConfirmMotion, SetPrompt
from vima_ros.cli.assets import whole_numbers
from vima_ros.client.client import Client
from vima_ros.client.execute_prompt import ExecutePromptGoal
from vima_ros.client.message_buffer import MessageBuffer
from vima_ros.errors import VimaError
from vima_ros.files import write_image
from vima_ros.nodes.common import image_conversion, qos
from vima_ros.nodes.common.namespaces import add_namespace_option
from vima_ros.nodes.common.prompt_conversions import asset_from_files
from vima_ros.paths import path_argument

Result = ExecutePrompt.Result
BEGIN_TIMEOUT = 10.0  # until the policy node has taken an accepted prompt [s]
EXIT = {  # what became of a prompt that was watched
    Result.NONE: 0,
    Result.PROMPT_REFUSED: 1,
    Result.BUSY: 3,
    Result.STEP_LIMIT: 4,
    Result.REFUSED: 5,
    Result.ARM_FAILED: 6,
    Result.NO_OBSERVATION: 7,
    Result.POLICY_FAILED: 8,
    Result.NODE_DIED: 9,
    Result.TASK_FAILED: 10,
    Result.RESET: 11,
    Result.STOPPED: 12,
    Result.NOT_ACTIVE: 13,
    Result.CANCELLED: 130,
}
NAMES = {v: k for k, v in vars(Result).items() if k.isupper() and isinstance(v, int)}
EPILOG = "exit codes: 0 success, or accepted; 1 prompt refused; 2 nodes not there, or bad "
EPILOG += "arguments; with --watch " + ", ".join(
    f"{EXIT[code]} {NAMES[code]}" for code in EXIT if EXIT[code] > 2
)


def _arguments(args: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="send_prompt", description=__doc__, epilog=EPILOG)
    parser.add_argument(
        "text",
        help='such as "Put the {a} into the {b}."; what no option gives is taken from the library',
    )
    picture = "NAME=FRONT.png[,TOP.png] or NAME=,TOP.png, each 256x128 px; may be repeated"
    parser.add_argument("--image", action="append", default=[], help=f"one object: {picture}")
    parser.add_argument("--scene", action="append", default=[], help=f"a scene: {picture}")
    parser.add_argument(
        "--capture",
        action="append",
        default=[],
        metavar="NAME=WHAT",
        help="what the cameras see now, into the library: NAME=ID (`assets seen` tells the ids), "
        "NAME=VIEW:X,Y for what is at a pixel, NAME=scene for all; may be repeated",
    )
    parser.add_argument("--watch", action="store_true", help="run it and follow it to its end")
    parser.add_argument("--max-steps", type=int, default=0, help="0: as configured")
    parser.add_argument(
        "--preview",
        type=path_argument,
        metavar="FILE",
        help="only save the prompt as the policy will see it, a PNG",
    )
    add_namespace_option(parser)
    return parser.parse_args(args)


def make_capture(argument: str) -> CaptureAsset.Request:
    """The request of NAME=ID, NAME=VIEW:X,Y or NAME=scene; VimaError (BAD_CAPTURE) for others."""
    name, _, what = argument.partition("=")
    request = CaptureAsset.Request(name=name, kind=PromptAsset.KIND_OBJECT)
    view, colon, pixel = what.partition(":")
    try:
        if what == "scene":
            request.kind = PromptAsset.KIND_SCENE
        elif colon:
            request.select, request.view = CaptureAsset.Request.BY_PIXEL, view
            request.pixel = whole_numbers(pixel.split(","), 2, 2**16)
        else:
            request.select = CaptureAsset.Request.BY_TRACK_ID
            (request.track_id,) = whole_numbers([what], 1, 2**32)
    except VimaError:
        raise VimaError(
            "BAD_CAPTURE", f"{argument!r}; valid: NAME=3, NAME=front:120,60 or NAME=scene"
        ) from None
    return request


def send(options: argparse.Namespace) -> int:
    """The exit code; raises VimaError where it does not come to an answer."""
    prompt = PromptMessage(text=options.text)
    prompt.assets = [asset_from_files(a, PromptAsset.KIND_OBJECT) for a in options.image]
    prompt.assets += [asset_from_files(a, PromptAsset.KIND_SCENE) for a in options.scene]
    captures = [make_capture(argument) for argument in options.capture]
    with Client("send_prompt", options.namespace) as client:
        prompt.header.stamp = client.node.get_clock().now().to_msg()
        for request in captures:
            answer = client.call(CaptureAsset, "capture_asset", request)
            if not answer.success:
                return _refused(f"{{{request.name}}}: {answer.code}: {answer.message}")
            counts = f"{answer.asset.front_count} in the front view, {answer.asset.top_count}"
            print(f"captured {{{request.name}}}: objects {counts} in the top view")
        if options.watch and options.preview is None:
            return _watch(client, prompt, options.max_steps)
        asks = options.preview is not None
        request = SetPrompt.Request(prompt=prompt, check_only=asks, preview=asks)
        episodes = client.subscribe_episodes()
        answer = client.call(SetPrompt, "set_prompt", request)
        if not answer.success:
            return _refused(f"{answer.code}: {answer.message}")
        if asks:
            return _save(options.preview, image_conversion.decode_colour(answer.preview))
        print(f"accepted as {answer.prompt_id}")
        return _ended_at_once(episodes, answer.prompt_id)


def _ended_at_once(episodes: MessageBuffer, prompt_id: str) -> int:
    """The exit code: of the episode where that cannot begin, because the arm is stopped."""
    try:
        begun = episodes.wait(
            lambda m: m.prompt_id == prompt_id, BEGIN_TIMEOUT, "the policy node's answer"
        )
    except VimaError:  # the policy node is not there, or busy: the prompt waits for it
        return 0
    if begun.state != EpisodeStatus.FAILED:
        return 0
    print(f"{begun.code}: {begun.message}", file=sys.stderr)
    return EXIT[Result.STOPPED] if begun.code == EpisodeStatus.STOPPED else 8


def _refused(why: str) -> int:
    print(f"refused: {why}", file=sys.stderr)
    return 1


def _save(path: Path, rgb: Any) -> int:
    write_image(path, rgb)
    print(f"the prompt as the policy will see it: {path}")
    return 0


def _watch(client: Client, prompt: PromptMessage, max_steps: int) -> int:
    """Run the prompt as a goal; the first Ctrl-C cancels it, the second leaves."""
    told: list[tuple[int, str]] = []

    def tell(feedback: Any) -> None:
        now = feedback.step, feedback.stage
        if told[-1:] != [now]:
            told.append(now)
            hint = " (the arm is stopped: resume it)" if feedback.stage == "paused" else ""
            print(f"  step {feedback.step}: {feedback.stage}{_poses(feedback)}{hint}", flush=True)

    requests = client.subscribe(ConfirmationRequest, "confirmation_request", qos.LATCHED)
    asking = threading.Thread(target=_ask, args=(client, requests), daemon=True)
    asking.start()
    goal = ExecutePromptGoal(client, prompt, max_steps, tell)
    try:
        result = _wait(goal)
    finally:
        goal.close()
    name = "SUCCESS" if result.error_code == Result.NONE else NAMES[result.error_code]
    said = result.error_msg.removeprefix(f"{name}: ")
    print(f"{name}: {said}" if said else f"{name} after {result.steps} decisions")
    return EXIT.get(result.error_code, 8)


def _wait(goal: ExecutePromptGoal) -> Any:
    try:
        return goal.wait()
    except KeyboardInterrupt:
        print("\ncancelling: the arm stops where it is (Ctrl-C again: leave it)", flush=True)
        goal.cancel()
        return goal.wait()
    except SystemExit:  # SIGTERM: there is no time to wait for the end of the motion
        goal.cancel()
        raise


def _poses(feedback: Any) -> str:
    if feedback.stage not in ("confirming", "moving"):
        return ""
    a, b = feedback.action.pose0.position, feedback.action.pose1.position
    return f" from ({a.x:.2f}, {a.y:+.2f}) to ({b.x:.2f}, {b.y:+.2f}) m"


def _ask(client: Client, requests: Any) -> None:
    """Put each motion that waits for a person to the one at the terminal."""
    seen = 0
    while True:
        request = requests.wait(lambda m: bool(m.command_id), 1e9, "request", seen, quiet=True)
        seen = requests.count
        if not sys.stdin.isatty():
            print(
                f"  waiting for confirmation: {request.text}; respond by the service confirm",
                flush=True,
            )
            continue
        print(f"  {request.text}: do it? [y/N] ", end="", flush=True)
        accept = sys.stdin.readline().strip().lower() in ("y", "yes")
        client.call(
            ConfirmMotion,
            "confirm",
            ConfirmMotion.Request(command_id=request.command_id, accept=accept),
        )


def main(args: list[str] | None = None) -> None:
    """``ros2 run vima_ros send_prompt``."""
    options = _arguments(remove_ros_args(args or sys.argv)[1:])
    try:
        sys.exit(send(options))
    except VimaError as error:
        print(f"send_prompt: {error.code}: {error}", file=sys.stderr)
        sys.exit(EXIT[Result.NODE_DIED] if error.code == "NODE_DIED" else 2)
