"""Process of the user's own installation of VIMA-Bench, and requests to it."""

from __future__ import annotations

import contextlib
import os
import select
import subprocess
import tempfile
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from vima_ros.errors import VimaError
from vima_ros.sim.vima_bench import server

PYTHON = "VIMA_BENCH_PYTHON"  # environment: Python that can import vima_bench
TIMEOUT = 300.0  # of an answer; a step takes seconds, on a busy machine ten times that [s]
_LAST_LINES = 5  # of the process's output in an error


class VimaBenchProcess:
    """Process that runs ``server.py``; its end is an error of the request in progress.

    Temporary files of the simulator have a folder of their own: their names are drawn at random,
    by equally seeded processes alike. Raises VimaError: NO_SIMULATOR, SIMULATOR_DIED.
    """

    def __init__(self) -> None:
        python = os.environ.get(PYTHON, "")
        if not python:
            raise VimaError(
                "NO_SIMULATOR",
                f"{PYTHON} is not set; valid: the Python of an environment with VIMA-Bench, see "
                "docs/vima_bench.md",
            )
        self._folder = tempfile.TemporaryDirectory(
            prefix="vima_bench_", ignore_cleanup_errors=True
        )
        self._log = Path(self._folder.name) / "output.log"
        request_read, request_write = os.pipe()
        answer_read, answer_write = os.pipe()
        try:
            with self._log.open("wb") as log:
                self._process = subprocess.Popen(
                    [python, server.__file__, str(request_read), str(answer_write)],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    pass_fds=(request_read, answer_write),
                    start_new_session=True,  # a Ctrl-C ends it by the end of the pipe
                    env={**_environment(), "TMPDIR": self._folder.name},
                )
        except OSError as error:
            os.close(request_write)
            os.close(answer_read)
            self._folder.cleanup()
            raise VimaError(
                "NO_SIMULATOR", f"{PYTHON}={python!r}: {error}; valid: a Python with VIMA-Bench"
            ) from None
        finally:
            os.close(request_read)
            os.close(answer_write)
        self._requests: BinaryIO = os.fdopen(request_write, "wb")
        self._answers: BinaryIO = os.fdopen(answer_read, "rb")
        try:
            self._receive()
        except VimaError as error:
            self.close()
            if error.code == "SIMULATOR_FAILED":
                raise VimaError("NO_SIMULATOR", f"{PYTHON}={python!r}: {error}") from None
            raise

    @property
    def pid(self) -> int:
        """Id of the process."""
        return self._process.pid

    def call(self, request: str, **fields: Any) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """Return fields and arrays of the answer, as in server.py.

        Raises VimaError: SIMULATOR_FAILED for an error of the simulator that leaves it running,
        SIMULATOR_DIED.
        """
        try:
            server.send(self._requests, {"request": request, **fields}, {})
        except (OSError, ValueError):  # ValueError: closed
            raise self._died() from None
        return self._receive()

    def _receive(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        try:
            if not select.select([self._answers], [], [], TIMEOUT)[0]:
                self._process.kill()
            fields, arrays = server.receive(self._answers)
        except (EOFError, ValueError):
            raise self._died() from None
        if "error" in fields:
            raise VimaError("SIMULATOR_FAILED", f"VIMA-Bench: {fields['error']}")
        return fields, arrays

    def _died(self) -> VimaError:
        """Close it and return the error."""
        last = " / ".join(self._log.read_text(errors="replace").splitlines()[-_LAST_LINES:])
        self.close()
        return VimaError(
            "SIMULATOR_DIED",
            f"VIMA-Bench ended with exit code {self._process.returncode}; its last output: {last}",
        )

    def close(self) -> None:
        """End the process, at once."""
        self._process.kill()
        self._process.wait()
        for file in (self._requests, self._answers):
            with contextlib.suppress(OSError):  # of what was not sent
                file.close()
        self._folder.cleanup()


def _environment() -> dict[str, str]:
    """Return the environment without what belongs to this Python."""
    ours = ("PYTHONHOME", "PYTHONPATH", "VIRTUAL_ENV", "LD_PRELOAD")
    return {name: value for name, value in os.environ.items() if name not in ours}
