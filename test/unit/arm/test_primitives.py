import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from vima_ros.arm.primitives import MotionParameters, plan_waypoints
from vima_ros.errors import VimaError
from vima_ros.geometry import Pose, Workspace, quaternion_from_yaw, yaw_from_quaternion
from vima_ros.specs import Primitive

PICK_PLACE, SWEEP = Primitive.PICK_PLACE, Primitive.SWEEP
angles = st.floats(-math.pi, math.pi)
lengths = st.floats(0.01, 1)
workspaces = st.builds(
    lambda x, y, width, depth: Workspace((x, y), (x + width, y + depth)),
    st.floats(-1, 1),
    st.floats(-1, 1),
    st.floats(0.05, 1),
    st.floats(0.05, 1),
)
parameters = st.builds(
    MotionParameters,
    **dict.fromkeys(MotionParameters.__dataclass_fields__, lengths),
)


def flat(x, y, yaw=0.0, z=0.0):
    return Pose((x, y, z), quaternion_from_yaw(yaw))


@st.composite
def poses_inside(draw, workspace):
    """Also tilted ones, and at any height."""
    xy = [draw(st.floats(*ends)) for ends in zip(workspace.low, workspace.high, strict=True)]
    quaternion = [draw(st.floats(-1, 1)) for _ in range(4)]
    assume(math.hypot(*quaternion[2:]) > 1e-3)
    return Pose((*xy, draw(st.floats(-1, 1))), quaternion)


@st.composite
def scenes(draw):
    """A workspace, two poses in it (for a sweep far enough apart), parameters."""
    workspace = draw(workspaces)
    pose0, pose1 = draw(poses_inside(workspace)), draw(poses_inside(workspace))
    assume(math.dist(pose0.position[:2], pose1.position[:2]) > 2e-3)
    return workspace, pose0, pose1, draw(parameters)


def yaws(waypoints):
    return [yaw_from_quaternion(w.pose.quaternion) for w in waypoints]


def apart(a, b):
    return abs(math.remainder(a - b, 2 * math.pi))


def places(waypoints):
    return np.array([w.pose.position for w in waypoints])


@given(scenes(), st.sampled_from(Primitive))
def test_no_waypoint_leaves_the_workspace(scene, primitive):
    workspace, pose0, pose1, p = scene
    for x, y, _ in places(plan_waypoints(primitive, pose0, pose1, workspace, p)):
        assert workspace.contains(x, y)


# --- pick and place


@given(scenes())
def test_pick_and_place_goes_down_and_up_at_both_poses(scene):
    workspace, pose0, pose1, p = scene
    waypoints = plan_waypoints(PICK_PLACE, pose0, pose1, workspace, p)
    xy = np.repeat([pose0.position[:2], pose1.position[:2]], 3, axis=0)
    np.testing.assert_array_equal(places(waypoints)[:, :2], xy)
    heights = [p.travel_height, p.contact_height, p.travel_height] * 2
    assert places(waypoints)[:, 2].tolist() == heights
    speeds = [p.travel_speed, p.approach_speed, p.travel_speed] * 2
    assert [w.max_speed for w in waypoints] == speeds
    assert [w.until_contact for w in waypoints] == [False, True, False] * 2
    assert [w.dwell for w in waypoints] == [0, p.suction_dwell, 0] * 2


@given(scenes())
def test_suction_is_on_from_the_first_contact_to_the_second(scene):
    workspace, pose0, pose1, p = scene
    waypoints = plan_waypoints(PICK_PLACE, pose0, pose1, workspace, p)
    assert [w.tool_on for w in waypoints] == [False, True, True, True, False, False]


@given(scenes())
def test_the_tool_rotates_by_the_difference_of_the_yaws(scene):
    workspace, pose0, pose1, p = scene
    got = yaws(plan_waypoints(PICK_PLACE, pose0, pose1, workspace, p))
    want = [yaw_from_quaternion(pose.quaternion) for pose in (pose0, pose1)]
    assert all(apart(g, w) < 1e-9 for g, w in zip(got, np.repeat(want, 3), strict=True))
    assert apart(got[3] - got[0], want[1] - want[0]) < 1e-9


@given(scenes(), st.sampled_from(Primitive))
def test_the_tool_points_straight_down_all_the_way(scene, primitive):
    workspace, pose0, pose1, p = scene
    for waypoint in plan_waypoints(primitive, pose0, pose1, workspace, p):
        assert waypoint.pose.quaternion[:2].tolist() == [0, 0]
        assert np.linalg.norm(waypoint.pose.quaternion) == pytest.approx(1)


@pytest.mark.parametrize("quaternion", [(0, 0, 0, 0), (1, 0, 0, 0), (0, 0, math.nan, 1)])
def test_a_pick_without_a_yaw_is_refused_and_a_sweep_needs_none(quaternion):
    odd = Pose((0.5, 0, 0), quaternion)
    for pair in ((odd, flat(0.5, 0.3)), (flat(0.5, 0.3), odd)):
        with pytest.raises(VimaError) as caught:
            plan_waypoints(PICK_PLACE, *pair, Workspace())
        assert caught.value.code == "NOT_FINITE"
        assert plan_waypoints(SWEEP, *pair, Workspace())


# --- sweep


@given(scenes())
def test_the_blade_is_perpendicular_to_the_sweep(scene):
    workspace, pose0, pose1, p = scene
    dx, dy = (pose1.position - pose0.position)[:2]
    for yaw in yaws(plan_waypoints(SWEEP, pose0, pose1, workspace, p)):
        assert apart(yaw, math.atan2(dy, dx)) < 1e-9


@pytest.mark.slow
@given(scenes())
def test_a_sweep_descends_pushes_and_rises_without_suction(scene):
    workspace, pose0, pose1, p = scene
    waypoints = plan_waypoints(SWEEP, pose0, pose1, workspace, p)
    xyz = places(waypoints)
    up, low = p.sweep_travel_height, p.sweep_height
    assert xyz[:, 2].tolist() == [up, low, low, up]
    assert xyz[0, :2].tolist() == xyz[1, :2].tolist()
    assert xyz[2, :2].tolist() == xyz[3, :2].tolist()
    speeds = [p.travel_speed, p.approach_speed, p.sweep_speed, p.travel_speed]
    assert [w.max_speed for w in waypoints] == speeds
    assert not any(w.tool_on or w.until_contact or w.dwell for w in waypoints)


@given(scenes())
def test_a_sweep_ends_before_pose1_but_never_before_pose0(scene):
    workspace, pose0, pose1, p = scene
    stop = places(plan_waypoints(SWEEP, pose0, pose1, workspace, p))[2, :2]
    start, end = pose0.position[:2], pose1.position[:2]
    short = min(p.sweep_end_offset, math.dist(start, end))
    assert math.dist(stop, end) == pytest.approx(short, abs=1e-9)
    assert math.dist(start, stop) + math.dist(stop, end) == pytest.approx(math.dist(start, end))


@given(scenes())
def test_the_sweep_starts_behind_pose0_and_passes_it(scene):
    """On the line of the push; as long as asked, or up to where the workspace ends."""
    workspace, pose0, pose1, p = scene
    behind = places(plan_waypoints(SWEEP, pose0, pose1, workspace, p))[0, :2]
    start, end = pose0.position[:2], pose1.position[:2]
    direction = (end - start) / math.dist(start, end)
    run_up = (start - behind) @ direction
    across = direction[0] * (start - behind)[1] - direction[1] * (start - behind)[0]
    assert -1e-9 <= run_up <= p.sweep_start_offset + 1e-9
    assert across == pytest.approx(0, abs=1e-9)
    if workspace.contains(*(start - p.sweep_start_offset * direction), tolerance=0):
        assert run_up == pytest.approx(p.sweep_start_offset)
    else:
        assert not workspace.contains(*(start - (run_up + 1e-6) * direction), tolerance=0)


def test_the_start_offset_along_an_edge_is_not_shortened():
    """Though rounding makes it lead out over the edge by less than any number counts."""
    start, end = flat(0.25, 0.5), flat(math.nextafter(0.25, 1), 0.0)
    waypoints = plan_waypoints(SWEEP, start, end, Workspace((0.25, -0.5), (0.75, 0.6)))
    np.testing.assert_allclose(places(waypoints)[0, :2], [0.25, 0.52], atol=1e-12)


def test_the_start_offset_is_shortened_where_the_workspace_ends():
    p = MotionParameters(sweep_start_offset=0.1)
    waypoints = plan_waypoints(SWEEP, flat(0.29, 0), flat(0.7, 0), Workspace(), p)
    np.testing.assert_allclose(places(waypoints)[0, :2], [0.25, 0], atol=1e-12)


@pytest.mark.parametrize("length", [0.0, 0.0009])
def test_a_sweep_without_a_direction_is_refused(length):
    with pytest.raises(VimaError) as caught:
        plan_waypoints(SWEEP, flat(0.5, 0.25), flat(0.5, 0.25 + length), Workspace())
    assert caught.value.code == "NOT_FINITE"
    assert "[0.5, 0.25]" in str(caught.value)
    assert plan_waypoints(SWEEP, flat(0.5, 0.25), flat(0.5, 0.2515), Workspace())


def test_defaults_are_those_of_vima_bench():
    """shared/bench/FACTS.md, the table of both motions."""
    pick = plan_waypoints(PICK_PLACE, flat(0.4, 0), flat(0.6, 0), Workspace())
    assert places(pick)[[0, 2, 3, 5], 2].tolist() == [0.32] * 4
    sweep = plan_waypoints(SWEEP, flat(0.4, 0), flat(0.6, 0), Workspace())
    want = [[0.38, 0, 0.31], [0.38, 0, 0.005], [0.55, 0, 0.005], [0.55, 0, 0.31]]
    np.testing.assert_allclose(places(sweep), want, atol=1e-12)
