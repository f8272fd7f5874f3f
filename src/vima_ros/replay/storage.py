"""Reader of rosbag2 files, with or without the metadata.yaml that describes them.

Each file describes its own content; metadata.yaml only lists the files that belong together. So a
recording without it, one whose storage identifier is empty (`ros2 bag reindex` of some versions)
and a single file of a split one are read like any other, compressed by rosbag2 or not.
"""

from __future__ import annotations

import contextlib
import heapq
import re
import shutil
import tempfile
from collections.abc import Collection, Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import yaml
from rosbags.rosbag2 import Reader

from vima_ros.errors import VimaError

try:
    from compression import zstd
except ImportError:  # Python before 3.14; rosbags brings it
    from backports import zstd

METADATA = "metadata.yaml"
KINDS = (".mcap", ".db3")
COMPRESSED = ".zstd"  # appended by rosbag2 to files that it compresses as a whole
ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"  # a CDR message begins with a zero byte
MAX_MESSAGE = 2**28  # [bytes] unpacked
VALID = "valid: a rosbag2 folder, MCAP or SQLite, or one of its files"
MENDING = {
    ".mcap": "`mcap recover {file} -o mended.mcap` saves what is whole; then replay mended.mcap",
    ".db3": "`sqlite3 {file} .recover | sqlite3 mended.db3` saves what is whole; then replay "
    "mended.db3",
}


def bad_bag(path: Path, what: str) -> VimaError:
    """Return the error for an unusable recording; ``what`` continues "bag PATH"."""
    return VimaError("BAD_BAG", f"bag {path} {what}")


class Storage:
    """Messages of an open recording; a context manager.

    Raises VimaError (BAD_BAG) saying what mends it for what is no recording, or is damaged.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self._stack = contextlib.ExitStack()
        self._readers: list[tuple[Path, Reader]] = []
        try:
            for file in find_files(self.path):
                self._open(file)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the files; decompressed copies are deleted."""
        self._stack.close()

    @property
    def connections(self) -> list[Any]:
        """List connections of all files: topic, msgtype, msgcount and msgdef each."""
        return [connection for _, reader in self._readers for connection in reader.connections]

    def messages(self, topics: Collection[str]) -> Iterator[tuple[Any, int, bytes]]:
        """Yield connection, recording time [ns] and serialized message, in order of that time.

        Raises VimaError (BAD_BAG) where the file is damaged.
        """
        sources = [self._read(file, reader, topics) for file, reader in self._readers]
        return heapq.merge(*sources, key=lambda message: message[1])

    def _open(self, file: Path) -> None:
        if file.stat().st_size == 0:
            raise bad_bag(self.path, f"cannot be read: {file.name} is empty, nothing was recorded")
        unwritten = file.with_name(f"{file.name}-wal")
        if unwritten.is_file() and unwritten.stat().st_size:
            raise bad_bag(
                self.path,
                f"was not closed: {unwritten.name} holds messages that {file.name} lacks; "
                f"`sqlite3 {file} 'PRAGMA wal_checkpoint(TRUNCATE)'` mends it",
            )
        try:
            reader = Reader(self._unpacked(file))
            self._stack.enter_context(reader)
        except Exception as error:  # rosbags raises its own, and whatever damaged data lead to
            raise self._damaged(file, "cannot be read", error) from error
        self._readers.append((file, reader))

    def _unpacked(self, file: Path) -> Path:
        if file.suffix != COMPRESSED:
            return file
        folder = self._stack.enter_context(tempfile.TemporaryDirectory())
        unpacked = Path(folder) / file.stem
        with zstd.open(file, "rb") as source, unpacked.open("wb") as target:
            shutil.copyfileobj(source, target)
        return unpacked

    def _read(
        self, file: Path, reader: Reader, topics: Collection[str]
    ) -> Iterator[tuple[Any, int, bytes]]:
        chosen = [c for c in reader.connections if c.topic in topics]
        try:  # without connections, a reader would give all
            for connection, stamp, data in reader.messages(chosen) if chosen else ():
                yield connection, stamp, _plain(data)
        except Exception as error:
            raise self._damaged(file, "is damaged", error) from error

    def _damaged(self, file: Path, what: str, error: Exception) -> VimaError:
        why = str(error) or "no reason given"
        if file.suffix == COMPRESSED:
            mending = f"`zstd -d {file}` reports more, and unpacks the intact part"
        else:
            mending = MENDING[file.suffix].format(file=file)
        return bad_bag(
            self.path,
            f"{what}: {file.name} is cut off, damaged or of another kind "
            f"({type(error).__name__}: {why}). {mending}",
        )


def _plain(data: bytes) -> bytes:
    """Decompress a message that rosbag2 compressed by itself."""
    data = bytes(data)
    if not data.startswith(ZSTD_MAGIC):
        return data
    unpacker = zstd.ZstdDecompressor()
    plain = unpacker.decompress(data, max_length=MAX_MESSAGE)
    if not unpacker.eof:
        raise ValueError(f"a message is cut off, or has more than {MAX_MESSAGE} bytes unpacked")
    return bytes(plain)


def _kind(file: Path) -> str:
    """Return the storage kind, ``.mcap`` or ``.db3``; empty for any other file."""
    suffix = Path(file.stem).suffix if file.suffix == COMPRESSED else file.suffix
    return suffix if suffix in KINDS else ""


def find_files(path: Path) -> list[Path]:
    """Find the data files of the recording at ``path``, a folder or one of its files.

    Raises VimaError (BAD_BAG) where there is none, or more than one recording.
    """
    if path.is_file() and path.name == METADATA:
        path = path.parent
    if path.is_dir():
        return _listed(path) or _unlisted(path)
    if not path.exists():
        raise bad_bag(path, f"cannot be read: there is no such file or folder; {VALID}")
    if path.suffix == ".bag":
        raise bad_bag(
            path,
            "cannot be read: it is of ROS 1; `rosbags-convert --src FILE.bag --dst FOLDER` (of "
            "the Python package rosbags) makes a rosbag2 of it",
        )
    if not _kind(path):
        raise bad_bag(path, f"cannot be read: it is neither an .mcap nor a .db3 file; {VALID}")
    return [path]


def _listed(folder: Path) -> list[Path]:
    """List the files in metadata.yaml; none where it is missing, damaged or lists other files."""
    try:
        content = yaml.safe_load((folder / METADATA).read_text())
        names = content["rosbag2_bagfile_information"]["relative_file_paths"]
        files = [folder / PurePosixPath(name).name for name in names]
    except (OSError, ValueError, TypeError, KeyError, RecursionError, yaml.YAMLError):
        return []
    lacking = sorted(file.name for file in files if not _is_data(file))
    others = [file for file in folder.iterdir() if _is_data(file)]
    if len(lacking) == len(files) and others:  # they were renamed
        return []
    if lacking:
        raise bad_bag(
            folder,
            f"cannot be read: its {METADATA} lists {', '.join(lacking)}, which it does not hold. "
            f"Add them; or `ros2 bag reindex {folder}` lists those that are there",
        )
    return files


def _is_data(file: Path) -> bool:
    return file.is_file() and bool(_kind(file))


def _unlisted(folder: Path) -> list[Path]:
    files = sorted(file for file in folder.iterdir() if _is_data(file))
    # A split recording: NAME_0.mcap, NAME_1.mcap …
    recordings = {(re.sub(r"_\d+$", "", f.name.partition(".")[0]), _kind(f)) for f in files}
    if len(recordings) == 1:
        return files
    names = sorted(f.name for f in files) or sorted(
        f.name
        for f in folder.iterdir()
        if f.is_dir() and any(_is_data(d) or d.name == METADATA for d in f.iterdir())
    )
    if names:
        raise bad_bag(
            folder,
            f"cannot be read: it holds several recordings, {', '.join(names[:20])}; give one of "
            f"them, such as {folder / names[0]}",
        )
    broken = (folder / METADATA).exists()
    why = f"; its {METADATA} is not rosbag2's" if broken else ""
    raise bad_bag(folder, f"cannot be read: it holds no .mcap and no .db3 file{why}; {VALID}")
