"""Process of the detector baseline, in a Python that has torchvision."""

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
HOW = (
    "run `./vima --train setup` in the clone, or name a Python that has it with --baseline-python"
)


def default_python() -> Path:
    """Return the Python of the clone's .venv-train, beside the current environment."""
    return Path(sys.prefix).parent / ".venv-train" / "bin" / "python"


class BaselineProcess:
    """Baseline process, a context manager; blocked on a pipe between calls, it uses no CPU.

    Raises VimaError (NO_BASELINE) saying what to do where it cannot start.
    """

    def __init__(self, python: Path, images: Path, threads: int) -> None:
        command = [str(python), "-I", detector_baseline.__file__, str(images), str(threads)]
        try:
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
        except OSError as error:
            raise VimaError("NO_BASELINE", f"{NAME}: {error}; {HOW}") from error
        self.versions = self._answer()

    def __enter__(self) -> BaselineProcess:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()

    def detect(self, max_boxes: int) -> dict[str, Any]:
        """Detect in both images at once; return "seconds" and "boxes" kept per image."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{max_boxes}\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            code = self._process.wait()
            raise VimaError("NO_BASELINE", f"{NAME} ended with code {code}, see above; {HOW}")
        return json.loads(line)


def save_images(path: Path, pair: dict[str, np.ndarray]) -> None:
    """Save two images of one size, uint8 RGB, in the form that the baseline reads."""
    np.save(path, np.stack(list(pair.values())))
