"""Atomic writes, checks of output folders, and hashes of files."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from vima_ros.errors import VimaError

_PROBE = bytes(4096)  # a disk needs room for this much at the start


def prepare_folder(path: Path) -> Path:
    """Create a folder unless it exists, and check that files can be written to it.

    Raises VimaError (BAD_FOLDER).
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path) as file:
            file.write(_PROBE)
    except OSError as error:
        raise VimaError(
            "BAD_FOLDER",
            f"nothing can be written to {path.absolute()}: {error.strerror}; valid: a folder with "
            "room that this user can write to, or the path of a new one",
        ) from error
    return path


def check_overwrite(paths: Sequence[Path], force: bool) -> None:
    """Check that none of the files exists, unless ``force``, and that their folder is writable.

    Raises VimaError: FILE_EXISTS, BAD_FOLDER.
    """
    if there := [path.name for path in paths if path.exists() and not force]:
        raise VimaError("FILE_EXISTS", f"{', '.join(there)} would be overwritten; valid: --force")
    for folder in {path.absolute().parent for path in paths}:
        prepare_folder(folder)


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a path beside ``path`` to write to; the file gets its name at the end, once on disk.

    If anything is raised, nothing is left of it, and what had the name before stays.
    Raises VimaError (CANNOT_WRITE), such as for a full disk; PyTorch has RuntimeErrors for these.
    """
    unfinished = path.with_name(f"{path.name}.part")
    try:
        try:
            yield unfinished
            with unfinished.open("rb+") as file:
                os.fsync(file.fileno())
            unfinished.replace(path)
            sync_folder(path.parent)
        except BaseException:
            with suppress(OSError):
                unfinished.unlink(missing_ok=True)
            raise
    except (OSError, RuntimeError) as error:
        raise cannot_write(path, error) from error


@contextmanager
def open_atomic(path: Path) -> Iterator[BinaryIO]:
    """Yield an open file that gets its name at the end, as by ``atomic_path``; make its folder.

    Raises VimaError (CANNOT_WRITE).
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(path, error) from error
    with atomic_path(path) as unfinished, unfinished.open("wb") as file:
        yield file


def write_atomic(path: Path, data: bytes) -> None:
    """Write a file whole or not at all. Raises VimaError (CANNOT_WRITE)."""
    with open_atomic(path) as file:
        file.write(data)


def write_json(path: Path, content: Any) -> None:
    """Write an indented JSON file whole or not at all. Raises VimaError (CANNOT_WRITE)."""
    write_atomic(path, (json.dumps(content, indent=1) + "\n").encode())


def sync_folder(folder: Path) -> None:
    """Flush the names of files in ``folder`` to disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def cannot_write(path: Path, error: Exception) -> VimaError:
    """Return the VimaError (CANNOT_WRITE) for an error raised while ``path`` was written."""
    hidden = error.__context__  # torch.save raises an error of its own over the system's
    if isinstance(hidden, OSError) and not isinstance(error, OSError):
        error = hidden
    reason = getattr(error, "strerror", None) or first_line(error)
    return VimaError("CANNOT_WRITE", f"{path}: {reason}; valid: a writable folder with room")


def sha256_of(*parts: Path | bytes) -> str:
    """Return the SHA-256 of bytes and files' bytes, one after the other, in hexadecimal."""
    digest = hashlib.sha256()
    for part in parts:
        if isinstance(part, bytes):
            digest.update(part)
            continue
        with part.open("rb") as file:
            while chunk := file.read(1 << 20):
                digest.update(chunk)
    return digest.hexdigest()


def first_line(error: Exception) -> str:
    """Return the first line of an error's message, short enough for a status message."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0][:300]


def write_image(path: Path, rgb: np.ndarray) -> None:
    """Write an RGB image (h, w, 3) uint8 in the format of the path's suffix.

    Raises VimaError (CANNOT_WRITE), also for a suffix that OpenCV does not know.
    """
    import cv2  # here, because most of the package does without

    try:
        _, data = cv2.imencode(path.suffix, rgb[..., ::-1])
    except cv2.error as error:
        raise VimaError(
            "CANNOT_WRITE", f"{path}: no image has this ending; valid: a name ending in .png"
        ) from error
    write_atomic(path, data.tobytes())
