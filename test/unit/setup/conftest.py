"""Clones whose set-up is played."""

import pytest
from played_clone import PlayedClone, set_up


@pytest.fixture
def bare(tmp_path):
    clone = PlayedClone(tmp_path)
    yield clone
    clone.close()


@pytest.fixture
def clone(bare):
    """Set up."""
    return set_up(bare)


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """Set up once, for tests that change nothing."""
    return set_up(PlayedClone(tmp_path_factory.mktemp("kept")))
