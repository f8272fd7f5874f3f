"""Runs cases and prints what came of them as a table; shared by the `*_cases.py` beside it.

Such a module has ``CASES``, a dict by name; ``expected(case)``, in words; and
``run(name, folder)``, which returns what was seen, in words, and a list of what is wrong with it;
``folder`` is the case's own.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from vima_ros.nodes.common.ros_domain import isolate_ros_domain

HEADINGS = "| case | expected | seen | ok |\n|---|---|---|---|"


def run_cases(
    cases: Mapping[str, Any],
    expected: Callable[[Any], str],
    run: Callable[[str, Path], tuple[str, list[str]]],
) -> int:
    """Print a line per case; how many ended otherwise than expected."""
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        for name, case in cases.items():
            own = Path(folder) / name
            own.mkdir()
            try:
                seen, wrong = run(name, own)
            except Exception as error:  # one case must not hide the others
                seen, wrong = f"{type(error).__name__}: {error}", ["unexpected error"]
            failed += bool(wrong)
            verdict = f"NO: {'; '.join(wrong)}" if wrong else "yes"
            cells = [name, expected(case), " ".join(seen.split())[:300], verdict]
            print("| " + " | ".join(cell.replace("|", "/") for cell in cells) + " |", flush=True)
    return failed


def main(*modules: ModuleType) -> None:
    """Run the named cases of ``modules``, all by default; exit code 1 where one went wrong."""
    known = {name: module for module in modules for name in module.CASES}
    parser = argparse.ArgumentParser(description="Cases of odd input; prints a table.")
    parser.add_argument("cases", nargs="*", metavar="CASE", help=", ".join(known))
    names = parser.parse_args().cases or list(known)
    unknown = sorted(set(names) - set(known))
    if unknown:
        parser.error(f"unknown: {', '.join(unknown)}; valid: {', '.join(known)}")
    if "ROS_DOMAIN_ID" not in os.environ:
        isolate_ros_domain()
    print(HEADINGS)
    failed = 0
    for module in modules:
        chosen = {name: module.CASES[name] for name in names if known[name] is module}
        failed += run_cases(chosen, module.expected, module.run)
    print(f"\n{len(names) - failed} of {len(names)} as expected")
    sys.exit(1 if failed else 0)
