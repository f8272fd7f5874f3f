"""Detection of the kind of a weights file, with a description for the person who named it.

Downloads go wrong in few ways, and each loader reports them in its own words, which name neither
cause nor remedy; PyTorch's even advise running the content. Standard library only.
"""

from __future__ import annotations

import io
import json
import lzma
import pickletools
import re
import tarfile
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

TORCH, SAFETENSORS, ONNX, NPZ, JSON = "torch", "safetensors", "onnx", "npz", "json"
ABSENT = "absent"

_HEAD = 1 << 16  # bytes that are read, except of archives and headers
_MAX_HEADER = 100_000_000  # of safetensors, as its own reader has it [bytes]
_MAX_RATIO, _SMALL = 20, 1 << 26  # of a PyTorch archive unpacked: times its size, or bytes
_DAMAGED = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError)  # raised by zipfile
_INTERRUPTED = "was its download or copy interrupted? fetch it again"
_UNPACK = "unpack it, and name the file inside"
_LEGACY_TORCH = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."  # of torch.save before 1.6
_OLD_TAR = {"pickle", "storages", "tensors"}  # members of torch.save's archives before 0.1.11
_STARTS = {
    b"\x1f\x8b": f"compressed by gzip: {_UNPACK}",
    b"BZh": f"compressed by bzip2: {_UNPACK}",
    b"\xfd7zXZ\0": f"compressed by xz: {_UNPACK}",
    b"\x28\xb5\x2f\xfd": f"compressed by zstd: {_UNPACK}",
    b"7z\xbc\xaf\x27\x1c": f"a 7z archive: {_UNPACK}",
    b"Rar!": f"a RAR archive: {_UNPACK}",
    b"\x89HDF\r\n": "an HDF5 file, as Keras writes them",
    b"GGUF": "a GGUF file, as llama.cpp reads them",
    b"\x93NUMPY": "a single NumPy array",
    b"\x89PNG": "a PNG image",
    b"\xff\xd8\xff": "a JPEG image",
    b"%PDF": "a PDF document",
}
_ONNX_FIELDS = {1, 2, 3, 4, 5, 6, 7, 8, 14, 20, 25, 26}  # of ModelProto
_ONNX_GRAPH = 7


@dataclass(frozen=True)
class FileKind:
    """Kind of a file; ``words`` complete "it is …".

    ``name``: TORCH, SAFETENSORS, ONNX, NPZ or JSON for a file that looks whole, ABSENT for none,
    empty for any other. All checksums of a PyTorch archive are right.
    """

    name: str
    words: str


def file_kind(source: Path | bytes) -> FileKind:
    """Determine the kind of a file, or of its bytes; never raises for its content."""
    if isinstance(source, bytes):
        return _kind_of(io.BytesIO(source), len(source))
    try:
        if source.is_dir():
            return FileKind("", _folder(source))
        if not source.exists():
            if source.is_symlink():
                return FileKind("", f"a link to {source.readlink()}, which is not there")
            return FileKind(ABSENT, "no file")
        if not source.is_file():
            return FileKind("", "no regular file")
        with source.open("rb") as file:
            return _kind_of(file, source.stat().st_size)
    except OSError as error:
        return FileKind("", f"not readable: {error.strerror}")


def why_not_loaded(source: Path | bytes, error: Exception) -> str:
    """Explain in a sentence why a loader refused a file, without the loader's words.

    ``error``: what ``torch.load(…, weights_only=True)`` or a reader of another form raised.
    """
    kind, text = file_kind(source), str(error)
    if kind.name in ("", ABSENT):
        return f"it is {kind.words}"
    if named := re.search(r"GLOBAL ([\w.]+)", text):
        return (
            f"it holds a {named[1]}, not only tensors and plain values (saved whole? save its "
            "state_dict() instead)"
        )
    if "loading state_dict" in text:
        return "it is another network's"
    if isinstance(error, KeyError):
        return f"it has no {text}"
    if "allow_pickle" in text:  # NumPy's advice
        return "it holds pickled objects, not only numbers and texts"
    if isinstance(error, OSError) and error.strerror:
        return f"it is not readable: {error.strerror}"
    return f"it is {kind.words}, but damaged: {_INTERRUPTED}"


def _folder(path: Path) -> str:
    endings = (".ckpt", ".pt", ".pth", ".safetensors", ".onnx", ".json", ".npz")
    files = sorted(p.name for p in path.iterdir() if p.suffix in endings)
    return f"a folder: name a file in it{', such as ' + files[0] if files else ''}"


def _kind_of(file: BinaryIO, size: int) -> FileKind:
    head = file.read(_HEAD)
    if not size:
        return FileKind("", f"empty: {_INTERRUPTED}")
    if not head.strip(b"\0"):
        return FileKind("", f"nothing but zeros: {_INTERRUPTED}")
    for start, words in _STARTS.items():
        if head.startswith(start):
            return FileKind("", words)
    if head.startswith(b"PK\x03\x04"):
        return _zip(file, size)
    if head[257:262] == b"ustar":
        return _tar(file)
    if head.startswith(_LEGACY_TORCH):
        return FileKind(TORCH, "a PyTorch file")
    if head[:1] == b"\x80" and head[1:2] in (b"\2", b"\3", b"\4", b"\5"):
        return _PICKLE
    return _safetensors(file, size) or _text(head, size) or _protobuf(file, size)


_PICKLE = FileKind(
    "",
    "a plain Python pickle, which could run a program when it is loaded (torch.save of a "
    "state_dict() makes a file that can't)",
)


def _zip(file: BinaryIO, size: int) -> FileKind:
    try:
        archive = zipfile.ZipFile(file)
        names = archive.namelist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return FileKind("", f"cut off or damaged ({size} bytes are there): {_INTERRUPTED}")
    last = {name.rpartition("/")[2] for name in names}
    if "constants.pkl" in last and any("/code/" in name for name in names):
        return FileKind("", "a TorchScript archive, which holds a program: save a state_dict()")
    if "data.pkl" in last:
        fault = _torch_fault(archive, size)
        return FileKind("", fault) if fault else FileKind(TORCH, "a PyTorch file")
    if names and all(name.endswith(".npy") for name in names):
        return FileKind(NPZ, "an .npz file of NumPy arrays")
    return FileKind("", f"a zip archive of {_some(names)}: {_UNPACK}")


def _torch_fault(archive: zipfile.ZipFile, size: int) -> str:
    """Describe the fault of an archive of torch.save, which is read once; empty if it has none.

    PyTorch itself does not compare the checksums, and unpacks entries of any size. It compresses
    none, yet archives that were packed again are about.
    """
    entries = archive.infolist()
    unpacked = sum(entry.file_size for entry in entries)  # zipfile and PyTorch read no more
    if unpacked > max(_MAX_RATIO * size, _SMALL):
        return (
            f"a PyTorch file of {size} bytes whose entries would unpack to {unpacked}, more than "
            f"{_MAX_RATIO} times as many: save it again with torch.save"
        )
    for entry in entries:
        try:
            with archive.open(entry) as content:
                while content.read(1 << 20):
                    pass
        except (*_DAMAGED, OSError, ValueError, RuntimeError):
            return f"a PyTorch file whose entry {entry.filename[:80]} is damaged: {_INTERRUPTED}"
    return ""


def _tar(file: BinaryIO) -> FileKind:
    file.seek(0)
    try:
        with tarfile.open(fileobj=file) as archive:
            names = archive.getnames()
    except (tarfile.TarError, EOFError, OSError, ValueError):
        return FileKind("", f"a tar archive that is cut off: {_INTERRUPTED}")
    if set(names) >= _OLD_TAR:
        return FileKind(
            "",
            "an archive of a PyTorch from before 2017, which would run what it holds: load it "
            "with that PyTorch, and save its state_dict() with a newer one",
        )
    return FileKind("", f"a tar archive of {_some(names)}: {_UNPACK}")


def _some(names: list[str]) -> str:
    shown = ", ".join(names[:3]) or "nothing"
    return f"{shown}, …" if len(names) > 3 else shown


def _safetensors(file: BinaryIO, size: int) -> FileKind | None:
    file.seek(0)
    length = int.from_bytes(file.read(8), "little")
    if not 2 <= length <= _MAX_HEADER or file.read(1) != b"{":
        return None
    file.seek(8)
    if 8 + length > size:
        return FileKind(
            "", f"a safetensors file cut off in its header ({size} bytes): {_INTERRUPTED}"
        )
    try:
        entries = json.loads(file.read(length))
        ends = [entry["data_offsets"][1] for n, entry in entries.items() if n != "__metadata__"]
        whole = 8 + length + max(ends, default=0)
    except (ValueError, RecursionError, KeyError, IndexError, TypeError, AttributeError):
        return None
    if size < whole:
        words = f"a safetensors file cut off at {size} of {whole} bytes: {_INTERRUPTED}"
        return FileKind("", words)
    return FileKind(SAFETENSORS, "a safetensors file")


def _text(head: bytes, size: int) -> FileKind | None:
    wide = head.startswith((b"\xff\xfe", b"\xfe\xff"))
    try:
        cut = len(head) < size  # perhaps within a character
        text = head.decode("utf-16" if wide else "utf-8-sig", "ignore" if cut else "strict")
    except UnicodeDecodeError:
        return None
    if re.search(r"[\0-\x08\x0e-\x1f]", text):
        return None
    text = text.strip()
    start = text[:1000].lower()
    if start.startswith("version https://git-lfs"):
        return FileKind("", "a Git LFS pointer, not the file itself: run git lfs pull")
    if "/annex/objects/" in start:
        return FileKind("", "a git-annex pointer, not the file itself: run git annex get")
    if start.startswith(("<!doctype html", "<html", "<head", "<body", "<script")) or (
        start.startswith("<") and "<html" in start
    ):
        return FileKind("", "an HTML page: was it downloaded through a login page?")
    if start.startswith("<"):
        return FileKind("", "an XML text: a server's error in place of the file?")
    if start.startswith(("{", "[")):
        return FileKind(JSON, "a JSON text")
    if not cut and _is_pickle(head):
        return _PICKLE
    return FileKind("", f"a text that begins with {' '.join(text[:60].split())!r}")


def _is_pickle(data: bytes) -> bool:
    """Return whether the data is a pickle of protocol 0, which is text."""
    try:
        return len(list(pickletools.genops(data))) > 2
    except Exception:  # pickletools raises as it pleases
        return False


def _protobuf(file: BinaryIO, size: int) -> FileKind:
    """Recognize an ONNX file by the fields of its outermost message, or another binary file."""
    file.seek(0)
    head = file.read(64)
    if head[4:8] == b"ORTM":
        return FileKind(ONNX, "a file of ONNX Runtime's own form")
    if head.startswith(b"\x0a") and (b"<unk>" in head or b"<pad>" in head):
        return FileKind("", "a SentencePiece model: its tokenizer.json is what is needed")
    unknown = FileKind("", f"in no known form (it begins with {head[:8].hex(' ')})")
    file.seek(0)
    fields: list[int] = []
    while file.tell() < size:
        tag = _varint(file)
        if tag is None or tag >> 3 not in _ONNX_FIELDS or tag & 7 not in (0, 2):
            return unknown
        value = _varint(file)
        if value is None or (tag & 7 == 2 and file.tell() + value > size):
            words = f"an ONNX file that is cut off ({size} bytes are there): {_INTERRUPTED}"
            return FileKind("", words) if fields[:1] == [1] else unknown
        fields.append(tag >> 3)
        if tag & 7 == 2:
            file.seek(value, io.SEEK_CUR)
    return FileKind(ONNX, "an ONNX file") if _ONNX_GRAPH in fields else unknown


def _varint(file: BinaryIO) -> int | None:
    """Read the next number of a Protobuf message; None at the end."""
    value = 0
    for shift in range(0, 70, 7):
        byte = file.read(1)
        if not byte:
            return None
        value |= (byte[0] & 0x7F) << shift
        if byte[0] < 0x80:
            return value
    return None
