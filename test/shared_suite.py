"""Modules of test/nodes that share one running suite, which takes ten CPU seconds to start.

They run one after the other in this order: the first sees the suite fresh, the last kills a node.
"""

from pathlib import Path

from xdist.scheduler import LoadFileScheduling

MODULES = (
    "test_diagnostics.py",
    "test_prompts.py",
    "test_motion.py",
    "test_fuzz_nodes.py",
    "test_execute_prompt.py",
    "test_command_line.py",
    "test_assets.py",
)


class OneWorkerPerFile(LoadFileScheduling):
    """As ``--dist loadfile``, but one worker runs all modules that share a suite."""

    def _split_scope(self, nodeid: str) -> str:
        file = super()._split_scope(nodeid)
        return "shared suite" if Path(file).name in MODULES else file
