import math

import numpy as np
import pytest

from vima_ros.errors import VimaError
from vima_ros.geometry import Pose, Workspace, quaternion_from_yaw
from vima_ros.sim import episode_runner
from vima_ros.sim.episode_runner import execute_action, task_primitive, world_state
from vima_ros.sim.oracle_rollouts import EpisodeResult, measure_oracles, run_episode, summarize
from vima_ros.sim.tabletop import Tabletop
from vima_ros.sim.tasks import TASKS
from vima_ros.sim.tasks.base import Level, TaskOutcome
from vima_ros.specs import Action, Primitive

RUNNING, SUCCESS, FAILURE = TaskOutcome


def pose(x, y, yaw=0.0):
    return Pose(np.array([x, y, 0.0]), quaternion_from_yaw(yaw))


@pytest.mark.slow
@pytest.mark.parametrize("binned", [True, False], ids=["binned", "exact"])
@pytest.mark.parametrize("name", TASKS)
def test_the_oracle_solves_the_task(name, binned):
    for seed in range(2):
        result = run_episode(name, seed=seed, binned=binned)
        assert result.outcome == SUCCESS, result
        assert 1 <= result.steps <= TASKS[name].step_limit


@pytest.mark.parametrize("binned", [True, False], ids=["binned", "exact"])
def test_binned_actions_are_exactly_what_bins_say(monkeypatch, binned):
    done = []
    monkeypatch.setattr(
        episode_runner, "execute_action", lambda *arguments: done.append(arguments[2])
    )
    run_episode("rotate", seed=0, binned=binned)
    pick, place = done[0]
    workspace = Workspace()
    again = Action.from_poses(pick, place, workspace).poses(workspace)
    same = [np.allclose(a.position, b.position) for a, b in zip((pick, place), again, strict=True)]
    assert same == [binned, binned]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "level"),
    [(name, level) for name in TASKS for level in TASKS[name].levels[2:]],
)
def test_the_oracle_solves_other_levels(name, level):
    result = run_episode(name, level, 1)
    assert result.outcome == SUCCESS, result


def test_the_same_seed_gives_the_same_episode():
    ends = []
    for _ in range(2):
        episode = TASKS["rearrange"].sample(2)
        criterion, oracle = (
            TASKS["rearrange"].success_criterion(episode),
            TASKS["rearrange"].oracle(episode),
        )
        with Tabletop(episode.scene) as tabletop:
            poses = oracle.act(world_state(tabletop))
            execute_action(tabletop, criterion, poses, Primitive.PICK_PLACE)
            world = world_state(tabletop)
        ends.append({k: [*p.position, *p.quaternion] for k, p in world.poses.items()})
    assert ends[0] == ends[1]


def test_a_failed_pick_changes_nothing_and_is_evaluated():
    episode = TASKS["visual_manipulation"].sample(0)
    criterion, base = (
        TASKS["visual_manipulation"].success_criterion(episode),
        episode.scene.object("base_obj"),
    )
    with Tabletop(episode.scene) as tabletop:
        tabletop.advance(0.5)
        before = world_state(tabletop).poses
        for place in (base.position_xy, (0.74, -0.49)):  # a fixed object, an empty spot
            outcome = execute_action(
                tabletop, criterion, (pose(*place), pose(0.3, 0.4)), Primitive.PICK_PLACE
            )
            after = world_state(tabletop).poses
            assert outcome == RUNNING
            for name, now in after.items():
                assert now.position == pytest.approx(before[name].position, abs=1e-3)
    episode = TASKS["follow_motion"].sample(0)
    with Tabletop(episode.scene) as tabletop:
        criterion = TASKS["follow_motion"].success_criterion(episode)
        miss = (pose(0.74, -0.49), pose(0.3, 0.4))
        assert execute_action(tabletop, criterion, miss, Primitive.PICK_PLACE) == FAILURE


def test_what_is_put_into_the_wrong_base_fails():
    for seed in range(100):
        episode = TASKS["novel_noun"].sample(seed)
        other = episode.scene.object("distractor_obj_1")
        if not other.scaled_shape.movable:
            break
    criterion, oracle = (
        TASKS["novel_noun"].success_criterion(episode),
        TASKS["novel_noun"].oracle(episode),
    )
    with Tabletop(episode.scene) as tabletop:
        tabletop.advance(0.5)
        pick, place = oracle.act(world_state(tabletop))
        base = episode.scene.object("base_obj").position_xy
        shift = np.subtract(other.position_xy, base)
        wrong = pose(*(place.position[:2] + shift))
        assert execute_action(tabletop, criterion, (pick, wrong), Primitive.PICK_PLACE) == FAILURE
    assert "put on distractor_obj_1" in criterion.result.reason


def test_a_block_pushed_over_the_line_is_noticed_during_the_motion():
    """It ends beyond the line, where nothing is wrong any more."""
    for seed in range(100):
        episode = TASKS["sweep_without_exceeding"].sample(seed)
        if len(episode.goal.swept) == 1:
            break
    x, y = episode.scene.object("swept_obj_1").position_xy
    criterion = TASKS["sweep_without_exceeding"].success_criterion(episode)
    with Tabletop(episode.scene) as tabletop:
        end = episode.goal.line.low[0] - 0.07
        execute_action(
            tabletop, criterion, (pose(x + 0.012, y), pose(end, y * 0.5)), Primitive.SWEEP
        )
        after = world_state(tabletop).poses["swept_obj_1"].position
    assert after[0] < episode.goal.line.low[0] - 0.022
    assert criterion.result.outcome == FAILURE
    assert "swept_obj_1 touched the line" in criterion.result.reason


def test_the_initial_world_state_is_that_of_the_scene():
    episode = TASKS["pick_in_order_then_restore"].sample(1)
    with Tabletop(episode.scene) as tabletop:
        world = world_state(tabletop)
    for item in episode.scene.objects:
        found = world.poses[item.name]
        height = item.base_height + item.scaled_shape.rest_height
        assert found.position == pytest.approx([*item.position_xy, height])
        assert math.remainder(item.yaw, 2 * math.pi) == pytest.approx(0)


def test_spatula_tasks_sweep():
    kinds = {name: task_primitive(task) for name, task in TASKS.items()}
    assert [name for name, kind in kinds.items() if kind == Primitive.SWEEP] == [
        "sweep_without_exceeding",
        "sweep_without_touching",
    ]


def test_scores_add_up():
    results = [
        EpisodeResult("rotate", Level.TRAIN, seed, True, outcome, "", steps, 0.5)
        for seed, (outcome, steps) in enumerate(
            [(SUCCESS, 1), (FAILURE, 3), (SUCCESS, 2), (RUNNING, 3)]
        )
    ]
    found = summarize(results)
    assert (found.success, found.mean_steps, found.seconds) == (0.5, 1.5, 0.5)
    assert [failure.seed for failure in found.failures] == [1, 3]


@pytest.mark.slow
def test_measuring_runs_every_seed():
    (found,) = measure_oracles(range(2), ["rotate"])
    assert (found.task, found.episodes, found.success, found.failures) == ("rotate", 2, 1.0, ())


def test_unknown_tasks_are_refused():
    with pytest.raises(VimaError, match="valid: visual_manipulation"):
        run_episode("put")
