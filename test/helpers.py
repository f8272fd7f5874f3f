"""What several tests share."""

from pathlib import Path

import pytest
from recordings import PROMPT, Recording, write_recording

ROOT = Path(__file__).parents[1]


def data(relative: str) -> Path:
    """A file or folder of the recorded data in this repository: test/data/README.md."""
    return ROOT / "test" / "data" / relative


def shared(relative: str) -> Path:
    """A file or folder of the larger data beside the repository, for tests marked ``shared``."""
    return ROOT.parent / "shared" / relative


def recorded(relative: str):
    """A test's parameter: what test/data lacks is in ../shared, and marks the test ``shared``."""
    if data(relative).exists():
        return pytest.param(data(relative), id=relative)
    return pytest.param(shared(relative), id=relative, marks=pytest.mark.shared)


# The recorded bags of VIMA-Bench, three of them in test/data.
BAGS = [
    recorded(f"bench/bags/{task}/{seed}")
    for task in ("rotate", "visual_manipulation", "sweep_without_exceeding", "follow_order")
    for seed in (1000, 1001, 1002, 1003)
]
# The recorded episodes of VIMA-Bench: one of each task in test/data, all 68 in ../shared.
EPISODES = [
    pytest.param(data("bench/episodes"), id="one of each task"),
    pytest.param(shared("bench/episodes"), id="all", marks=pytest.mark.shared),
]


def write_bag(path: Path, storage, steps: int, empty_steps=(), **prompt) -> Path:
    """A small recording as documented in replay/bag.py, stamped as the bag received it.

    Each step has five pairs of frames 0.1 s apart, then the action; ``empty_steps`` show nothing.
    ``prompt`` overrides fields of the /prompt JSON.
    """
    recording = Recording(
        storage=storage, steps=steps, empty_steps=empty_steps, prompt=PROMPT | prompt
    )
    return write_recording(path, recording)
