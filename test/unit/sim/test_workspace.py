"""Another workspace than VIMA-Bench's: table, cameras, positions, actions and oracles take it."""

import numpy as np
import pytest

from vima_ros.errors import VimaError
from vima_ros.geometry import Pose, Workspace, quaternion_from_yaw
from vima_ros.sim.domain_randomization import random_appearance
from vima_ros.sim.episode_runner import execute_action
from vima_ros.sim.gym_env import TabletopEnv
from vima_ros.sim.oracle_rollouts import run_episode
from vima_ros.sim.recording import record
from vima_ros.sim.rendering.prompt_renderer import render_prompt_images
from vima_ros.sim.scene import SCENES, Scene, random_scene, scatter
from vima_ros.sim.tabletop import Tabletop
from vima_ros.sim.tasks import TASKS
from vima_ros.sim.tasks.base import SuccessCriterion, TaskEvaluation, TaskOutcome
from vima_ros.specs import VIEWS, Action, EndEffector, Primitive

SHIFTED = Workspace((0.4, -0.2), (0.9, 0.8))
SMALLER = Workspace((0.3, -0.4), (0.7, 0.4))
WORKSPACES = pytest.mark.parametrize("workspace", [SHIFTED, SMALLER], ids=["shifted", "smaller"])


class Undecided(SuccessCriterion):
    def _evaluate(self, world):
        return TaskEvaluation(TaskOutcome.RUNNING)


def inside(workspace, scene):
    return all(workspace.contains(*item.position_xy) for item in scene.objects)


@pytest.mark.slow
@WORKSPACES
@pytest.mark.parametrize("task", TASKS)
def test_oracles_solve_tasks_in_it(task, workspace):
    for seed in range(2):
        result = run_episode(task, None, seed, workspace=workspace)
        assert result.outcome == TaskOutcome.SUCCESS, result.reason


@WORKSPACES
@pytest.mark.parametrize("task", TASKS)
def test_objects_and_prompts_lie_on_it(task, workspace):
    for seed in range(5):
        episode = TASKS[task].sample(seed, None, workspace)
        assert inside(workspace, episode.scene)
        shown = [asset.scene for asset in episode.assets.values()]
        assert all(scene.workspace == workspace for scene in (episode.scene, *shown))


@WORKSPACES
@pytest.mark.parametrize("task", ["sweep_without_exceeding", "sweep_without_touching"])
def test_the_areas_of_a_sweep_move_with_its_scene(task, workspace):
    vima, moved = (TASKS[task].sample(0, None, area) for area in (Workspace(), workspace))
    way = np.subtract(workspace.center, Workspace().center)
    for name in ("zone", "inside", "target", "line"):
        before, after = getattr(vima.goal, name), getattr(moved.goal, name)
        assert np.subtract(after.low, before.low) == pytest.approx(way)
        assert np.subtract(after.high, before.high) == pytest.approx(way)


@WORKSPACES
def test_the_blade_is_lowered_inside_it(workspace):
    """At pose0, on the edge, and not behind it, where it is lowered anywhere else."""
    with Tabletop(Scene((), EndEffector.SPATULA, workspace=workspace)) as tabletop:
        ways = []
        tabletop.execute = lambda waypoints, _: ways.append(waypoints)
        x, y = workspace.low
        poses = [Pose((x + dx, y + 0.1, 0.0), quaternion_from_yaw(0.0)) for dx in (0.0, 0.2)]
        execute_action(tabletop, Undecided(), tuple(poses), Primitive.SWEEP)
    lowest = min(way.pose.position[2] for way in ways[0])
    lowered = next(way.pose.position for way in ways[0] if way.pose.position[2] == lowest)
    assert lowered[0] == pytest.approx(x)


@WORKSPACES
def test_random_scenes_and_clutter_lie_on_it(workspace):
    for seed in range(20):
        scene = random_scene(seed, workspace=workspace)
        assert scene.workspace == workspace
        assert inside(workspace, scene)
        clutter = random_appearance(np.random.default_rng(seed), 1.0, workspace).clutter
        assert all(workspace.contains(*patch.position_xy) for patch in clutter)


@WORKSPACES
@pytest.mark.parametrize("name", SCENES)
def test_a_scene_moves_with_it(name, workspace):
    moved = SCENES[name].moved_to(workspace)
    way = np.subtract(workspace.center, SCENES[name].workspace.center)
    for before, after in zip(SCENES[name].objects, moved.objects, strict=True):
        assert np.subtract(after.position_xy, before.position_xy) == pytest.approx(way)
    assert moved.workspace == workspace
    assert name == "sweep" or inside(workspace, scatter(moved, 1))  # the sweep's bounds fill it


@WORKSPACES
def test_the_cameras_show_it_in_vima_benchs_place(workspace):
    with Tabletop(Scene(())) as vima, Tabletop(Scene((), workspace=workspace)) as other:
        for view in VIEWS:
            table = (vima.render(view) == 47).all(axis=2)
            assert np.mean(table != (other.render(view) == 47).all(axis=2)) < 0.02


def test_a_prompts_object_stands_in_the_middle_at_the_scale_of_the_scene():
    sizes = {}
    for workspace in (Workspace(), SHIFTED, SMALLER):
        asset = TASKS["rotate"].sample(0, None, workspace).assets["dragged_obj"]
        rows, columns = np.nonzero(render_prompt_images(asset.scene, asset.kind)["top"].mask)
        assert (rows.mean(), columns.mean()) == pytest.approx((63, 128), abs=8)
        scale = asset.scene.objects[0].scale
        sizes[workspace] = (rows.max() - rows.min()) / scale
    assert sizes[SHIFTED] == pytest.approx(sizes[Workspace()], rel=0.1)
    assert sizes[SMALLER] == pytest.approx(1.25 * sizes[Workspace()], rel=0.1)


@WORKSPACES
@pytest.mark.parametrize("binned", [True, False])
def test_actions_of_the_environment_are_fractions_of_it(workspace, binned):
    environment = TabletopEnv(
        "visual_manipulation", binned=binned, images="none", workspace=workspace
    )
    _, info = environment.reset(seed=3)
    target = info["poses"][info["objects"].index("dragged_obj_1"), :2]
    action = environment.oracle_action()
    fractions = Action(action).fractions if binned else action
    assert workspace.low + fractions[:2] * np.array(workspace.size) == pytest.approx(
        target, abs=0.08
    )
    _, reward, *_ = environment.step(action)
    assert reward == 1.0


@WORKSPACES
def test_recordings_carry_it(workspace):
    recording = record("rotate", None, 1, masks=False, workspace=workspace)
    assert recording.workspace == workspace
    (pick, _) = Action(recording.bins[0].astype(np.int64)).poses(recording.workspace)
    assert pick.position[:2] == pytest.approx(recording.actions[0, :2], abs=0.02)


@pytest.mark.parametrize("task", ["visual_manipulation", "follow_motion"])
def test_without_room_for_the_task_it_is_refused(task):
    with pytest.raises(VimaError, match=r"valid: another seed or a larger workspace") as caught:
        TASKS[task].sample(0, None, Workspace((0.4, 0.0), (0.6, 0.2)))
    assert caught.value.code == "NO_ROOM"
