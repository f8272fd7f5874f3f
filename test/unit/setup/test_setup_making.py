"""./vima and tools/: how an environment is made."""

import pytest
from played_clone import STEPS, PlayedClone, set_up, with_python


def test_the_first_run_makes_the_environment_and_later_ones_do_nothing(bare):
    first = bare.run("sim", "--task", "rotate")
    assert first.returncode == 0, first.stderr
    assert first.stdout.startswith(f"sim of {bare.root}/.venv")
    assert first.stdout.endswith("/bin/python --task rotate\n")
    calls = bare.calls()
    assert len(calls) == STEPS
    assert ["GENERATORS" in call for call in calls[-2:]] == [True, False]  # vima_msgs, vima_ros
    assert bare.missing() == []
    assert (bare.root / "install" / "vima_ros" / "lib").is_dir()
    second = bare.run("sim")
    assert (second.returncode, second.stderr, bare.calls()) == (0, "", [])


@pytest.mark.slow
@pytest.mark.parametrize("update", [False, True], ids=["first", "update"])
@pytest.mark.parametrize("stop", ["kill -KILL 0", "kill -INT 0; exit 1", "kill -TERM 0"])
def test_a_set_up_ended_at_any_step_is_made_up_for(bare, update, stop):
    if update:
        set_up(bare)
        before = bare.identity()
        bare.change_requirements()
    for step in range(1, STEPS + 1):
        ended = bare.run("setup", STOP_AT=str(step), STOP_BY=stop)
        assert ended.returncode != 0
        assert len(bare.calls()) == step  # each time from the first step on
        assert "set-up failed" not in ended.stderr
        if update:
            assert bare.identity() == before
        else:
            assert not (bare.root / ".venv").exists()
    if update:  # the old one is whole and in use
        assert "requirements/" in bare.run("exec", "true").stderr
        assert bare.run("setup").returncode == 0
    else:
        assert bare.run("exec", "true").returncode == 0
    assert len(bare.calls()) == STEPS
    assert bare.missing() == []
    assert bare.run("sim").stderr == ""


@pytest.mark.parametrize(
    ("output", "hint"),
    [
        ("OSError: [Errno 28] No space left on device", "make room in"),
        ("Failed to establish a new connection: timed out", "reaches the package index"),
        ("No matching distribution found for torch==2.13.0", "see above"),
    ],
)
def test_the_hint_fits_what_failed(bare, output, hint):
    failed = bare.run("setup", STOP_AT="5", STOP_BY=f"echo '{output}'; exit 1")
    assert failed.returncode == 1
    assert "set-up failed at: Python packages" in failed.stderr
    assert output in failed.stderr
    assert hint in failed.stderr.splitlines()[-1]


def test_an_interrupt_is_no_failure(bare):
    ended = bare.run("setup", STOP_AT="3", STOP_BY="kill -INT 0; exit 1")
    assert ended.returncode == 130
    assert "interrupted; the same command makes up for it" in ended.stderr


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


@pytest.mark.parametrize("version", ["3.10.13", "3.13.0", "3.14.2"])
def test_supported_pythons(bare, version):
    assert bare.run("setup", PATH=with_python(bare, "other", version)).returncode == 0
    assert bare.missing() == []
    assert f"python {version.rpartition('.')[0]}\n" in (bare.root / ".venv/.prepared").read_text()


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
