"""`assets`: list objects in view, and capture, list or delete assets of the library."""

from __future__ import annotations

import argparse
import math
import signal
import sys
import time
from collections.abc import Iterator
from typing import Any

from vima_msgs.msg import PromptAsset
from vima_msgs.srv import CaptureAsset, DeleteAsset, GetScene, ListAssets
from vima_ros.cli.arguments import ArgumentParser
from vima_ros.client.client import Client
from vima_ros.errors import VimaError
from vima_ros.files import prepare_folder, write_image
from vima_ros.nodes.common import conversions, image_conversion
from vima_ros.nodes.common.namespaces import add_namespace_option
from vima_ros.paths import path_argument
from vima_ros.perception.visualization import draw_objects
from vima_ros.program import NEGATIVE, without_ros_args
from vima_ros.specs import VIEWS

Request = CaptureAsset.Request


def parse(args: list[str]) -> argparse.Namespace:
    """Parse the command line; exits with 2 where it is wrong."""
    parser = ArgumentParser(prog="assets", description=__doc__)
    add_namespace_option(parser)
    commands = parser.add_subparsers(dest="command", required=True)
    objects = commands.add_parser("objects", help="Objects in the current images, with their ids")
    objects.add_argument(
        "--out", type=path_argument, metavar="DIR", help="Folder for front.png and top.png"
    )
    capture = commands.add_parser(
        "capture", help="Capture of an object, or the scene, from the current images"
    )
    capture.add_argument(
        "name", help="Name of the asset, {NAME} in a prompt: letters, digits and _"
    )
    selection = capture.add_mutually_exclusive_group(required=True)
    selection.add_argument("--id", help="Id, as in `assets objects` and debug/front")
    selection.add_argument(
        "--pixel", metavar="VIEW,X,Y", help="Pixel of the policy frame, 256x128 px"
    )
    selection.add_argument(
        "--box", metavar="VIEW,X,Y,H,W", help="Box: centre, height and width [px]"
    )
    selection.add_argument("--scene", action="store_true", help="All objects in view")
    capture.add_argument(
        "--frames", type=int, default=0, help="Number of captures NAME_0, NAME_1, …"
    )
    capture.add_argument(
        "--interval", type=float, help="Time between captures [s]; default: Enter for each"
    )
    listing = commands.add_parser("list", help="List of all assets")
    deletion = commands.add_parser("delete", help="Deletion of one asset")
    deletion.add_argument("name")
    for command in (objects, capture, listing, deletion):
        add_namespace_option(command, default=argparse.SUPPRESS)
    options = parser.parse_args(args)
    if options.command == "capture":
        if options.frames < 0:
            parser.error(f"--frames {options.frames}; valid: 0 or more")
        if options.interval is not None and not 0 <= options.interval < math.inf:
            parser.error(f"--interval {options.interval}; valid: 0 s or more")
    return options


def make_request(options: argparse.Namespace) -> Any:
    """Build the CaptureAsset request. Raises VimaError (BAD_CAPTURE)."""
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
    """Parse ``count`` whole numbers from 0 to below ``below``.

    A message would accept others and hold another value.

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
    """Yield each name when its asset is to be captured."""
    if not options.frames:
        yield options.name
        return
    for number in range(options.frames):
        name = f"{options.name}_{number}"
        if options.interval is None:
            input(f"Enter captures {{{name}}} ")
        elif number:
            time.sleep(options.interval)
        yield name


def _refused(answer: Any) -> int:
    print(f"refused: {answer.code}: {answer.message}", file=sys.stderr)
    return NEGATIVE


def _capture(client: Client, options: argparse.Namespace) -> int:
    request = make_request(options)
    for name in _names(options):
        request.name = name
        answer = client.call(CaptureAsset, "capture_asset", request)
        if not answer.success:
            return _refused(answer)
        a = answer.asset
        print(f"captured {{{a.name}}}: objects: {a.front_count} in front, {a.top_count} in top")
    return 0


def _objects(client: Client, options: argparse.Namespace) -> int:
    if options.out:
        prepare_folder(options.out)
    scene = client.call(GetScene, "get_scene", GetScene.Request())
    if not scene.success:
        return _refused(scene)
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
        return _refused(answer)
    for a in answer.assets:
        kind = "scene" if a.kind == PromptAsset.KIND_SCENE else "object"
        print(f"{{{a.name}}}  {kind}, objects: {a.front_count} in front, {a.top_count} in top")
    for name in answer.unreadable:
        print(f"{{{name}}}  unreadable: see the prompt node's log")
    if not (answer.assets or answer.unreadable):
        print("the library is empty; `assets capture` puts something in")
    return 0


def run(options: argparse.Namespace) -> int:
    """Run the command; return 0 done, 1 refused. Raises VimaError where no node responds."""
    with Client("assets", options.namespace) as client:
        if options.command == "objects":
            return _objects(client, options)
        if options.command == "capture":
            return _capture(client, options)
        if options.command == "list":
            return _list(client)
        request = DeleteAsset.Request(name=options.name)
        answer = client.call(DeleteAsset, "delete_asset", request)
        if not answer.success:
            return _refused(answer)
        print(f"deleted {{{options.name}}}")
        return 0


def main(args: list[str]) -> int:
    """Run the program ``assets``."""
    options = parse(without_ros_args(args))
    try:
        return run(options)
    except EOFError:  # instead of Enter
        return 128 + signal.SIGINT
