"""The asset library: pictures kept on disk, for prompts to name.

A folder for each asset, NAME/, that a person can look into:

    asset.yaml          kind, when and how it was captured
    front.png           the view in the policy frame (256 x 128), RGB
    front_mask.png      instance ids, 16 bit, 0 = background
    front_object.png    an object alone, for people; it is not read
    top.png …           the same; a view that the asset does not have is absent

What is read is checked as if a stranger had written it.
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

SHAPE = (POLICY_FRAME_HEIGHT, POLICY_FRAME_WIDTH)
LARGEST_FILE = 1_000_000  # [bytes] a view of noise has a tenth of this
LARGEST_FACTS = 10_000  # [bytes] of asset.yaml
LATEST_STAMP = 2**31 * 10**9  # [ns] what a message can hold ends here
NEW, OLD, GONE = ".new-", ".old-", ".gone-"  # being written, replaced, deleted
PNG_SIZE = struct.Struct(">8x4x4s2I")  # signature, length, IHDR, width and height


@dataclass(frozen=True, eq=False)
class StoredAsset:
    """``views``: {view: (RGB uint8 (128, 256, 3), ids uint16 (128, 256))}, one or two.

    ``stamp``: when the cameras saw it [ns]. ``origin``: for people, values that YAML can hold.
    """

    name: str
    kind: AssetKind
    views: Mapping[str, tuple[np.ndarray, np.ndarray]]
    stamp: int = 0
    origin: Mapping[str, Any] = field(default_factory=dict)

    def counts(self) -> dict[str, int]:
        """Objects per view; 0 where the view is absent."""
        ids = {view: np.unique(mask) for view, (_, mask) in self.views.items()}
        return {v: int(np.count_nonzero(ids[v])) if v in ids else 0 for v in VIEWS}


def check_name(name: str) -> None:
    """Raises VimaError (BAD_NAME) for what no prompt could name."""
    if not NAME.fullmatch(name):
        raise VimaError("BAD_NAME", f"name {name!r}; valid: 1 to 64 letters, digits or _")


class AssetLibrary:
    """Assets in ``folder``, which is made when it is first written to.

    An asset is there whole or not at all, whatever ends the process. At most ``max_assets`` of
    together ``max_bytes`` are kept.
    """

    def __init__(self, folder: Path, max_assets: int = 200, max_bytes: int = 100_000_000) -> None:
        """Raises VimaError (LIBRARY_ERROR) for a folder that cannot be read."""
        self.folder = Path(folder)
        self._max_assets, self._max_bytes = max_assets, max_bytes
        with _explained(self.folder):
            if self.folder.exists():
                self._tidy()

    def names(self) -> list[str]:
        """What there is, sorted."""
        with _explained(self.folder):
            if not self.folder.exists():
                return []
            return sorted(
                p.name for p in self.folder.iterdir() if NAME.fullmatch(p.name) and p.is_dir()
            )

    def size(self) -> int:
        """Of all assets [bytes]."""
        with _explained(self.folder):
            return sum(_size(self.folder / name) for name in self.names())

    def load(self, name: str) -> StoredAsset:
        """Raises VimaError: UNKNOWN_PLACEHOLDER, or LIBRARY_ERROR naming the damaged file."""
        if name not in self.names():
            raise VimaError(
                "UNKNOWN_PLACEHOLDER", f"no asset {name!r}; the library holds {self.names()}"
            )
        folder = self.folder / name
        with _explained(folder):
            facts = _read_facts(folder / "asset.yaml")
            views = {
                view: (_read(folder / f"{view}.png", 3), _read(folder / f"{view}_mask.png", 1))
                for view in VIEWS
                if (folder / f"{view}.png").exists()
            }
        if not any(np.any(mask) for _, mask in views.values()):
            raise _damaged(folder, "no view shows an object")
        return StoredAsset(name, AssetKind(facts["kind"]), views, facts["stamp"], facts["origin"])

    def save(self, asset: StoredAsset) -> None:
        """Keep ``asset``, in place of any of its name.

        Raises VimaError: BAD_NAME, LIBRARY_FULL, or LIBRARY_ERROR where the disk is full, say;
        what was there before is there still.
        """
        check_name(asset.name)
        others = [name for name in self.names() if name != asset.name]
        if len(others) >= self._max_assets:
            raise self._full(f"{len(others)} assets; valid: up to {self._max_assets}")
        new = self.folder / f"{NEW}{asset.name}-{uuid4().hex}"
        with _explained(self.folder):
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
        """Raises VimaError: UNKNOWN_PLACEHOLDER, LIBRARY_ERROR."""
        if name not in self.names():
            raise VimaError(
                "UNKNOWN_PLACEHOLDER", f"no asset {name!r}; the library holds {self.names()}"
            )
        gone = self.folder / f"{GONE}{name}-{uuid4().hex}"
        with _explained(self.folder / name):
            os.rename(self.folder / name, gone)
            sync_folder(self.folder)
            shutil.rmtree(gone)

    def _full(self, what: str) -> VimaError:
        oldest = min(self.names(), key=lambda n: (self.folder / n).stat().st_mtime, default="")
        return VimaError(
            "LIBRARY_FULL", f"the library would hold {what}; delete some first, such as {oldest!r}"
        )

    def _put_in_place(self, new: Path, name: str) -> None:
        """Between the two renames the old one has another name, by which ``_tidy`` finds it."""
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

    def _tidy(self) -> None:
        """Finish what was interrupted."""
        for path in list(self.folder.iterdir()):
            name = path.name.removeprefix(OLD)
            if path.name.startswith(OLD) and not (self.folder / name).exists():
                os.rename(path, self.folder / name)  # its successor was not in place yet
            elif path.name.startswith((NEW, OLD, GONE)):
                shutil.rmtree(path, ignore_errors=True)


@contextlib.contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise VimaError("LIBRARY_ERROR", f"{error.filename or path}: {error.strerror}") from error


def _damaged(path: Path, why: str) -> VimaError:
    return VimaError("LIBRARY_ERROR", f"{path} is damaged: {why}; capture it again or delete it")


def _write(folder: Path, asset: StoredAsset) -> None:
    facts = {
        "name": asset.name,
        "kind": asset.kind.name.lower(),
        "stamp_ns": int(asset.stamp),
        "objects": asset.counts(),
        **{"origin": dict(asset.origin)},
    }
    text = "# An asset of vima_ros: prompts name it {" + asset.name + "}.\n"
    text += yaml.safe_dump(facts, sort_keys=False)
    _write_file(folder / "asset.yaml", text.encode())
    for view, (rgb, mask) in asset.views.items():
        _write_file(folder / f"{view}.png", _png(cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR)))
        _write_file(folder / f"{view}_mask.png", _png(mask.astype(np.uint16)))
        if asset.kind == AssetKind.OBJECT:
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


def _bytes(path: Path, most: int = LARGEST_FILE) -> bytes:
    if path.exists() and not path.is_file():  # a pipe would keep the reader waiting
        raise _damaged(path, "not a file")
    with path.open("rb") as file:
        data = file.read(most + 1)
    if len(data) > most:
        raise _damaged(path, f"over {most} bytes")
    return data


def _read(path: Path, channels: int) -> np.ndarray:
    """RGB uint8 (128, 256, 3), or ids uint16 (128, 256)."""
    data = _bytes(path)
    size = PNG_SIZE.unpack_from(data)[1:] if len(data) >= PNG_SIZE.size else None
    if not data.startswith(b"\x89PNG") or size != (SHAPE[1], SHAPE[0]):
        raise _damaged(path, f"not a PNG of {SHAPE[1]}x{SHAPE[0]} px")
    flags = cv2.IMREAD_COLOR if channels == 3 else cv2.IMREAD_UNCHANGED
    image = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    wanted = (*SHAPE, 3) if channels == 3 else SHAPE
    if image is None or image.shape != wanted:
        raise _damaged(path, "not the picture that its header tells of")
    if channels == 1:
        return image.astype(np.uint16)
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def _read_facts(path: Path) -> dict[str, Any]:
    """What is in it is not printed: a few lines of YAML can stand for gigabytes of text."""
    try:
        read = yaml.safe_load(_bytes(path, LARGEST_FACTS))
    except (yaml.YAMLError, ValueError, TypeError, RecursionError) as error:
        raise _damaged(path, f"no YAML: {type(error).__name__}") from error
    if not isinstance(read, dict):
        raise _damaged(path, "not a mapping")
    kinds = {kind.name.lower(): kind for kind in AssetKind}
    kind, stamp, origin = read.get("kind"), read.get("stamp_ns"), read.get("origin", {})
    if not isinstance(kind, str) or kind not in kinds:
        raise _damaged(path, f"kind; valid: {', '.join(kinds)}")
    if type(stamp) is not int or not 0 <= stamp < LATEST_STAMP:
        raise _damaged(path, f"stamp_ns; valid: 0 to below {LATEST_STAMP}")
    if not isinstance(origin, dict):
        raise _damaged(path, "origin; valid: a mapping")
    return {"kind": kinds[kind], "stamp": stamp, "origin": origin}
