"""What several tests share."""

from pathlib import Path

import pytest
from recordings import PROMPT, Recording, write_recording

ROOT = Path(__file__).parents[1]


def shared(relative: str) -> Path:
    """A file or folder of the recorded data beside the repository; skips the test without it."""
    path = ROOT.parent / "shared" / relative
    if not path.exists():
        pytest.skip(f"recorded data not beside the repository: shared/{relative}")
    return path


def write_bag(path: Path, storage, steps: int, empty_steps=(), **prompt) -> Path:
    """A small recording as documented in replay/bag.py, stamped as the bag received it.

    Each step has five pairs of frames 0.1 s apart, then the action; ``empty_steps`` show nothing.
    ``prompt`` overrides fields of the /prompt JSON.
    """
    recording = Recording(
        storage=storage, steps=steps, empty_steps=empty_steps, prompt=PROMPT | prompt
    )
    return write_recording(path, recording)
