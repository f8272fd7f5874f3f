"""The stand-in of VIMA-Bench as a user's installation: a Python that can import it."""

import os
import sys
from pathlib import Path

STAND_IN = Path(__file__).parent / "vima_bench_stand_in"


def write_python(folder: Path) -> str:
    """Return the path of a program that runs this Python with the stand-in."""
    path = folder / "python"
    path.write_text(f'#!/bin/sh\nPYTHONPATH={STAND_IN} exec {sys.executable} "$@"\n')
    os.chmod(path, 0o755)
    return str(path)
