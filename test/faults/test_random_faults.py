"""Faults at random; random_faults.py does the same by the thousand."""

import pytest
from random_faults import Chaos


@pytest.mark.slow
def test_no_forbidden_motion_and_an_end_for_every_episode(suite):
    chaos = Chaos(suite, seed=7)
    chaos.run(30)
    assert chaos.violations() == [], chaos.table()
    assert chaos.without_end == [], chaos.table()
    assert sum(chaos.ends.values()) >= 4
