"""The robot stops, in whatever way the suite ends; random_ends.py does the same by the hundred."""

import argparse

import pytest
from random_ends import WAYS, Ends


@pytest.mark.slow
@pytest.mark.parametrize("params_file", ["tabletop", "free_gripper"])
def test_the_robot_holds_before_the_suite_ends(params_file, tmp_path):
    options = argparse.Namespace(ends=len(WAYS), seed=1, params_file=params_file, ways=WAYS)
    options.command, options.exit_codes = "", None
    # Long before a motion would have ended by itself; random_ends.py measures the times.
    options.hold_within = options.rest_within = 1.0
    ends = Ends(options, tmp_path)
    ends.run()
    assert not ends.faults, ends.table()
