"""Shards: files of many episodes, written atomically.

A shard is a compressed .npz. The arrays of its episodes lie one after the other along their first
axis under their own name, with their lengths under ``length/NAME`` (episodes,); ``header`` is JSON
as bytes.
"""

from __future__ import annotations

import io
import json
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vima_ros.errors import VimaError
from vima_ros.files import open_atomic
from vima_ros.weight_files import why_not_loaded

Arrays = Mapping[str, np.ndarray]
_HEADER, _LENGTH = "header", "length/"
DAMAGED = (zipfile.BadZipFile, zlib.error)
_COMPRESSION = 1  # 6 writes half as fast for 7% less


def write_shard(path: Path, header: Mapping[str, Any], episodes: Sequence[Arrays]) -> None:
    """Write a shard atomically. Same content, same bytes.

    All episodes have the same arrays, which differ in the length of the first axis only.
    Raises VimaError (CANNOT_WRITE).
    """
    arrays = {_HEADER: np.frombuffer(json.dumps(header).encode(), np.uint8)}
    for name in episodes[0] if episodes else ():
        parts = [episode[name] for episode in episodes]
        arrays[name] = np.concatenate(parts)
        arrays[_LENGTH + name] = np.array([len(part) for part in parts], np.int64)
    with open_atomic(path) as file, zipfile.ZipFile(file, "w") as archive:
        for name, array in arrays.items():
            member = io.BytesIO()
            np.lib.format.write_array(member, array, allow_pickle=False)
            info = zipfile.ZipInfo(f"{name}.npy")  # dated 1980, whenever it is written
            archive.writestr(info, member.getvalue(), zipfile.ZIP_DEFLATED, _COMPRESSION)


def read_shard(path: Path) -> tuple[dict[str, Any], list[dict[str, np.ndarray]]]:
    """Read header and episodes. Raises VimaError (BAD_DEMONSTRATIONS) for any other file."""
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = dict(file)
        header = json.loads(arrays.pop(_HEADER).tobytes())
        lengths = {
            name.removeprefix(_LENGTH): arrays.pop(name)
            for name in list(arrays)
            if name.startswith(_LENGTH)
        }
        cut = {name: np.split(arrays[name], np.cumsum(n)[:-1]) for name, n in lengths.items()}
        count = len(next(iter(cut.values()), ()))
        return header, [{name: parts[i] for name, parts in cut.items()} for i in range(count)]
    except (OSError, EOFError, ValueError, KeyError, IndexError, *DAMAGED) as error:
        raise VimaError(
            "BAD_DEMONSTRATIONS",
            f"{path}: {why_not_loaded(path, error)}; valid: a file written by `demonstrate`",
        ) from error
