"""All cases of odd input that users have met, and what must come of each; prints a table.

    ./vima exec python test/cases/run.py [CASE ...]

The same cases group by group: the `*_cases.py` beside this file. Exit code 1 when a case ends
otherwise than expected.
"""

from __future__ import annotations

import importlib
from pathlib import Path

import table

if __name__ == "__main__":
    table.main(
        *(
            importlib.import_module(p.stem)
            for p in sorted(Path(__file__).parent.glob("*_cases.py"))
        )
    )
