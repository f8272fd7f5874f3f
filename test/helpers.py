"""What several tests share."""

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def shared(relative: str) -> Path:
    """A file or folder of the recorded data beside the repository; skips the test without it."""
    path = ROOT.parent / "shared" / relative
    if not path.exists():
        pytest.skip(f"recorded data not beside the repository: shared/{relative}")
    return path
