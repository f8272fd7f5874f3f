"""The launch files' arguments, checked before a node starts, and the end of a launch.

``launch`` is imported where it is used: it comes with a distribution.
"""

from __future__ import annotations

import contextlib
import difflib
import os
import re
import select
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from vima_ros.errors import VimaError
from vima_ros.nodes.common.namespaces import VALID, absolute_namespace
from vima_ros.paths import expand_text

NODES_END = 4.0  # a node that does not end in order ends itself before that [s]
FOR_LAUNCH = ("launch-prefix", "launch-prefix-filter")  # its own, beside those of a file


def _wrong(valid: str, problem: str = "") -> str:
    """The end of the sentence that names an argument and its value."""
    return f"{problem and ': '}{problem}; valid: {valid}"


def _yaml_mapping(path: Path, valid: str) -> tuple[Mapping[str, Any], str]:
    """The content of a YAML file, or what is wrong with it."""
    if not path.is_file():
        return {}, _wrong(valid, f"no file {path.absolute()}")
    try:
        content = yaml.safe_load(path.read_text())
    except (OSError, UnicodeDecodeError, RecursionError, yaml.YAMLError) as error:
        return {}, _wrong(valid, f"it can't be read as YAML: {' '.join(str(error).split())}")
    if not content or not isinstance(content, Mapping):
        return {}, _wrong(valid, f"{path.name} holds no values")
    return content, ""


def _params_file(text: str) -> str:
    valid = "a YAML file of parameters, such as a copy of config/robots/example.yaml"
    return _yaml_mapping(Path(text), valid)[1]


def _bag(text: str) -> str:
    from vima_ros.replay.storage import find_files  # for its launch file only

    try:
        find_files(Path(text))
    except VimaError as error:
        return f": {error}"
    return ""


def _checkpoint(text: str) -> str:
    if text in ("", "random") or Path(text).is_file():
        return ""
    valid = "a file of weights, nothing for the bundled ones, random for untrained ones"
    return _wrong(valid, f"no file {Path(text).absolute()}")


def _out(text: str) -> str:
    path = Path(text)
    bad = path.exists() and not path.is_dir()
    return _wrong("a folder, or the path of a new one", "it is no folder") if bad else ""


def _device(text: str) -> str:
    fits = re.fullmatch(r"cpu|cuda(:[0-9]+)?", text)
    return "" if fits else _wrong("cpu, cuda, or cuda:N with the number of a GPU")


def _namespace(text: str) -> str:
    try:
        absolute_namespace(text)
    except VimaError:
        return _wrong(VALID)
    return ""


def _one_of(text: str, choices: Iterable[str]) -> str:
    return "" if text in choices else _wrong(", ".join(c or "nothing" for c in choices))


# The simulator is imported where its launch file is used, not for every launch.


def _task(text: str) -> str:
    from vima_ros.sim.tasks import TASKS

    return _one_of(text, ("", *TASKS))


def _level(text: str) -> str:
    from vima_ros.sim.tasks.base import Level

    return _one_of(text, ("", *(level.value for level in Level)))


def _scene(text: str) -> str:
    from vima_ros.sim.scene import SCENE_NAMES

    return _one_of(text, SCENE_NAMES)


def _seed(text: str) -> str:
    from vima_ros.sim.scene import MAX_SEED

    fits = re.fullmatch(r"0|[1-9][0-9]{0,19}", text) and int(text) <= MAX_SEED
    return "" if fits else _wrong(f"a whole number from 0 to {MAX_SEED}")


def _level_of_task(task: str, level: str) -> str:
    from vima_ros.sim.tasks import TASKS

    wrong = _one_of(level, [each.value for each in TASKS[task].levels])
    return wrong and f", which task {task} does not have{wrong}"


CHECKS: dict[str, Callable[[str], str]] = {
    "namespace": _namespace,
    "params_file": _params_file,
    "checkpoint": _checkpoint,
    "device": _device,
    "use_sim_time": lambda text: _one_of(text, ("true", "false", "True", "False")),
    "task": _task,
    "level": _level,
    "scene": _scene,
    "seed": _seed,
    "bag": _bag,
    "out": _out,
}


PATHS = ("params_file", "checkpoint", "bag", "out")


def check_values(values: Mapping[str, str]) -> dict[str, str]:
    """Check the values of launch arguments, by name; them, ``~`` in paths expanded.

    Raises VimaError (BAD_ARGUMENT) naming the first bad argument, its value and what is valid.
    """
    meant = {name: _expanded(name, text) for name, text in values.items()}
    wrong = {name: CHECKS[name](text) for name, text in meant.items()}
    task, level = values.get("task"), values.get("level")
    if task and level and not (wrong["task"] or wrong["level"]):
        wrong["level"] = _level_of_task(task, level)
    for name in filter(wrong.get, wrong):
        raise VimaError("BAD_ARGUMENT", f"launch argument {name} is {values[name]!r}{wrong[name]}")
    return meant


def _expanded(name: str, text: str) -> str:
    try:
        return expand_text(text) if name in PATHS else text
    except VimaError as error:
        raise VimaError("BAD_ARGUMENT", f"launch argument {name}: {error}") from error


def check_names(given: Iterable[str], known: Iterable[str]) -> None:
    """Check that each word ``NAME:=VALUE`` of ``given`` names an argument.

    launch itself ignores others: a misspelt ``params_file`` would mean the default limits. Raises
    VimaError (BAD_ARGUMENT).
    """
    known = [*known]
    for name in (word.partition(":=")[0] for word in given if ":=" in word):
        if name not in (*known, *FOR_LAUNCH):
            near = difflib.get_close_matches(name, known, 1)
            meant = f"; did you mean {near[0]}?" if near else ""
            valid = ", ".join(known)
            raise VimaError("BAD_ARGUMENT", f"no launch argument {name!r}{meant}; valid: {valid}")


def check_arguments(*names: str) -> Any:
    """The launch action that ends a launch, with one sentence, unless these arguments are valid.

    It belongs before the first node. ``names``: all arguments, those of included files too.
    """
    from launch.actions import OpaqueFunction

    def check(context: Any) -> None:
        file = Path(getattr(context.locals, "current_launch_file_path", "") or "none").name
        if any(Path(word).name == file for word in sys.argv):  # not included by another file
            check_names(sys.argv, names)
        values = context.launch_configurations  # not yet of what an included file declares
        # The nodes after this action get the paths that were meant.
        values.update(check_values({name: values[name] for name in names if name in values}))

    return OpaqueFunction(function=check)


def end_launch(event: Any, context: Any) -> Any:
    """End the launch with a program it is for (``on_exit``): as failed where the program did.

    Raises VimaError (PROGRAM_FAILED), at which launch shuts down and exits with code 1.
    """
    if event.returncode and not context.is_shutdown:
        raise VimaError(
            "PROGRAM_FAILED", f"{event.process_name} ended with exit code {event.returncode}"
        )
    from launch.actions import Shutdown

    return Shutdown(reason=f"{event.process_name} has ended")


def stop_nodes() -> Any:
    """The launch action that passes SIGINT and SIGTERM of the launch on to its nodes, at once.

    launch itself expects a terminal to pass SIGINT on and signals its processes only 5 s later; a
    node that gets it from both takes it once. On SIGTERM launch just ends. Where it is the first
    process of a container (`docker stop`), the kernel keeps that signal from it, and kills all
    nodes with it: so it waits for their end first.
    """
    from launch.actions import EmitEvent, OpaqueFunction, RegisterEventHandler
    from launch.event_handlers import OnProcessStart, OnShutdown
    from launch.events.process import SignalProcess

    started: list[int] = []  # process file descriptors

    def is_ours(action: Any) -> bool:
        return getattr(action, "node_package", "") == "vima_ros"

    def note(event: Any, context: Any) -> None:
        if is_ours(event.action):
            with contextlib.suppress(ProcessLookupError):
                started.append(os.pidfd_open(event.pid))

    def on_sigterm(*_: Any) -> None:
        _interrupt_and_wait(started)

    def follow(context: Any) -> list[Any]:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, on_sigterm)
        interrupt = SignalProcess(signal_number=signal.SIGINT, process_matcher=is_ours)
        return [
            RegisterEventHandler(OnShutdown(on_shutdown=[EmitEvent(event=interrupt)])),
            RegisterEventHandler(OnProcessStart(on_start=note)),
        ]

    return OpaqueFunction(function=follow)


def _interrupt_and_wait(processes: Iterable[int]) -> None:
    """Send SIGINT to each process that lives, and wait for their ends, at most NODES_END [s].

    ``processes``: their file descriptors, which never come to mean another process.
    """
    left = list(processes)
    for process in left:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(process, signal.SIGINT)
    deadline = time.monotonic() + NODES_END
    while left and (seconds := deadline - time.monotonic()) > 0:
        ended = select.select(left, [], [], seconds)[0]
        left = [process for process in left if process not in ended]
