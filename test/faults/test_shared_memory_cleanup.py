"""However the suite ends, /dev/shm is as before; shared_memory.py does the same forty times."""

import pytest
from shared_memory import FOLDER, holders, run


@pytest.mark.slow
def test_an_ended_suite_leaves_nothing_in_shared_memory(tmp_path):
    ways = ("SIGINT", "SIGTERM", "SIGKILL", "SIGKILL all", "SIGINT")
    arguments = ["--params-file", "free_gripper", "--checkpoint", "random"]
    rounds = list(run(len(ways), ways, arguments, tmp_path, seed=1))
    for way, done in zip(ways, rounds, strict=True):
        assert done.held, way
        assert not done.orphans, way
        if way != "SIGKILL all":  # the next start clears it
            assert not done.left, (way, done.left)
    assert rounds[3].left
    left = [name for name in rounds[3].left if (FOLDER / name).exists()]
    assert not left, "\n".join(map(holders, left))
