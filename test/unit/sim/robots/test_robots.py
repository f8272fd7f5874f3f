import math

import numpy as np
import pytest

from vima_ros.arm.primitives import Waypoint, plan_waypoints
from vima_ros.errors import VimaError
from vima_ros.geometry import Pose, Workspace, quaternion_from_yaw, yaw_from_quaternion
from vima_ros.sim.model.scene_model import TOOL_HOME
from vima_ros.sim.robots.base import Phase
from vima_ros.sim.robots.trapezoidal_profile import TrapezoidalProfile
from vima_ros.sim.scene import SCENES, Scene, SceneObject, random_scene
from vima_ros.sim.tabletop import Tabletop
from vima_ros.specs import EndEffector, Primitive


def pose(x, y, yaw=0.0, z=0.0):
    return Pose(np.array([x, y, z]), quaternion_from_yaw(yaw))


def pick_place(pose0, pose1):
    return plan_waypoints(Primitive.PICK_PLACE, pose0, pose1, Workspace())


def sweep(start, end):
    return plan_waypoints(Primitive.SWEEP, pose(*start), pose(*end), Workspace())


def turn(before, after):
    return yaw_from_quaternion(after.quaternion) - yaw_from_quaternion(before.quaternion)


def angle(difference):
    return (difference + math.pi) % (2 * math.pi) - math.pi


def block_and(shape="bowl", at=(0.45, 0.2)):
    return Scene(
        (
            SceneObject("block", "block", "red", (0.58, -0.25), 0.4),
            SceneObject("base", shape, "blue", at),
        )
    )


def poses(tabletop):
    found = [tabletop.object_pose(item.name) for item in tabletop.scene.objects]
    return np.array([[*p.position, *p.quaternion] for p in found])


@pytest.mark.slow
@pytest.mark.parametrize("shape", ["block", "shorter_block", "round", "triangle", "cross"])
@pytest.mark.parametrize("seed", range(3))
def test_the_object_goes_to_the_place_pose_and_turns_with_the_tool(shape, seed):
    """Rigidly: the tool holds it off-centre, so the centre lands turned about pose1."""
    random = np.random.default_rng(seed)
    item = SceneObject("a", shape, "red", tuple(random.uniform([0.35, -0.35], [0.6, 0.0])), 0.3)
    offset = random.uniform(-0.01, 0.01, 2)
    place, yaw0, yaw1 = random.uniform([0.35, 0.1], [0.65, 0.4]), *random.uniform(-3, 3, 2)
    tabletop = Tabletop(Scene((item,)))
    before = tabletop.object_pose("a")
    state = tabletop.execute(
        pick_place(pose(*item.position_xy + offset, yaw0), pose(*place, yaw1))
    )
    after = tabletop.object_pose("a")
    assert (state.phase, state.holding, state.code) == (Phase.SUCCEEDED, None, "")
    assert abs(angle(turn(before, after) - (yaw1 - yaw0))) < math.radians(3)
    cosine, sine = math.cos(yaw1 - yaw0), math.sin(yaw1 - yaw0)
    goal = place + np.array([[cosine, -sine], [sine, cosine]]) @ -offset
    assert after.position[:2] == pytest.approx(goal, abs=0.003)
    assert after.position[2] == pytest.approx(before.position[2], abs=0.001)
    assert state.pose.position == pytest.approx([*place, 0.32], abs=0.002)


@pytest.mark.parametrize("base", ["bowl", "container"])
@pytest.mark.parametrize("shape", ["block", "triangle", "l_block"])
def test_what_is_put_into_a_container_stays_in_it(base, shape):
    off = -0.033 if shape == "l_block" else 0.0
    item = SceneObject("a", shape, "red", (0.58, -0.25))
    scene = Scene((item, SceneObject("base", base, "blue", (0.45, 0.2))))
    tabletop = Tabletop(scene)
    state = tabletop.execute(pick_place(pose(0.58 + off, -0.25), pose(0.45 + off, 0.2, 1.0)))
    landed = tabletop.object_pose("a").position
    assert state.phase == Phase.SUCCEEDED
    assert math.dist(landed[:2], (0.45, 0.2)) < 0.07
    tabletop.advance(2.0)
    rested = tabletop.object_pose("a").position
    assert math.dist(landed, rested) < 0.001
    assert rested[2] < 0.06


@pytest.mark.parametrize("seed", range(6))
def test_objects_rest_on_the_table(seed):
    tabletop = Tabletop(random_scene(seed, movable=4, fixed=1))
    tabletop.advance(0.5)
    before = poses(tabletop)
    tabletop.advance(1.0)
    assert np.abs(poses(tabletop) - before).max() < 1e-4
    for item in tabletop.scene.objects:
        height = tabletop.object_pose(item.name).position[2]
        assert height == pytest.approx(item.scaled_shape.rest_height, abs=5e-4)


@pytest.mark.parametrize(
    "at", [(0.7, 0.4), (0.45 + 0.095, 0.2), (0.45, 0.2)], ids=["table", "rim", "inside"]
)
def test_a_failed_pick_is_reported_and_changes_nothing(at):
    tabletop = Tabletop(block_and())
    tabletop.advance(0.2)
    before = poses(tabletop)
    state = tabletop.execute(pick_place(pose(*at), pose(0.6, -0.4)))
    assert (state.phase, state.code, state.holding) == (Phase.FAILED, "NOT_PICKED", None)
    assert f"{at[0]:.3f}" in state.message
    assert state.pose.position[2] == pytest.approx(0.32, abs=0.002)
    assert math.dist(state.pose.position[:2], at) < 0.01
    assert np.abs(poses(tabletop) - before).max() < 1e-4


def test_a_fixed_base_cannot_be_lifted():
    tabletop = Tabletop(block_and("container"))
    before = poses(tabletop)[1]
    state = tabletop.execute(pick_place(pose(0.45, 0.2), pose(0.6, -0.4)))
    assert state.code == "NOT_PICKED"
    assert np.array_equal(poses(tabletop)[1], before)


def test_after_a_failed_pick_the_next_one_works():
    tabletop = Tabletop(block_and())
    tabletop.execute(pick_place(pose(0.7, 0.4), pose(0.6, -0.4)))
    state = tabletop.execute(pick_place(pose(0.58, -0.25), pose(0.6, 0.4)))
    assert (state.phase, state.code, state.message) == (Phase.SUCCEEDED, "", "")
    assert tabletop.object_pose("block").position[:2] == pytest.approx([0.6, 0.4], abs=0.003)


@pytest.mark.parametrize(("at", "top"), [((0.58, -0.25), 0.07), ((0.7, 0.4), 0.002)])
def test_until_contact_stops_on_top_of_what_is_there(at, top):
    tabletop = Tabletop(block_and())
    tabletop.execute([Waypoint(pose(*at, z=0.32), False, 0.5)])
    state = tabletop.execute([Waypoint(pose(*at, z=0.002), False, 0.15, until_contact=True)])
    assert state.phase == Phase.SUCCEEDED
    assert state.pose.position[2] == pytest.approx(top, abs=0.001)


def test_a_carried_block_is_stacked_on_another_by_contact():
    tabletop = Tabletop(block_and("block"))
    tabletop.execute(pick_place(pose(0.58, -0.25), pose(0.45, 0.2)))
    assert tabletop.object_pose("block").position == pytest.approx([0.45, 0.2, 0.105], abs=0.002)


def test_the_tool_follows_its_path():
    tabletop = Tabletop(Scene(()))
    move = TrapezoidalProfile(np.array([*TOOL_HOME, 0.0]), np.array([0.7, 0.3, 0.2, 1.0]), 0.5)
    tabletop.start([Waypoint(pose(0.7, 0.3, 1.0, 0.2), False, 0.5)])
    for _ in range(10):
        now = tabletop.advance(0.1).pose
        want = move.at(tabletop.time)[0]
        assert now.position == pytest.approx(want[:3], abs=0.002)
        assert yaw_from_quaternion(now.quaternion) == pytest.approx(want[3], abs=0.02)


def test_the_carried_object_keeps_its_place_at_the_tool():
    tabletop = Tabletop(block_and())
    tabletop.start(pick_place(pose(0.58, -0.25), pose(0.65, 0.4)))
    offsets = []
    while tabletop.advance(0.02).phase == Phase.EXECUTING:
        if tabletop.robot_state.holding:
            tip = tabletop.robot_state.pose.position
            offsets.append(tabletop.object_pose("block").position - tip)
    assert len(offsets) > 100
    assert np.ptp(offsets, axis=0).max() < 0.001


def test_stop_holds_where_it_is_and_what_it_carries():
    tabletop = Tabletop(block_and())
    tabletop.start(pick_place(pose(0.58, -0.25), pose(0.45, 0.2)))
    assert tabletop.robot_state.phase == Phase.EXECUTING
    while tabletop.advance(0.05).holding is None or tabletop.robot_state.pose.position[2] < 0.3:
        assert tabletop.time < 10
    tabletop.advance(0.3)
    moving = tabletop.stop()
    assert (moving.phase, moving.holding) == (Phase.STOPPED, "block")
    held = tabletop.advance(1.0)
    assert held.phase == Phase.STOPPED
    assert held.holding == "block"
    assert math.dist(held.pose.position, moving.pose.position) < 0.005
    assert tabletop.object_pose("block").position[2] > 0.2
    before = poses(tabletop)
    tabletop.advance(1.0)
    assert np.abs(poses(tabletop) - before).max() < 1e-3


def test_after_a_stop_the_place_half_can_be_sent_alone():
    tabletop = Tabletop(block_and())
    waypoints = pick_place(pose(0.58, -0.25), pose(0.6, 0.4))
    tabletop.start(waypoints)
    while tabletop.advance(0.05).holding is None:
        assert tabletop.time < 10
    tabletop.stop()
    assert tabletop.execute(waypoints[2:]).phase == Phase.SUCCEEDED
    assert tabletop.object_pose("block").position[:2] == pytest.approx([0.6, 0.4], abs=0.003)


def test_success_waits_until_what_was_dropped_lies_still():
    tabletop = Tabletop(block_and())
    high = Waypoint(pose(0.6, 0.4, z=0.32), False, 0.5)
    tabletop.execute([*pick_place(pose(0.58, -0.25), pose(0.6, 0.4))[:3], high])
    before = poses(tabletop)
    tabletop.advance(0.5)
    assert np.abs(poses(tabletop) - before).max() < 0.002
    assert before[0, 2] < 0.06


def test_stop_without_a_motion_changes_nothing():
    tabletop = Tabletop(block_and())
    assert tabletop.stop().phase == Phase.IDLE


@pytest.mark.parametrize("end", [(0.40, 0.0), (0.45, -0.3), (0.60, 0.2)])
def test_the_blade_pushes_a_block_along(end):
    """It ends 3 to 4 cm before pose1: half blade and half block short of the 5 cm."""
    start = (0.62, -0.10)
    heading = math.atan2(end[1] - start[1], end[0] - start[0])
    scene = Scene((SceneObject("a", "small_block", "red", start, heading),), EndEffector.SPATULA)
    tabletop = Tabletop(scene)
    state = tabletop.execute(sweep(start, end))
    after = tabletop.object_pose("a").position
    assert state.phase == Phase.SUCCEEDED
    assert 0.025 < math.dist(after[:2], end) < 0.045
    along = (np.array(end) - start) / math.dist(start, end)
    assert abs(along @ [[0, 1], [-1, 0]] @ (after[:2] - start)) < 0.01
    assert after[2] == pytest.approx(0.015, abs=0.001)


def test_the_flat_shapes_do_not_stop_a_block():
    tabletop = Tabletop(SCENES["sweep"])
    block = tabletop.object_pose("red_small_block_2").position
    tabletop.execute(sweep(block[:2], (0.35, block[1])))
    after = tabletop.object_pose("red_small_block_2").position
    assert after[0] < 0.42
    assert after[2] == pytest.approx(0.015, abs=0.001)


def test_a_blocked_tool_fails():
    tabletop = Tabletop(block_and())
    state = tabletop.execute([Waypoint(pose(0.7, 0.4, z=-0.1), False, 0.2)])
    assert (state.phase, state.code) == (Phase.FAILED, "BLOCKED")
    assert -0.005 < tabletop.advance(1.0).pose.position[2] < 0.005


def test_dwell_and_speed_take_their_time():
    tabletop = Tabletop(Scene(()))
    tabletop.execute([Waypoint(pose(0.7, 0.0, z=0.32), False, 0.2, dwell=1.0)])
    assert tabletop.time == pytest.approx(0.4 / 0.2 + 0.2 / 4.0 + 1.0 + 0.1, abs=0.02)


def test_small_advances_add_up_to_the_same_motion():
    ends = []
    for step in (0.0013, 0.5):
        tabletop = Tabletop(block_and())
        tabletop.start(pick_place(pose(0.58, -0.25), pose(0.45, 0.2)))
        for _ in range(round(9.1 / step)):
            tabletop.advance(step)
        assert tabletop.robot_state.phase == Phase.SUCCEEDED
        ends.append(poses(tabletop))
    assert ends[0] == pytest.approx(ends[1], abs=1e-6)


def test_a_second_motion_waits_for_the_first():
    tabletop = Tabletop(block_and())
    waypoints = pick_place(pose(0.58, -0.25), pose(0.45, 0.2))
    tabletop.start(waypoints)
    with pytest.raises(VimaError, match="in progress") as caught:
        tabletop.start(waypoints)
    assert caught.value.code == "BUSY"
    tabletop.reset()
    assert tabletop.robot_state.phase == Phase.IDLE


GOOD = pose(0.5, 0.0, z=0.3)


@pytest.mark.parametrize(
    ("waypoints", "code"),
    [
        ([], "INVALID_VALUE"),
        ([Waypoint(pose(math.nan, 0.0), False, 0.1)], "NOT_FINITE"),
        ([Waypoint(Pose(np.zeros(3), np.zeros(4)), False, 0.1)], "NOT_FINITE"),
        ([Waypoint(Pose(np.zeros(3), np.array([0.3, 0, 0, 1])), False, 0.1)], "INVALID_VALUE"),
        ([Waypoint(GOOD, False, 0.0)], "INVALID_VALUE"),
        ([Waypoint(GOOD, False, math.inf)], "NOT_FINITE"),
        ([Waypoint(GOOD, False, 0.1, dwell=-1.0)], "INVALID_VALUE"),
        ([Waypoint(GOOD, True, 0.1)], "INVALID_VALUE"),
    ],
)
def test_bad_waypoints_are_refused_and_nothing_moves(waypoints, code):
    tabletop = Tabletop(SCENES["sweep"])
    with pytest.raises(VimaError) as caught:
        tabletop.execute(waypoints)
    assert caught.value.code == code
    assert tabletop.robot_state.phase == Phase.IDLE


@pytest.mark.parametrize("seconds", [-1.0, math.nan, math.inf])
def test_time_goes_forward(seconds):
    with pytest.raises(VimaError, match="valid"):
        Tabletop(Scene(())).advance(seconds)


def test_a_scene_at_rest_keeps_every_bit_while_time_passes_and_moves_again_when_it_is_to():
    tabletop = Tabletop(block_and())
    falling = tabletop.object_pose("block").position[2]
    tabletop.advance(1.0)
    assert tabletop.object_pose("block").position[2] != falling  # it was stepped until it lay
    state, time = tabletop.data.qpos.copy(), tabletop.time
    tabletop.advance(600.0)
    assert np.array_equal(tabletop.data.qpos, state)
    assert tabletop.time == pytest.approx(time + 600.0)
    tabletop.start(pick_place(pose(0.58, -0.25), pose(0.45, 0.2)))
    for _ in range(4000):
        tabletop.advance(0.01)
    assert tabletop.robot_state.phase == Phase.SUCCEEDED
    assert math.dist(tabletop.object_pose("block").position[:2], (0.45, 0.2)) < 0.02
