"""camera_info YAML files, read and written as ROS's camera_calibration_parsers does."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import yaml

from vima_ros.errors import VimaError
from vima_ros.perception.calibration.camera_model import CameraModel

MAX_FILE = 1 << 20  # [bytes]
MAX_NUMBERS = 100  # of a matrix


def _bad(message: str) -> VimaError:
    return VimaError("BAD_CAMERA_INFO", message)


def read_camera_info(path: Path) -> SimpleNamespace:
    """Read a camera_info YAML file into an object with CameraInfo's fields.

    UTF-8, UTF-16 or Latin-1. Raises VimaError (BAD_CAMERA_INFO) naming the key, or what else the
    file is.
    """
    try:
        content = yaml.safe_load(_read_text(path))
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise _bad(f"{path}: line {line}: {error.problem}; valid: camera_info YAML") from error
    except (OSError, yaml.YAMLError, ValueError, RecursionError) as error:
        reason = str(error).split("\n")[0]
        raise _bad(f"{path}: {reason}; valid: camera_info YAML") from error
    try:
        return _camera_info(content)
    except VimaError as error:
        raise _bad(f"{path}: {error}") from error


def _read_text(path: Path) -> str:
    """Read a YAML text. Raises OSError, or ValueError with the reason why it is none."""
    with path.open("rb") as file:
        data = file.read(MAX_FILE + 1)
    if len(data) > MAX_FILE:
        raise ValueError(f"more than {MAX_FILE} bytes")
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        text = data.decode("utf-16")
    else:
        try:
            text = data.decode("utf-8-sig")
        except UnicodeDecodeError:
            text = data.decode("latin-1")  # a comment; keys and numbers are ASCII
    if "%YAML:1.0" in text or "!!opencv-matrix" in text:
        raise ValueError("OpenCV's own storage format, without ROS's keys")
    return re.sub(r"(?m)^[ \t]+", lambda found: found[0].expandtabs(2), text)


def _camera_info(content: Any) -> SimpleNamespace:
    """Convert YAML content to CameraInfo's fields. Raises VimaError naming the key."""
    if not isinstance(content, Mapping):
        kind = "empty" if content is None else f"a {type(content).__name__}"
        raise _bad(f"it is {kind}; valid: the keys of a camera_info YAML file")
    if any(isinstance(entry, Mapping) and "intrinsics" in entry for entry in content.values()):
        raise _bad("it is a camchain of Kalibr; valid: the keys of a camera_info YAML file")

    def numbers(key: str, default: Any = None) -> list[float]:
        entry = content.get(key, default)
        data = entry.get("data") if isinstance(entry, Mapping) else entry
        data = data if isinstance(data, list) else [data]
        try:
            return [float(value) for value in data[:MAX_NUMBERS]]
        except (TypeError, ValueError):
            # What is there is not printed: a few lines of YAML can stand for gigabytes of text.
            got = "is something else" if key in content else "is missing"
            raise _bad(f"{key} {got}; valid: numbers, matrices as a list named data") from None

    def pixels(key: str) -> int:
        values = numbers(key)
        if len(values) != 1 or not 0 < values[0] < 2**16 or values[0] % 1:
            raise _bad(f"{key} is {values}; valid: a number of pixels")
        return int(values[0])

    # Some calibration tools have no distortion_model, and write a fisheye lens as camera_model.
    model = content.get("distortion_model", content.get("camera_model"))
    if not isinstance(model, str | None):
        raise _bad("distortion_model is something else; valid: a name")
    return SimpleNamespace(
        width=pixels("image_width"),
        height=pixels("image_height"),
        k=numbers("camera_matrix"),
        d=numbers("distortion_coefficients", None if model else []),
        p=numbers("projection_matrix", []),
        distortion_model="" if model in (None, "pinhole") else model,
        binning_x=0,
        binning_y=0,
        roi=SimpleNamespace(x_offset=0, y_offset=0, width=0, height=0),
    )


def camera_info_yaml(camera_model: CameraModel, size: tuple[int, int], name: str) -> str:
    """Return the YAML text that ``read_camera_info`` and ROS's camera drivers read."""
    projection = np.column_stack([camera_model.k, np.zeros(3)])

    def matrix(values: np.ndarray) -> dict[str, Any]:
        rows, columns = np.atleast_2d(values).shape
        return {"rows": rows, "cols": columns, "data": [float(value) for value in values.flat]}

    content = {
        "image_width": int(size[0]),
        "image_height": int(size[1]),
        "camera_name": name,
        "camera_matrix": matrix(camera_model.k),
        "distortion_model": camera_model.model,
        "distortion_coefficients": matrix(camera_model.d),
        "rectification_matrix": matrix(np.eye(3)),
        "projection_matrix": matrix(projection),
    }
    return yaml.safe_dump(content, sort_keys=False, default_flow_style=None)
