"""Readers of demonstrations and recordings: our shards, or recorded VIMA-Bench episodes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from vima_ros.errors import VimaError
from vima_ros.sim.recording import RecordedEpisode
from vima_ros.training.data.demonstration import Demonstration, demonstration_of
from vima_ros.training.data.serialization import unpack_demonstration, unpack_recording
from vima_ros.training.data.shards import read_shard
from vima_ros.training.data.vima_bench import read_bench_episode
from vima_ros.weight_files import file_kind


def demonstration_files(path: Path) -> list[Path]:
    """List all files with episodes in the folder ``path`` and below, or the file itself.

    Raises VimaError (NO_DEMONSTRATIONS) when there are none.
    """
    files = sorted(path.rglob("*.npz")) if path.is_dir() else [path]
    if not files or not files[0].is_file():
        what = f"no .npz in {path}" if path.is_dir() else f"{path} is {file_kind(path).words}"
        raise VimaError("NO_DEMONSTRATIONS", f"{what}; valid: what `demonstrate` wrote")
    return files


def read_demonstrations(path: Path) -> Iterator[Demonstration]:
    """Read the demonstrations in all ``demonstration_files`` of ``path``.

    Objects are cut out of frames by their masks. Raises VimaError: NO_DEMONSTRATIONS,
    BAD_DEMONSTRATIONS, NO_MASK (frames without masks).
    """
    for file in demonstration_files(path):
        if _is_bench(file):
            yield demonstration_of(read_bench_episode(file))
            continue
        header, episodes = read_shard(file)
        for facts, arrays in zip(header["episodes"], episodes, strict=True):
            if header["content"] == "crops":
                yield unpack_demonstration(facts, arrays)
            else:
                yield demonstration_of(unpack_recording(facts, arrays))


def read_recordings(path: Path) -> Iterator[RecordedEpisode]:
    """Read the recordings, with their images, in all ``demonstration_files`` of ``path``.

    Raises VimaError: NO_DEMONSTRATIONS, BAD_DEMONSTRATIONS, NO_IMAGES (crops only).
    """
    for file in demonstration_files(path):
        if _is_bench(file):
            yield read_bench_episode(file)
            continue
        header, episodes = read_shard(file)
        if header["content"] == "crops":
            raise VimaError("NO_IMAGES", f"{file} holds crops; valid: content frames or masks")
        for facts, arrays in zip(header["episodes"], episodes, strict=True):
            yield unpack_recording(facts, arrays)


def _is_bench(file: Path) -> bool:
    return file.with_suffix(".json").exists()
