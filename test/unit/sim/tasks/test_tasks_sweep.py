import math
from dataclasses import replace

import numpy as np
import pytest

from vima_ros.geometry import Pose, Workspace, quaternion_from_yaw
from vima_ros.sim.model.shapes import SHAPES
from vima_ros.sim.tasks import TASKS
from vima_ros.sim.tasks.base import TaskOutcome, WorldState
from vima_ros.sim.tasks.sweep_goal import Rectangle, SweepCriterion, block_corners, in_zone
from vima_ros.sim.tasks.sweep_oracle import SweepOracle
from vima_ros.specs import Action, Primitive

RUNNING, SUCCESS, FAILURE = TaskOutcome
NAMES = ("sweep_without_exceeding", "sweep_without_touching")
both = pytest.mark.parametrize("name", NAMES)


def pose(x, y, yaw=0.0):
    return Pose(np.array([x, y, 0.015]), quaternion_from_yaw(yaw))


def start_of(name, blocks=2, count=None):
    """An episode with so many blocks, of which ``count`` (default: all) have to go in."""
    for seed in range(100):
        episode = TASKS[name].sample(seed)
        if len(episode.goal.swept) == blocks:
            goal = replace(episode.goal, count=count or blocks)
            return replace(episode, goal=goal)
    raise AssertionError(blocks)


def at(episode, **places):
    start = WorldState.at_start(episode.scene)
    return WorldState(start.poses | {name: pose(*p) for name, p in places.items()}, episode.scene)


def middle(rectangle):
    return tuple(np.mean([rectangle.low, rectangle.high], axis=0))


def outcome_of(episode, **places):
    return SweepCriterion(episode).update(at(episode, **places)).outcome


@both
def test_the_asked_number_of_blocks_in_the_zone_is_success(name):
    episode = start_of(name, 2, 2)
    x, y = middle(episode.goal.zone)
    one, two = {"swept_obj_1": (x, y)}, {"swept_obj_1": (x, y), "swept_obj_2": (x, y + 0.05)}
    assert outcome_of(episode) == RUNNING
    assert outcome_of(episode, **one) == RUNNING
    assert outcome_of(episode, **two) == SUCCESS
    less = start_of(name, 2, 1)
    assert outcome_of(less, **one) == SUCCESS
    assert outcome_of(less, **two) == FAILURE


@both
def test_a_block_counts_only_when_it_is_wholly_inside(name):
    episode = start_of(name, 1)
    zone = episode.goal.zone
    edge, y = zone.high[0], 0.155 if name == NAMES[1] else 0.0  # beside the line
    for yaw, reach in ((0.0, 0.015), (math.pi / 4, 0.0213)):
        assert outcome_of(episode, swept_obj_1=(edge - reach - 0.001, y * 0.95, yaw)) == SUCCESS
        assert outcome_of(episode, swept_obj_1=(edge - reach + 0.001, y * 0.95, yaw)) == RUNNING


@both
def test_a_contact_with_the_line_during_the_motion_is_a_failure(name):
    episode = start_of(name, 1)
    line, inside = episode.goal.line, middle(episode.goal.zone)
    assert outcome_of(episode, swept_obj_1=middle(line)) == FAILURE
    for who in ("swept_obj_1", "distractor_obj_1"):
        criterion = SweepCriterion(episode)
        criterion.monitor(at(episode, **{who: middle(line)}))
        assert criterion.result.outcome == RUNNING
        evaluation = criterion.update(at(episode, swept_obj_1=inside))
        assert evaluation.outcome == FAILURE
        assert f"{who} touched the line" in evaluation.reason
    criterion = SweepCriterion(episode)
    criterion.monitor(at(episode))
    assert criterion.update(at(episode, swept_obj_1=inside)).outcome == SUCCESS


@both
def test_any_part_of_a_distractor_in_the_zone_is_a_failure(name):
    episode = start_of(name, 1)
    inside = episode.goal.inside
    beside = inside.high[1] + 0.015
    x = middle(inside)[0]
    assert outcome_of(episode, distractor_obj_1=(x, beside + 0.001)) == RUNNING
    assert outcome_of(episode, distractor_obj_1=(x, beside - 0.001)) == FAILURE


@both
def test_a_block_outside_the_workspace_is_a_failure(name):
    assert outcome_of(start_of(name, 1), swept_obj_1=(0.76, 0.0)) == FAILURE


def test_the_zone_is_where_the_shapes_are_drawn():
    """Between the line and the open side, half a bar of slack at the latter."""
    for seed in range(5):
        episode = TASKS["sweep_without_exceeding"].sample(seed)
        goal, line = episode.goal, episode.scene.object("constraint").position_xy[0]
        assert 0.41 - 0.25 * 0.27 <= line <= 0.41 + 0.10 * 0.27 + 1e-9
        assert goal.line.low == pytest.approx((line - 0.02, -0.3375 / 2))
        assert goal.zone.low == pytest.approx((line + 0.02, -0.155))
        assert goal.zone.high == pytest.approx((0.565, 0.155))
        assert goal.inside.high == pytest.approx((0.545, 0.155))
        drawn = np.array(SHAPES["three_sided_rectangle"].outline[0])  # x is our y, y our x - 0.41
        assert np.ptp(drawn[:, 0]) / 2 == pytest.approx(goal.inside.high[1])
        assert drawn[:, 1].max() + 0.41 == pytest.approx(goal.inside.high[0])
    goal = TASKS["sweep_without_touching"].sample(0).goal
    drawn = np.array(SHAPES["wide_three_sided_rectangle"].outline[0])
    assert goal.inside.low == pytest.approx((drawn[:, 1].min() + 0.39, drawn[:, 0].min()))
    assert goal.inside.high == pytest.approx((drawn[:, 1].max() + 0.39, drawn[:, 0].max()))
    assert goal.line.low == pytest.approx((goal.inside.high[0], -0.1875 / 2))


def test_squares_and_rectangles_meet_or_do_not():
    area = Rectangle((0.0, 0.0), (1.0, 0.1))
    gap = 0.015
    for x, y, yaw, meets in (
        (0.5, 0.1 + gap - 1e-6, 0.0, True),
        (0.5, 0.1 + gap + 1e-6, 0.0, False),
        (0.5, 0.1 + gap * math.sqrt(2) - 1e-6, math.pi / 4, True),
        (0.5, 0.1 + gap * math.sqrt(2) + 1e-6, math.pi / 4, False),
        (1.0 + gap * 0.71, 0.1 + gap * 0.71, math.pi / 4, False),  # a corner beside a corner
        (1.0 + gap * 0.69, 0.1 + gap * 0.69, math.pi / 4, True),
        (0.5, 0.05, 1.0, True),
    ):
        corners = block_corners(pose(x, y, yaw))
        assert area.overlaps(corners) == meets, (x, y, yaw)
        for turned in range(4):
            assert area.overlaps(np.roll(corners, turned, axis=0)) == meets
    assert area.contains(block_corners(pose(0.5, 0.05, 0.3)))
    assert not area.contains(block_corners(pose(0.5, 0.09, 0.3)))


def pushed(world, poses):
    """Each block in the way ends before the stopped blade, where it was across the push."""
    start, end = (p.position[:2] for p in poses)
    along = (end - start) / math.dist(start, end)
    across = np.array([-along[1], along[0]])
    stop = math.dist(start, end) - 0.05 + 0.0025 + 0.015
    moved = {}
    for name, now in world.poses.items():
        forward, aside = (now.position[:2] - start) @ along, (now.position[:2] - start) @ across
        movable = world.scene.object(name).scaled_shape.movable
        if movable and -0.02 < forward < stop and abs(aside) < 0.025 + 0.015:
            assert abs(aside) < 0.0075, f"{name} is met by the edge of the blade"
            moved[name] = pose(*(start + stop * along + aside * across))
    return WorldState(world.poses | moved, world.scene), moved


@pytest.mark.slow
@both
def test_the_oracle_pushes_one_block_at_a_time_and_keeps_off_the_line(name):
    workspace = Workspace()
    for seed in range(25):
        episode = TASKS[name].sample(seed)
        world, criterion, oracle = at(episode), SweepCriterion(episode), SweepOracle(episode)
        for _ in range(episode.step_limit):
            poses = oracle.act(world)
            again = Action.from_poses(*poses, workspace, Primitive.SWEEP).poses(workspace)
            for exact, rounded in zip(poses, again, strict=True):
                assert exact.position == pytest.approx(rounded.position, abs=1e-6)
            after, moved = pushed(world, poses)
            assert len(moved) == 1, seed
            ((who, end),) = moved.items()
            for part in np.linspace(0, 1, 20):
                x, y = (1 - part) * world.poses[who].position[:2] + part * end.position[:2]
                criterion.monitor(at(episode, **{who: (x, y, math.pi / 4)}))
            world = after
            if criterion.update(world).outcome != RUNNING:
                break
        assert criterion.result.outcome == SUCCESS, (seed, criterion.result)
        assert oracle.act(world) is None
        assert len(in_zone(episode.goal, world)) == episode.goal.count


def test_the_oracle_gives_up_when_there_is_no_way():
    """The block lies in a corner of the workspace where the blade has no room behind it."""
    episode = start_of(NAMES[0], 1)
    assert SweepOracle(episode).act(at(episode, swept_obj_1=(0.748, -0.498))) is None
