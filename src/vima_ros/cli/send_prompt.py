"""`send_prompt`: send a prompt with its images from the command line, and follow its episode."""

from __future__ import annotations

import argparse
import sys
import threading
from pathlib import Path
from typing import Any

from vima_msgs.action import ExecutePrompt
from vima_msgs.msg import ConfirmationRequest, EpisodeStatus, PromptAsset
from vima_msgs.msg import Prompt as PromptMessage
from vima_msgs.srv import CaptureAsset, ConfirmMotion, SetPrompt
from vima_ros.cli.arguments import ArgumentParser
from vima_ros.cli.assets import whole_numbers
from vima_ros.client.client import Client
from vima_ros.client.execute_prompt import ExecutePromptGoal
from vima_ros.client.message_buffer import MessageBuffer
from vima_ros.errors import NodeDiedError, VimaError, WaitTimeoutError
from vima_ros.files import write_image
from vima_ros.nodes.common import image_conversion, qos
from vima_ros.nodes.common.namespaces import add_namespace_option
from vima_ros.nodes.common.prompt_conversions import asset_from_files
from vima_ros.paths import path_argument
from vima_ros.program import DONE, NEGATIVE, print_error, without_ros_args

Result = ExecutePrompt.Result
EPISODE_START_TIMEOUT = 10.0  # from an accepted prompt to the start of its episode [s]
EXIT = {  # exit codes with --watch
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


def parse(args: list[str]) -> argparse.Namespace:
    """Parse the command line."""
    parser = ArgumentParser(prog="send_prompt", description=__doc__, epilog=EPILOG)
    parser.add_argument(
        "text",
        help='Prompt, such as "Put the {a} into the {b}."; the asset library has the placeholders '
        "without an option",
    )
    files = "NAME=FRONT.png[,TOP.png] or NAME=,TOP.png, each 256x128 px; may be repeated"
    parser.add_argument(
        "--image", action="append", default=[], help=f"Image of one object: {files}"
    )
    parser.add_argument("--scene", action="append", default=[], help=f"Image of a scene: {files}")
    parser.add_argument(
        "--capture",
        action="append",
        default=[],
        metavar="NAME=SOURCE",
        help="Capture into the asset library, from the current images: NAME=ID (`assets objects` "
        "lists the ids), NAME=VIEW:X,Y for the object at a pixel, NAME=scene for all; may be "
        "repeated",
    )
    parser.add_argument(
        "--watch", action="store_true", help="Execution as a goal, followed to its end"
    )
    parser.add_argument(
        "--max-steps", type=int, default=0, help="Maximum number of steps; 0: as configured"
    )
    parser.add_argument(
        "--preview",
        type=path_argument,
        metavar="FILE",
        help="PNG file for the policy's view of the prompt, which is then not executed",
    )
    add_namespace_option(parser)
    return parser.parse_args(args)


def make_capture(argument: str) -> CaptureAsset.Request:
    """Parse NAME=ID, NAME=VIEW:X,Y or NAME=scene. Raises VimaError (BAD_CAPTURE)."""
    name, _, source = argument.partition("=")
    request = CaptureAsset.Request(name=name, kind=PromptAsset.KIND_OBJECT)
    view, colon, pixel = source.partition(":")
    try:
        if source == "scene":
            request.kind = PromptAsset.KIND_SCENE
        elif colon:
            request.select, request.view = CaptureAsset.Request.BY_PIXEL, view
            request.pixel = whole_numbers(pixel.split(","), 2, 2**16)
        else:
            request.select = CaptureAsset.Request.BY_TRACK_ID
            (request.track_id,) = whole_numbers([source], 1, 2**32)
    except VimaError:
        raise VimaError(
            "BAD_CAPTURE", f"{argument!r}; valid: NAME=3, NAME=front:120,60 or NAME=scene"
        ) from None
    return request


def send(options: argparse.Namespace) -> int:
    """Send the prompt and return the exit code. Raises VimaError where no node responds."""
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
        check_only = options.preview is not None
        request = SetPrompt.Request(prompt=prompt, check_only=check_only, preview=check_only)
        episodes = client.subscribe_episodes()
        answer = client.call(SetPrompt, "set_prompt", request)
        if not answer.success:
            return _refused(f"{answer.code}: {answer.message}")
        if check_only:
            return _save(options.preview, image_conversion.decode_colour(answer.preview))
        print(f"accepted as {answer.prompt_id}")
        return _start_failure(episodes, answer.prompt_id)


def _start_failure(episodes: MessageBuffer, prompt_id: str) -> int:
    """Return the exit code: 0, or of an episode that fails at once, as when the arm is stopped."""
    try:
        status = episodes.wait(
            lambda m: m.prompt_id == prompt_id, EPISODE_START_TIMEOUT, "start of the episode"
        )
    except WaitTimeoutError:  # the policy node is not there, or busy: the prompt waits for it
        return DONE
    if status.state != EpisodeStatus.FAILED:
        return DONE
    print(f"{status.code}: {status.message}", file=sys.stderr)
    stopped = status.code == EpisodeStatus.STOPPED
    return EXIT[Result.STOPPED if stopped else Result.POLICY_FAILED]


def _refused(why: str) -> int:
    print(f"refused: {why}", file=sys.stderr)
    return NEGATIVE


def _save(path: Path, rgb: Any) -> int:
    write_image(path, rgb)
    print(f"written: {path}: the policy's view of the prompt")
    return DONE


def _watch(client: Client, prompt: PromptMessage, max_steps: int) -> int:
    """Run the prompt as a goal; the first Ctrl-C cancels it, the second leaves."""
    printed = 0, ""

    def on_feedback(feedback: ExecutePrompt.Feedback) -> None:
        nonlocal printed
        now = feedback.step, feedback.stage
        if printed != now:
            printed = now
            hint = " (the arm is stopped: resume it)" if feedback.stage == "paused" else ""
            print(f"  step {feedback.step}: {feedback.stage}{_poses(feedback)}{hint}", flush=True)

    requests = client.subscribe(ConfirmationRequest, "confirmation_request", qos.LATCHED)
    asking = threading.Thread(target=_ask, args=(client, requests), daemon=True)
    asking.start()
    goal = ExecutePromptGoal(client, prompt, max_steps, on_feedback)
    try:
        result = _wait(goal)
    finally:
        goal.close()
    return report_result(result)


def report_result(result: ExecutePrompt.Result) -> int:
    """Print the end of a goal, whose message begins with its code; return the exit code."""
    if result.error_code == Result.PROMPT_REFUSED:
        return _refused(result.error_msg)
    print(result.error_msg or f"SUCCESS after {result.steps} decisions")
    return EXIT.get(result.error_code, EXIT[Result.POLICY_FAILED])


def _wait(goal: ExecutePromptGoal) -> ExecutePrompt.Result:
    try:
        return goal.wait()
    except KeyboardInterrupt:
        print("\ncancelling: the arm stops where it is (Ctrl-C again: leave it)", flush=True)
        goal.cancel()
        return goal.wait()
    # SIGTERM: there is no time to wait for the end of the motion; or nobody reads any more.
    except (SystemExit, BrokenPipeError):
        goal.cancel()
        raise


def _poses(feedback: ExecutePrompt.Feedback) -> str:
    if feedback.stage not in ("confirming", "moving"):
        return ""
    a, b = feedback.action.pose0.position, feedback.action.pose1.position
    return f" from ({a.x:.2f}, {a.y:+.2f}) to ({b.x:.2f}, {b.y:+.2f}) m"


def _ask(client: Client, requests: MessageBuffer[ConfirmationRequest]) -> None:
    """Ask the person at the terminal to confirm each motion that waits for it."""
    count = 0
    while True:
        request = requests.wait(lambda m: bool(m.command_id), 1e9, "request", count, quiet=True)
        count = requests.count
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


def main(args: list[str]) -> int:
    """Run the program ``send_prompt``."""
    options = parse(without_ros_args(args))
    try:
        return send(options)
    except NodeDiedError as error:
        print_error("send_prompt", error)
        return EXIT[Result.NODE_DIED]
