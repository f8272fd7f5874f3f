import importlib.util
import json
import os
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

from vima_ros.errors import VimaError
from vima_ros.sim.episode_runner import find_level
from vima_ros.sim.tasks import TASKS, find_task
from vima_ros.specs import VIEWS, Action, AssetKind

gymnasium = pytest.importorskip("gymnasium", reason="gymnasium is an extra")

from gymnasium.utils.env_checker import check_env  # noqa: E402

from vima_ros.sim import gym_env  # noqa: E402
from vima_ros.sim.gym_env import ENVIRONMENT, TabletopEnv  # noqa: E402

NOWHERE = Action([0, 0, 25, 25, 25, 49, 49, 99, 25, 25, 25, 49]).bins  # picks at an empty corner
NO_YAW = Action([25, 50, 25, 25, 25, 25, 25, 50, 25, 25, 25, 49]).bins  # quaternion 0, 0, 0, 0


@pytest.fixture
def bare():
    with TabletopEnv(images="none") as env:
        yield env


def oracle_episode(env, **reset):
    """Everything that the oracle's episode gives, as (observation, reward, ends, info)."""
    observation, info = env.reset(**reset)
    got = [(observation, 0.0, False, info)]
    while not got[-1][2]:
        observation, reward, terminated, truncated, info = env.step(env.oracle_action())
        got.append((observation, reward, terminated or truncated, info))
    return got


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"images": "masks", "task": ["rotate", "twist"]},
        {"images": "none", "task": "sweep_without_exceeding", "binned": False},
    ],
    ids=str,
)
def test_gymnasium_accepts_it_without_a_warning(options):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        env = gymnasium.make(ENVIRONMENT, render_mode="rgb_array", **options)
        check_env(env.unwrapped)


@pytest.mark.slow
@pytest.mark.parametrize("binned", [True, False])
@pytest.mark.parametrize("task", ["visual_manipulation", "rearrange", "sweep_without_exceeding"])
def test_the_oracle_gets_the_reward_at_the_end_only(task, binned):
    with TabletopEnv(task, images="none", binned=binned) as env:
        got = oracle_episode(env, seed=0)
    assert [reward for _, reward, _, _ in got] == [0.0] * (len(got) - 1) + [1.0]
    assert got[-1][3]["success"]
    assert not got[-1][3]["failure"]


def test_a_seed_is_the_episode_of_that_seed(bare):
    for task, level in (("rotate", None), ("twist", "novel_object_generalization")):
        _, info = bare.reset(seed=7, options={"task": task, "level": level})
        episode = find_task(task).sample(7, find_task(task).check_level(level))
        assert bare.runner.episode.scene == episode.scene
        assert (info["task"], info["seed"], info["prompt"]) == (task, 7, episode.prompt)
        assert info["level"] == episode.level.value


def test_without_a_seed_comes_another_episode_and_any_task(bare):
    bare.reset(seed=1)
    infos = [bare.reset()[1] for _ in range(12)]
    assert len({info["seed"] for info in infos}) == 12
    assert len({info["task"] for info in infos}) > 3
    bare.reset(seed=1)
    assert [bare.reset()[1]["seed"] for _ in range(3)] == [info["seed"] for info in infos[:3]]


def test_truncated_at_the_step_limit_and_over(bare):
    _, info = bare.reset(seed=0, options={"task": "rotate"})
    ends = [bare.step(NOWHERE) for _ in range(info["step_limit"])]
    assert [truncated for *_, truncated, _ in ends] == [False] * (len(ends) - 1) + [True]
    assert not any(terminated for _, _, terminated, _, _ in ends)
    assert ends[0][4]["code"] == "NOT_PICKED"
    with pytest.raises(VimaError) as error:
        bare.step(NOWHERE)
    assert error.value.code == "EPISODE_OVER"


def test_an_action_without_meaning_costs_a_step_and_moves_nothing(bare):
    _, before = bare.reset(seed=0, options={"task": "rotate"})
    _, reward, terminated, truncated, info = bare.step(NO_YAW)
    assert (reward, terminated, truncated, info["steps"]) == (0.0, False, False, 1)
    assert info["code"] == "NOT_FINITE"
    np.testing.assert_array_equal(info["poses"], before["poses"])
    assert bare.step(bare.oracle_action())[4]["success"]


def test_info_has_the_poses_of_the_objects():
    with TabletopEnv("visual_manipulation", images="masks") as env:
        observation, info = env.reset(seed=3)
    for place, (x, y, *_) in enumerate(info["poses"], start=1):
        rows, columns = np.nonzero(observation["segm"]["top"] == place)
        # FACTS section 3: pixels of a point of the table in the top view
        assert abs(rows.mean() - (63.5 + 251.0 * (x - 0.5))) < 8
        assert abs(columns.mean() - (127.5 + 251.0 * y)) < 8
    assert len(info["objects"]) == len(info["poses"]) == observation["segm"]["top"].max()


@pytest.mark.parametrize("task", ["novel_noun", "follow_motion"])
def test_a_reset_returns_the_prompts_images(task):
    with TabletopEnv(task, images="masks") as env:
        _, info = env.reset(seed=0)
        assets = env.runner.episode.assets
    assert list(info["prompt_assets"]) == list(assets)
    for name, asset in info["prompt_assets"].items():
        assert "{" + name + "}" in info["prompt"]
        assert AssetKind(asset["kind"]) == assets[name].kind
        for view in VIEWS:
            assert asset["rgb"][view].shape == (128, 256, 3)
            assert asset["segm"][view].max() == len(assets[name].scene.objects)


def test_a_random_appearance_changes_the_images_and_not_the_episode():
    plain, random = TabletopEnv("rotate"), TabletopEnv("rotate", visual_randomization=1.0)
    (a, info_a), (b, info_b) = plain.reset(seed=2), random.reset(seed=2)
    assert (a["rgb"]["top"] != b["rgb"]["top"]).mean() > 0.2
    np.testing.assert_array_equal(info_a["poses"], info_b["poses"])
    assert (random.reset(seed=2)[0]["rgb"]["top"] == b["rgb"]["top"]).all()


DIGEST = """
import hashlib, json, sys
import numpy as np
from vima_ros.sim.gym_env import TabletopEnv

def digest(value):
    if isinstance(value, dict):
        return [[key, digest(value[key])] for key in sorted(value)]
    if isinstance(value, np.ndarray):
        return [str(value.dtype), value.shape, hashlib.sha256(value.tobytes()).hexdigest()]
    return repr(value)

everything = []
for task in ("rotate", "sweep_without_exceeding", "novel_adj", "follow_order"):
    env = TabletopEnv(task)
    everything.append(digest(dict(zip(("seen", "info"), env.reset(seed=5)))))
    for _ in range(2):
        action = env.oracle_action()
        everything.append(digest(action))
        seen, reward, terminated, truncated, info = env.step(action)
        everything.append(digest({"seen": seen, "info": info, "reward": reward}))
        if terminated or truncated:
            break
print(hashlib.sha256(json.dumps(everything).encode()).hexdigest(), len(everything))
"""


@pytest.mark.slow
def test_the_same_seed_gives_the_same_episode_in_a_fresh_process():
    source = str(Path(gym_env.__file__).parents[2])
    found = set()
    for hash_seed in ("1", "2"):
        surroundings = os.environ | {"PYTHONHASHSEED": hash_seed, "PYTHONPATH": source}
        command = [sys.executable, "-c", DIGEST]
        done = subprocess.run(command, env=surroundings, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        found.add(done.stdout)
    assert len(found) == 1
    assert int(found.pop().split()[1]) >= 4 * 3


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"task": "juggle"}, "UNKNOWN_TASK"),
        ({"level": "easy"}, "UNKNOWN_LEVEL"),
        ({"task": "same_texture", "level": "train"}, "UNKNOWN_LEVEL"),
        ({"images": "depth"}, "INVALID_VALUE"),
    ],
)
def test_wrong_options_are_refused(options, code):
    with pytest.raises(VimaError) as error:
        TabletopEnv(**options)
    assert error.value.code == code


def test_wrong_calls_are_refused(bare):
    with pytest.raises(VimaError, match="after reset"):
        bare.step(NOWHERE)
    with pytest.raises(VimaError, match="options"):
        bare.reset(options={"tsak": "rotate"})
    with TabletopEnv("rotate", images="none", binned=False) as env:
        env.reset(seed=0)
        for action in (np.full(12, 1.1), np.full(12, np.nan), np.zeros(11)):
            with pytest.raises(VimaError, match="12"):
                env.step(action)


def test_a_level_stands_for_the_tasks_that_have_it():
    with TabletopEnv(level="novel_task_generalization", images="none") as env:
        env.reset(seed=0)
        tasks = {env.reset()[1]["task"] for _ in range(30)}
    assert tasks == {
        name
        for name, task in TASKS.items()
        if find_level("novel_task_generalization") in task.levels
    }


def test_without_gymnasium_the_error_names_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "gymnasium", None)
    spec = importlib.util.spec_from_file_location("without_gymnasium", gym_env.__file__)
    with pytest.raises(VimaError) as error:
        spec.loader.exec_module(importlib.util.module_from_spec(spec))
    assert error.value.code == "NOT_INSTALLED"
    assert "pip install gymnasium" in str(error.value)


def test_info_is_plain_data():
    with TabletopEnv("rotate", images="none") as env:
        _, info = env.reset(seed=0)
    json.dumps({key: value for key, value in info.items() if key != "poses"})
