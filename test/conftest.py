"""Settings of all tests, and those that need data which not every clone has.

No property has a deadline: how long an example takes is the machine's affair. Processes that tests
start die of SIGHUP as in a terminal, also where the tests run under nohup; nodes and programs
end with the process that runs their test, also where that is killed.
"""

import os
import signal

import pytest
import shared_suite
from helpers import shared
from hypothesis import settings

from vima_ros.program import END_WITH

# Files that begin first: begun last, each would keep one worker busy and leave the others idle.
LONGEST = (
    "test_replay_node.py",
    "test_random_ends.py",
    "test_shared_memory_cleanup.py",
    *shared_suite.MODULES,
    "test_dead_nodes.py",
)
NEEDS_SHARED = "need ../shared"

settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")
signal.signal(signal.SIGHUP, signal.SIG_DFL)
os.environ[END_WITH] = str(os.getpid())


def pytest_collection_modifyitems(items):
    items.sort(
        key=lambda i: LONGEST.index(i.path.name) if i.path.name in LONGEST else len(LONGEST)
    )
    if not shared("").is_dir():
        for item in items:
            if item.get_closest_marker("shared"):
                item.add_marker(pytest.mark.skip(reason=NEEDS_SHARED))


def pytest_xdist_make_scheduler(config, log):
    return shared_suite.OneWorkerPerFile(config, log) if config.option.dist == "loadfile" else None


def pytest_report_teststatus(report):
    """Count these apart: one line says how many, instead of one line each."""
    if report.skipped and NEEDS_SHARED in str(report.longrepr):
        return NEEDS_SHARED, "s", "NEEDS SHARED"
    return None


def pytest_terminal_summary(terminalreporter):
    if count := len(terminalreporter.getreports(NEEDS_SHARED)):
        are = "1 test needs" if count == 1 else f"{count} tests need"
        terminalreporter.write_line(
            f"{are} the recorded data in ../shared, which is not here: not run"
        )
