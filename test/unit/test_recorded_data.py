"""The recorded data is small, and what a clone without ../shared leaves out is counted."""

import os
import re
import shutil
import subprocess
import sys

import pytest
from helpers import BAGS, ROOT, data

LIMIT = 8_000_000  # [bytes], all clones carry it
TESTS = """
import pytest

@pytest.mark.shared
@pytest.mark.parametrize("number", range(3))
def test_many(number):
    pass

def test_one():
    pytest.skip("for another reason")

@pytest.mark.xfail
def test_two():
    assert False

def test_three():
    pass
"""


def test_the_recorded_data_is_small():
    sizes = {path: path.stat().st_size for path in data("").rglob("*") if path.is_file()}
    assert 0 < sum(sizes.values()) <= LIMIT, sorted(sizes, key=sizes.get)[-5:]


def test_three_bags_are_in_every_clone_with_the_episodes_that_they_were_made_of():
    bags = [bag.values[0] for bag in BAGS if not bag.marks]
    assert len({bag.parent.name for bag in bags}) == len(bags) == 3
    for bag in bags:
        for suffix in (".json", ".npz"):
            assert data(f"bench/episodes/{bag.parent.name}/{bag.name}{suffix}").exists()


def run(folder, *options):
    """What pytest prints of ``TESTS`` in a repository like this one, ``folder``."""
    (folder / "test").mkdir(parents=True)
    shutil.copy(ROOT / "pyproject.toml", folder)
    for name in ("conftest.py", "helpers.py"):
        shutil.copy(ROOT / "test" / name, folder / "test")
    (folder / "test" / "test_some.py").write_text(TESTS)
    path = os.pathsep.join(
        [str(ROOT / "src"), str(ROOT / "test"), os.environ.get("PYTHONPATH", "")]
    )
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *options],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 2])
def test_a_run_without_shared_says_in_one_line_how_many_tests_need_it(tmp_path, workers):
    printed = run(tmp_path / "clone", "--numprocesses", str(workers))
    said = [line for line in printed.splitlines() if "../shared" in line]
    assert said[0] == "3 tests need the recorded data in ../shared, which is not here: not run"
    assert len(said) == 2  # and pytest's own last line
    assert re.search(r"1 passed, 1 skipped, 1 xfailed, 3 need ../shared", said[1])
    assert "for another reason" in printed


@pytest.mark.slow
def test_a_run_with_shared_runs_all(tmp_path):
    (tmp_path / "shared").mkdir()
    printed = run(tmp_path / "clone")
    assert "4 passed, 1 skipped, 1 xfailed" in printed
    assert "../shared" not in printed
