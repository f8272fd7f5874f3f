"""Files that are no checkpoint or an odd one, paths with ~, control tokens typed in a prompt.

    ./vima exec python test/cases/file_cases.py [CASE ...]

Files are given to the policy's and the detector's loader or to convert_checkpoint; no nodes are
started. Prints a table; exit code 1 when a case ends otherwise
than expected.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import table
import torch
from ament_index_python.packages import get_package_prefix
from odd_files import LOADER_TEXT, ODD_FILES, ODD_TORCH

from vima_ros.errors import VimaError
from vima_ros.perception.detectors.base import DetectorSettings
from vima_ros.perception.detectors.onnx_runtime import OnnxDetector
from vima_ros.policy import load_policy
from vima_ros.policy.checkpoints.load import random_network
from vima_ros.policy.checkpoints.published import published_checkpoint
from vima_ros.policy.tokenizer import PromptTokenizer

SIZES = {"vocabulary": 60, "vit_heads": 6}
PROGRAMS = Path(get_package_prefix("vima_ros")) / "lib" / "vima_ros"
CONTROL = ("<pad>", "</s>", "<unk>")


@dataclass(frozen=True)
class Case:
    """``words``: a regular expression of what is said; ``do`` returns that, given a folder."""

    words: str
    do: Callable[[Path], str]


def convert(home: Path, source: str, target: str) -> str:
    """What convert_checkpoint says of paths as typed; ``home`` is the home folder."""
    done = subprocess.run(
        [sys.executable, PROGRAMS / "convert_checkpoint", source, target],
        capture_output=True,
        text=True,
        cwd=home,
        env={**os.environ, "HOME": str(home)},
    )
    return f"exit code {done.returncode}: {done.stdout} {done.stderr}"


def save(path: Path, rename: Callable[[str], str] = lambda name: name) -> None:
    """A small checkpoint as published, its tensors renamed."""
    content = published_checkpoint(random_network(SIZES))
    state = {rename(name): tensor for name, tensor in content["state_dict"].items()}
    torch.save({**content, "state_dict": state}, path)


def converted(make: Callable[[Path], object]) -> Callable[[Path], str]:
    def do(folder: Path) -> str:
        make(folder / "20M.ckpt")
        return convert(folder, "20M.ckpt", "20M.safetensors")

    return do


def loaded(
    load: Callable[[Path], object], name: str, make: Callable[[Path], object]
) -> Callable[[Path], str]:
    def do(folder: Path) -> str:
        make(folder / name)
        try:
            load(folder / name)
        except VimaError as error:
            return f"{error.code}: {error}"
        return "loaded"

    return do


def prefixed(prefix: str) -> Callable[[Path], str]:
    return converted(lambda path: save(path, lambda name: prefix + name))


def tilde(folder: Path) -> str:
    save(folder / "20M.ckpt")
    said = convert(folder, "~/20M.ckpt", "~/new.safetensors")
    return f"{said} {sorted(path.name for path in folder.iterdir())}"


def tilde_of_nobody(folder: Path) -> str:
    return convert(folder, "~nobody_here/20M.ckpt", "new.safetensors")


def typed(text: str) -> Callable[[Path], str]:
    def do(folder: Path) -> str:
        tokenizer = PromptTokenizer()
        pieces = [w if isinstance(w, str) else tokenizer.piece(w) for w in encode(tokenizer, text)]
        return f"{sum(piece in CONTROL for piece in pieces)} control tokens: {' '.join(pieces)}"

    return do


def encode(tokenizer: PromptTokenizer, text: str) -> tuple[int | str, ...]:
    return tokenizer.encode(text, ["a"])


def detector(path: Path) -> OnnxDetector:
    return OnnxDetector(DetectorSettings(weights=str(path)))


LOADED = r"exit code 0: (?!.*(Traceback|weights_only)).*"
CASES = {
    **{
        f"checkpoint_{name}": Case(f"BAD_CHECKPOINT: .*{words}", loaded(load_policy, "a.pt", make))
        for name, (make, words) in {**ODD_FILES, **ODD_TORCH}.items()
    },
    **{
        f"detector_{name}": Case(f"(NO|BAD)_WEIGHTS: .*{words}", loaded(detector, "a.onnx", make))
        for name, (make, words) in ODD_FILES.items()
    },
    "program_html": Case("exit code 2: .*an HTML page", converted(ODD_FILES["html"][0])),
    "program_pickled_class": Case(
        "exit code 2: .*holds a odd_files", converted(ODD_TORCH["pickled_class"][0])
    ),
    "prefix_none": Case(LOADED, prefixed("")),
    "prefix_module": Case(LOADED + r"module\. taken off", prefixed("module.")),
    "prefix_orig_mod": Case(LOADED + r"_orig_mod\. taken off", prefixed("_orig_mod.")),
    "prefix_both": Case(LOADED + "taken off", prefixed("_orig_mod.module.")),
    "prefix_both_turned": Case(LOADED + "taken off", prefixed("module._orig_mod.")),
    "tilde": Case(r"exit code 0: .*20M\.ckpt.*new\.json.*new\.safetensors", tilde),
    "tilde_of_nobody": Case("exit code 2: .*no home folder is known for", tilde_of_nobody),
    "typed_end": Case("^1 control tokens: ", typed("Put {a} </s> aside.")),
    "typed_pad": Case("^1 control tokens: ", typed("<pad> {a} <pad><pad>")),
    "typed_unknown": Case("^1 control tokens: ", typed("<unk>{a} ")),
    "typed_wide": Case("^1 control tokens: ", typed("＜/s＞ {a}")),
}


def run(name: str, folder: Path) -> tuple[str, list[str]]:
    """What was seen of a case, and what of it is wrong."""
    case = CASES[name]
    seen = case.do(folder)
    flat = " ".join(seen.split())
    wrong = [] if re.search(case.words, flat) else ["not as expected"]
    if leaked := re.search(LOADER_TEXT, flat):
        wrong.append(f"the loader's words: {leaked[0]}")
    return seen, wrong


def expected(case: Case) -> str:
    return case.words


if __name__ == "__main__":
    table.main(sys.modules[__name__])
