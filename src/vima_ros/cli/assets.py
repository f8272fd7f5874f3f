"""`assets`: the asset library from the command line: what is seen, capture, list, delete."""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Iterator
from typing import Any

from rclpy.utilities import remove_ros_args

from vima_msgs.msg import PromptAsset
from vima_msgs.srv import CaptureAsset, DeleteAsset, GetScene, ListAssets
from vima_ros.client.client import Client
from vima_ros.errors import VimaError
from vima_ros.files import prepare_folder, write_image
from vima_ros.nodes.common import conversions, image_conversion
from vima_ros.nodes.common.namespaces import add_namespace_option
from vima_ros.paths import path_argument
from vima_ros.perception.visualization import draw_objects
from vima_ros.specs import VIEWS

Request = CaptureAsset.Request


def parse(args: list[str]) -> argparse.Namespace:
    """The command line; ends the process (exit code 2) where it is wrong."""
    parser = argparse.ArgumentParser(prog="assets", description=__doc__)
    add_namespace_option(parser)
    does = parser.add_subparsers(dest="command", required=True)
    seen = does.add_parser("seen", help="the objects that the cameras see now, with their ids")
    seen.add_argument(
        "--out", type=path_argument, metavar="DIR", help="save front.png and top.png too"
    )
    capture = does.add_parser("capture", help="name an object, or the scene, as seen now")
    capture.add_argument("name", help="letters, digits and _: {NAME} in a prompt")
    what = capture.add_mutually_exclusive_group(required=True)
    what.add_argument("--id", help="as `assets seen` and debug/front show it")
    what.add_argument("--pixel", metavar="VIEW,X,Y", help="in the policy frame, 256x128 px")
    what.add_argument("--box", metavar="VIEW,X,Y,H,W", help="centre, height and width [px]")
    what.add_argument("--scene", action="store_true", help="all that is seen")
    capture.add_argument("--frames", type=int, default=0, help="NAME_0, NAME_1, …: so many")
    capture.add_argument("--every", type=float, help="between frames [s]; else Enter for each")
    does.add_parser("list", help="what there is")
    does.add_parser("delete", help="take one away").add_argument("name")
    options = parser.parse_args(args)
    if options.command == "capture":
        if options.frames < 0:
            parser.error(f"--frames {options.frames}; valid: 0 or more")
        if options.every is not None and not 0 <= options.every < math.inf:
            parser.error(f"--every {options.every}; valid: 0 s or more")
    return options


def make_request(options: argparse.Namespace) -> Any:
    """The CaptureAsset request; raises VimaError (BAD_CAPTURE)."""
    request = Request(name=options.name, kind=PromptAsset.KIND_OBJECT)
    if options.scene:
        request.kind = PromptAsset.KIND_SCENE
    elif options.id is not None:
        (request.track_id,) = whole_numbers([options.id], 1, 2**32)
        request.select = Request.BY_TRACK_ID
    elif options.pixel is not None:
        request.view, *place = options.pixel.split(",")
        request.select, request.pixel = Request.BY_PIXEL, whole_numbers(place, 2, 2**16)
    else:
        request.view, *place = options.box.split(",")
        request.select, request.bbox = Request.BY_BOX, whole_numbers(place, 4, 2**16)
    return request


def whole_numbers(texts: list[str], count: int, below: int) -> list[int]:
    """``count`` of them from 0; a message would take others and hold something else.

    Raises VimaError (BAD_CAPTURE).
    """
    numbers = [int(text) for text in texts if text.strip().isdecimal()]
    if not len(numbers) == len(texts) == count or max(numbers) >= below:
        raise VimaError(
            "BAD_CAPTURE",
            f"{','.join(texts)!r} is not {count} whole number(s) from 0 to below {below}; "
            "valid: --id 3, --pixel front,120,60, --box top,X,Y,H,W",
        )
    return numbers


def _names(options: argparse.Namespace) -> Iterator[str]:
    """Each when it is to be captured."""
    if not options.frames:
        yield options.name
        return
    for number in range(options.frames):
        name = f"{options.name}_{number}"
        if options.every is None:
            input(f"Enter captures {{{name}}} ")
        elif number:
            time.sleep(options.every)
        yield name


def _capture(client: Client, options: argparse.Namespace) -> int:
    request = make_request(options)
    for name in _names(options):
        request.name = name
        answer = client.call(CaptureAsset, "capture_asset", request)
        if not answer.success:
            print(f"refused: {answer.code}: {answer.message}", file=sys.stderr)
            return 1
        a = answer.asset
        print(f"captured {{{a.name}}}: objects: {a.front_count} in front, {a.top_count} in top")
    return 0


def _seen(client: Client, options: argparse.Namespace) -> int:
    if options.out:
        prepare_folder(options.out)
    scene = client.call(GetScene, "get_scene", GetScene.Request())
    if not scene.success:
        print(f"nothing seen: {scene.code}: {scene.message}", file=sys.stderr)
        return 1
    print("   id  view   score  x, y, height, width [px]")
    for view in VIEWS:
        for o in getattr(scene.observation, view).objects:
            print(f"{o.track_id:5}  {view:5}  {o.score:.2f}   {', '.join(map(str, o.bbox))}")
        if options.out:
            objects = conversions.view_from_message(getattr(scene.observation, view))
            drawn = draw_objects(
                image_conversion.decode_colour(getattr(scene, view)), objects, title=view
            )
            path = options.out / f"{view}.png"
            write_image(path, drawn)
            print(f"written to {path}")
    return 0


def _list(client: Client) -> int:
    answer = client.call(ListAssets, "list_assets", ListAssets.Request())
    if not answer.success:
        print(f"refused: {answer.code}: {answer.message}", file=sys.stderr)
        return 1
    for a in answer.assets:
        kind = "scene" if a.kind == PromptAsset.KIND_SCENE else "object"
        print(f"{{{a.name}}}  {kind}, objects: {a.front_count} in front, {a.top_count} in top")
    for name in answer.unreadable:
        print(f"{{{name}}}  damaged: the prompt node's log says why")
    if not (answer.assets or answer.unreadable):
        print("the library is empty; `assets capture` puts something in")
    return 0


def run(options: argparse.Namespace) -> int:
    """The exit code: 0 done, 1 refused; raises VimaError where nobody answers."""
    with Client("assets", options.namespace) as client:
        if options.command == "seen":
            return _seen(client, options)
        if options.command == "capture":
            return _capture(client, options)
        if options.command == "list":
            return _list(client)
        request = DeleteAsset.Request(name=options.name)
        answer = client.call(DeleteAsset, "delete_asset", request)
        if not answer.success:
            print(f"refused: {answer.code}: {answer.message}", file=sys.stderr)
            return 1
        print(f"deleted {{{options.name}}}")
        return 0


def main(args: list[str] | None = None) -> None:
    """``ros2 run vima_ros assets``."""
    options = parse(remove_ros_args(args or sys.argv)[1:])
    try:
        sys.exit(run(options))
    except VimaError as error:
        print(f"assets: {error.code}: {error}", file=sys.stderr)
        sys.exit(2)
    except EOFError:
        sys.exit(130)
