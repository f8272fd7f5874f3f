"""The gymnasium environment in other processes: it works or is refused, and no process is left."""

import signal

import pytest

pytest.importorskip("gymnasium", reason="gymnasium is an extra")

import vector_environments as ways


@pytest.mark.slow
@pytest.mark.parametrize("way", [way.__name__ for way in ways.WORKING])
def test_it_works_in_processes_that_began_afresh(way):
    code, output = ways.outcome(way)
    assert (code, output.splitlines()[-1]) == (0, "done"), output


@pytest.mark.slow
@pytest.mark.parametrize("way", [way.__name__ for way in ways.REFUSED])
def test_a_fork_after_rendering_is_refused_with_what_works(way):
    code, output = ways.outcome(way)
    assert code == 1, output
    assert 'vector_kwargs={"context": "spawn"}' in output


@pytest.mark.slow
@pytest.mark.parametrize("way", [way.__name__ for way in ways.ENDING])
def test_no_process_outlives_one_that_ends_abruptly(way):
    code, _ = ways.outcome(way)
    assert code == (1 if way == "exception_without_close" else -signal.SIGKILL)
