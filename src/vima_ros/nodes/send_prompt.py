"""`send_prompt`: a prompt with picture files from the command line, and how it was taken."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import cv2
from rclpy.utilities import remove_ros_args

from vima_msgs.msg import EpisodeStatus, PromptAsset
from vima_msgs.msg import Prompt as PromptMessage
from vima_msgs.srv import SetPrompt
from vima_ros.errors import VimaError
from vima_ros.nodes import images, qos
from vima_ros.nodes.base import NAMESPACE
from vima_ros.nodes.client import Client
from vima_ros.specs import VIEWS

ENDED = (EpisodeStatus.FINISHED, EpisodeStatus.FAILED)
STATES = ("idle", "observing", "deciding", "executing", "paused", "finished", "failed")


def _arguments(args: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="send_prompt", description=__doc__)
    parser.add_argument("text", help='such as "Put the {a} into the {b}."')
    picture = "NAME=FRONT.png[,TOP.png] or NAME=,TOP.png, each 256x128 px; may be repeated"
    parser.add_argument("--image", action="append", default=[], help=f"one object: {picture}")
    parser.add_argument("--scene", action="append", default=[], help=f"a scene: {picture}")
    parser.add_argument("--watch", action="store_true", help="follow the episode to its end")
    parser.add_argument("--namespace", default=f"/{NAMESPACE}", help="where the nodes are")
    return parser.parse_args(args)


def make_asset(argument: str, kind: int) -> PromptAsset:
    """The asset of NAME=FRONT[,TOP]. Raises VimaError (BAD_IMAGE) for files that are no images."""
    name, equals, files = argument.partition("=")
    paths = files.split(",")
    if not (name and equals and any(paths)) or len(paths) > len(VIEWS):
        raise VimaError("BAD_IMAGE", f"{argument!r}; valid: NAME=FRONT.png[,TOP.png]")
    asset = PromptAsset(name=name, kind=kind)
    for view, path in zip(VIEWS, paths, strict=False):
        if not path:
            continue
        picture = cv2.imread(path, cv2.IMREAD_COLOR) if Path(path).is_file() else None
        if picture is None:
            raise VimaError("BAD_IMAGE", f"no image in file {path!r}; valid: a PNG or JPEG file")
        setattr(asset, view, images.encode(picture, "bgr8"))
    return asset


def send(options: argparse.Namespace) -> int:
    """The exit code: 0 accepted (and, watched, finished), 1 refused or failed."""
    prompt = PromptMessage(text=options.text)
    prompt.assets = [make_asset(a, PromptAsset.KIND_OBJECT) for a in options.image]
    prompt.assets += [make_asset(a, PromptAsset.KIND_SCENE) for a in options.scene]
    with Client("send_prompt", options.namespace) as client:
        prompt.header.stamp = client.node.get_clock().now().to_msg()
        episode = client.listen(EpisodeStatus, "episode", qos.LATCHED)
        answer = client.call(SetPrompt, "set_prompt", SetPrompt.Request(prompt=prompt))
        if not answer.success:
            print(f"refused: {answer.code}: {answer.message}", file=sys.stderr)
            return 1
        print(f"accepted as {answer.prompt_id}")
        if not options.watch:
            return 0

        def ended(status: EpisodeStatus) -> bool:
            if status.prompt_id != answer.prompt_id:
                return False
            text = f"{status.code} {status.message}".strip()
            print(f"  step {status.step}/{status.max_steps} {STATES[status.state]}: {text}")
            return status.state in ENDED

        status = episode.wait(ended, 1e6, "end of the episode")
        return 0 if status.state == EpisodeStatus.FINISHED else 1


def main(args: list[str] | None = None) -> None:
    """``ros2 run vima_ros send_prompt``."""
    options = _arguments(remove_ros_args(args or sys.argv)[1:])
    try:
        sys.exit(send(options))
    except VimaError as error:
        print(f"send_prompt: {error.code}: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
