"""Removal of Fast DDS's files in /dev/shm that belong to no process.

``fastdds_UUID`` is a participant's segment; ``fastdds_UUID_el`` exists before it and after it, and
is locked (flock) while the participant lives. ``fastdds_portN`` is a queue; its reader locks
``fastdds_portN_el`` or ``_sl``, a writer locks nothing, but reads another port of its domain.
``sem.fastdds_portN_mutex`` is held while a process opens or closes that port. Fast DDS 2
writes ``fastrtps`` for ``fastdds``. Locks, unlike /proc, also show the processes of other users
and containers.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import re
import stat
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from vima_ros.errors import VimaError

FOLDER = Path("/dev/shm")  # noqa: S108  (where Fast DDS has them)
MIB = 2**20
NOT_WRITABLE = (
    f"{FOLDER} is not writable; valid: a writable one (mount -o remount,rw {FOLDER}; chmod 1777 "
    f"{FOLDER}; in a container, docker run --shm-size=1g)"
)
REMEDY = "docker run --shm-size=1g, or --ipc=host; mount -o remount,size=1g /dev/shm"
FRESH = 1.0  # younger files may belong to a participant that has not locked them yet [s]
FIRST_PORT, DOMAIN_PORTS = 7400, 250  # of domain 0, and per domain, DDSI-RTPS 9.6.1.1
SEMAPHORE_SIZE = 32  # of a sem_t on 64-bit Linux [bytes]
_SEGMENT = re.compile(r"((?:fastdds|fastrtps)_[0-9a-f]{16})(?:_el)?")
_PORT = re.compile(r"(?:sem\.)?((?:fastdds|fastrtps)_port(\d+))(?:_el|_sl|_mutex)?")
_LOCK_SUFFIXES = ("_el", "_sl")


def remove_unused(at_exit: bool = False) -> None:
    """Remove the files of this user that no living process uses.

    ``at_exit``: this process sends and receives nothing more, so its own are removed too.
    """
    names = _own_files()
    own = _locked_by_this_process() if at_exit else set()
    for segment in {found[1] for found in map(_SEGMENT.fullmatch, names) if found}:
        lock = f"{segment}_el"
        if lock in own or not _fresh([segment, lock]):
            with _try_lock(lock, own) as unused:
                if unused:
                    _remove([segment, lock])
    ports = {found[1]: int(found[2]) for found in map(_PORT.fullmatch, names) if found}
    if ports:
        living = _living_domains(own)
        for port, number in ports.items():
            _remove_port(port, _domain(number) in living, own)


def is_writable() -> bool:
    """Return whether this user can create files in /dev/shm."""
    return os.access(FOLDER, os.W_OK | os.X_OK)


def room() -> tuple[int, int]:
    """Return size and free space of /dev/shm [bytes]; zeros where nothing can be written."""
    try:
        if not is_writable():
            return 0, 0
        found = os.statvfs(FOLDER)
    except OSError:
        return 0, 0
    return found.f_frsize * found.f_blocks, found.f_frsize * found.f_bavail


def check_room() -> None:
    """Check that /dev/shm has room, after removal of what was left there, and is writable.

    Raises VimaError (SHARED_MEMORY).
    """
    if room()[1] >= MIB:
        return
    if not is_writable():
        raise VimaError("SHARED_MEMORY", NOT_WRITABLE)
    remove_unused()
    size, free = room()
    if free < MIB:
        raise VimaError(
            "SHARED_MEMORY",
            f"{FOLDER} has {size / MIB:.0f} MiB and is full; valid: "
            f"35 MiB free per process, at least 4 ({REMEDY})",
        )


def _remove_port(port: str, domain_lives: bool, own: set[str]) -> None:
    """Remove a port whose reader was killed, or that no process of its domain can write to."""
    locks = [f"{port}{suffix}" for suffix in _LOCK_SUFFIXES]
    with _try_mutex(f"{port}_mutex") as quiet:
        if not quiet:  # a process opens or closes it at this moment
            return
        with _try_lock(locks[0], own) as first, _try_lock(locks[1], own) as second:
            killed = any((FOLDER / name).exists() and name not in own for name in locks)
            if first and second and (killed or not domain_lives):
                _remove([port, *locks, f"sem.{port}_mutex"])


def _own_files() -> list[str]:
    """List this user's regular files in /dev/shm."""
    names, user = [], os.geteuid()
    with contextlib.suppress(OSError), os.scandir(FOLDER) as entries:
        for entry in entries:
            with contextlib.suppress(OSError):
                if entry.stat(follow_symlinks=False).st_uid == user and _stat_regular(entry.name):
                    names.append(entry.name)
    return names


def _living_domains(own: set[str]) -> set[int]:
    """Return the ROS domains of which another process reads a port."""
    living = set()
    for name in os.listdir(FOLDER):
        found = _PORT.fullmatch(name)
        lock = found and name.endswith(_LOCK_SUFFIXES) and _stat_regular(name)
        if found and lock and name not in own:
            # With its mutex: a process that opens the port at this moment must not meet our lock.
            with _try_mutex(f"{found[1]}_mutex") as quiet, _try_lock(name, own, quiet) as unused:
                if not unused:
                    living.add(_domain(int(found[2])))
    return living


def _stat_regular(name: str) -> os.stat_result | None:
    """Return the status of a regular file in /dev/shm; Fast DDS has no other kinds."""
    with contextlib.suppress(OSError):
        found = os.lstat(FOLDER / name)
        if stat.S_ISREG(found.st_mode):
            return found
    return None


def _domain(port: int) -> int:
    """Return the ROS domain of a port."""
    return (port - FIRST_PORT) // DOMAIN_PORTS


def _locked_by_this_process() -> set[str]:
    """Return the files in /dev/shm that this process has open; Fast DDS keeps locks open."""
    names = set()
    for number in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            path = Path(os.readlink(f"/proc/self/fd/{number}"))
            if path.parent == FOLDER:
                names.add(path.name)
    return names


@contextlib.contextmanager
def _try_lock(name: str, own: set[str], quiet: bool = True) -> Iterator[bool]:
    """Lock the lock file for the duration; yield whether no other process holds it.

    Yields True as well for a missing file and one of ``own``, False where not ``quiet``.
    """
    path = FOLDER / name
    if not quiet:
        yield False
        return
    if name in own or not path.exists():
        yield True
        return
    try:
        # A FIFO of that name would block, or a link lead elsewhere.
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW)
    except OSError:  # another user's, or just removed
        yield False
        return
    try:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            found = _stat_regular(name)
            unused = found is not None and os.fstat(file).st_ino == found.st_ino  # not replaced
        except OSError:
            unused = False
        yield unused
    finally:
        os.close(file)


@contextlib.contextmanager
def _try_mutex(name: str) -> Iterator[bool]:
    """Take the named POSIX semaphore for the duration; yield whether it was free or is missing.

    An empty file counts as missing: a process that opens it dies of a SIGBUS, so none has it.
    """
    path = FOLDER / f"sem.{name}"
    found = _stat_regular(path.name)
    if found and found.st_size == 0 and found.st_uid == os.geteuid():
        _remove([path.name])
        found = None
    if not found and not os.path.lexists(path):
        yield True
        return
    if not found or found.st_size < SEMAPHORE_SIZE:
        yield False
        return
    libc = ctypes.CDLL(None)
    libc.sem_open.restype = ctypes.c_void_p
    semaphore = ctypes.c_void_p(libc.sem_open(f"/{name}".encode(), 0))
    if not semaphore.value:
        yield False
        return
    try:
        taken = libc.sem_trywait(semaphore) == 0
        try:
            yield taken
        finally:
            if taken:
                libc.sem_post(semaphore)
    finally:
        libc.sem_close(semaphore)


def _fresh(names: Iterable[str]) -> bool:
    now = time.time()
    for name in names:
        with contextlib.suppress(OSError):
            if now - (FOLDER / name).stat().st_ctime < FRESH:
                return True
    return False


def _remove(names: Iterable[str]) -> None:
    for name in names:
        with contextlib.suppress(OSError):
            (FOLDER / name).unlink()
