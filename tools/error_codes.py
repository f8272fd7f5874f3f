"""Write docs/errors.md: every error code with its meaning and where it appears.

Codes are found in the syntax trees of src/vima_ros and in the messages of src/vima_msgs.
"""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from vima_ros.error_codes import CODES
from vima_ros.errors import GateCode

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "errors.md"
CODE = re.compile(r"[A-Z]+(_[A-Z]+)*")
LABEL = re.compile(r"([A-Z]+(?:_[A-Z]+)+): ")  # at the beginning of a sentence
# What takes a code as its first argument.
CALLS = {"VimaError", "DetectionError", "error_of_views", "ExecutionResult", "end", "__init__"}
CONSTANT = re.compile(r"^(?:string (\w+)=\1|uint16 (\w+)=\d+)\b", re.MULTILINE)
HEAD = """# Errors and exit codes

## Exit codes

| exit code | of a program |
|---|---|
| 0 | done |
| 1 | the result is negative: a request refused, a step without a decision, an episode unsolved, a camera moved; or an unexpected error, with a traceback |
| 2 | bad input: an argument, a file, the environment, a node that does not respond. stderr ends with `PROGRAM: CODE: what was wrong, what was got, what is valid` |
| 3 | `calibrate check`: too little in view to tell |
| 3 to 13 | `send_prompt --watch`: how the episode ended; `send_prompt --help` lists them |
| 128 + signal | ended by a signal: 130 SIGINT (Ctrl-C), 143 SIGTERM, 129 SIGHUP; 141 where nobody reads its output |

A node ends with 0 on a signal, after it has held the robot; with 2 on a bad argument or parameter file, or where
another node of its name runs; with 1 on an unexpected error. `--help` prints its usage.

## Codes

A code is stable and meant for programs; the message beside it is for people. "Where" names the messages with that
constant, the safety gate, the programs, and the packages of `src/vima_ros` that raise it. In Python it is the `code`
of a `vima_ros.errors.VimaError`; `tools/error_codes.py` writes this page.

"""  # noqa: E501


def codes_in(source: str) -> Iterator[str]:
    """Yield each code that stands in a Python source as a literal."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call):
            name = getattr(node.func, "id", getattr(node.func, "attr", ""))
            yield from _codes(node.args[0]) if name in CALLS and node.args else ()
            yield from (c for k in node.keywords if k.arg == "code" for c in _codes(k.value))
        elif isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            for target in targets:
                yield from _assigned(target, node.value)
        elif isinstance(node, ast.Compare) and _is_code(node.left):
            yield from (code for value in node.comparators for code in _codes(value))
        elif label := LABEL.match(str(getattr(node, "value", ""))):
            yield label[1]


def _assigned(target: ast.expr, value: ast.expr) -> Iterator[str]:
    if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
        for one, its in zip(target.elts, value.elts, strict=False):
            yield from _assigned(one, its)
    elif _is_code(target):
        yield from _codes(value)


def _is_code(node: ast.expr) -> bool:
    name = str(getattr(node, "id", getattr(node, "attr", "")))
    return name.lower() in ("code", "_code") or name.endswith("_CODES")


def _codes(node: ast.expr) -> Iterator[str]:
    for part in ast.walk(node):
        if isinstance(part, ast.Constant) and CODE.fullmatch(str(part.value)):
            yield part.value


def find_codes() -> dict[str, list[str]]:
    """Return where each code appears."""
    found = defaultdict(set)
    for path in (ROOT / "src" / "vima_msgs").glob("*/*"):
        for names in CONSTANT.findall(path.read_text()):
            found["".join(names)].add(f"`{path.stem}`")
    for gate_code in GateCode:
        found[gate_code.value].add("gate")
    sources = ROOT / "src" / "vima_ros"
    for path in sources.rglob("*.py"):
        if path.name == "error_codes.py":
            continue
        top, *rest = path.relative_to(sources).with_suffix("").parts
        where = f"`{rest[0]}`" if top == "cli" else top
        for code in codes_in(path.read_text()):
            found[code].add(where)
    del found["NONE"]  # of ExecutePrompt: success
    return {code: sorted(places) for code, places in sorted(found.items())}


def page() -> str:
    """Return the page's Markdown."""
    places = find_codes()
    head = [
        "| code | meaning | where |",
        "|---|---|---|",
    ]  # unaligned: a new code changes one line
    rows = [f"| `{code}` | {CODES[code]} | {', '.join(places[code])} |" for code in sorted(CODES)]
    return HEAD + "\n".join([*head, *rows]) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page())
