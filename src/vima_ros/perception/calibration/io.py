"""Calibration files: NAME.yaml for people and programs, NAME_patches.png beside it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import yaml

from vima_ros.errors import VimaError
from vima_ros.files import sha256_of, write_atomic
from vima_ros.geometry import Workspace
from vima_ros.perception.calibration.calibration import Calibration, CalibrationFit
from vima_ros.perception.calibration.camera_model import CameraModel
from vima_ros.perception.calibration.charuco import Board, PlacedBoard

FORMAT = "vima_ros camera calibration 1"
MAX_FILE = 1 << 20  # [bytes] of either file
HEADER = """\
# How one camera's image becomes the policy's view (docs/calibration.md). Written by `calibrate`.
# size: width, height of the camera's image [px]. workspace: on the table, table frame [m].
# lens: camera_info's; null = none. homography: undistorted camera px to policy frame px.
# corners: of the table, or of the workspace, in the camera's image, x, y [px]; patches: how they
# looked. fit: how well the points agreed (rms). board: at x, y [m], yaw [rad]; null = none.
"""


def save_calibration(path: Path, calibration: Calibration) -> None:
    """Write ``path`` (NAME.yaml) and NAME_patches.png atomically.

    Raises VimaError (CANNOT_WRITE).
    """
    png = cv2.imencode(".png", np.hstack(list(calibration.patches)))[1].tobytes()
    patches = path.with_name(f"{path.stem}_patches.png")
    text = HEADER + yaml.safe_dump(
        _content(calibration, patches.name, png), sort_keys=False, default_flow_style=None
    )
    # The patches first: a reader in between detects the mismatch by the checksum.
    write_atomic(patches, png)
    write_atomic(path, text.encode())


def load_calibration(path: Path | str) -> Calibration:
    """Load the calibration of NAME.yaml and the patches beside it.

    Raises VimaError: NO_CALIBRATION where a file is not there, BAD_CALIBRATION naming the key
    that is missing or wrong.
    """
    try:
        return _load(Path(path))
    except OSError as error:
        raise VimaError(
            "NO_CALIBRATION",
            f"{error.filename}: {error.strerror}; valid: a file made by `calibrate`",
        ) from error


def _load(path: Path) -> Calibration:
    try:
        content = yaml.safe_load(_read(path).decode())
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise _bad(path, str(error).split("\n")[0]) from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        got = content.get("format") if isinstance(content, dict) else type(content).__name__
        raise _bad(path, f"format is {got!r}; valid: {FORMAT!r}")
    try:
        return Calibration(
            view=content["view"],
            size=content["size"],
            homography=content["homography"],
            corners=content["corners"],
            patches=_patches(path, content["patches"]),
            fit=_fit(content["fit"]),
            method=content["method"],
            camera_model=_camera_model(content["lens"]),
            workspace=Workspace(**content["workspace"]),
            board=_board(content["board"]),
            created=str(content["created"]),
        )
    except KeyError as error:
        raise _bad(path, f"key {error} is missing; valid: as `calibrate` writes it") from error
    except VimaError as error:
        raise _bad(path, str(error)) from error
    except (TypeError, ValueError, OverflowError) as error:
        raise _bad(path, f"{error}; valid: as `calibrate` writes it") from error


def _bad(path: Path, reason: str) -> VimaError:
    return VimaError("BAD_CALIBRATION", f"{path.name}: {reason}")


def _content(calibration: Calibration, patches: str, png: bytes) -> dict[str, Any]:
    camera_model, board, workspace = (
        calibration.camera_model,
        calibration.board,
        calibration.workspace,
    )
    return {
        "format": FORMAT,
        "view": calibration.view,
        "created": calibration.created,
        "method": calibration.method,
        "size": list(calibration.size),
        "workspace": {"low": list(workspace.low), "high": list(workspace.high)},
        "lens": camera_model
        and {
            "model": camera_model.model,
            "k": camera_model.k.ravel().tolist(),
            "d": camera_model.d.tolist(),
        },
        "homography": calibration.homography.tolist(),
        "corners": calibration.corners.tolist(),
        "patches": {"file": patches, "sha256": sha256_of(png)},
        "fit": asdict(calibration.fit),
        "board": board
        and {
            "squares": list(board.board.squares),
            "square": board.board.square,
            "marker": board.board.marker,
            "dictionary": board.board.dictionary,
            "legacy": board.board.legacy,
            "x": board.x,
            "y": board.y,
            "yaw": board.yaw,
        },
    }


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        data = file.read(MAX_FILE + 1)
    if len(data) > MAX_FILE:
        raise _bad(path, f"larger than {MAX_FILE} bytes; valid: as `calibrate` writes it")
    return data


def _patches(path: Path, entry: Mapping[str, Any]) -> np.ndarray:
    name = str(entry["file"])
    if Path(name).name != name:
        raise VimaError("BAD_CALIBRATION", f"patches.file {name!r}; valid: a name, no folder")
    png = _read(path.with_name(name))
    if sha256_of(png) != entry["sha256"]:
        raise VimaError(
            "BAD_CALIBRATION", f"{name} is not the file that belongs to it; valid: the one "
            "written with it, or calibrate again"
        )  # fmt: skip
    image = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_GRAYSCALE)
    if image is None or image.shape[1] != 4 * image.shape[0]:
        raise VimaError("BAD_CALIBRATION", f"{name} is no image of four squares")
    return np.stack(np.hsplit(image, 4))


def _fit(entry: Mapping[str, Any]) -> CalibrationFit:
    values = dict(entry)
    rigid = values.pop("rigid_px")
    numbers = {name: float(value) for name, value in values.items() if name != "points"}
    return CalibrationFit(
        points=int(values["points"]), rigid_px=None if rigid is None else float(rigid), **numbers
    )


def _camera_model(entry: Mapping[str, Any] | None) -> CameraModel | None:
    return None if entry is None else CameraModel(entry["k"], entry["d"], entry["model"])


def _board(entry: Mapping[str, Any] | None) -> PlacedBoard | None:
    if entry is None:
        return None
    board = Board(
        float(entry["square"]),
        entry["squares"],
        float(entry["marker"]),
        entry["dictionary"],
        bool(entry.get("legacy", False)),  # absent: OpenCV's layout since 4.6
    )
    return PlacedBoard(board, float(entry["x"]), float(entry["y"]), float(entry["yaw"]))
