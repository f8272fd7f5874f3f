"""`calibrate`: map a camera to the policy's view by a board or corners (docs/calibration.md).

Exit codes: 0 done (`check`: in place), 1 cancelled (`check`: moved), 2 wrong arguments or files,
3 `check`: too little in view to tell.
"""

from __future__ import annotations

import argparse
import math
import sys

import numpy as np

from vima_ros.cli.arguments import ArgumentParser
from vima_ros.cli.calibrate.corner_picker import CornerPickerServer, result_png
from vima_ros.cli.calibrate.options import parse_arguments
from vima_ros.errors import VimaError
from vima_ros.files import check_overwrite, write_atomic
from vima_ros.geometry import Workspace
from vima_ros.perception.calibration.board_search import describe_layout, find_board
from vima_ros.perception.calibration.board_sheet import board_sheet_png, max_square_size
from vima_ros.perception.calibration.calibration import Calibration, workspace_corners
from vima_ros.perception.calibration.camera_info import camera_info_yaml, read_camera_info
from vima_ros.perception.calibration.camera_model import CameraModel
from vima_ros.perception.calibration.charuco import Board, PlacedBoard
from vima_ros.perception.calibration.drift import DriftDetector
from vima_ros.perception.calibration.estimation import calibrate
from vima_ros.perception.calibration.intrinsics import estimate_intrinsics
from vima_ros.perception.calibration.intrinsics_report import (
    check_determined,
    describe_intrinsics,
    intrinsics_warnings,
)
from vima_ros.perception.calibration.io import load_calibration, save_calibration
from vima_ros.perception.calibration.report import report, warnings
from vima_ros.perception.image_decoding import read_image
from vima_ros.program import DONE, NEGATIVE, run_program

CANNOT_TELL = 3  # exit code


def make_board(options: argparse.Namespace) -> int:
    """Write the sheet to print."""
    check_overwrite([options.out], options.force)
    square = options.square or max_square_size(options.squares, options.paper)
    board = Board(square, options.squares, dictionary=options.dictionary)
    write_atomic(options.out, board_sheet_png(board, options.paper, options.dpi))
    print(f"written: {options.out}: {options.paper}, landscape; print it at 100 %, not fitted")
    row = f"{board.squares[0]} squares in a row: {1e3 * board.size[0]:g} mm"
    print(f"then measure {row}? --square {square:g}, else as measured for one [m]")
    return DONE


def make_lens(options: argparse.Namespace) -> int:
    """Write the camera_info file, unless the images do not determine it; print its accuracy."""
    check_overwrite([options.out], options.force)
    board = Board(options.square, options.squares, dictionary=options.dictionary)
    images = [read_image(path) for path in options.images]
    board, fit = estimate_intrinsics(board, images, [str(path) for path in options.images])
    print(describe_layout(board))
    for path, error in zip(options.images, fit.per_image, strict=True):
        print(f"{path}: {error:.2f} px")
    print("\n".join(describe_intrinsics(fit)))
    check_determined(fit)
    write_atomic(
        options.out, camera_info_yaml(fit.camera_model, fit.size, options.out.stem).encode()
    )
    for warning in intrinsics_warnings(fit):
        print(f"warning: {warning}")
    print(f"written: {options.out}")
    return DONE


def _read_inputs(options: argparse.Namespace) -> tuple[list[np.ndarray], CameraModel | None]:
    """Read the camera's images, and the camera model where a camera_info file is given."""
    images = [read_image(path) for path in options.image]
    sizes = {image.shape[1::-1] for image in images}
    if len(sizes) != 1:
        raise VimaError("BAD_IMAGE", f"images of {sorted(sizes)} px; valid: one size")
    info = getattr(options, "camera_info", None)
    if info is None:
        return images, None
    camera_model = CameraModel.from_camera_info(read_camera_info(info), sizes.pop())
    if camera_model is None:
        print("note: by its camera_info the camera is not calibrated: no lens is used")
    return images, camera_model


def make_view(options: argparse.Namespace) -> int:
    """Write the calibration, its patches and an image of the result."""
    result = options.out.with_name(f"{options.out.stem}_result.png")
    patches = options.out.with_name(f"{options.out.stem}_patches.png")
    check_overwrite([options.out, patches, result], options.force)
    images, camera_model = _read_inputs(options)
    calibration = _solve(options, images, camera_model)
    if calibration is None:
        print("cancelled; nothing is written", file=sys.stderr)
        return NEGATIVE
    save_calibration(options.out, calibration)
    write_atomic(result, result_png(images[-1], calibration))
    print("\n".join(report(calibration)))
    for warning in warnings(calibration):
        print(f"note: {warning}")
    print(f"written: {options.out}, {patches.name}; look at {result.name}")
    return DONE


def _solve(
    options: argparse.Namespace, images: list[np.ndarray], camera_model: CameraModel | None
) -> Calibration | None:
    x0, y0, x1, y1 = options.workspace
    workspace = Workspace((x0, y0), (x1, y1))
    if options.at:
        board = Board(options.square, options.squares, dictionary=options.dictionary)
        board, found = find_board(board, images)
        print(describe_layout(board))
        placed = [PlacedBoard(board, x, y, math.radians(yaw)) for x, y, yaw in options.at]
        px = np.concatenate([corners for _, corners in found])
        m = np.concatenate([p.points[ids] for p, (ids, _) in zip(placed, found, strict=True)])
        return calibrate(
            options.view,
            images[-1],
            px,
            m,
            camera_model=camera_model,
            workspace=workspace,
            board=placed[-1],
        )
    places = np.array(options.corners_at or workspace_corners(workspace))

    def solve(corners: np.ndarray) -> Calibration:
        return calibrate(
            options.view,
            images[-1],
            corners,
            places,
            camera_model=camera_model,
            workspace=workspace,
        )

    if options.corners:
        return solve(np.array(options.corners))
    with CornerPickerServer(images[-1], solve, options.port) as server:
        print(f"open in a browser on this machine: {server.url}", flush=True)
        return server.wait()


def check(options: argparse.Namespace) -> int:
    """Print whether the camera has moved."""
    calibration = load_calibration(options.calibration)
    images, _ = _read_inputs(options)
    drift = DriftDetector(calibration, options.limit).check(images[-1])
    print(drift.message)
    return NEGATIVE if drift.moved else CANNOT_TELL if drift.reference == "nothing" else DONE


COMMANDS = {"board": make_board, "lens": make_lens, "view": make_view, "check": check}


def main(args: list[str]) -> int:
    """Run the program ``calibrate``."""
    parser = ArgumentParser(
        prog="calibrate", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    options = parse_arguments(parser, args)
    return COMMANDS[options.command](options)


if __name__ == "__main__":
    run_program(lambda: main)
