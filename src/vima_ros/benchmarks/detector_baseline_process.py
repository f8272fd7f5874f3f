"""The peer that the perception node is measured beside, in a Python that has torchvision."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

from vima_ros.benchmarks import detector_baseline
from vima_ros.errors import VimaError

NAME = "torchvision maskrcnn_resnet50_fpn"
HOW = "run `./vima --train setup` in the clone, or name a Python that has it with --peer-python"


def default_python() -> Path:
    """That of the clone's second environment, beside the one that this runs in."""
    return Path(sys.prefix).parent / ".venv-train" / "bin" / "python"


class Peer:
    """A context manager. It waits on a pipe, so it costs nothing while it is not asked.

    Raises VimaError (NO_PEER) saying what to do where it cannot start.
    """

    def __init__(self, python: Path, pictures: Path, threads: int) -> None:
        command = [str(python), "-I", detector_baseline.__file__, str(pictures), str(threads)]
        try:
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
        except OSError as error:
            raise VimaError("NO_PEER", f"{NAME}: {error}; {HOW}") from error
        self.versions = self._answer()

    def __enter__(self) -> Peer:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()

    def detect(self, most_boxes: int) -> dict[str, Any]:
        """One call with both pictures: "seconds", and "boxes" kept in each picture."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{most_boxes}\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            code = self._process.wait()
            raise VimaError("NO_PEER", f"{NAME} ended with code {code}, see above; {HOW}")
        return json.loads(line)


def save_pictures(path: Path, pair: dict[str, np.ndarray]) -> None:
    """Two pictures of one size, uint8 RGB, as the peer reads them."""
    np.save(path, np.stack(list(pair.values())))
