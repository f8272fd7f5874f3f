"""Entry points of all nodes and programs, and their handling of signals.

The name in ``argv[0]`` selects the module whose ``main`` runs: ``vima_ros.nodes.NAME.node`` of a
node; ``vima_ros.cli.NAME``, or ``vima_ros.cli.NAME.main`` where that is a package, of a program.
Signals are handled before that module and what it imports are loaded, which takes seconds.

Before that, RMW_IMPLEMENTATION and /dev/shm are checked: rcl ends the process while it is imported
where the one names something absent, and LTTng, which it loads, dies where the other is full.

Nodes end in order on a signal, with exit code 0. Programs end with 128 + its number: 130 on
SIGINT, 143 on SIGTERM, 129 on SIGHUP. None prints a traceback. docs/errors.md has all exit codes.
"""

from __future__ import annotations

import atexit
import contextlib
import importlib
import os
import select
import signal
import sys
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from types import FrameType

from vima_ros import shared_memory
from vima_ros.errors import VimaError

END_WITH = "VIMA_ROS_END_WITH"  # environment: process id; a node ends when that process does
END_TIMEOUT = 3.0  # a node that has not ended this long after its hold is ended [s]
HOLD_TIMEOUT = 8.0  # a hold that takes longer is given up; the node ends END_TIMEOUT later [s]
DONE, NEGATIVE, BAD_INPUT = 0, 1, 2  # exit codes; NEGATIVE: the result, such as a refusal
NODE_OPTIONS = {"tabletop": ("--viewer",)}  # of their own, beside ROS arguments
USAGE = """usage: {name}{options} [--ros-args [-p NAME:=VALUE] [--params-file FILE] [-r A:=B] ...]

Node {name} of the suite. config/{name}.yaml has its parameters, with their defaults."""
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
Main = Callable[[list[str]], "int | None"]  # of arguments, without the program's name


class SignalWatcher:
    """Calls ``on_end`` with the signal's name, in a thread of its own, at the first signal.

    A thread, because the main thread may be in C code for seconds (a load, a plan, a decision)
    and Python would run a signal handler only afterwards. Later signals change nothing: a terminal
    and a launch file may both send one. A process that has nothing to end in order, because it is
    still importing, ends at once.
    """

    def __init__(self) -> None:
        self._on_end: Callable[[str], None] = lambda reason: _end_now(0)
        self._calling = threading.Lock()
        self._reads, writes = os.pipe()
        os.set_blocking(writes, False)
        signal.set_wakeup_fd(writes, warn_on_full_buffer=False)  # first: no signal gets lost
        for number in handled_signals():
            signal.signal(number, lambda *_: None)
        threading.Thread(target=self._watch, name="signals", daemon=True).start()
        _follow_starter()

    def on_end(self, callback: Callable[[str], None]) -> None:
        """Call ``callback`` at the first signal from now on, instead of leaving at once."""
        self._on_end = callback

    def forget(self) -> None:
        """Call nothing any more, as the process ends by itself; wait for a call that has begun."""
        with self._calling:
            self._on_end = lambda reason: None

    def _watch(self) -> None:
        number = os.read(self._reads, 1)[0]
        limit = threading.Timer(HOLD_TIMEOUT + END_TIMEOUT, _end_now, (0,))
        limit.daemon = True
        limit.start()
        try:
            with self._calling:
                self._on_end(signal.Signals(number).name)
        finally:
            threading.Event().wait(END_TIMEOUT)
            with contextlib.suppress(OSError, ValueError):  # stderr may be closed
                print(f"not ended {END_TIMEOUT:g} s after its hold: ends now", file=sys.stderr)
            _end_now(0)


def handled_signals() -> list[signal.Signals]:
    """Return ``SIGNALS``, without SIGHUP where that is ignored, as by nohup."""
    return [s for s in SIGNALS if s != signal.SIGHUP or signal.getsignal(s) != signal.SIG_IGN]


def _follow_starter() -> None:
    """End with the process that the environment variable ``END_WITH`` names, if it is set."""
    watched = os.environ.get(END_WITH, "")
    if watched:
        threading.Thread(target=_end_with, args=(watched,), name=END_WITH, daemon=True).start()


def _end_with(watched: str) -> None:
    """Send this process SIGTERM once the process with the id ``watched`` is gone."""
    try:
        descriptor = os.pidfd_open(int(watched))
    except ProcessLookupError:
        pass  # gone before this process could look
    except (OSError, ValueError) as error:
        print(f"{END_WITH}={watched!r} is not watched: {error}", file=sys.stderr)
        return
    else:
        select.select([descriptor], [], [])
    os.kill(os.getpid(), signal.SIGTERM)


_watcher: SignalWatcher | None = None


def watch_signals() -> SignalWatcher:
    """Return the process's signal watcher. Call it in the main thread."""
    global _watcher
    if _watcher is None:
        _watcher = SignalWatcher()
    return _watcher


def _find_program() -> Main:
    _check_rmw()
    shared_memory.check_room()
    module = importlib.import_module(f"vima_ros.cli.{program_name()}")
    if hasattr(module, "__path__"):
        module = importlib.import_module(f"{module.__name__}.main")
    return module.main


def program_name() -> str:
    """Return the name of this node or program, also where Python runs its module by ``-m``."""
    path = Path(sys.argv[0])
    return path.parent.name if path.stem == "main" else path.stem


def _check_rmw() -> None:
    """Check that RMW_IMPLEMENTATION is installed. Raises VimaError (BAD_ENVIRONMENT)."""
    chosen = os.environ.get("RMW_IMPLEMENTATION")
    prefixes = os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep)
    index = Path("share", "ament_index", "resource_index", "rmw_typesupport")
    folders = [folder for prefix in prefixes if (folder := Path(prefix) / index).is_dir()]
    known = {file.name for folder in folders for file in folder.iterdir()} - {"rmw_implementation"}
    if chosen and known and chosen not in known:
        valid = ", ".join(sorted(known))
        raise VimaError(
            "BAD_ENVIRONMENT",
            f"RMW_IMPLEMENTATION is {chosen!r}, which is not installed; valid: {valid}, or "
            "nothing for ROS's default",
        )


def run_node() -> None:
    """Entry point of a node."""
    watch_signals()
    atexit.register(_ignore_signals)
    name = program_name()

    def main(args: list[str]) -> int | None:
        options = NODE_OPTIONS.get(name, ())
        if unknown := [word for word in without_ros_args(args) if word not in options]:
            if unknown[0] in ("-h", "--help"):
                print(USAGE.format(name=name, options="".join(f" [{o}]" for o in options)))
                return DONE
            valid = ", ".join([*options, "those after --ros-args; --help lists them"])
            raise VimaError("BAD_ARGUMENT", f"arguments {' '.join(unknown)}; valid: {valid}")
        _check_rmw()
        shared_memory.check_room()
        return importlib.import_module(f"vima_ros.nodes.{name}.node").main()

    if code := exit_code(name, main, sys.argv[1:]):
        sys.exit(code)


def without_ros_args(args: list[str]) -> list[str]:
    """Return the arguments outside of ``--ros-args … [--]``.

    rclpy's own function reads parameter files meanwhile, and refuses those not mended yet.
    """
    rest, ros = [], False
    for word in args:
        if word == "--ros-args" or (ros and word == "--"):
            ros = word == "--ros-args"
        elif not ros:
            rest.append(word)
    return rest


def run_program(find_main: Callable[[], Main] = _find_program) -> None:
    """Entry point of a program. ``find_main`` imports what is slow and returns its main function.

    SIGINT raises KeyboardInterrupt in the main function, other signals SystemExit.
    """
    numbers = handled_signals()
    _handle(numbers, _leave)  # an import may turn an exception into one of its own
    atexit.register(_ignore_signals)
    _follow_starter()

    def main(args: list[str]) -> int | None:
        program = find_main()
        _handle(numbers, _exit)
        try:
            return program(args)
        finally:
            _handle(numbers, _leave)  # nothing is left to end in order

    sys.exit(exit_code(program_name(), main, sys.argv[1:]))


def exit_code(name: str, main: Main, args: list[str]) -> int:
    """Run the main function of the program ``name`` and return the exit code.

    That is what ``main`` returns, DONE for None; BAD_INPUT, with a sentence on stderr, for a
    VimaError and for a file that cannot be read or written; 130 for an interrupt; 141, as by
    SIGPIPE, where nobody reads stdout any more.
    """
    try:
        code = main(args)
        sys.stdout.flush()
        return code or DONE
    except SystemExit as end:  # of argparse, or by a signal
        return int(end.code or DONE)
    except VimaError as error:
        print_error(name, error)
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    except BrokenPipeError:
        if not _stdout_is_closed():
            raise
        return 128 + signal.SIGPIPE
    except OSError as error:
        if error.filename is None:
            raise
        print_error(name, VimaError("BAD_FILE", f"{error.filename}: {error.strerror}"))
    return BAD_INPUT


def print_error(name: str, error: VimaError) -> None:
    """Print an error of the program ``name`` to stderr, with its code."""
    print(f"{name}: {error.code}: {error}", file=sys.stderr)


def _stdout_is_closed() -> bool:
    """Return whether nobody reads stdout any more; what is left to write is then dropped."""
    poll = select.poll()
    poll.register(sys.stdout.fileno(), 0)  # errors are always reported
    if closed := bool(poll.poll(0)):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return closed


def _ignore_signals() -> None:
    """Keep the exit code from a signal that comes while the interpreter ends."""
    _handle(handled_signals(), signal.SIG_IGN)


def _handle(numbers: Iterable[signal.Signals], handler: Callable | signal.Handlers) -> None:
    for number in numbers:
        signal.signal(number, handler)


def _exit(number: int, frame: FrameType | None) -> None:
    """End in order; at once during an import, where C++ code aborts or prints what is raised."""
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            _end_now(128 + number)
        frame = frame.f_back
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    raise SystemExit(128 + number)


def _leave(number: int, frame: FrameType | None) -> None:
    _end_now(128 + number)


_last: list[Callable[[], None]] = []


def at_exit(callback: Callable[[], None]) -> None:
    """Call ``callback`` last, however this process ends, unless it is killed."""
    _last.append(callback)
    atexit.register(callback)


def _end_now(code: int) -> None:
    for callback in _last:
        with contextlib.suppress(Exception):
            callback()
    os._exit(code)
