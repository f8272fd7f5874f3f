"""Shells and folders from which ./vima is called, and what must come of it.

    ./vima exec python test/cases/setup_cases.py [CASE ...]

Python, pip and colcon are played (test/played_clone.py), ./vima and tools/ are real. Prints a
table; exit code 1 when a case ends otherwise than expected.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import table
from played_clone import SHELLS, PlayedClone, source_ros


def set_up_over(clone: PlayedClone, step: int) -> dict[str, str]:
    """Requirements that changed, and a set-up for them killed at that step."""
    clone.change_requirements()
    clone.run("setup", STOP_AT=str(step), STOP_BY="kill -KILL $vima 0")
    clone.calls()
    return {}


def unfinished(clone: PlayedClone) -> dict[str, str]:
    clone.run("setup", STOP_AT="4", STOP_BY="kill -KILL $vima 0")
    clone.calls()
    return {}


@dataclass(frozen=True)
class Case:
    """``change``: what is done before the run; returns variables of its shell.

    ``prepared``: the clone is set up before. ``untouched``: .venv, build and install stay the very
    same. ``words``: of the one sentence on stderr; none: nothing may be said. ``code``: exit code.
    """

    change: Callable[[PlayedClone], dict[str, str | None]] = lambda clone: {}
    folder: str = "clone"
    prepared: bool = True
    untouched: bool = True
    words: tuple[str, ...] = ()
    code: int = 0
    command: tuple[str, ...] = field(default=("sim",))


REQUIREMENTS = ("requirements/", "./vima setup")
CASES = {
    **{f"shell_{name}": Case(shell) for name, shell in SHELLS.items()},
    **{f"setup_shell_{name}": Case(s, command=("setup",)) for name, s in SHELLS.items()},
    "sourced_jazzy": Case(
        lambda clone: source_ros(clone.folder / "ros"), words=("jazzy", "./vima setup")
    ),
    "requirements_changed": Case(
        lambda clone: clone.change_requirements() or {}, words=REQUIREMENTS
    ),
    "update_killed_at_first_step": Case(lambda c: set_up_over(c, 1), words=REQUIREMENTS),
    "update_killed_at_last_step": Case(lambda c: set_up_over(c, 7), words=REQUIREMENTS),
    "first_set_up_killed": Case(unfinished, prepared=False, untouched=False),
    "path_with_space": Case(
        folder="with space", prepared=False, words=("with space", "move the clone"), code=1
    ),
    "path_not_ascii": Case(folder="kopía", prepared=False, words=("move the clone",), code=1),
    "path_with_at": Case(folder="me@host.lab", prepared=False, untouched=False),
}


def run(name: str, folder: Path) -> tuple[str, list[str]]:
    """What was seen of a case, and what of it is wrong."""
    case = CASES[name]
    clone = PlayedClone(folder, case.folder)
    if case.prepared:
        clone.run("setup")
        clone.calls()
    variables = case.change(clone)
    before = clone.identity()
    done = clone.run(*case.command, **variables)
    wrong = [f"no {word!r} on stderr" for word in case.words if word not in done.stderr]
    if done.returncode != case.code:
        wrong.append(f"exit code is not {case.code}")
    if case.untouched and (clone.identity() != before or clone.calls()):
        wrong.append("the environment was changed")
    said = done.stderr.count("vima: ")
    if case.untouched and said != bool(case.words):
        wrong.append(f"{said} sentences")
    if case.code == 0 and clone.missing():
        wrong.append(f"not whole: {clone.missing()}")
    return f"exit code {done.returncode}: {done.stderr or 'nothing said'}", wrong


def expected(case: Case) -> str:
    kept = "untouched" if case.untouched else "whole afterwards"
    return ", ".join([f"exit code {case.code}", kept, *case.words])


if __name__ == "__main__":
    table.main(sys.modules[__name__])
