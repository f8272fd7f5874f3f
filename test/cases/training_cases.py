"""Recipes and runs as users have them, and what `train_policy` must say of each.

    ./vima exec python test/cases/training_cases.py [CASE ...]

For each case the program is called with one recipe or folder. Prints a table; exit code 1 when a
case ends otherwise than expected.
"""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from ament_index_python.packages import get_package_prefix

sys.path.insert(0, str(Path(__file__).parents[1]))

import table

from vima_ros.paths import config_path

PROGRAM = Path(get_package_prefix("vima_ros")) / "lib" / "vima_ros" / "train_policy"
SMALL = config_path("training/policy_small.yaml").read_text()
ABSENT = ["--data", "{folder}/absent", "--out", "{folder}/run"]


@dataclass(frozen=True)
class Case:
    """``recipe``: text of the file {folder}/own.yaml; None: no file.

    ``words``: all of them stand in the output, which has one line unless ``lines`` is 0.
    """

    recipe: str | None = None
    words: tuple[str, ...] = ()
    arguments: list[str] = field(
        default_factory=lambda: ["--config", "{folder}/own.yaml", *ABSENT]
    )
    code: int = 2
    lines: int = 1


def changed(old: str, new: str, *words: str) -> Case:
    """The bundled recipe with one change."""
    assert old in SMALL
    return Case(SMALL.replace(old, new), ("BAD_CONFIG", "own.yaml", *words))


RATE = "learning_rate: 1.2e-3"
PRINTED = ["--config", "{folder}/own.yaml", "--print-config"]
CASES = {
    "rate_as_word": changed(RATE, "learning_rate: fast", "line", "'fast'", "a number above 0"),
    "rate_quoted": changed(RATE, "learning_rate: '1e-4'", "'1e-4'", "a number above 0"),
    "rate_without_point": Case(
        SMALL.replace(RATE, "learning_rate: 1e-4"), ("learning_rate: 0.0001",), PRINTED, 0, 0
    ),
    "rate_negative": changed(RATE, "learning_rate: -1", "-1", "above 0"),
    "rate_empty": changed(RATE, "learning_rate:", "no value", "above 0"),
    "key_misspelled": changed(
        "warmup_steps:", "warmup:", "no key recipe.warmup", "nearest: warmup_steps"
    ),
    "key_of_network_misspelled": changed("vit_heads", "vit_head", "nearest: vit_heads"),
    "key_twice": changed(
        "micro_batches: 3", "micro_batches: 3\n  batch_size: 64", "recipe.batch_size", "already"
    ),
    "task_misspelled": changed("rotate: 4", "rotat: 4", "'rotat'", "nearest: rotate"),
    "task_weight_as_word": changed("rotate: 4", "rotate: often", "rotate is 'often'"),
    "batch_of_half_episodes": changed(
        "batch_size: 128", "batch_size: 0.5", "0.5", "a whole number from 1"
    ),
    "heads_that_do_not_divide": changed("vit_heads: 4", "vit_heads: 5", "vit_heads is 5", "64"),
    "section_misspelled": changed("recipe:", "recipes:", "nearest: recipe"),
    "section_missing": Case("recipe:\n  batch_size: 8\n", ("BAD_CONFIG", "lacks network:")),
    "empty": Case("", ("BAD_CONFIG", "is empty", "network: and recipe:")),
    "not_yaml": Case("network: {\nrecipe: ]", ("BAD_CONFIG", "not YAML", "line 2")),
    "indented_by_tabs": Case("network:\n\tembed_dim: 8", ("BAD_CONFIG", "line 2", "tabs")),
    "list": Case("- batch_size: 8", ("BAD_CONFIG", "network: and recipe:")),
    "no_such_file": Case(None, ("BAD_CONFIG", "own.yaml: no such file", "small")),
    "folder": Case(None, ("BAD_CONFIG", "is no file"), ["--config", "{folder}", *ABSENT]),
    "own_file_is_taken": Case(
        SMALL.replace("batch_size: 128", "batch_size: 96"), ("batch_size: 96",), PRINTED, 0, 0
    ),
    "bundled_name": Case(
        None, ("batch_size: 128",), ["--config", "small", "--print-config"], 0, 0
    ),
    "steps_of_the_file_count": Case(
        SMALL.replace("batch_size: 128", "steps: 77"), ("steps: 77",), PRINTED, 0, 0
    ),
    "steps_0": Case(
        SMALL, ("BAD_CONFIG", "steps is 0", "from 1 to"), [*PRINTED[:2], "--steps", "0", *ABSENT]
    ),
    "no_data": Case(SMALL, ("NO_DEMONSTRATIONS", "absent"), lines=0),
}


def run(name: str, folder: Path) -> tuple[str, list[str]]:
    """What was seen of a case, and what of it is wrong."""
    case = CASES[name]
    if case.recipe is not None:
        (folder / "own.yaml").write_text(case.recipe)
    arguments = [a.replace("{folder}", str(folder)) for a in case.arguments]
    done = subprocess.run(
        [sys.executable, PROGRAM, *arguments], capture_output=True, text=True, timeout=300
    )
    output = done.stdout + done.stderr
    wrong = [f"no {word!r} in the output" for word in case.words if word not in output]
    if done.returncode != case.code:
        wrong.append(f"exit code {done.returncode}")
    if "Traceback" in output or (case.lines and len(output.splitlines()) != case.lines):
        wrong.append("more than one line")
    return f"exit code {done.returncode}: {output if case.lines else output[-200:]}", wrong


def expected(case: Case) -> str:
    return ", ".join([f"exit code {case.code}", *case.words])


if __name__ == "__main__":
    table.main(sys.modules[__name__])
