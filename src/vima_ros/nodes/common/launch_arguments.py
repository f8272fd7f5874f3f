"""Checks of the launch files' arguments before a node starts.

``launch`` is imported where it is used: it comes with a distribution. Its own types are ``Any``
here for that reason.
"""

from __future__ import annotations

import difflib
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from vima_ros.errors import VimaError
from vima_ros.nodes.common.namespaces import VALID, absolute_namespace
from vima_ros.paths import expand_text
from vima_ros.policy import bundled_weights
from vima_ros.policy.config import CONDITIONINGS

FOR_LAUNCH = ("launch-prefix", "launch-prefix-filter")  # its own, beside those of a file


def _wrong(valid: str, problem: str = "") -> str:
    """Return the end of the sentence that names an argument and its value."""
    return f"{problem and ': '}{problem}; valid: {valid}"


def _yaml_mapping(path: Path, valid: str) -> tuple[Mapping[str, Any], str]:
    """Return the content of a YAML file, or the reason why it is unusable."""
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

    return _refusal(find_files, Path(text))


def _refusal(check: Callable[[Any], object], value: object) -> str:
    try:
        check(value)
    except VimaError as error:
        return f": {error}"
    return ""


def _checkpoint(text: str) -> str:
    if text in CONDITIONINGS:
        return _refusal(bundled_weights, text)
    if text in ("", "random") or Path(text).is_file():
        return ""
    valid = (
        "a checkpoint file, nothing for the bundled one, random for untrained weights, "
        f"{', '.join(CONDITIONINGS)} for the bundled ones of these"
    )
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
    """Check the values of launch arguments, by name; return them with ``~`` in paths expanded.

    Raises VimaError (BAD_ARGUMENT) naming the first bad argument, its value and what is valid.
    """
    expanded = {name: _expanded(name, text) for name, text in values.items()}
    wrong = {name: CHECKS[name](text) for name, text in expanded.items()}
    task, level = values.get("task"), values.get("level")
    if task and level and not (wrong["task"] or wrong["level"]):
        wrong["level"] = _level_of_task(task, level)
    for name in filter(wrong.get, wrong):
        raise VimaError("BAD_ARGUMENT", f"launch argument {name} is {values[name]!r}{wrong[name]}")
    return expanded


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
            hint = f"; did you mean {near[0]}?" if near else ""
            valid = ", ".join(known)
            raise VimaError("BAD_ARGUMENT", f"no launch argument {name!r}{hint}; valid: {valid}")


def check_arguments(*names: str) -> Any:
    """Return the launch action that ends a launch, with one sentence, if an argument is invalid.

    Put it before the first node. ``names``: all arguments, those of included files too.
    """
    from launch.actions import OpaqueFunction

    def check(context: Any) -> None:  # launch.LaunchContext
        file = Path(getattr(context.locals, "current_launch_file_path", "") or "none").name
        if any(Path(word).name == file for word in sys.argv):  # not included by another file
            check_names(sys.argv, names)
        values = context.launch_configurations  # not yet of what an included file declares
        # The nodes after this action get the expanded paths.
        values.update(check_values({name: values[name] for name in names if name in values}))

    return OpaqueFunction(function=check)
