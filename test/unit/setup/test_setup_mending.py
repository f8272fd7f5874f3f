"""./vima and tools/: what was removed comes back, and what can't be run is said at once."""

import os
import shutil
import subprocess

import pytest
from played_clone import sentences


@pytest.mark.slow
@pytest.mark.parametrize("words", [("sim",), ("setup",)])
def test_what_was_built_and_removed_is_built_again(clone, words):
    """`rm -rf install/*` leaves the stamps."""
    for path in (clone.root / "install").glob("[!.]*"):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert clone.run(*words).returncode == 0
    assert [call.split()[-1] for call in clone.calls()] == ["vima_msgs", "vima_ros"]
    (clone.root / "install" / "setup.bash").unlink()
    assert clone.run(*words).returncode == 0
    assert len(clone.calls()) == 2
    shutil.rmtree(clone.root / ".venv" / "install")
    assert clone.run(*words).returncode == 0
    assert len(clone.calls()) == 2
    assert "sim of" in clone.run("sim").stdout
    assert clone.calls() == []


@pytest.mark.slow
@pytest.mark.parametrize("words", [("sim",), ("setup",)])
def test_removed_links_come_back_and_a_folder_in_their_place_stays(clone, words):
    for name in ("build", "install"):
        (clone.root / name).unlink()
    shutil.rmtree(clone.root / "log")
    (clone.root / "build").mkdir()
    run = clone.run(*words)
    assert (run.returncode, run.stderr, clone.calls()) == (0, "", [])
    assert os.readlink(clone.root / "install") == ".venv/install"
    assert [*(clone.root / "build").iterdir()] == []
    (clone.root / "build").rmdir()
    assert clone.run(*words).returncode == 0
    assert os.readlink(clone.root / "build") == ".venv/build"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["typo", "--train", ".", "..", "../vima_ros/sim", ""])
def test_no_training_environment_is_made_for_a_program_that_there_is_not(kept, name):
    run = kept.run("--train", name)
    assert run.returncode == 2
    assert kept.calls() == []
    assert f"no program {name}; there are: demo sim" in run.stderr or not name


@pytest.mark.slow
def test_a_program_of_changed_sources_may_be_a_new_one(clone):
    (clone.root / "src" / "vima_ros" / "file").write_text("second")
    run = clone.run("--train", "typo")
    assert run.returncode == 2
    assert any("vima_ros" in call for call in clone.calls())


def test_without_the_systems_commands_one_sentence_says_so(kept):
    run = subprocess.run(
        ["/bin/bash", kept.root / "vima", "sim"],
        env=kept.environment | {"PATH": ""},
        cwd=kept.root,
        capture_output=True,
        text=True,
    )
    assert (run.returncode, len(sentences(run))) == (1, 1)
    assert "PATH" in run.stderr


def test_a_working_folder_that_is_gone_is_named(kept):
    gone = kept.folder / "gone"
    gone.mkdir()
    script = f"cd '{gone}' && rmdir '{gone}' && exec '{kept.root}/vima' sim"
    run = subprocess.run(
        ["/bin/bash", "-c", script], env=kept.environment, capture_output=True, text=True
    )
    assert run.returncode == 1
    assert f"the folder you are in is gone: {gone}" in run.stderr
