"""./vima and tools/: what leaves an environment alone, what says something, what replaces it."""

import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest
from played_clone import SHELLS, STEPS, PlayedClone, sentences, source_ros, start_cat, with_python


@pytest.mark.slow
@pytest.mark.parametrize("shell", SHELLS)
def test_no_shell_changes_an_environment_that_is_there(kept, shell):
    before = kept.identity()
    variables = SHELLS[shell](kept)
    for words in (("sim",), ("setup",)):
        run = kept.run(*words, **variables)
        assert (run.returncode, run.stderr, kept.calls()) == (0, "", [])
    assert kept.identity() == before


def test_it_is_called_from_anywhere(kept):
    elsewhere = kept.folder / "elsewhere"
    elsewhere.mkdir()
    (kept.folder / "link").symlink_to(kept.root)
    (elsewhere / "vima").symlink_to(kept.root / "vima")
    link, vima = kept.folder / "link" / "vima", kept.root / "vima"
    for command in ([link], ["./vima"], ["bash", vima], ["../clone/vima"]):
        run = subprocess.run(
            [*command, "exec", "pwd"],
            cwd=elsewhere,
            env=kept.environment,
            capture_output=True,
            text=True,
        )
        assert (run.returncode, run.stderr, run.stdout.strip()) == (0, "", str(elsewhere))
    assert kept.calls() == []


@pytest.mark.slow
def test_changed_requirements_are_said_and_the_environment_kept_until_setup(clone):
    before = clone.identity()
    clone.change_requirements("# a comment\n")
    assert clone.run("sim").stderr == ""
    clone.change_requirements()
    run = clone.run("sim")
    assert run.returncode == 0
    assert len(sentences(run)) == 1
    assert "requirements/" in run.stderr
    assert "./vima setup" in run.stderr
    assert clone.identity() == before

    setup = clone.run("setup")
    assert setup.returncode == 0, setup.stderr
    assert len(clone.calls()) == STEPS
    assert clone.missing() == []
    assert os.readlink(clone.root / ".venv") == ".venv-b"
    assert not (clone.root / ".venv-a").exists()
    assert clone.run("sim").stderr == ""


@pytest.mark.slow
@pytest.mark.parametrize("target", ["test", "demo", "replay"])
def test_make_brings_the_environment_up_to_date_itself(clone, target):
    clone.change_requirements()
    subprocess.run(
        ["make", target, "BAG=bag"],
        cwd=clone.root,
        env=clone.environment,
        capture_output=True,  # what the played programs then say is of no interest
    )
    assert len(clone.calls()) == STEPS
    assert clone.run("exec", "true").stderr == ""


@pytest.mark.slow
def test_a_failed_update_leaves_the_old_environment_in_use(clone):
    before = clone.identity()
    clone.change_requirements()
    for step in (
        "-m venv",
        "pip.txt",
        "ros.txt",
        "ros_wheels",
        "base.txt",
        "msgs",
        "--packages-select vima_ros",
    ):
        failed = clone.run("setup", STOP_IN=step, STOP_BY="echo broken; exit 1")
        assert failed.returncode == 1
        assert "broken" in failed.stderr
        assert "set-up failed at: " in failed.stderr
        assert clone.identity() == before
        clone.calls()
    assert "sim of" in clone.run("sim").stdout


@pytest.mark.slow
def test_an_interrupted_removal_of_the_old_is_no_environment_to_return_to(clone):
    old = (clone.root / "requirements" / "base.txt").read_text()
    clone.change_requirements()
    clone.run("setup")
    clone.calls()
    # What a kill during the removal of .venv-a leaves, and then `git checkout` of the old pins.
    (clone.root / ".venv-a").mkdir()
    (clone.root / "requirements" / "base.txt").write_text(old)
    assert clone.run("setup").returncode == 0
    assert len(clone.calls()) == STEPS
    assert clone.missing() == []


@pytest.mark.slow
def test_stamps_go_first(clone):
    """rm removes in any order: .prepared and what names a build are gone before the rest."""
    traced = clone.folder / "rm" / "rm"
    traced.parent.mkdir()
    traced.write_text('#!/bin/bash\necho "$@" >>"$PLAYED/removed"\nexec /bin/rm "$@"\n')
    traced.chmod(0o755)
    clone.change_requirements()
    clone.run("setup", PATH=f"{traced.parent}:{clone.environment['PATH']}")
    removed = (clone.played / "removed").read_text().splitlines()
    assert removed.index("-f .venv-a/.prepared .venv-a/.steps") < removed.index("-rf .venv-a")
    ros = removed.index("-rf .venv-b/build/vima_ros .venv-b/install/vima_ros")
    assert removed.index("-f .venv-b/install/.vima_ros") < ros


@pytest.mark.slow
def test_nothing_is_replaced_under_a_program_that_runs(clone):
    running = start_cat(clone)
    before = clone.identity()
    clone.change_requirements()
    refused = clone.run("setup")
    assert refused.returncode == 1
    assert f"cat ({running.pid})" in refused.stderr
    assert clone.calls() == []
    assert clone.identity() == before
    assert "requirements/" in clone.run("sim").stderr
    running.communicate(timeout=30)
    assert clone.run("setup").returncode == 0
    assert len(clone.calls()) == STEPS


@pytest.mark.slow
def test_the_new_environment_waits_for_what_was_started_meanwhile(clone):
    clone.change_requirements()
    clone.hold()
    setup = clone.start("setup")
    clone.wait_for_call("venv")
    running = start_cat(clone)
    clone.release()
    waits = next(line for line in setup.stderr if "waits for the end of" in line)
    assert f"cat ({running.pid})" in waits
    assert os.readlink(clone.root / ".venv") == ".venv-a"
    running.communicate(timeout=30)
    setup.communicate(timeout=30)
    assert setup.returncode == 0
    assert os.readlink(clone.root / ".venv") == ".venv-b"
    assert clone.missing() == []


@pytest.mark.slow
def test_changed_sources_are_built_but_not_under_what_runs_from_them(clone):
    built = clone.root / "install" / "vima_ros" / "share" / "file"
    (clone.root / "src" / "vima_ros" / "file").write_text("second")
    assert clone.run("sim").returncode == 0
    assert [call.split()[-1] for call in clone.calls()] == ["vima_ros"]
    assert built.read_text() == "second"

    program = clone.root / ".venv-a" / "install" / "vima_ros" / "lib" / "vima_ros" / "wait"
    program.write_text("#!/bin/sh\ncat\n")
    program.chmod(0o755)
    running = start_cat(clone, str(program))
    (clone.root / "src" / "vima_ros" / "file").write_text("third")
    run = clone.run("sim")
    assert run.returncode == 0
    assert len(sentences(run)) == 1
    assert f"({running.pid})" in run.stderr
    assert built.read_text() == "second"
    setup = clone.run("setup")
    assert setup.returncode == 1
    assert f"({running.pid})" in setup.stderr
    assert clone.calls() == []
    running.communicate(timeout=30)
    assert clone.run("sim").stderr.startswith("vima: colcon build: vima_ros")
    assert built.read_text() == "third"


def test_an_idle_shell_of_it_does_not_stop_builds(clone):
    start_cat(clone, "bash", "-c", "read line; echo $line; read line")
    (clone.root / "src" / "vima_ros" / "file").write_text("second")
    assert clone.run("sim").returncode == 0
    assert len(clone.calls()) == 1


def test_a_build_that_failed_is_repeated(clone):
    (clone.root / "src" / "vima_ros" / "file").write_text("second")
    assert clone.run("sim", STOP_AT="1", STOP_BY="exit 1").returncode == 1
    clone.calls()
    assert clone.run("sim").returncode == 0
    assert len(clone.calls()) == 1


@pytest.mark.slow
def test_a_moved_clone_asks_for_set_up(clone):
    clone.root = clone.root.rename(clone.folder / "moved")
    run = clone.run("sim")
    assert run.returncode == 1
    assert "./vima setup" in run.stderr
    assert clone.calls() == []
    assert clone.run("setup").returncode == 0
    assert "sim of" in clone.run("sim").stdout


@pytest.fixture
def others_folder():
    """A folder that another user can enter, unlike tmp_path."""
    folder = Path(subprocess.check_output(["mktemp", "-d"], text=True).strip())
    folder.chmod(0o755)
    yield folder
    subprocess.run(["chmod", "-R", "u+w", folder], check=True)
    shutil.rmtree(folder)


def test_another_user_runs_what_one_has_prepared(others_folder):
    clone = PlayedClone(others_folder)
    clone.run("setup")
    clone.calls()
    work = others_folder / "work"
    work.mkdir(mode=0o777)
    work.chmod(0o777)
    other = {"user": 65534, "group": 65534, "extra_groups": []} if os.getuid() == 0 else {}
    if not other:
        subprocess.run(["chmod", "-R", "a-w", clone.root], check=True)

    def run(*words):
        return subprocess.run(
            [clone.root / "vima", *words],
            cwd=work,
            env=clone.environment | {"REAL_PYTHON": "/usr/bin/python3"},
            capture_output=True,
            text=True,
            **other,
        )

    done = run("exec", "sh", "-c", "mkdir out && echo made")
    assert (done.returncode, done.stderr, done.stdout) == (0, "", "made\n")
    if not other:
        subprocess.run(["chmod", "-R", "u+w", clone.root / "src"], check=True)
    (clone.root / "src" / "vima_ros" / "file").write_text("second")
    done = run("sim")
    assert (done.returncode, len(sentences(done))) == (0, 1)
    assert "not yours to write" in done.stderr
    done = run("setup")
    assert done.returncode == 1
    assert "not yours to write" in done.stderr
    assert clone.calls() == []


def test_an_environment_of_an_earlier_version_asks_for_set_up_and_is_replaced(bare):
    (bare.root / ".venv" / "bin").mkdir(parents=True)
    (bare.root / ".venv" / "bin" / "python").symlink_to(bare.python)
    (bare.root / ".venv" / ".prepared").write_text("0" * 64 + "\n")
    for name in ("build", "install"):
        (bare.root / name).mkdir()
    run = bare.run("sim")
    assert run.returncode == 1
    assert "earlier version" in run.stderr
    assert bare.run("setup").returncode == 0
    assert bare.missing() == []
    assert not (bare.root / ".venv-before").exists()


@pytest.mark.slow
def test_a_sourced_ros_is_said_left_out_and_taken_by_setup(clone):
    ros = clone.folder / "ros"
    sourced = source_ros(ros)
    before = clone.identity()
    show = "echo ${ROS_DISTRO-none} ${PYTHONPATH-none} ${LD_LIBRARY_PATH-none}"
    run = clone.run("exec", "sh", "-c", show, **sourced)
    assert (run.returncode, len(sentences(run))) == (0, 1)
    assert "jazzy" in run.stderr
    assert "./vima setup" in run.stderr
    assert run.stdout.split() == ["none", "/mine"]
    assert clone.identity() == before

    assert clone.run("setup", **sourced).returncode == 0
    calls = clone.calls()
    assert any("--system-site-packages" in call for call in calls)
    assert not any("ros.txt" in call for call in calls)
    assert not any("GENERATORS" in call for call in calls)  # every language, as others may need
    assert clone.missing(wheels=False) == []
    # From now on this distribution, sourced or not, also where sources or requirements changed.
    (clone.root / "src" / "vima_ros" / "file").write_text("second")
    for variables in (sourced, {}):
        run = clone.run("exec", "sh", "-c", show, **variables)
        assert run.returncode == 0, run.stderr
        assert run.stdout.split()[:2] == ["jazzy", sourced["PYTHONPATH"]]
    assert clone.run("setup").stderr == ""
    clone.calls()
    clone.change_requirements()
    assert clone.run("setup").returncode == 0
    assert any("--system-site-packages" in call for call in clone.calls())


def test_a_sourced_ros_that_no_python_imports(bare):
    sourced = source_ros(bare.folder / "ros") | {"PYTHONPATH": None}
    run = bare.run("setup", **sourced)
    assert run.returncode == 1
    assert "rclpy" in run.stderr
    assert bare.calls() == []
    assert bare.run("setup").returncode == 0
    bare.calls()
    assert bare.run("setup", **sourced).returncode == 0  # the wheels' environment is there
    assert bare.calls() == []


@pytest.mark.slow
def test_an_update_keeps_the_python_and_takes_another_where_that_is_gone(clone):
    clone.change_requirements()
    path = with_python(clone, "other", "3.13.0")
    assert clone.run("setup", PATH=path).returncode == 0
    assert "python 3.12\n" in (clone.root / ".venv/.prepared").read_text()
    clone.calls()
    (clone.root / ".venv" / "bin" / "python").unlink()  # a dangling link, where it is real
    run = clone.run("sim", PATH=path)
    assert run.returncode == 1
    assert "./vima setup" in run.stderr
    assert clone.calls() == []
    assert clone.run("setup", PATH=path).returncode == 0
    assert "python 3.13\n" in (clone.root / ".venv/.prepared").read_text()
    assert "sim of" in clone.run("sim").stdout


def test_signals_reach_the_program_itself(clone):
    """./vima is replaced by what it runs: nothing stands between a signal and the program."""
    running = clone.start("exec", "sleep", "60")
    comm = Path(f"/proc/{running.pid}/comm")
    while comm.read_text() != "sleep\n":
        assert running.poll() is None
    running.send_signal(signal.SIGINT)
    assert running.wait(10) == -signal.SIGINT
