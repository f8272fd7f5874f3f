import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not here")
pytest.importorskip("vima_msgs.msg", reason="vima_msgs is not built or not sourced")

from vima_ros.nodes import demonstrate
from vima_ros.sim.tasks import TASKS
from vima_ros.sim.tasks.base import Level
from vima_ros.training.reading import read_demonstrations


def plan_of(*arguments):
    return demonstrate._plan(demonstrate._arguments(["--episodes", "3", *arguments]))


def test_all_means_the_tasks_of_the_level(tmp_path):
    for level in Level:
        plan = plan_of("--out", str(tmp_path), "--level", level.value)
        assert plan.tasks == tuple(n for n, task in TASKS.items() if level in task.levels)
    assert len(plan_of("--out", str(tmp_path)).tasks) == 13


def test_options_reach_the_plan(tmp_path):
    plan = plan_of(
        *("--task", "rotate", "twist", "--out", str(tmp_path), "--content", "masks"),
        *("--first-seed", "7", "--look", "0.5", "--workers", "3"),
    )
    assert (plan.out, plan.tasks, plan.seeds) == (tmp_path, ("rotate", "twist"), 3)
    assert (plan.first_seed, plan.content, plan.look, plan.workers) == (7, "masks", 0.5, 3)


def test_it_writes_and_says_so(tmp_path, capsys):
    arguments = ["demonstrate", "--task", "rotate", "--episodes", "2", "--workers", "1"]
    arguments += ["--out", str(tmp_path)]
    demonstrate.main(arguments)
    assert [episode.seed for episode in read_demonstrations(tmp_path)] == [0, 1]
    said = capsys.readouterr()
    assert "2 of 2 episodes, 0 failed" in said.out
    demonstrate.main(arguments)
    assert "2 episodes are there" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("wrong", "code"),
    [(["--task", "juggle"], "UNKNOWN_TASK"), (["--level", "easy"], "UNKNOWN_LEVEL")],
)
def test_a_mistake_ends_with_its_code(tmp_path, wrong, code):
    with pytest.raises(SystemExit) as end:
        demonstrate.main(["demonstrate", "--episodes", "1", "--out", str(tmp_path), *wrong])
    assert code in str(end.value.code)
