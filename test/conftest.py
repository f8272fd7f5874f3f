"""Settings of all tests.

No property has a deadline: how long an example takes is the machine's affair. Processes that tests
start die of SIGHUP as in a terminal, also where the tests run under nohup; nodes and programs
end with the process that runs their test, also where that is killed.
"""

import os
import signal

from hypothesis import settings

from vima_ros.program import END_WITH

# Files that begin first: begun last, each would keep one worker busy and leave the others idle.
LONGEST = (
    "test_replay_node.py",
    "test_random_ends.py",
    "test_shared_memory_cleanup.py",
    "test_command_line.py",
    "test_dead_nodes.py",
)

settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")
signal.signal(signal.SIGHUP, signal.SIG_DFL)
os.environ[END_WITH] = str(os.getpid())


def pytest_collection_modifyitems(items):
    items.sort(
        key=lambda i: LONGEST.index(i.path.name) if i.path.name in LONGEST else len(LONGEST)
    )
