"""VIMA-Bench in its process, by a stand-in of the package (test/vima_bench_stand_in)."""

import os
import signal

import numpy as np
import pytest
from vima_bench_installation import write_python

from vima_ros.arm.primitives import plan_waypoints
from vima_ros.errors import VimaError
from vima_ros.geometry import Pose, quaternion_from_yaw
from vima_ros.perception.detectors.registry import make_detector
from vima_ros.policy.inputs import OBJECTS
from vima_ros.policy_frame import VIMA_WORKSPACE
from vima_ros.sim.tasks.base import TaskOutcome
from vima_ros.sim.vima_bench.actions import action_from_waypoints
from vima_ros.sim.vima_bench.runner import VimaBenchRunner
from vima_ros.specs import VIEWS, AssetKind, EndEffector, Primitive
from vima_ros.training.evaluation import policy_rollouts
from vima_ros.training.evaluation.policy_rollouts import Job, attempt

TASK, LEVEL = "visual_manipulation", "placement_generalization"


def pose(x, y, yaw=0.0):
    return Pose(np.array([x, y, 0.0]), quaternion_from_yaw(yaw))


BLOCK, BOWL, NOWHERE = pose(0.4, -0.2), pose(0.6, 0.2), pose(0.7, -0.4)


@pytest.fixture(scope="module")
def python(tmp_path_factory):
    return write_python(tmp_path_factory.mktemp("python"))


@pytest.fixture
def installed(python, monkeypatch):
    monkeypatch.setenv("VIMA_BENCH_PYTHON", python)


@pytest.fixture
def runner(installed):
    with VimaBenchRunner() as runner:
        yield runner


def test_an_episode_has_the_images_and_ids_of_the_simulator(runner):
    episode = runner.load(TASK, LEVEL, 3)
    assert episode.prompt == "Put the {dragged_obj} into the {base_obj} of 3."
    assert episode.step_limit == 3 + 2  # before the reset, and VIMA's bonus
    assert runner.end_effector == EndEffector.SUCTION
    for view in VIEWS:
        image, mask = runner.render(view), runner.render_mask(view)
        assert (image.shape, mask.shape) == ((128, 256, 3), (128, 256))
        assert set(np.unique(mask)) == {0, 1, 2}
        assert (
            image[mask == 1] == (200, 120, 30)
        ).all()  # id 6 comes first in the meta information
        assert (image[mask == 2] == (200, 100, 30)).all()
    kind, views = runner.prompt_images()["dragged_obj"]
    assert kind == AssetKind.OBJECT
    assert set(np.unique(views["top"].mask)) == {0, 1}  # its id is 0, the background's 255
    assert (views["top"].rgb[views["top"].mask == 0] == 255).all()
    kind, views = runner.prompt_images()["base_obj"]
    assert kind == AssetKind.SCENE
    assert (views["top"].rgb[views["top"].mask == 1] == (200, 60, 30)).all()


def test_an_episode_ends_as_the_simulator_judges(runner):
    runner.load(TASK, LEVEL, 3)
    assert runner.step(NOWHERE, BOWL).outcome == TaskOutcome.RUNNING
    assert (runner.code, runner.steps) == ("NOT_PICKED", 1)
    assert runner.step(BLOCK, BOWL).outcome == TaskOutcome.SUCCESS
    assert (runner.code, runner.steps) == ("", 2)
    with pytest.raises(VimaError, match="has ended"):
        runner.step(BLOCK, BOWL)
    runner.load(TASK, LEVEL, 3)
    assert runner.step(BLOCK, pose(0.25, -0.5)).outcome == TaskOutcome.FAILURE
    runner.load(TASK, LEVEL, 16)
    assert runner.step(BLOCK, pose(0.5, 0.0)).outcome == TaskOutcome.FAILURE
    assert runner.code == "TIMEOUT"


def test_a_layout_without_room_is_drawn_again_with_the_next_seed(runner):
    assert runner.load(TASK, LEVEL, 14).prompt.endswith("of 15.")
    with pytest.raises(VimaError, match="ValueError: no room either") as caught:
        runner.load(TASK, LEVEL, 17)
    assert caught.value.code == "SIMULATOR_FAILED"
    runner.load(TASK, LEVEL, 3)


@pytest.mark.parametrize("how", ["by itself", "killed"])
def test_a_dead_simulator_is_an_error_and_the_next_episode_has_another(runner, how):
    runner.load(TASK, LEVEL, 13 if how == "by itself" else 3)
    pid = runner.pid
    if how == "killed":
        os.kill(pid, signal.SIGKILL)
    with pytest.raises(VimaError) as caught:
        runner.step(BLOCK, BOWL)
    assert caught.value.code == "SIMULATOR_DIED"
    assert how == "killed" or "exit code -9; its last output" in str(caught.value)
    assert how == "killed" or "it breaks" in str(caught.value)
    runner.load(TASK, LEVEL, 3)
    assert runner.pid != pid
    assert runner.step(BLOCK, BOWL).outcome == TaskOutcome.SUCCESS


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        (("no_task", LEVEL, 1), "UNKNOWN_TASK"),
        ((TASK, "no_level", 1), "UNKNOWN_LEVEL"),
        ((TASK, "novel_task_generalization", 1), "UNKNOWN_LEVEL"),
        ((TASK, LEVEL, 700_000), "INVALID_VALUE"),
    ],
)
def test_a_bad_episode_is_refused_before_the_simulator_starts(request_, code):
    with pytest.raises(VimaError) as caught:
        VimaBenchRunner().load(*request_)
    assert caught.value.code == code


def test_an_absent_installation_is_named(monkeypatch, tmp_path):
    monkeypatch.delenv("VIMA_BENCH_PYTHON", raising=False)
    with pytest.raises(VimaError, match="VIMA_BENCH_PYTHON is not set") as caught:
        VimaBenchRunner().start()
    assert caught.value.code == "NO_SIMULATOR"
    monkeypatch.setenv("VIMA_BENCH_PYTHON", str(tmp_path / "none"))
    with pytest.raises(VimaError, match="No such file") as caught:
        VimaBenchRunner().start()
    assert caught.value.code == "NO_SIMULATOR"


def test_a_python_without_the_package_is_named(monkeypatch, tmp_path):
    path = tmp_path / "python"
    path.write_text(f'#!/bin/sh\nexec {os.sys.executable} -S "$@"\n')  # no site packages
    path.chmod(0o755)
    monkeypatch.setenv("VIMA_BENCH_PYTHON", str(path))
    with pytest.raises(VimaError) as caught:
        VimaBenchRunner().start()
    assert caught.value.code in ("NO_SIMULATOR", "SIMULATOR_DIED")  # without numpy, no answer
    assert "No module named" in str(caught.value)


@pytest.mark.parametrize("seed", range(5))
def test_an_action_comes_back_from_its_waypoints(seed):
    random = np.random.default_rng(seed)
    x, y = random.uniform(0.3, 0.7, 2), random.uniform(-0.4, 0.4, 2)
    yaws = random.uniform(-3, 3, 2)
    poses = [pose(*values) for values in zip(x, y, yaws, strict=True)]
    for primitive in Primitive:
        waypoints = plan_waypoints(primitive, *poses, VIMA_WORKSPACE)
        action = action_from_waypoints(primitive, waypoints, VIMA_WORKSPACE)
        for name, wanted in zip(("pose0", "pose1"), poses, strict=True):
            assert np.allclose(action[f"{name}_position"], wanted.position[:2])
            if primitive == Primitive.PICK_PLACE:
                assert np.allclose(action[f"{name}_rotation"], wanted.quaternion)
        with pytest.raises(VimaError, match="3 waypoints"):
            action_from_waypoints(primitive, waypoints[:3], VIMA_WORKSPACE)


class Scripted:
    """Picks at nothing, then puts the block into the bowl."""

    tokenizer, inputs = None, OBJECTS

    def __init__(self):
        self.missed = self.recorded = 0
        self.prompt = self.seen = None

    def reset(self, prompt):
        self.prompt = prompt

    def infer(self, observation):
        self.seen = observation
        first = NOWHERE if not self.missed else BLOCK
        return type("Decision", (), {"action": Poses(first, BOWL)})

    def record(self, decision):
        self.recorded += 1

    def miss(self, decision):
        self.missed += 1


class Poses:
    def __init__(self, *poses):
        self._poses = poses

    def poses(self, workspace):
        return self._poses


@pytest.mark.parametrize(("seed", "code"), [(3, "SUCCESS"), (13, "SIMULATOR_DIED")])
def test_the_direct_loop_runs_an_episode(installed, monkeypatch, seed, code):
    policy = Scripted()
    tools = policy, lambda text, names: [1, *names], make_detector("ground_truth_masks")
    monkeypatch.setattr(policy_rollouts, "load_tools", lambda *_: tools)
    runner = VimaBenchRunner()
    monkeypatch.setattr(policy_rollouts, "vima_bench_runner", lambda: runner)
    with runner:
        done = attempt(Job(TASK, LEVEL, seed, "", "ground_truth_masks", sim="vima_bench"))
    assert done.code == code, done.reason
    assert [len(policy.seen.front), len(policy.seen.top)] == [2, 2]
    assert [len(image.top) for image in policy.prompt.images] == [1, 2]
    if code == "SUCCESS":
        assert (done.steps, policy.missed, policy.recorded) == (2, 1, 1)
