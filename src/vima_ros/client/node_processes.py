"""The suite's nodes as child processes, for programs and tests that start them themselves.

They use the same executables and YAML files as the launch files.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ament_index_python.packages import get_package_prefix

from vima_ros.errors import NodeDiedError, VimaError
from vima_ros.files import prepare_folder
from vima_ros.nodes.common.namespaces import NAMESPACE, absolute_namespace
from vima_ros.nodes.common.node_names import ARM, MANAGER
from vima_ros.nodes.common.parameter_files import read_overrides
from vima_ros.paths import config_path, expand
from vima_ros.program import END_WITH

STOP_TIMEOUT = 5.0  # [s]
REFUSED = 2  # exit code of a node that may not run, such as with bad parameters
# As nodes/common/lifecycle_node.py logs it: heartbeats do not have the reason.
CANNOT_CONFIGURE = "cannot configure: "
FIRST_TO_STOP = (MANAGER, ARM)  # or the manager would report the ends of others as deaths


def find_params_file(params_file: str) -> Path:
    """Return the parameter file ``params_file``, or the one of that name in config/robots/.

    Raises VimaError (NO_FILE) where there is none.
    """
    folder = config_path("robots")
    by_name = "/" not in params_file and not params_file.endswith((".yaml", ".yml"))
    path = folder / f"{params_file}.yaml" if by_name else expand(params_file)
    if not path.is_file():
        names = ", ".join(sorted(p.stem for p in folder.glob("*.yaml")))
        raise VimaError(
            "NO_FILE", f"no parameter file {params_file!r}; valid: a path, or one of {names}"
        )
    return path


class NodeProcesses:
    """Context manager that ends the processes that were started in it, whatever happens.

    Where this process is killed, the nodes notice that, hold the robot and end.

    ``params_file``: a parameter file for all nodes, or the name of one in config/robots/;
    ``parameters``: what differs from all files, for all nodes that have it; logs go to
    ``log_folder``/NAME.log.
    Raises VimaError: NO_FILE, BAD_PARAMETER_FILE, BAD_FOLDER, BAD_NAMESPACE.
    """

    def __init__(
        self,
        log_folder: Path,
        *,
        params_file: str,
        namespace: str = NAMESPACE,
        use_sim_time: bool = False,
    ) -> None:
        self._log_folder = Path(log_folder)
        self._arguments = ["--params-file", str(find_params_file(params_file))]
        read_overrides(self._arguments)  # raises here what each node would refuse
        prepare_folder(self._log_folder)
        self._arguments += ["-r", f"__ns:={absolute_namespace(namespace)}"]
        self._arguments += ["-p", f"use_sim_time:={json.dumps(use_sim_time)}"]
        self._processes: dict[str, subprocess.Popen] = {}

    def __enter__(self) -> NodeProcesses:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(
        self,
        names: Iterable[str],
        parameters: Mapping[str, Any] | None = None,
        remap: Mapping[str, str] | None = None,
    ) -> None:
        """Start (or, after a death, restart) executables of the package; ``remap`` topics."""
        overrides = [
            word
            for key, value in (parameters or {}).items()
            for word in ("-p", f"{key}:={json.dumps(value)}")
        ]
        overrides += [w for k, v in (remap or {}).items() for w in ("-r", f"{k}:={v}")]
        for name in names:
            program = Path(get_package_prefix("vima_ros")) / "lib" / "vima_ros" / name
            path = self._log_path(name)
            if name not in self._processes:
                path.write_bytes(b"")  # of an earlier run; a restart's lines come behind
            with path.open("a") as log:
                self._processes[name] = subprocess.Popen(
                    [program, "--ros-args", *self._arguments, *overrides],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,  # a Ctrl-C is ours to pass on, in order
                    env={**os.environ, END_WITH: str(os.getpid())},
                )

    def ended(self) -> list[str]:
        """Return the names of the processes that have ended by themselves."""
        return [name for name, process in self._processes.items() if process.poll() is not None]

    def check_refused(self) -> None:
        """Check that no process refused to run (exit code 2). Raises VimaError (NODE_REFUSED)."""
        for name, process in self._processes.items():
            if process.poll() == REFUSED:
                why = (self.log(name).splitlines() or ["its log is empty"])[-1]
                raise VimaError("NODE_REFUSED", f"{name} ended with exit code {REFUSED}: {why}")

    def signal(self, name: str, number: int) -> None:
        """Send a signal, such as SIGSTOP to let a process hang."""
        self._processes[name].send_signal(number)

    def pid(self, name: str) -> int:
        """Return the id of the process that runs the node."""
        return self._processes[name].pid

    def kill(self, name: str) -> None:
        """End a process as a crash would (SIGKILL)."""
        self._processes[name].kill()
        self._processes[name].wait()

    def end(self, name: str) -> None:
        """Interrupt a process (SIGINT) and wait for its end."""
        process = self._processes.pop(name)
        process.send_signal(signal.SIGINT)
        process.wait()

    def log(self, name: str) -> str:
        """Return the log of the node so far."""
        return self._log_path(name).read_text()

    def _log_path(self, name: str) -> Path:
        return self._log_folder / f"{name}.log"

    def check_starting(self) -> None:
        """Check that all processes live and no node failed to configure.

        Raises NodeDiedError, or VimaError (NODE_REFUSED) with the node's reason.
        """
        self.check_alive()
        for name in self._processes:
            _, refused, reason = self.log(name).partition(CANNOT_CONFIGURE)
            if refused:
                raise VimaError(
                    "NODE_REFUSED",
                    f"{name} cannot be configured: {reason.splitlines()[0]} "
                    f"(log: {self._log_path(name)})",
                )

    def check_alive(self) -> None:
        """Check that all processes live. Raises NodeDiedError with the end of a log."""
        for name, process in self._processes.items():
            if process.poll() is not None:
                end = "\n".join(self.log(name).splitlines()[-15:])
                raise NodeDiedError(
                    f"{name} ended with exit code {process.returncode}:\n{end}", name
                )

    def stop(self) -> None:
        """Interrupt all, wait, kill what is left."""
        names = sorted(self._processes, key=lambda name: name not in FIRST_TO_STOP)
        for process in (self._processes[name] for name in names):
            if process.poll() is None:
                process.send_signal(signal.SIGINT)
        deadline = time.monotonic() + STOP_TIMEOUT
        for process in self._processes.values():
            try:
                process.wait(max(deadline - time.monotonic(), 0.01))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._processes.clear()
