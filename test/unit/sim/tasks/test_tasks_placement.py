import math
from dataclasses import replace

import numpy as np
import pytest

from vima_ros.geometry import Pose, Workspace, quaternion_from_yaw
from vima_ros.sim.model import polygons
from vima_ros.sim.model.shapes import SHAPES, find_shape
from vima_ros.sim.scene import Scene, SceneObject
from vima_ros.sim.tasks import TASKS
from vima_ros.sim.tasks.base import Level, TaskEpisode, TaskOutcome, WorldState
from vima_ros.sim.tasks.grasp_points import binned, grasp_point, heading
from vima_ros.sim.tasks.placement import (
    DistractorCheck,
    PlaceGoal,
    PlacementCriterion,
    PlacementGoal,
    PlacementOracle,
    pick_and_place,
)
from vima_ros.specs import Action, EndEffector

SUCTION = [name for name, task in TASKS.items() if task.end_effector == EndEffector.SUCTION]
RUNNING, SUCCESS, FAILURE = TaskOutcome
A, B, HOME = (0.4, -0.3), (0.6, 0.3), (0.5, 0.0)


def pose(x, y, yaw=0.0, z=0.0):
    return Pose(np.array([x, y, z]), quaternion_from_yaw(yaw))


def episode(*stages, shape="letter_e", **rules):
    items = (
        SceneObject("toy", shape, "red", HOME),
        SceneObject("toy_2", shape, "green", (0.5, 0.25)),
        SceneObject("other", "heart", "blue", (0.65, -0.3)),
    )
    goal = PlacementGoal(stages, **{"distractors": ("other",), **rules})
    return TaskEpisode("test", Level.TRAIN, 0, Scene(items), "", {}, 9, goal)


def at(episode, **places):
    start = WorldState.at_start(episode.scene)
    return WorldState(start.poses | {name: pose(*p) for name, p in places.items()}, episode.scene)


def verdicts(episode, *worlds):
    criterion = PlacementCriterion(episode)
    return [criterion.update(at(episode, **world)).outcome for world in worlds]


def put(place, name="toy", **more):
    return (PlaceGoal(name, place, 0.0, **more),)


def carried(world, poses):
    """The world after what lies on top at pose0 was carried to pose1, rigidly, without physics."""
    pick, place = poses
    found = [
        name
        for name, now in world.poses.items()
        if world.scene.object(name).scaled_shape.movable
        and on(world.scene.object(name).shape, now, pick)
    ]
    assert found
    top = max(found, key=lambda name: world.poses[name].position[2])
    now = world.poses[top]
    offset = now.position[:2] - pick.position[:2]
    turn = heading(place) - heading(pick)
    cosine, sine = math.cos(turn), math.sin(turn)
    x, y = place.position[:2] + np.array([[cosine, -sine], [sine, cosine]]) @ offset
    height = max(pose.position[2] for pose in world.poses.values())
    moved = pose(x, y, heading(now) + turn, height + 0.03)
    return WorldState(world.poses | {top: moved}, world.scene)


def on(shape, now, pick):
    yaw = heading(now)
    rotation = np.array([[math.cos(yaw), -math.sin(yaw)], [math.sin(yaw), math.cos(yaw)]])
    own = (pick.position[:2] - now.position[:2]) @ rotation
    return polygons.depth(own[None], find_shape(shape).outline)[0] > 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("as_binned", "draws"),
    [(False, 0), (True, 0), (True, None)],
    ids=["exact", "binned", "binned, drawing nothing"],
)
@pytest.mark.parametrize("name", SUCTION)
def test_the_oracle_solves_it_where_objects_just_go_where_they_are_carried(name, as_binned, draws):
    task, workspace = TASKS[name], Workspace()
    for level in task.levels:
        for seed in range(6):
            start = task.sample(seed, level)
            criterion, oracle = task.success_criterion(start), task.oracle(start, draws)
            world = WorldState.at_start(start.scene)
            for _ in range(start.step_limit):
                poses = oracle.act(world)
                if as_binned:
                    poses = Action.from_poses(*poses, workspace).poses(workspace)
                world = carried(world, poses)
                if criterion.update(world).outcome != RUNNING:
                    break
            assert criterion.result.outcome == SUCCESS, (level, seed, criterion.result)
            assert oracle.act(world) is None


def test_a_place_is_reached_within_the_tolerance():
    start = episode(put(A, tolerance=0.1))
    for distance, outcome in ((0.099, SUCCESS), (0.101, RUNNING)):
        assert verdicts(start, {"toy": (A[0] + distance, A[1])}) == [outcome]


@pytest.mark.parametrize("name", ["letter_e", "cross", "pentagon", "triangle", "ring"])
def test_the_criterion_respects_symmetry(name):
    """A turn by the symmetry changes no result; half of it does, and 14 degrees do not matter."""
    symmetry, tolerance = SHAPES[name].symmetry, math.radians(15)
    start = episode((PlaceGoal("toy", A, 0.7, yaw_tolerance=tolerance),), shape=name)
    for error, outcome in ((14, SUCCESS), (-14, SUCCESS), (16, RUNNING), (-16, RUNNING)):
        for turns in range(5):
            yaw = 0.7 + math.radians(error) + turns * symmetry
            want = SUCCESS if symmetry == 0 else outcome
            assert verdicts(start, {"toy": (*A, yaw)}) == [want], (error, turns)
    if 0 < symmetry < 6:
        assert verdicts(start, {"toy": (*A, 0.7 + symmetry / 2)}) == [RUNNING]


def test_goals_of_one_stage_come_in_any_order():
    start = episode((*put(A), *put(B, "toy_2")))
    assert verdicts(start, {"toy": A}, {"toy": A, "toy_2": B}) == [RUNNING, SUCCESS]
    assert verdicts(start, {"toy_2": B}, {"toy": A, "toy_2": B}) == [RUNNING, SUCCESS]
    assert verdicts(start, {"toy": A}, {"toy": HOME, "toy_2": B}) == [RUNNING, RUNNING]


def test_stages_come_one_after_the_other():
    start = episode(put(A), put(B), no_stage_early=True)
    assert verdicts(start, {}, {"toy": A}, {"toy": A}, {"toy": B}) == [
        *(RUNNING, RUNNING, RUNNING, SUCCESS)
    ]
    assert verdicts(start, {"toy": B}) == [FAILURE]
    assert verdicts(replace_rules(start, no_stage_early=False), {"toy": B}) == [RUNNING]


def test_where_it_stood_at_the_start_is_not_too_early_but_back_again_is():
    start = episode(put(A), put(B), put(HOME), no_stage_early=True)
    assert verdicts(start, {}, {"toy": A}, {"toy": B}, {"toy": HOME}) == [
        *(RUNNING, RUNNING, RUNNING, SUCCESS)
    ]
    assert verdicts(start, {"toy": A}, {"toy": HOME}) == [RUNNING, FAILURE]


def test_the_same_place_for_a_second_object_later_is_not_too_early():
    start = episode(put(A), (*put(A), *put(A, "toy_2")), no_stage_early=True)
    assert verdicts(start, {"toy": A}, {"toy": A, "toy_2": A}) == [RUNNING, SUCCESS]
    assert verdicts(start, {"toy_2": A}) == [FAILURE]


def test_every_action_has_to_be_the_next_move_where_that_is_the_rule():
    start = episode(put(A), put(B), every_action=True)
    assert verdicts(start, {"toy": A}, {"toy": B}) == [RUNNING, SUCCESS]
    assert verdicts(start, {}) == [FAILURE]
    assert verdicts(start, {"toy": A}, {"toy": A}) == [RUNNING, FAILURE]


def test_a_goal_object_outside_the_workspace_is_a_failure():
    start = episode(put(A))
    assert verdicts(start, {"toy": (0.76, 0.0)}) == [FAILURE]
    assert verdicts(start, {"other": (0.76, 0.0)}) == [RUNNING]


def test_a_distractor_on_a_goal_place_is_a_failure():
    start = episode(put(A))
    assert verdicts(start, {"other": A}) == [FAILURE]
    late = replace_rules(start, check_distractors=DistractorCheck.STAGE_END)
    assert verdicts(late, {"other": A}, {"other": A, "toy": A}) == [RUNNING, FAILURE]
    assert verdicts(late, {"other": A}, {"toy": A}) == [RUNNING, SUCCESS]
    never = replace_rules(start, check_distractors=DistractorCheck.NEVER)
    assert verdicts(never, {"other": A, "toy": A}) == [SUCCESS]


def test_putting_a_goal_object_on_a_distractor_is_a_failure_standing_beside_it_is_not():
    start, near = episode(put(A)), (0.65, -0.22)
    assert verdicts(start, {"toy": near}) == [FAILURE]
    assert verdicts(start, {"other": (0.5, 0.08)}) == [RUNNING]
    late = replace_rules(start, check_distractors=DistractorCheck.STAGE_END)
    assert verdicts(late, {"toy": near}) == [RUNNING]


def test_a_verdict_is_not_revised():
    start = episode(put(A))
    assert verdicts(start, {"toy": A}, {"other": A}) == [SUCCESS, SUCCESS]
    assert verdicts(start, {"other": A}, {"toy": A}) == [FAILURE, FAILURE]


def replace_rules(start, **rules):
    return replace(start, goal=replace(start.goal, **rules))


def test_the_oracle_picks_without_turning_and_tries_again():
    start = episode(put(A, tolerance=0.1))
    oracle, world = PlacementOracle(start), WorldState.at_start(start.scene)
    for _ in range(2):
        pick, place = oracle.act(world)
        assert pick.quaternion == pytest.approx([0, 0, 0, 1])
        assert carried(world, (pick, place)).poses["toy"].position[:2] == pytest.approx(A)
    assert oracle.act(at(start, toy=A)) is None


def test_a_deterministic_oracle_acts_on_what_the_images_show():
    start = episode((*put(A), *put(B, "toy_2")))
    world = at(start, toy=(0.6, 0.0, 1.0), toy_2=(0.4, 0.1, 2.0))
    pick, place = PlacementOracle(start, None).act(world)
    assert on("letter_e", world.poses["toy_2"], pick), "the nearer to the base comes first"
    own = grasp_point(SHAPES["letter_e"], world.poses["toy_2"], Workspace(), None)
    assert pick.position[:2] == pytest.approx(own)
    assert place.quaternion == pytest.approx([0, 0, 0, 1]), "the goal asks for no turn"


def test_the_oracle_moves_what_is_in_the_way_aside():
    start = replace_rules(episode(put(A)), check_distractors=DistractorCheck.STAGE_END)
    oracle, world = PlacementOracle(start), at(start, other=A)
    world = carried(world, oracle.act(world))
    places = [world.poses[name].position[:2] for name in ("toy", "toy_2")] + [A]
    assert min(math.dist(world.poses["other"].position[:2], place) for place in places) > 0.15
    world = carried(world, oracle.act(world))
    assert PlacementCriterion(start).update(world).outcome == SUCCESS


def test_an_object_is_carried_to_its_place_from_anywhere_on_it():
    rng = np.random.default_rng(0)
    for shape in ("letter_t", "ring", "heart", "block"):
        scene = Scene((SceneObject("toy", shape, "red", (0.5, 0.1), 1.0),))
        world, picks = WorldState.at_start(scene), set()
        for yaw in (-3.0, 0.0, 2.0):
            poses = pick_and_place(world, "toy", A, yaw, rng)
            after = carried(world, poses).poses["toy"]
            assert after.position[:2] == pytest.approx(A, abs=1e-9)
            assert math.remainder(heading(after) - yaw, 2 * math.pi) == pytest.approx(0, abs=1e-9)
            picks.add(tuple(poses[0].position))
        assert len(picks) == 3


@pytest.mark.slow
@pytest.mark.parametrize("shape", [name for name, s in SHAPES.items() if s.role == "movable"])
def test_grasp_points_stay_on_the_object_when_binned(shape):
    rng, outline = np.random.default_rng(1), SHAPES[shape].outline
    for _ in range(50):
        yaw = rng.uniform(-3, 3)
        now = pose(*rng.uniform([0.35, -0.4], [0.65, 0.4]), yaw)
        rotation = np.array([[math.cos(yaw), -math.sin(yaw)], [math.sin(yaw), math.cos(yaw)]])
        point = grasp_point(SHAPES[shape], now, Workspace(), rng)
        for place in (point, binned(point, Workspace())):
            own = (place - now.position[:2]) @ rotation
            assert polygons.depth(own[None], outline)[0] > 0.002


@pytest.mark.slow
@pytest.mark.parametrize("shape", [name for name, s in SHAPES.items() if s.role == "movable"])
def test_deterministic_grasps_are_firm_and_near_the_centre_of_the_box(shape):
    built, rng = SHAPES[shape], np.random.default_rng(2)
    for _ in range(20):
        yaw = rng.uniform(-3, 3)
        now = pose(*rng.uniform([0.35, -0.4], [0.65, 0.4]), yaw)
        point = grasp_point(built, now, Workspace(), None)
        assert point == pytest.approx(grasp_point(built, now, Workspace(), None))
        rotation = np.array([[math.cos(yaw), -math.sin(yaw)], [math.sin(yaw), math.cos(yaw)]])
        depth, best = (
            polygons.depth(np.array([p]), built.outline)[0]
            for p in ((point - now.position[:2]) @ rotation, built.grasp_points[0])
        )
        assert depth >= min(0.01, 0.8 * best) - 1e-9
        corners = np.array(built.outline[0]) @ rotation.T + now.position[:2]
        middle = (corners.min(axis=0) + corners.max(axis=0)) / 2
        if polygons.depth((middle - now.position[:2])[None] @ rotation, built.outline)[0] >= 0.015:
            assert np.linalg.norm(point - middle) < 0.003  # the grid's


def test_of_points_alike_one_nearer_to_the_robot_is_picked():
    for yaw in np.linspace(-3, 3, 7):
        x, y = grasp_point(SHAPES["ring"], pose(0.5, 0.1, yaw), Workspace(), None)
        assert x < 0.5 - 0.02
        assert y == pytest.approx(0.1, abs=0.015)


def test_a_heading_is_that_of_the_x_axis():
    assert heading(pose(0, 0, 2.5)) == pytest.approx(2.5)
    assert heading(Pose(np.zeros(3), np.array([1.0, 0, 0, 0]))) == 0.0  # upside down
    tilted = Pose(np.zeros(3), np.array([0.1, 0, 0, 1]) / math.hypot(0.1, 1))
    assert heading(tilted) == pytest.approx(0.0)
