import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not here")
pytest.importorskip("vima_msgs.msg", reason="vima_msgs is not built or not sourced")

import subprocess

import full_demonstrations
import small_disks

from vima_ros.cli import demonstrate
from vima_ros.program import exit_code
from vima_ros.sim.tasks import TASKS
from vima_ros.sim.tasks.base import Level
from vima_ros.training.data.readers import read_demonstrations


def run(*arguments):
    return exit_code("demonstrate", demonstrate.main, [*arguments])


def plan_of(*arguments):
    return demonstrate.make_plan(demonstrate.parse(["--episodes", "3", *arguments]))


def test_all_means_the_tasks_of_the_level(tmp_path):
    for level in Level:
        plan = plan_of("--out", str(tmp_path), "--level", level.value)
        assert plan.tasks == tuple(n for n, task in TASKS.items() if level in task.levels)
    assert len(plan_of("--out", str(tmp_path)).tasks) == 13


def test_options_reach_the_plan(tmp_path):
    plan = plan_of(
        *("--tasks", "rotate", "twist", "--out", str(tmp_path), "--content", "masks"),
        *("--first-seed", "7", "--visual-randomization", "0.5", "--workers", "3"),
    )
    assert (plan.out, plan.tasks, plan.seeds) == (tmp_path, ("rotate", "twist"), 3)
    assert (plan.first_seed, plan.content, plan.visual_randomization, plan.workers) == (
        7,
        "masks",
        0.5,
        3,
    )


@pytest.mark.slow
def test_it_writes_and_says_so(tmp_path, capsys):
    arguments = ["--tasks", "rotate", "--episodes", "2", "--workers", "1"]
    arguments += ["--out", str(tmp_path)]
    assert run(*arguments) == 0
    assert [episode.seed for episode in read_demonstrations(tmp_path)] == [0, 1]
    said = capsys.readouterr()
    assert "2 of 2 episodes, 0 failed" in said.out
    assert run(*arguments) == 0
    assert "2 episodes exist already" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("wrong", "code"),
    [(["--tasks", "juggle"], "UNKNOWN_TASK"), (["--level", "easy"], "UNKNOWN_LEVEL")],
)
def test_a_mistake_ends_with_its_code(tmp_path, capsys, wrong, code):
    assert run("--episodes", "1", "--out", str(tmp_path), *wrong) == 2
    assert code in capsys.readouterr().err


@pytest.mark.parametrize("out", ["file", "file/below", "/proc/none"])
def test_a_folder_that_cannot_be_made_is_named_before_any_work(tmp_path, capsys, out):
    (tmp_path / "file").touch()
    assert run("--episodes", "9", "--out", str(tmp_path / out)) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("demonstrate: BAD_FOLDER: ")
    assert str(tmp_path / out) in line


@pytest.mark.parametrize(
    "content", ["", '{"format": "vima', "[" * 100_000], ids=["empty", "cut", "nested"]
)
def test_a_damaged_note_of_the_content_is_named(tmp_path, capsys, content):
    (tmp_path / "demonstrations.json").write_text(content)
    assert run("--episodes", "9", "--out", str(tmp_path)) == 2
    assert "BAD_DEMONSTRATIONS" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.skipif(bool(small_disks.why_not()), reason=f"no disk: {small_disks.why_not()}")
def test_on_a_full_disk_what_is_whole_stays_and_the_same_command_goes_on(tmp_path):
    whole = tmp_path / "whole"
    subprocess.run(full_demonstrations.command(whole), check=True)
    line, wrong = full_demonstrations.differences(whole, tmp_path)
    assert wrong == []
    assert line.startswith("demonstrate: CANNOT_WRITE: ")
    assert "No space left on device" in line
