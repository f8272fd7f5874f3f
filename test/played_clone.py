"""A clone whose set-up is played: ./vima and tools/ are real, Python, pip and colcon are a script.

Each step that would change the environment leaves a line in ``calls`` and a file in the
environment; a run of minutes takes a second, and can be stopped at each step.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
PYTHON = """\
#!/bin/bash
# The played Python, of which each environment holds a copy; its file `base` names the original.
self=${BASH_SOURCE[0]}
folder=$(dirname "$(dirname "$self")")
base=$(cat "$folder/base" 2>/dev/null || echo "$self")
version=$(cat "${base%/bin/*}/version")
begin_step() {
  number=$({ flock 7; echo "$*" >>"$PLAYED/calls"; wc -l <"$PLAYED/calls"; } 7>>"$PLAYED/lock")
  if [ "$number" = "${STOP_AT:-0}" ] || [[ -n "${STOP_IN:-}" && $* == *$STOP_IN* ]]; then
    read -r _ _ _ vima _ <"/proc/$PPID/stat" # whose step has called this
    eval "${STOP_BY:-}"
  fi
  while [ -e "$PLAYED/hold" ] || [[ -n "${HOLD_IN:-}" && $* == *$HOLD_IN* ]]; do sleep 0.05; done
}
case "$*" in
  *_base_executable*) echo "$base" ;;
  *ensurepip* | *Python.h* | *ctypes*) ;;
  -V | --version) echo "Python $version" ;;
  "-c import numpy"*) echo numpy==1.26.4 ;;
  *'get_path("purelib"'*) mkdir -p "$folder/site" && echo "$folder/site" ;;
  -c*) exec "$REAL_PYTHON" -S -c "import sys; sys.version_info = ${version//./,},; $2" ;;
  *"-m venv"*)
    begin_step "$@"
    new=${!#}
    mkdir -p "$new/bin"
    cp "$self" "$new/bin/python"
    cp "$self" "$new/bin/python3"
    echo "$base" >"$new/base" ;;
  *"-m pip"*)
    begin_step "$@"
    while [ $# != 0 ]; do
      [ "$1" != -r ] || touch "$folder/$(basename "$2").done"
      shift
    done ;;
  *ros_wheels.py)
    begin_step "$@"
    echo "export PLAYED_PREFIX=$folder" >"$folder/local_setup.bash" ;;
  *"-m colcon"*)
    begin_step "$@"
    while [ $# != 0 ]; do
      case $1 in --install-base) base=$2 ;; --packages-select) package=$2 ;; esac
      shift
    done
    mkdir -p "$base/$package/lib/$package"
    cp -r src/$package "$base/$package/share"
    echo "VIRTUAL_ENV=$VIRTUAL_ENV CONDA_PREFIX=${CONDA_PREFIX:-}" >"$base/$package/built_in"
    touch "$base/setup.bash" "$base/$package/lib/$package/"{sim,demo}
    chmod +x "$base/$package/lib/$package/"* ;;
  *) echo "$(basename "$1") of $self" "${@:2}" ;;
esac
"""
STEPS = 7  # of a set-up: venv, pip, wheels, underlay, packages, two builds
WHOLE = ["base.txt", "colcon.txt", "pip.txt", "ros.txt", "test.txt", "train.txt"]


class PlayedClone:
    """``folder``: where the clone and all that is played lies; ``name``: the clone's own."""

    def __init__(self, folder: Path, name: str = "clone") -> None:
        self.folder = folder
        self.root = folder / name
        self.root.mkdir()
        self.started: list[subprocess.Popen] = []
        for entry in ("vima", "Makefile", "tools", "requirements"):
            copy = shutil.copytree if (ROOT / entry).is_dir() else shutil.copy
            copy(ROOT / entry, self.root / entry)
        script = self.root / "tools" / "environment.sh"  # the system's Python is not to be taken
        script.write_text(
            script.read_text().replace("/usr/bin/python3", f"{folder}/system/bin/python3")
        )
        for entry in ("src/vima_msgs", "src/vima_ros", "launch", "config", "resource"):
            (self.root / entry).mkdir(parents=True)
            (self.root / entry / "file").write_text(entry)
        for entry in ("package.xml", "setup.py", "setup.cfg", "colcon_defaults.yaml"):
            (self.root / entry).touch()
        self.python = self.add_python("python")
        self.played = folder / "played"
        self.played.mkdir()
        (self.played / "calls").touch()
        self.environment = {
            "PATH": f"{self.python.parent}:/usr/bin:/bin",
            "PLAYED": str(self.played),
            "REAL_PYTHON": sys.executable,
        }

    def add_python(self, name: str, version: str = "3.12.1") -> Path:
        """Another played Python, as python3 in a bin folder of its own; "system": the system's."""
        path = self.folder / name / "bin" / "python3"
        path.parent.mkdir(parents=True)
        path.write_text(PYTHON)
        path.chmod(0o755)
        (path.parents[1] / "version").write_text(version)
        return path

    def start(
        self, *words: str, cwd: Path | None = None, **changes: str | None
    ) -> subprocess.Popen:
        """./vima with these words; ``changes``: of the environment's variables."""
        surroundings = {k: v for k, v in (self.environment | changes).items() if v is not None}
        process = subprocess.Popen(
            # Where SIGINT is ignored, as in a job of a script, children would ignore it as well.
            ["env", "--default-signal=INT", "bash", str(self.root / "vima"), *words],
            cwd=cwd or self.root,
            env=surroundings,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.started.append(process)
        return process

    def close(self) -> None:
        """End what was started, and what that started."""
        for pid in self.running():  # steps are in sessions of their own
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for process in self.started:
            process.communicate()

    def run(self, *words: str, **changes: str | None) -> subprocess.CompletedProcess:
        process = self.start(*words, **changes)
        try:
            out, err = process.communicate(timeout=300)
        except subprocess.TimeoutExpired:
            self.close()
            raise
        self.started.remove(process)
        return subprocess.CompletedProcess(words, process.returncode, out, err)

    def calls(self) -> list[str]:
        """The steps so far, then none."""
        lines = (self.played / "calls").read_text().splitlines()
        (self.played / "calls").write_text("")
        return lines

    def change_requirements(self, line: str = "another==1.0\n") -> None:
        with (self.root / "requirements" / "base.txt").open("a") as file:
            file.write(line)

    def running(self) -> list[int]:
        """Steps that have not ended."""
        marked = f"PLAYED={self.played}".encode()
        found = []
        for path in Path("/proc").glob("[0-9]*/environ"):
            with contextlib.suppress(OSError):
                found += [int(path.parent.name)] if marked in path.read_bytes() else []
        return found

    def missing(self, wheels: bool = True) -> list[str]:
        """What the environment in use lacks."""
        environment = self.root / ".venv"
        names = [f"{name}.done" for name in WHOLE if wheels or name != "ros.txt"]
        names += ["local_setup.bash"] if wheels else []
        names += ["install/vima_msgs/built_in", "install/vima_ros/built_in", ".prepared"]
        return [name for name in names if not (environment / name).exists()]

    def identity(self) -> list[tuple]:
        """Changes when the environment or what is built in it is replaced or rebuilt."""
        paths = [self.root / name for name in (".venv", "build", "install")]
        paths += sorted((self.root / ".venv").rglob("*"))
        return [
            (str(path), info.st_ino, info.st_mtime_ns)
            for path in paths
            if path.exists()
            for info in [path.stat()]
        ]

    def hold(self) -> None:
        """Let the next step last until ``release``."""
        (self.played / "hold").touch()

    def release(self) -> None:
        (self.played / "hold").unlink()

    def wait_for_call(self, word: str) -> None:
        deadline = time.monotonic() + 30
        while word not in (self.played / "calls").read_text():
            assert time.monotonic() < deadline, f"no {word} within 30 s"
            time.sleep(0.02)


def source_ros(folder: Path, distribution: str = "jazzy") -> dict[str, str]:
    """A ROS 2 distribution in ``folder``, and the variables of a shell in which it is sourced."""
    packages = folder / "lib" / "python3" / "site-packages"
    (packages / "rclpy").mkdir(parents=True)
    (packages / "rclpy" / "__init__.py").touch()
    variables = {
        "ROS_DISTRO": distribution,
        "AMENT_PREFIX_PATH": str(folder),
        "PYTHONPATH": str(packages),
    }
    lines = [f"export {name}='{value}'" for name, value in variables.items()]
    (folder / "setup.bash").write_text("\n".join(lines) + "\n")
    return {**variables, "LD_LIBRARY_PATH": f"{folder / 'lib'}{os.pathsep}/mine"}


def with_python(clone: PlayedClone, name: str, version: str = "3.12.1") -> str:
    """A PATH on which that Python comes first."""
    return f"{clone.add_python(name, version).parent}:{clone.environment['PATH']}"


# Shells that differ from the one that set up, by the variables that do.
SHELLS = {
    "other_python": lambda c: {"PATH": with_python(c, "other")},
    "old_python": lambda c: {"PATH": with_python(c, "old", "3.8.0")},
    "activated_venv": lambda c: {
        "PATH": with_python(c, "venv"),
        "VIRTUAL_ENV": str(c.folder / "venv"),
    },
    "conda": lambda c: {
        "PATH": with_python(c, "conda"),
        "CONDA_PREFIX": str(c.folder / "conda"),
        "PYTHONHOME": str(c.folder / "conda"),
    },
    "own_environment": lambda c: {"PATH": f"{c.root}/.venv/bin:{c.environment['PATH']}"},
    "cron": lambda c: {"PATH": "/usr/bin:/bin", "HOME": None},
    "bin_first": lambda c: {"PATH": f"/bin:{c.environment['PATH']}"},
}


def set_up(clone: PlayedClone) -> PlayedClone:
    done = clone.run("setup")
    assert done.returncode == 0, done.stderr
    assert len(clone.calls()) == STEPS
    return clone


def sentences(run: subprocess.CompletedProcess) -> list[str]:
    return [line for line in run.stderr.splitlines() if line]


def start_cat(clone: PlayedClone, *command: str) -> subprocess.Popen:
    """What ./vima has started and is running."""
    process = clone.start("exec", *(command or ["cat"]))
    process.stdin.write("here\n")
    process.stdin.flush()
    assert process.stdout.readline() == "here\n"
    return process
