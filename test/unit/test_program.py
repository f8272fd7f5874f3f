"""Signals to a program that imports something while it runs."""

import signal
import subprocess
import sys

import pytest

# As C++ code does that imports: it catches what is raised, and prints or aborts.
SLOW = """
import os, time
try:
    os.kill(os.getpid(), NUMBER)
    time.sleep(30)
except BaseException as error:
    print("raised", type(error).__name__)
"""
PROGRAM = """
import sys
sys.path.insert(0, FOLDER)
from vima_ros.program import run_program
def main():
    import slow
run_program(lambda: main)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda s: s.name)
def test_a_signal_during_an_import_ends_the_program_at_once(tmp_path, number):
    (tmp_path / "slow.py").write_text(SLOW.replace("NUMBER", str(int(number))))
    program = PROGRAM.replace("FOLDER", repr(str(tmp_path)))
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout, done.stderr) == (128 + number, "", "")
