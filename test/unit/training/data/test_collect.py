"""Collecting in bulk: nothing twice, nothing half, whatever happens in between."""

import hashlib
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vima_ros.errors import NoRoomError, VimaError
from vima_ros.sim.recording import record
from vima_ros.sim.tasks.base import TaskEvaluation, TaskOutcome
from vima_ros.training.data import collect
from vima_ros.training.data.collect import CollectionPlan
from vima_ros.training.data.demonstration import demonstration_of
from vima_ros.training.data.readers import demonstration_files, read_demonstrations
from vima_ros.training.data.shards import read_shard, write_shard


def digests(out):
    return {
        str(path.relative_to(out)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in out.rglob("*.npz")
    }


def seeds_read(out):
    return sorted((d.task, d.seed) for d in read_demonstrations(out))


@pytest.mark.slow
def test_interrupted_and_resumed_is_the_same_as_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr(collect, "SHARD", 2)
    tasks = ("visual_manipulation", "rotate")
    at_once = CollectionPlan(tmp_path / "once", tasks, 5, 3, workers=2)
    *_, last = collect.collect(at_once)
    assert (last.there, last.total, last.done, last.failed) == (0, 10, 10, 0)
    assert seeds_read(at_once.out) == sorted((t, s) for t in tasks for s in range(3, 8))

    resumed = CollectionPlan(tmp_path / "resumed", tasks, 5, 3, workers=1)
    for progress in collect.collect(resumed):
        if progress.done:
            break
    done = len(digests(resumed.out))
    assert 0 < done < len(digests(at_once.out))
    first, *_, last = collect.collect(resumed)
    assert first.there > 0
    assert first.there + last.done == 10
    assert digests(resumed.out) == digests(at_once.out)
    assert [p.total for p in collect.collect(resumed)] == [0]


KILLED = """
import sys
from pathlib import Path
from vima_ros.training.data import collect

if __name__ == "__main__":
    collect.SHARD = 1
    tasks = ("rearrange",)
    plan = collect.CollectionPlan(Path(sys.argv[1]), tasks, 500, workers=2, content="masks")
    for progress in collect.collect(plan):
        print(progress.done, flush=True)
"""


@pytest.mark.slow
def test_killed_and_resumed_nothing_is_lost_or_half(tmp_path):
    script, out = tmp_path / "killed.py", tmp_path / "out"
    script.write_text(KILLED)
    surroundings = os.environ | {"PYTHONPATH": str(Path(collect.__file__).parents[3])}
    command = [sys.executable, str(script), str(out)]
    with subprocess.Popen(
        command, env=surroundings, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        while int(process.stdout.readline()) < 3:
            pass
        os.killpg(process.pid, signal.SIGKILL)
    there = [int(path.stem[:9]) for path in demonstration_files(out)]
    assert 3 <= len(there) < 500
    assert seeds_read(out) == [("rearrange", seed) for seed in sorted(there)]
    count = max(there) + 2
    first, *_, last = collect.collect(
        CollectionPlan(out, ("rearrange",), count, workers=1, content="masks")
    )
    assert first.there == len(there)
    assert last.done == count - len(there)
    assert seeds_read(out) == [("rearrange", seed) for seed in range(count)]


def test_workers_end_with_their_parent(tmp_path):
    script = tmp_path / "parent.py"
    script.write_text(PARENT)
    surroundings = os.environ | {"PYTHONPATH": str(Path(collect.__file__).parents[3])}
    with subprocess.Popen(
        [sys.executable, str(script)], env=surroundings, stdout=subprocess.PIPE, text=True
    ) as process:
        worker = int(process.stdout.readline())
        os.kill(worker, 0)  # it lives
        process.kill()
        try:  # the worker holds the other end of the pipe: it is gone when that closes
            process.communicate(timeout=10)
        except subprocess.TimeoutExpired:
            os.kill(worker, signal.SIGKILL)
            pytest.fail("the worker lives on")


PARENT = """
import os, time
from vima_ros.sim.process_pool import worker_pool

if __name__ == "__main__":
    with worker_pool(1) as pool:
        print(pool.submit(os.getpid).result(), flush=True)
        time.sleep(60)
"""


def test_failed_seeds_are_counted_and_not_tried_again(tmp_path, monkeypatch):
    def failing(task, level, seed, **options):
        if seed == 1:
            return TaskEvaluation(TaskOutcome.FAILURE, "dropped it")
        if seed == 2:
            raise NoRoomError("too full")
        return record(task, level, seed, **options)

    monkeypatch.setattr(collect, "record", failing)
    plan = CollectionPlan(tmp_path, ("rotate",), 4)
    (job,) = collect.missing_shards(plan, "rotate")
    assert collect.record_shard(job) == ["rotate 1: dropped it", "rotate 2: too full"]
    header, episodes = read_shard(job.path)
    assert [failure["seed"] for failure in header["failed"]] == [1, 2]
    assert [facts["seed"] for facts in header["episodes"]] == [0, 3]
    assert len(episodes) == 2
    assert list(collect.missing_shards(plan, "rotate")) == []


def test_a_look_belongs_to_its_seed(tmp_path):
    plan = CollectionPlan(tmp_path, ("rotate",), 1, 4, visual_randomization=0.7)
    (job,) = collect.missing_shards(plan, "rotate")
    collect.record_shard(job)
    (read,) = read_demonstrations(tmp_path)
    expected = demonstration_of(record("rotate", None, 4, visual_randomization=0.7))
    plain = demonstration_of(record("rotate", None, 4))
    crops = [d.observations[0].top.crops for d in (read, expected, plain)]
    np.testing.assert_array_equal(crops[0], crops[1])
    assert crops[0].shape != crops[2].shape or (crops[0] != crops[2]).any()


ranges = st.lists(
    st.tuples(st.integers(0, 120), st.integers(0, 30)).map(lambda r: (r[0], r[0] + r[1])),
    max_size=4,
)


@settings(max_examples=60)
@given(there=ranges, first=st.integers(0, 100), count=st.integers(1, 80))
def test_what_is_missing_is_done_once_and_never_across_a_shard(
    tmp_path_factory, there, first, count
):
    plan = CollectionPlan(tmp_path_factory.mktemp("out"), ("rotate",), count, first)
    folder = plan.out / "rotate" / "train"
    folder.mkdir(parents=True)
    for low, high in there:
        (folder / f"{low:09d}-{high:09d}.npz").touch()
        (folder / f"{high + 1:09d}-{high + 9:09d}.npz.part").touch()  # unfinished
    jobs = list(collect.missing_shards(plan, "rotate"))
    seeds = [seed for job in jobs for seed in job.seeds]
    known = {seed for low, high in there for seed in range(low, high + 1)}
    assert seeds == [seed for seed in range(first, first + count) if seed not in known]
    for job in jobs:
        assert job.seeds[0] // collect.SHARD == job.seeds[-1] // collect.SHARD
        assert re.fullmatch(r"\d{9}-\d{9}\.npz", job.path.name)


def test_a_folder_keeps_to_one_content_and_look(tmp_path):
    collect.claim_folder(CollectionPlan(tmp_path, ("rotate",), 1))
    collect.claim_folder(CollectionPlan(tmp_path, ("twist",), 9, 7))
    for other in (
        {"content": "masks"},
        {"visual_randomization": 0.5},
        {"deterministic_oracle": True},
    ):
        with pytest.raises(VimaError) as error:
            next(collect.collect(CollectionPlan(tmp_path, ("rotate",), 1, **other)))
        assert error.value.code == "OTHER_DEMONSTRATIONS"


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        ({"tasks": ("juggle",)}, "UNKNOWN_TASK"),
        ({"tasks": ("same_texture",)}, "UNKNOWN_LEVEL"),
        ({"level": "easy"}, "UNKNOWN_LEVEL"),
        ({"content": "video"}, "INVALID_VALUE"),
        ({"visual_randomization": 2.0}, "INVALID_VALUE"),
        ({"seeds": 0}, "INVALID_VALUE"),
        ({"first_seed": -1}, "INVALID_VALUE"),
        ({"workers": 0}, "INVALID_VALUE"),
    ],
)
def test_wrong_plans_are_refused(tmp_path, wrong, code):
    right = {"out": tmp_path, "tasks": ("rotate",), "seeds": 1}
    with pytest.raises(VimaError) as error:
        CollectionPlan(**(right | wrong))
    assert error.value.code == code


def test_an_unfinished_file_has_another_name(tmp_path, monkeypatch):
    path = tmp_path / "a" / "1.npz"

    def stop(descriptor):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", stop)
    with pytest.raises(KeyboardInterrupt):
        write_shard(path, {}, [{"x": np.arange(3)}])
    assert list(tmp_path.rglob("*.npz")) == []
    monkeypatch.undo()
    write_shard(path, {"a": 1}, [{"x": np.arange(3)}, {"x": np.arange(0)}])
    header, episodes = read_shard(path)
    assert header == {"a": 1}
    assert [episode["x"].tolist() for episode in episodes] == [[0, 1, 2], []]
