"""The asset library: images kept on disk, for prompts to name.

A folder for each asset, NAME/, with readable files:

    asset.yaml          kind, time and origin of the capture
    front.png           the view in the policy frame (256 x 128), RGB
    front_mask.png      instance ids, 16 bit, 0 = background
    front_object.png    an object alone, for people; it is not read
    top.png …           likewise; an absent view has no files

All files are validated as untrusted input.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import cv2
import numpy as np
import yaml

from vima_ros.errors import VimaError
from vima_ros.files import sync_folder
from vima_ros.prompt.assembly import NAME
from vima_ros.specs import POLICY_FRAME_HEIGHT, POLICY_FRAME_WIDTH, VIEWS, AssetKind

IMAGE_SHAPE = (POLICY_FRAME_HEIGHT, POLICY_FRAME_WIDTH)
MAX_FILE_SIZE = 1_000_000  # [bytes] a view of noise has a tenth of this
MAX_METADATA_SIZE = 10_000  # [bytes] of asset.yaml
MAX_STAMP = 2**31 * 10**9  # [ns] what a message can hold ends here
NEW, OLD, DELETED = ".new-", ".old-", ".gone-"  # being written, replaced, deleted
PNG_SIZE = struct.Struct(">8x4x4s2I")  # signature, length, IHDR, width and height


@dataclass(frozen=True, eq=False)
class StoredAsset:
    """Asset of the library.

    ``views``: {view: (RGB uint8 (128, 256, 3), ids uint16 (128, 256))}, one or two. ``stamp``: of
    the camera images [ns]. ``origin``: notes for people, values that YAML can hold.
    """

    name: str
    kind: AssetKind
    views: Mapping[str, tuple[np.ndarray, np.ndarray]]
    stamp: int = 0
    origin: Mapping[str, Any] = field(default_factory=dict)

    def counts(self) -> dict[str, int]:
        """Count the objects of each view; 0 where none is visible, or the view is absent."""
        ids = {view: np.unique(mask) for view, (_, mask) in self.views.items()}
        return {v: int(np.count_nonzero(ids[v])) if v in ids else 0 for v in VIEWS}


def check_name(name: str) -> None:
    """Raise VimaError (BAD_NAME) for a name that no prompt can contain."""
    if not NAME.fullmatch(name):
        raise VimaError("BAD_NAME", f"name {name!r}; valid: 1 to 64 letters, digits or _")


class AssetLibrary:
    """Assets in ``folder``, which is created at the first write.

    Writes are atomic, whatever ends the process. The library holds at max_size ``max_assets``, of
    ``max_bytes`` in total.
    """

    def __init__(self, folder: Path, max_assets: int = 200, max_bytes: int = 100_000_000) -> None:
        """Raise VimaError (LIBRARY_ERROR) for a folder that cannot be read."""
        self.folder = Path(folder)
        self._max_assets, self._max_bytes = max_assets, max_bytes
        with _convert_os_errors(self.folder):
            if self.folder.exists():
                self._recover()

    def names(self) -> list[str]:
        """Return the names of all assets, sorted."""
        with _convert_os_errors(self.folder):
            if not self.folder.exists():
                return []
            return sorted(
                p.name for p in self.folder.iterdir() if NAME.fullmatch(p.name) and p.is_dir()
            )

    def size(self) -> int:
        """Return the total size of all assets [bytes]."""
        with _convert_os_errors(self.folder):
            return sum(_size(self.folder / name) for name in self.names())

    def load(self, name: str) -> StoredAsset:
        """Load an asset. Raises VimaError: UNKNOWN_PLACEHOLDER, LIBRARY_ERROR naming the file."""
        if name not in self.names():
            raise VimaError(
                "UNKNOWN_PLACEHOLDER", f"no asset {name!r}; the library holds {self.names()}"
            )
        folder = self.folder / name
        with _convert_os_errors(folder):
            metadata = _read_metadata(folder / "asset.yaml")
            views = {
                view: (
                    _read_image(folder / f"{view}.png", 3),
                    _read_image(folder / f"{view}_mask.png", 1),
                )
                for view in VIEWS
                if (folder / f"{view}.png").exists()
            }
        if not any(np.any(mask) for _, mask in views.values()):
            raise _damaged(folder, "no view shows an object")
        return StoredAsset(
            name, AssetKind(metadata["kind"]), views, metadata["stamp"], metadata["origin"]
        )

    def save(self, asset: StoredAsset) -> None:
        """Save ``asset``, replacing any of its name.

        Raises VimaError: BAD_NAME, LIBRARY_FULL, or LIBRARY_ERROR as where the disk is full;
        the old asset is kept then.
        """
        check_name(asset.name)
        others = [name for name in self.names() if name != asset.name]
        if len(others) >= self._max_assets:
            raise self._full(f"{len(others)} assets; valid: up to {self._max_assets}")
        new = self.folder / f"{NEW}{asset.name}-{uuid4().hex}"
        with _convert_os_errors(self.folder):
            try:
                new.mkdir(parents=True)
                _write(new, asset)
                size = _size(new) + sum(_size(self.folder / name) for name in others)
                if size > self._max_bytes:
                    raise self._full(f"{size} bytes; valid: up to {self._max_bytes}")
                self._put_in_place(new, asset.name)
            finally:
                shutil.rmtree(new, ignore_errors=True)

    def delete(self, name: str) -> None:
        """Delete an asset. Raises VimaError: UNKNOWN_PLACEHOLDER, LIBRARY_ERROR."""
        if name not in self.names():
            raise VimaError(
                "UNKNOWN_PLACEHOLDER", f"no asset {name!r}; the library holds {self.names()}"
            )
        gone = self.folder / f"{DELETED}{name}-{uuid4().hex}"
        with _convert_os_errors(self.folder / name):
            os.rename(self.folder / name, gone)
            sync_folder(self.folder)
            shutil.rmtree(gone)

    def _full(self, what: str) -> VimaError:
        oldest = min(self.names(), key=lambda n: (self.folder / n).stat().st_mtime, default="")
        return VimaError(
            "LIBRARY_FULL", f"the library would hold {what}; delete some first, such as {oldest!r}"
        )

    def _put_in_place(self, new: Path, name: str) -> None:
        """Move a new asset in place; between the two renames ``_recover`` finds the old one."""
        old = self._set_aside(name) if (self.folder / name).is_dir() else None
        try:
            os.rename(new, self.folder / name)
        except OSError:
            if old is not None:
                os.rename(old, self.folder / name)
            raise
        sync_folder(self.folder)
        if old is not None:
            shutil.rmtree(old, ignore_errors=True)

    def _set_aside(self, name: str) -> Path:
        old = self.folder / f"{OLD}{name}"
        shutil.rmtree(old, ignore_errors=True)
        os.rename(self.folder / name, old)
        return old

    def _recover(self) -> None:
        """Complete interrupted writes and deletions."""
        for path in list(self.folder.iterdir()):
            name = path.name.removeprefix(OLD)
            if path.name.startswith(OLD) and not (self.folder / name).exists():
                os.rename(path, self.folder / name)  # the new one was not in place yet
            elif path.name.startswith((NEW, OLD, DELETED)):
                shutil.rmtree(path, ignore_errors=True)


@contextlib.contextmanager
def _convert_os_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise VimaError("LIBRARY_ERROR", f"{error.filename or path}: {error.strerror}") from error


def _damaged(path: Path, why: str) -> VimaError:
    return VimaError("LIBRARY_ERROR", f"{path} is damaged: {why}; capture it again or delete it")


def _write(folder: Path, asset: StoredAsset) -> None:
    metadata = {
        "name": asset.name,
        "kind": asset.kind.name.lower(),
        "stamp_ns": int(asset.stamp),
        "objects": asset.counts(),
        **{"origin": dict(asset.origin)},
    }
    text = "# An asset of vima_ros: prompts name it {" + asset.name + "}.\n"
    text += yaml.safe_dump(metadata, sort_keys=False)
    _write_file(folder / "asset.yaml", text.encode())
    for view, (rgb, mask) in asset.views.items():
        _write_file(folder / f"{view}.png", _png(cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR)))
        _write_file(folder / f"{view}_mask.png", _png(mask.astype(np.uint16)))
        if asset.kind == AssetKind.OBJECT and mask.any():
            x, y, columns, rows = cv2.boundingRect((mask > 0).astype(np.uint8))
            alone = np.where(mask[..., None] > 0, rgb, 255).astype(np.uint8)
            alone = alone[y : y + rows, x : x + columns]
            _write_file(
                folder / f"{view}_object.png", _png(cv2.cvtColor(alone, cv2.COLOR_RGB2BGR))
            )
    sync_folder(folder)


def _png(image: np.ndarray) -> bytes:
    return cv2.imencode(".png", image)[1].tobytes()


def _write_file(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir())


def _read_bytes(path: Path, max_size: int = MAX_FILE_SIZE) -> bytes:
    if path.exists() and not path.is_file():  # a pipe would keep the reader waiting
        raise _damaged(path, "not a file")
    with path.open("rb") as file:
        data = file.read(max_size + 1)
    if len(data) > max_size:
        raise _damaged(path, f"over {max_size} bytes")
    return data


def _read_image(path: Path, channels: int) -> np.ndarray:
    """Read an RGB image uint8 (128, 256, 3), or instance ids uint16 (128, 256)."""
    data = _read_bytes(path)
    size = PNG_SIZE.unpack_from(data)[1:] if len(data) >= PNG_SIZE.size else None
    if not data.startswith(b"\x89PNG") or size != (IMAGE_SHAPE[1], IMAGE_SHAPE[0]):
        raise _damaged(path, f"not a PNG of {IMAGE_SHAPE[1]}x{IMAGE_SHAPE[0]} px")
    flags = cv2.IMREAD_COLOR if channels == 3 else cv2.IMREAD_UNCHANGED
    image = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    wanted = (*IMAGE_SHAPE, 3) if channels == 3 else IMAGE_SHAPE
    if image is None or image.shape != wanted:
        raise _damaged(path, "not the image that its header describes")
    if channels == 1:
        return image.astype(np.uint16)
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def _read_metadata(path: Path) -> dict[str, Any]:
    """Read asset.yaml. Its content is not printed: a few lines of YAML can expand to gigabytes."""
    try:
        read = yaml.safe_load(_read_bytes(path, MAX_METADATA_SIZE))
    except (yaml.YAMLError, ValueError, TypeError, RecursionError) as error:
        raise _damaged(path, f"no YAML: {type(error).__name__}") from error
    if not isinstance(read, dict):
        raise _damaged(path, "not a mapping")
    kinds = {kind.name.lower(): kind for kind in AssetKind}
    kind, stamp, origin = read.get("kind"), read.get("stamp_ns"), read.get("origin", {})
    if not isinstance(kind, str) or kind not in kinds:
        raise _damaged(path, f"kind; valid: {', '.join(kinds)}")
    if type(stamp) is not int or not 0 <= stamp < MAX_STAMP:
        raise _damaged(path, f"stamp_ns; valid: 0 to below {MAX_STAMP}")
    if not isinstance(origin, dict):
        raise _damaged(path, "origin; valid: a mapping")
    return {"kind": kinds[kind], "stamp": stamp, "origin": origin}
