"""Files that a person may name in place of a checkpoint, each made by one function of a path.

``ODD_FILES``: name -> (maker, what an error about it has to say, as a regular expression).
"""

from __future__ import annotations

import gzip
import io
import os
import pickle
import tarfile
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import save

LOADER_TEXT = (
    r"weights_only|Traceback|add_safe_globals|PytorchStreamReader|Unpickl|allow_pickle|"
    r"torch\.load|SafetensorError|state_dict for|trust"
)  # what no error may say
LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a2146\nsize 784000000\n"
LOGIN = b"\n<!-- portal -->\n<HTML lang=en><head><title>Sign in</title></head><body></body></HTML>"
ANNEX = b"/annex/objects/MD5E-s784000000--d41d8cd98f.ckpt\n"


class Network:
    """A class of somebody's project."""

    def __init__(self) -> None:
        self.weight = torch.zeros(3)


def _bytes(content: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(content)


def _torch(content: object, part: float = 1.0, **options: bool) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer, **options)
    data = buffer.getvalue()
    return data[: int(part * len(data))]


def _tar(*names: str) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name in names:
            info = tarfile.TarInfo(name)
            info.size = 4
            archive.addfile(info, io.BytesIO(b"abcd"))
    return buffer.getvalue()


def _zip(*names: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in names:
            archive.writestr(name, b"content")
    return buffer.getvalue()


def _folder(path: Path) -> None:
    path.mkdir()
    (path / "model.safetensors").write_bytes(b"")


TENSORS = {"layer.weight": torch.arange(400.0)}
SAFE = save(TENSORS)
ODD_FILES: dict[str, tuple[Callable[[Path], object], str]] = {
    "html": (_bytes(b"<!DOCTYPE html><html><body>Sign in</body></html>"), "an HTML page: .*login"),
    "html_after_comment": (_bytes(LOGIN), "an HTML page: .*login"),
    "html_utf16": (_bytes("<html></html>".encode("utf-16")), "an HTML page: .*login"),
    "xml_error": (_bytes(b"<?xml version='1.0'?><Error>AccessDenied</Error>"), "an XML text"),
    "not_found": (_bytes(b"Entry not found"), "a text that begins with 'Entry not found'"),
    "lfs_pointer": (_bytes(LFS), "a Git LFS pointer, .*git lfs pull"),
    "annex_pointer": (_bytes(ANNEX), "a git-annex pointer, .*git annex get"),
    "broken_link": (
        lambda path: path.symlink_to("gone.ckpt"),
        "a link to gone.ckpt, which is not",
    ),
    "empty": (_bytes(b""), "is empty: .*interrupted"),
    "zeros": (_bytes(bytes(5000)), "nothing but zeros: .*interrupted"),
    "folder": (_folder, "a folder: name a file in it, such as model.safetensors"),
    "pipe": (os.mkfifo, "no regular file"),
    "zip_cut": (_bytes(_torch(TENSORS, 0.7)), r"cut off .*bytes are there.*interrupted"),
    "zip_of_file": (_bytes(_zip("20M.ckpt")), "a zip archive of 20M.ckpt: unpack it"),
    "safetensors_cut": (_bytes(SAFE[:-100]), r"cut off at \d+ of \d+ bytes"),
    "safetensors_header_cut": (_bytes(SAFE[:30]), "cut off in its header"),
    "gzip": (_bytes(gzip.compress(_torch(TENSORS))), "compressed by gzip: unpack it"),
    "tar": (_bytes(_tar("20M.ckpt", "README")), "a tar archive of 20M.ckpt, README: unpack"),
    "tar_cut": (_bytes(_tar("a", "b")[:700]), "a tar archive that is cut off"),
    "old_torch_tar": (
        _bytes(_tar("sys_info", "pickle", "storages", "tensors")),
        "a PyTorch from before 2017",
    ),
    "pickle": (_bytes(pickle.dumps({"a": [1]})), "a plain Python pickle"),
    "pickle_text": (_bytes(pickle.dumps(OrderedDict(a=1), protocol=0)), "a plain Python pickle"),
    "numpy": (_bytes(b"\x93NUMPY\x01\0v\0{}"), "a single NumPy array"),
    "hdf5": (_bytes(b"\x89HDF\r\n\x1a\n" + bytes(40)), "an HDF5 file"),
    "torchscript": (
        _bytes(_zip("m/data.pkl", "m/constants.pkl", "m/code/__torch__.py")),
        "a TorchScript archive",
    ),
    "noise": (_bytes(bytes(range(7, 250))), "in no known form"),
}
# Whole PyTorch files that are no checkpoint of a policy or detector.
ODD_TORCH: dict[str, tuple[Callable[[Path], object], str]] = {
    "pickled_class": (_bytes(_torch({"state_dict": Network()})), r"holds a odd_files\.Network"),
    "pickled_whole": (_bytes(_torch(Network())), r"holds a odd_files\.Network, .*state_dict\(\)"),
    "legacy_cut": (
        _bytes(_torch(TENSORS, 0.8, _use_new_zipfile_serialization=False)),
        "damaged",
    ),
    "damaged": (
        _bytes(_torch(TENSORS).replace(b"layer.weight", b"layer\xff\xff\xffight")),
        "damaged",
    ),
}
