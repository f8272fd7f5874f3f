"""Command line of `calibrate`."""

from __future__ import annotations

import argparse

from vima_ros.paths import path_argument
from vima_ros.perception.calibration.board_sheet import PAPERS
from vima_ros.perception.calibration.charuco import DICTIONARIES
from vima_ros.policy_frame import VIMA_WORKSPACE
from vima_ros.specs import VIEWS

ORDER = (
    "nearest the robot on its right, nearest on its left, farthest on its left, farthest on its "
    "right: clockwise from the upper left as a camera sees them that faces the robot"
)


def _point(text: str) -> tuple[float, float]:
    try:
        x, y = (float(value) for value in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r}; valid: x,y") from None
    return x, y


def _squares(text: str) -> tuple[int, int]:
    try:
        columns, rows = (int(value) for value in text.lower().split("x"))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r}; valid: COLUMNSxROWS, such as 5x4") from None
    return columns, rows


def _paper(text: str) -> str:
    """Return the paper of that name, whatever its case."""
    return next((name for name in PAPERS if name.lower() == text.lower()), text)


def _add_board(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--squares", type=_squares, default=(5, 4), metavar="CxR", help="Columns and rows; 5x4"
    )
    parser.add_argument(
        "--dictionary", choices=DICTIONARIES, default="DICT_4X4_50", metavar="NAME",
        help="Dictionary of the markers, OpenCV's name; DICT_4X4_50",
    )  # fmt: skip


def _add_source(parser: argparse.ArgumentParser, several: bool) -> None:
    more = "; may be repeated with --at" if several else ""
    parser.add_argument(
        "--image",
        action="append",
        type=path_argument,
        required=True,
        help=f"Image of the camera, such as `grab_image` writes{more}",
    )


def parse_arguments(parser: argparse.ArgumentParser, args: list[str]) -> argparse.Namespace:
    """Add the commands to ``parser`` and parse ``args``; exits with 2 on a bad argument."""
    commands = parser.add_subparsers(dest="command", required=True)
    sheet = commands.add_parser("board", help="Board to print")
    sheet.add_argument("--out", type=path_argument, required=True, help="PNG file to write")
    sheet.add_argument(
        "--paper", type=_paper, choices=sorted(PAPERS), default="A4", help="Paper size; A4"
    )
    sheet.add_argument("--dpi", type=int, default=300, help="Dots per inch; 300")
    sheet.add_argument(
        "--square", type=float, metavar="M", help="Side of a square [m]; the largest that fits"
    )
    _add_board(sheet)

    lens = commands.add_parser("lens", help="camera_info from images of the board")
    lens.add_argument(
        "images", type=path_argument, nargs="+", help="Images of the tilted board, 5 or more"
    )
    lens.add_argument(
        "--square", type=float, metavar="M", required=True, help="Side of a square as printed [m]"
    )
    lens.add_argument(
        "--out", type=path_argument, required=True, help="camera_info YAML file to write"
    )
    _add_board(lens)

    view = commands.add_parser("view", help="Calibration of a camera")
    view.add_argument("view", choices=VIEWS, help="View of the camera")
    _add_source(view, several=True)
    view.add_argument(
        "--camera-info",
        type=path_argument,
        metavar="FILE",
        help="camera_info YAML file, such as `grab_image` writes",
    )
    view.add_argument(
        "--square", type=float, metavar="M", help="Side of a square of the board as printed [m]"
    )
    view.add_argument(
        "--at", type=float, nargs=3, action="append", metavar=("X", "Y", "YAW_DEG"),
        help="Origin of the board [m] and direction of its x axis, anticlockwise from the "
        "base's x [degrees]; once for each --image",
    )  # fmt: skip
    _add_board(view)
    view.add_argument(
        "--corners", type=_point, nargs=4, metavar="x,y", help=f"Corners [px], {ORDER}"
    )
    view.add_argument("--click", action="store_true", help="Choice of the corners in a browser")
    view.add_argument("--port", type=int, default=0, help="Port for --click; any free one")
    view.add_argument(
        "--corners-at", type=_point, nargs=4, metavar="x,y",
        help="Positions of the corners in the table frame [m]; the workspace's",
    )  # fmt: skip
    view.add_argument(
        "--workspace", type=float, nargs=4, metavar=("X0", "Y0", "X1", "Y1"),
        default=[*VIMA_WORKSPACE.low, *VIMA_WORKSPACE.high],
        help="Workspace of the policy [m]; VIMA's",
    )  # fmt: skip
    view.add_argument(
        "--out", type=path_argument, required=True, help="Calibration file NAME.yaml to write"
    )

    check = commands.add_parser("check", help="Check that the camera has not moved since")
    check.add_argument("calibration", type=path_argument, help="Calibration file NAME.yaml")
    _add_source(check, several=False)
    check.add_argument(
        "--limit", type=float, default=2.0, help="Displacement that counts as moved [px]; 2"
    )
    for command in (sheet, lens, view):
        command.add_argument("--force", action="store_true", help="Permission to overwrite files")
    options = parser.parse_args(args)
    if options.command == "view":
        _check_view(view, options)
    return options


def _check_view(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    board = options.square is not None or options.at is not None
    if sum((board, options.corners is not None, options.click)) != 1:
        parser.error("one way is needed: --square with --at, --corners, or --click")
    if board and (options.square is None or options.at is None):
        parser.error("a board needs --square and --at")
    images = len(options.image)
    if images != len(options.at or [None]):
        parser.error(f"{images} images and {len(options.at or [])} --at; one each is needed")
    if options.corners_at and board:
        parser.error("--corners-at belongs to --corners or --click")
    if options.out.suffix != ".yaml":
        parser.error(f"{options.out} does not end in .yaml")
