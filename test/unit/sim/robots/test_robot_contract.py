"""What any simulated robot does with waypoints: the free gripper and the joint-level arm."""

import math

import numpy as np
import pytest
from helpers import ROOT

from vima_ros.arm.primitives import Waypoint, plan_waypoints
from vima_ros.errors import VimaError
from vima_ros.geometry import Pose, Transform, Workspace, quaternion_from_yaw, yaw_from_quaternion
from vima_ros.sim.robots.base import Phase
from vima_ros.sim.scene import SCENES, Scene, SceneObject
from vima_ros.sim.tabletop import Tabletop
from vima_ros.specs import EndEffector, Primitive

UR5E = ROOT / "config" / "robots" / "ur5e.urdf"
TABLE = Transform((0.0, 0.0, -0.22))  # in base_link: the arm stands on a pedestal
BLOCK_AND_BOWL = Scene(
    (
        SceneObject("block", "block", "red", (0.58, -0.25), 0.4),
        SceneObject("bowl", "bowl", "blue", (0.45, 0.2)),
    )
)


@pytest.fixture(params=["free_gripper", "ur5e"])
def robot(request):
    """The URDF, or None for the free gripper."""
    if request.param == "free_gripper":
        return None
    pytest.importorskip("pinocchio", reason="the joint-level arm needs pip install pin")
    return UR5E


@pytest.fixture
def tabletop(robot):
    return Tabletop(BLOCK_AND_BOWL, robot=robot, table=TABLE)


def pose(x, y, yaw=0.0, z=0.0):
    return Pose(np.array([x, y, z]), quaternion_from_yaw(yaw))


def pick_place(pose0, pose1):
    return plan_waypoints(Primitive.PICK_PLACE, pose0, pose1, Workspace())


def poses(tabletop):
    found = [tabletop.object_pose(item.name) for item in tabletop.scene.objects]
    return np.array([[*p.position, *p.quaternion] for p in found])


def test_what_is_picked_is_placed_and_turned(tabletop):
    state = tabletop.execute(pick_place(pose(0.58, -0.25), pose(0.65, 0.4, 2.0)))
    assert (state.phase, state.code, state.holding) == (Phase.SUCCEEDED, "", None)
    after = tabletop.object_pose("block")
    assert after.position[:2] == pytest.approx([0.65, 0.4], abs=0.003)
    assert yaw_from_quaternion(after.quaternion) == pytest.approx(2.4, abs=0.02)
    assert state.pose.position == pytest.approx([0.65, 0.4, 0.32], abs=0.002)
    assert yaw_from_quaternion(state.pose.quaternion) == pytest.approx(2.0, abs=0.01)


def test_it_is_carried_rigidly(tabletop):
    tabletop.start(pick_place(pose(0.59, -0.25), pose(0.65, 0.4)))
    offsets = []
    while tabletop.advance(0.02).phase == Phase.EXECUTING:
        if tabletop.robot_state.holding == "block":
            tip = tabletop.robot_state.pose.position
            offsets.append(tabletop.object_pose("block").position - tip)
    assert len(offsets) > 100
    assert np.ptp(offsets, axis=0).max() < 0.001


@pytest.mark.parametrize("at", [(0.7, 0.4), (0.45, 0.2)], ids=["table", "in the bowl"])
def test_a_failed_pick_is_reported_rises_and_changes_nothing(tabletop, at):
    tabletop.advance(0.2)
    before = poses(tabletop)
    state = tabletop.execute(pick_place(pose(*at), pose(0.6, -0.4)))
    assert (state.phase, state.code, state.holding) == (Phase.FAILED, "NOT_PICKED", None)
    assert f"{at[0]:.3f}" in state.message
    assert state.pose.position == pytest.approx([*at, 0.32], abs=0.002)
    assert np.abs(poses(tabletop) - before).max() < 1e-4


def test_after_a_failed_pick_the_next_one_works(tabletop):
    tabletop.execute(pick_place(pose(0.7, 0.4), pose(0.6, -0.4)))
    state = tabletop.execute(pick_place(pose(0.58, -0.25), pose(0.6, 0.4)))
    assert (state.phase, state.code, state.message) == (Phase.SUCCEEDED, "", "")
    assert tabletop.object_pose("block").position[:2] == pytest.approx([0.6, 0.4], abs=0.003)


def test_stop_holds_where_it_is_and_what_it_carries(tabletop):
    waypoints = pick_place(pose(0.58, -0.25), pose(0.6, 0.4))
    tabletop.start(waypoints)
    while tabletop.advance(0.05).holding is None or tabletop.robot_state.pose.position[2] < 0.3:
        assert tabletop.time < 10
    tabletop.advance(0.4)
    moving = tabletop.stop()
    assert (moving.phase, moving.holding) == (Phase.STOPPED, "block")
    held = tabletop.advance(1.0)
    assert (held.phase, held.holding) == (Phase.STOPPED, "block")
    assert math.dist(held.pose.position, moving.pose.position) < 0.02
    before = poses(tabletop)
    tabletop.advance(1.0)
    assert np.abs(poses(tabletop) - before).max() < 1e-4
    assert tabletop.execute(waypoints[3:]).phase == Phase.SUCCEEDED
    assert tabletop.object_pose("block").position[:2] == pytest.approx([0.6, 0.4], abs=0.003)


def test_until_contact_ends_on_top_of_what_is_there(tabletop):
    tabletop.execute([Waypoint(pose(0.58, -0.25, z=0.32), False, 0.5)])
    down = Waypoint(pose(0.58, -0.25, z=0.002), False, 0.15, until_contact=True)
    state = tabletop.execute([down])
    assert state.phase == Phase.SUCCEEDED
    assert state.pose.position[2] == pytest.approx(0.07, abs=0.0015)


def test_success_waits_until_what_was_dropped_lies_still(tabletop):
    high = Waypoint(pose(0.6, 0.4, z=0.32), False, 0.5)
    tabletop.execute([*pick_place(pose(0.58, -0.25), pose(0.6, 0.4))[:3], high])
    before = poses(tabletop)
    tabletop.advance(0.5)
    assert np.abs(poses(tabletop) - before).max() < 0.002
    assert before[0, 2] < 0.06


def test_a_blocked_robot_gives_up_and_holds(tabletop):
    """The bowl stands in the way and does not move."""
    side = (Waypoint(pose(0.65, 0.2, z=z), False, 0.5) for z in (0.3, 0.02))
    state = tabletop.execute([*side, Waypoint(pose(0.3, 0.2, z=0.02), False, 0.2)])
    assert (state.phase, state.code) == (Phase.FAILED, "BLOCKED")
    assert "valid: " in state.message
    held = tabletop.advance(1.0).pose.position
    assert held[0] > 0.45
    assert math.dist(held, tabletop.advance(0.5).pose.position) < 1e-3


def test_the_blade_pushes_a_block_along(robot):
    start, end = (0.62, -0.10), (0.45, -0.3)
    heading = math.atan2(end[1] - start[1], end[0] - start[0])
    scene = Scene((SceneObject("a", "small_block", "red", start, heading),), EndEffector.SPATULA)
    tabletop = Tabletop(scene, robot=robot, table=TABLE)
    waypoints = plan_waypoints(Primitive.SWEEP, pose(*start), pose(*end), Workspace())
    state = tabletop.execute(waypoints)
    after = tabletop.object_pose("a").position
    assert state.phase == Phase.SUCCEEDED
    assert 0.025 < math.dist(after[:2], end) < 0.045
    along = (np.array(end) - start) / math.dist(start, end)
    assert abs(along @ [[0, 1], [-1, 0]] @ (after[:2] - start)) < 0.01


def test_a_second_motion_waits_for_the_first(tabletop):
    waypoints = pick_place(pose(0.58, -0.25), pose(0.45, 0.2))
    tabletop.start(waypoints)
    with pytest.raises(VimaError, match="in progress") as caught:
        tabletop.start(waypoints)
    assert caught.value.code == "BUSY"
    tabletop.reset()
    assert tabletop.robot_state.phase == Phase.IDLE


@pytest.mark.parametrize(
    ("waypoint", "code"),
    [
        (Waypoint(pose(math.nan, 0.0), False, 0.1), "NOT_FINITE"),
        (Waypoint(pose(0.5, 0.0, z=0.3), False, 0.0), "INVALID_VALUE"),
        (Waypoint(pose(0.5, 0.0, z=0.3), True, 0.1), "INVALID_VALUE"),
    ],
)
def test_bad_waypoints_are_refused_and_nothing_moves(robot, waypoint, code):
    tabletop = Tabletop(SCENES["sweep"], robot=robot, table=TABLE)
    with pytest.raises(VimaError) as caught:
        tabletop.execute([waypoint])
    assert caught.value.code == code
    assert tabletop.robot_state.phase == Phase.IDLE


def test_the_same_motion_gives_the_same_world(robot):
    ends = []
    for step in (0.0013, 0.5):
        tabletop = Tabletop(BLOCK_AND_BOWL, robot=robot, table=TABLE)
        tabletop.start(pick_place(pose(0.58, -0.25), pose(0.45, 0.2)))
        for _ in range(round(11.0 / step)):
            tabletop.advance(step)
        assert tabletop.robot_state.phase == Phase.SUCCEEDED
        ends.append(poses(tabletop))
    assert ends[0] == pytest.approx(ends[1], abs=1e-6)
