"""Files that programs leave: each whole or not at all, in a folder tried before the work."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

import numpy as np

from vima_ros.errors import VimaError

_PROBE = bytes(4096)  # what a disk must have room for at the start


def prepare_folder(path: Path) -> Path:
    """Create the folder, unless it exists, and check that files can be written to it.

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
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """A file to write to that gets its name at the end, once it is on the disk.

    If anything is raised, nothing is left of it, and what had the name before stays.
    Raises VimaError (CANNOT_WRITE), such as for a full disk.
    """
    unfinished = path.with_name(f"{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with unfinished.open("wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            unfinished.replace(path)
            sync_folder(path.parent)
        except BaseException:
            with suppress(OSError):
                unfinished.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise cannot_write(path, error) from error


def sync_folder(folder: Path) -> None:
    """Bring the names in ``folder`` onto the disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def cannot_write(path: Path, error: Exception) -> VimaError:
    """The VimaError (CANNOT_WRITE) for what was raised while ``path`` was written."""
    hidden = error.__context__  # torch.save raises an error of its own over the system's
    if isinstance(hidden, OSError) and not isinstance(error, OSError):
        error = hidden
    reason = getattr(error, "strerror", None) or str(error).partition("\n")[0]
    return VimaError("CANNOT_WRITE", f"{path}: {reason}; valid: a writable folder with room")


def write_whole(path: Path, data: bytes) -> None:
    """Write ``whole_file`` in one go. Raises VimaError (CANNOT_WRITE)."""
    with whole_file(path) as file:
        file.write(data)


def write_image(path: Path, rgb: np.ndarray) -> None:
    """Write an image (h, w, 3) uint8 RGB; the name's ending says how.

    Raises VimaError (CANNOT_WRITE), also for an ending that OpenCV does not know.
    """
    import cv2  # here, because most of the package does without

    try:
        _, data = cv2.imencode(path.suffix, rgb[..., ::-1])
    except cv2.error as error:
        raise VimaError(
            "CANNOT_WRITE", f"{path}: no image has this ending; valid: a name ending in .png"
        ) from error
    write_whole(path, data.tobytes())
