"""Of Fast DDS's files in /dev/shm exactly those are removed that no living process uses."""

import fcntl
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from vima_ros import shared_memory
from vima_ros.shared_memory import FOLDER, remove_unused

PORT = 7400 + 250 * 250  # beyond what a ROS domain has: no participant of this machine uses it
# Begins at once, while the files are fresh: nodes of other tests remove unused ones as well.
HOLD = 'exec 9<"$1" && flock "$2" 9 && echo && exec sleep 1000'


@pytest.fixture
def make() -> Iterator:
    """Creates files of these names, as old as a running participant's; removes them afterwards."""
    made = []

    def create(*names: str) -> None:
        for name in names:
            (FOLDER / name).write_bytes(bytes(32))
            made.append(name)

    yield create
    for name in made:
        (FOLDER / name).unlink(missing_ok=True)


@pytest.fixture(autouse=True)
def nothing_is_fresh(monkeypatch):
    monkeypatch.setattr(shared_memory, "FRESH", -1.0)


@contextmanager
def held(name: str) -> Iterator[None]:
    """Another process holds the lock."""
    kind = "--shared" if name.endswith("_sl") else "--exclusive"
    command = ["sh", "-c", HOLD, "sh", str(FOLDER / name), kind]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    try:
        assert process.stdout.readline() == b"\n"
        yield
    finally:
        process.kill()
        process.wait()


def left(*names: str) -> list[str]:
    return [name for name in names if (FOLDER / name).exists()]


def segment(prefix: str = "fastdds") -> tuple[str, str]:
    name = f"{prefix}_{random.getrandbits(64):016x}"
    return name, f"{name}_el"


def port(number: int, prefix: str = "fastdds") -> tuple[str, str, str, str]:
    name = f"{prefix}_port{number}"
    return name, f"{name}_el", f"{name}_sl", f"sem.{name}_mutex"


@pytest.mark.parametrize("prefix", ["fastdds", "fastrtps"])
def test_a_segment_stays_while_its_lock_is_held_and_goes_with_it_afterwards(make, prefix):
    names = segment(prefix)
    make(*names)
    with held(names[1]):
        remove_unused()
        assert left(*names) == [*names]
    remove_unused()
    assert left(*names) == []


def test_a_segment_without_a_lock_belongs_to_no_process(make):
    name, _ = segment()
    make(name)
    remove_unused()
    assert left(name) == []


def test_a_fresh_one_may_be_about_to_be_locked(make, monkeypatch):
    monkeypatch.setattr(shared_memory, "FRESH", 60.0)
    names = segment()
    make(*names)
    remove_unused()
    assert left(*names) == [*names]


@pytest.mark.parametrize("suffix", ["_el", "_sl"])
def test_a_port_stays_while_a_process_reads_it_and_goes_once_that_was_killed(make, suffix):
    name, exclusive, shared, _ = port(PORT)
    lock = exclusive if suffix == "_el" else shared
    make(name, lock)
    with held(lock):
        remove_unused()
        assert left(name, lock) == [name, lock]
    remove_unused()
    assert left(name, lock) == []


def test_a_port_without_a_reader_stays_while_a_process_of_its_domain_may_write_to_it(make):
    """Else the next to read that port would be deaf to that process."""
    name, other, beyond = f"fastdds_port{PORT}", port(PORT + 249), port(PORT + 250)
    make(name, other[0], other[1], beyond[0])
    with held(other[1]):
        remove_unused()
        assert left(name, other[0], beyond[0]) == [name, other[0]]
    remove_unused()
    assert left(name, *other) == []


def test_a_port_that_a_process_opens_at_this_moment_stays(make):
    """As one whose semaphore is taken: 0 is a semaphore's value when it is."""
    name, lock, _, mutex = port(PORT)
    make(name, lock, mutex)
    remove_unused()
    assert left(name, lock, mutex) == [name, lock, mutex]
    (FOLDER / mutex).write_bytes(b"\1" + bytes(31))
    remove_unused()
    assert left(name, lock, mutex) == []


def test_an_ending_process_removes_its_own_and_leaves_a_port_that_others_use(make):
    own, (name, lock, _, _), other = segment(), port(PORT), port(PORT + 2)
    make(*own, name, lock, other[0], other[1])
    with open(FOLDER / own[1]) as file, open(FOLDER / lock) as reads:
        fcntl.flock(file, fcntl.LOCK_EX)
        fcntl.flock(reads, fcntl.LOCK_EX)
        with held(other[1]):
            remove_unused()
            assert left(*own) == [*own]
            remove_unused(at_exit=True)
            assert left(*own) == []
            assert left(name, lock, other[0]) == [name, lock, other[0]]
        remove_unused(at_exit=True)
        assert left(name, lock, *other) == []


def test_what_is_not_of_fast_dds_or_of_another_user_stays(make):
    others = ["fastdds_notes", "fastdds_port", "my_fastdds_0123456789abcdef", "lttng-ust-wait-0"]
    foreign = segment()
    make(*others, *foreign)
    if os.geteuid() == 0:
        for name in foreign:
            os.chown(FOLDER / name, 12345, 12345)
        others += foreign
    remove_unused()
    assert left(*others) == others


# In a process of its own, which what it meets may block or kill.
CLEAR = """
import sys
from pathlib import Path
from vima_ros import shared_memory
shared_memory.FOLDER, shared_memory.FRESH = Path(sys.argv[1]), -1.0
shared_memory.remove_unused()
"""


def clear(folder: Path) -> set[str]:
    """What is left in the folder."""
    subprocess.run([sys.executable, "-c", CLEAR, folder], check=True, timeout=30)
    return {path.name for path in folder.iterdir()}


@pytest.mark.parametrize("odd", ["fifo", "folder", "link", "dangling link"])
def test_what_is_no_regular_file_is_left_alone(odd, tmp_path):
    folder, target = tmp_path / "shm", tmp_path / "target"
    folder.mkdir()
    target.write_text("kept")
    names = [*segment(), *port(PORT), port(PORT + 250)[1]]
    for name in names:
        match odd:
            case "fifo":
                os.mkfifo(folder / name)
            case "folder":
                (folder / name).mkdir()
            case "link":
                (folder / name).symlink_to(target)
            case _:
                (folder / name).symlink_to("nowhere")
    unused = segment()[0]
    (folder / unused).touch()
    assert clear(folder) == {*names}
    assert target.read_text() == "kept"


@pytest.mark.parametrize("suffix", ["_el", "_sl"])
def test_a_fifo_named_like_a_lock_neither_blocks_nor_keeps_its_domain_alive(suffix, tmp_path):
    own, lock = segment(), f"fastdds_port{PORT + 2}{suffix}"
    os.mkfifo(tmp_path / own[1])
    os.mkfifo(tmp_path / lock)
    (tmp_path / own[0]).touch()
    (tmp_path / f"fastdds_port{PORT}").touch()
    assert clear(tmp_path) == {*own, lock}


@pytest.mark.parametrize("size", [0, 31])
def test_a_truncated_semaphore_is_not_opened(size, make):
    """To open an empty one is a SIGBUS, for Fast DDS too: it goes, and with it its port."""
    name, _, _, mutex = port(PORT)
    make(name, mutex)
    (FOLDER / mutex).write_bytes(bytes(size))
    clear(FOLDER)
    assert left(name, mutex) == ([name, mutex] if size else [])
