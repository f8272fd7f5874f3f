import math
from dataclasses import replace

import numpy as np
import pytest
import ur5e
from hypothesis import given, settings
from hypothesis import strategies as st

from vima_ros.arm.kinematics import ArmModel
from vima_ros.arm.primitives import MotionParameters, plan_waypoints
from vima_ros.arm.safety_gate import ArmContext, JointBounds, Limits, Request, check
from vima_ros.arm.trajectory_planning import JointPlan, Segment, plan_trajectory
from vima_ros.errors import GateCode, VimaError
from vima_ros.geometry import Pose, Transform, Workspace, quaternion_from_yaw
from vima_ros.specs import Primitive

SECOND = 1_000_000_000
MOTION = MotionParameters()
REQUEST = Request(
    "7/0/100",
    Primitive.PICK_PLACE,
    Pose((0.4, -0.2, 0.0), quaternion_from_yaw(0.3)),
    Pose((0.6, 0.2, 0.0), quaternion_from_yaw(-0.3)),
    observation_stamp=100 * SECOND,
)
CONTEXT = ArmContext(now=101 * SECOND, last_motion_end=99 * SECOND, used_command_ids=("7/0/99",))
LIMITS = Limits(dry_run=False)
TOOL = np.eye(4)  # from the flange
TOOL[2, 3] = ur5e.TOOL


def at(pose, *position):
    return replace(pose, position=position)


def turned(pose, *quaternion):
    return replace(pose, quaternion=quaternion)


# Faults: changes of request, of context, of limits; code; text of the message.
P0, P1 = REQUEST.pose0, REQUEST.pose1
FAULTS = {
    "inactive": ({}, {"active": False}, {}, "NOT_ACTIVE", "not active"),
    "stopped": ({}, {"stop_reason": "policy died"}, {}, "STOPPED", "policy died"),
    "used before": ({}, {"used_command_ids": ["7/0/100"]}, {}, "DUPLICATE", "7/0/100"),
    "busy": ({}, {"busy_with": "7/0/98"}, {}, "BUSY", "7/0/98"),
    "no number": ({"pose0": at(P0, math.nan, 0, 0)}, {}, {}, "NOT_FINITE", "pose0 is [nan"),
    "endless": ({"pose1": at(P1, 0.4, 0, math.inf)}, {}, {}, "NOT_FINITE", "pose1 is [0.4, 0.0"),
    "no turn": ({"pose1": turned(P1, 0, 0, math.nan, 1)}, {}, {}, "NOT_FINITE", "pose1"),
    "zero turn": ({"pose0": turned(P0, 0, 0, 0, 0)}, {}, {}, "NOT_FINITE", "0.0, 0.0, 0.0, 0.0"),
    "zero turn, sweeping": (
        {"primitive": 1, "pose1": turned(P1, 0, 0, 0, 0)},
        {},
        {},
        "NOT_FINITE",
        "pose1",
    ),
    "no yaw": ({"pose0": turned(P0, 1, 0, 0, 0)}, {}, {}, "NOT_FINITE", "no yaw"),
    "no direction": ({"primitive": 1, "pose1": P0}, {}, {}, "NOT_FINITE", "no direction"),
    "left": (
        {"pose0": at(P0, 0.2, 0, 0)},
        {},
        {},
        "OUTSIDE_WORKSPACE",
        "pose0 at (0.200, 0.000) m in the table frame",
    ),
    "far": ({"pose1": at(P1, 0.5, 1e9, 0)}, {}, {}, "OUTSIDE_WORKSPACE", "pose1"),
    "old": ({}, {"now": 106 * SECOND}, {}, "STALE", "6.00 s old"),
    "during a motion": ({}, {"last_motion_end": 100 * SECOND}, {}, "STALE", "last motion"),
    "ahead of the clock": ({}, {"now": 99 * SECOND}, {}, "STALE", "1.00 s ahead of the clock"),
    "views apart": (
        {"view_stamps": (100 * SECOND, 100 * SECOND + 60_000_000)},
        {},
        {"sync_slop": 0.05},
        "STALE",
        "0.060 s apart",
    ),
    "one view": ({"view_stamps": (100 * SECOND, 0)}, {}, {}, "STALE", "100.000 s apart"),
    "unsure": (
        {"confidence": (0.9, 0.2, 0.9)},
        {},
        {"min_confidence": 0.3},
        "LOW_CONFIDENCE",
        "0.200; valid: 0.3",
    ),
    "confidence that is none": ({"confidence": (math.nan,)}, {}, {}, "NOT_FINITE", "confidence"),
    "cancelled": (
        {"prompt_id": "7"},
        {"cancelled_prompt_ids": ["6", "7"]},
        {},
        "CANCELLED",
        "episode 7",
    ),
    "fast": ({}, {}, {"max_speed": 0.4}, "TOO_FAST", "0.5 m/s; valid: up to 0.4"),
    "high": ({}, {}, {"max_tool_z": 0.3}, "OUTSIDE_WORKSPACE", "z = 0.320 m in the table frame"),
    "low": ({}, {}, {"min_tool_z": 0.01}, "OUTSIDE_WORKSPACE", "z = 0.002 m"),
    "beyond reach": ({}, {}, {"max_reach": 0.6}, "UNREACHABLE", "from the base; valid: up to 0.6"),
    "beyond reach of a base elsewhere": (
        {},
        {},
        {"max_reach": 0.9, "base_position": (0.0, -0.9, 0.0)},
        "UNREACHABLE",
        "from the base; valid: up to 0.9",
    ),
    "dry run": ({}, {}, {"dry_run": True}, "DRY_RUN", "dry_run is true"),
}


def outcome(request, context, limits, motion=MOTION):
    """The waypoints, or the error; anything but VimaError is a failure."""
    try:
        return check(request, context, limits, motion).waypoints
    except VimaError as error:
        return error


def test_a_valid_request_becomes_motion():
    for primitive in Primitive:
        request = replace(REQUEST, primitive=primitive)
        approved = check(request, CONTEXT, LIMITS, MOTION)
        assert approved.plan is None
        waypoints = approved.waypoints
        want = plan_waypoints(primitive, request.pose0, request.pose1, LIMITS.workspace, MOTION)
        places = [w.pose.position.tolist() for w in waypoints]
        assert places == [w.pose.position.tolist() for w in want]


@pytest.mark.parametrize("name", FAULTS)
def test_each_fault_has_its_code_and_names_its_cause(name):
    of_request, of_context, of_limits, code, text = FAULTS[name]
    request, context = replace(REQUEST, **of_request), replace(CONTEXT, **of_context)
    with pytest.raises(VimaError) as caught:
        check(request, context, replace(LIMITS, **of_limits), MOTION)
    assert caught.value.code == code
    assert GateCode(code)
    assert text in str(caught.value)


@given(st.lists(st.sampled_from(sorted(FAULTS)), min_size=1, max_size=5, unique=True))
def test_several_faults_give_the_code_of_one_and_a_dry_run_only_without_other_faults(names):
    request, context, limits = REQUEST, CONTEXT, LIMITS
    for name in names:
        of_request, of_context, of_limits, _, _ = FAULTS[name]
        request, context = replace(request, **of_request), replace(context, **of_context)
        limits = replace(limits, **of_limits)
    refusal = outcome(request, context, limits)
    assert isinstance(refusal, VimaError)
    codes = {FAULTS[name][3] for name in names}
    assert refusal.code in codes
    assert (refusal.code == "DRY_RUN") == (codes == {"DRY_RUN"})


numbers = st.floats() | st.floats(0.2, 0.8)
poses = st.builds(
    lambda n: Pose(n[:3], n[3:]), st.lists(numbers, min_size=7, max_size=7)
) | st.builds(
    lambda x, y, yaw: Pose((x, y, 0), quaternion_from_yaw(yaw)),
    st.floats(0.2, 0.8),
    st.floats(-0.6, 0.6),
    st.floats(-4, 4),
)
requests = st.builds(
    Request,
    st.sampled_from(["a", "b", ""]),
    st.sampled_from(Primitive),
    poses,
    poses,
    st.integers(0, 20) | st.integers(0, 20 * SECOND),
)
contexts = st.builds(
    ArmContext,
    now=st.integers(0, 20 * SECOND),
    active=st.sampled_from([True, True, True, False]),
    stop_reason=st.sampled_from(["", "", "", "fault"]),
    busy_with=st.sampled_from(["", "", "", "c"]),
    last_motion_end=st.integers(0, 10) | st.integers(0, 20 * SECOND),
    used_command_ids=st.lists(st.sampled_from(["b", "c"])),
)
limits = st.builds(
    Limits,
    workspace=st.just(Workspace()),
    max_age=st.floats(0, 30),
    dry_run=st.sampled_from([False, False, False, True]),
)


@given(requests, contexts, limits)
def test_motion_only_without_faults_and_only_inside_the_workspace(request, context, limits):
    result = outcome(request, context, limits)
    if isinstance(result, VimaError):
        assert GateCode(result.code) is not GateCode.OK
        return
    assert context.active
    assert not context.stop_reason
    assert not context.busy_with
    assert not limits.dry_run
    assert request.command_id not in context.used_command_ids
    assert context.now - request.observation_stamp <= limits.max_age * SECOND
    assert request.observation_stamp > context.last_motion_end
    assert result
    for waypoint in result:
        assert waypoint.pose.is_finite
        assert limits.workspace.contains(*waypoint.pose.position[:2])


def test_limits_are_inclusive_to_the_nanosecond():
    oldest = replace(CONTEXT, now=REQUEST.observation_stamp + 5 * SECOND)
    assert check(REQUEST, oldest, LIMITS, MOTION)
    assert outcome(REQUEST, replace(oldest, now=oldest.now + 1), LIMITS).code == "STALE"
    after = replace(CONTEXT, last_motion_end=REQUEST.observation_stamp - 1)
    assert check(REQUEST, after, LIMITS, MOTION)


def test_poses_on_the_edge_are_inside():
    corners = replace(REQUEST, pose0=at(P0, 0.25, -0.5, 0), pose1=at(P1, 0.75, 0.5, 0))
    for primitive in Primitive:
        assert check(replace(corners, primitive=primitive), CONTEXT, LIMITS, MOTION)


def test_dry_run_is_the_default():
    assert Limits().dry_run


# --- with an arm of known joints


def test_the_planner_gets_the_waypoints_and_its_plan_is_returned():
    planned = []

    def plan(waypoints):
        planned.append(waypoints)
        return JointPlan(("a",), ())

    approved = check(REQUEST, CONTEXT, LIMITS, MOTION, plan)
    assert planned == [approved.waypoints]
    assert approved.plan.joint_names == ("a",)


@pytest.mark.parametrize("dry_run", [True, False])
def test_unreachable_waypoints_are_refused_before_any_motion(dry_run):
    """In a dry run too."""
    model, high = ur5e.load(), MotionParameters(travel_height=0.7)
    with pytest.raises(VimaError) as caught:
        check(
            replace(REQUEST, pose1=at(P1, 0.75, 0.5, 0)),
            CONTEXT,
            Limits(dry_run=dry_run, max_tool_z=5.0),
            high,
            lambda waypoints: plan_trajectory(waypoints, model.home, model),
        )
    assert caught.value.code == "UNREACHABLE"
    assert "waypoint 4 of 6 at (0.750, 0.500, 0.700) m in the table frame" in str(caught.value)


def test_on_a_tilted_and_rotated_table_the_plan_follows_the_table():
    """Gate and plan in the table frame; where the joints lead, computed from the DH table."""
    table = Transform.from_xyz_rpy((0.05, -0.04, -0.25), (0.12, -0.15, 0.5))
    arm = ArmModel.from_urdf(ur5e.URDF, table=table)
    request = replace(REQUEST, pose0=at(P0, 0.45, -0.1, 0), pose1=at(P1, 0.55, 0.1, 0))
    approved = check(
        request,
        CONTEXT,
        replace(LIMITS, joints=JointBounds(arm.lower, arm.upper, arm.max_velocity, 4.0)),
        MOTION,
        lambda waypoints: plan_trajectory(waypoints, arm.home, arm),
    )
    heights = [waypoint.pose.position[2] for waypoint in approved.waypoints]
    assert heights == [0.32, 0.002, 0.32] * 2
    for waypoint, segment in zip(approved.waypoints, approved.plan.segments, strict=True):
        tip = ur5e.dh_frames(segment.positions[-1])[-1] @ TOOL
        in_base = table.apply_to_pose(waypoint.pose)
        np.testing.assert_allclose(tip[:3, 3], in_base.position, atol=1e-6)
        down = Transform(quaternion=in_base.quaternion).rotation @ np.diag([1, -1, -1])
        np.testing.assert_allclose(tip[:3, :3], down, atol=1e-6)
        np.testing.assert_allclose(tip[:3, 2], -table.rotation[:, 2], atol=1e-6)  # into the table
    for segment in approved.plan.segments[1:]:
        tips = np.array(
            [(ur5e.dh_frames(joints)[-1] @ TOOL)[:3, 3] for joints in segment.positions]
        )
        assert (table.inverse().apply(tips)[:, 2] > 0.0019).all()


@pytest.mark.parametrize("name", FAULTS)
def test_nothing_is_planned_for_a_request_that_is_refused_anyway(name):
    of_request, of_context, of_limits, code, _ = FAULTS[name]
    request, context = replace(REQUEST, **of_request), replace(CONTEXT, **of_context)
    planned = []
    with pytest.raises(VimaError) as caught:
        check(request, context, replace(LIMITS, **of_limits), MOTION, planned.append)
    assert caught.value.code == code
    assert bool(planned) == (code == "DRY_RUN")


def plan_of(positions, velocities=None, times=None):
    """A plan of one segment with two joints."""
    at = np.array(positions, float)
    speeds = np.zeros_like(at) if velocities is None else np.array(velocities, float)
    times = np.arange(len(at), dtype=float) if times is None else np.array(times)
    return JointPlan(("a", "b"), (Segment(times, at, speeds, None),))


JOINTS = JointBounds(np.array([-1.0, -2.0]), np.array([1.0, 2.0]), np.array([0.5, 0.5]), 0.4)


@pytest.mark.parametrize(
    ("plan", "code"),
    [
        (plan_of([[0, 0], [0.9, 1.9]]), None),
        (plan_of([[0, 0], [1.1, 0]]), "UNREACHABLE"),
        (plan_of([[0, 0], [0, -2.1]]), "UNREACHABLE"),
        (plan_of([[0, 0], [math.nan, 0]]), "NOT_FINITE"),
        (plan_of([[0, 0], [0, 0], [0, 0]], [[0, 0], [0.39, 0], [0, 0]]), None),
        (plan_of([[0, 0], [0, 0], [0, 0]], [[0, 0], [0, -0.6], [0, 0]]), "TOO_FAST"),
        (plan_of([[0, 0], [0, 0]], [[0, 0], [0.3, 0]], [0, 0.5]), "TOO_FAST"),
    ],
    ids=["good", "high", "low", "nan", "at speed", "too fast", "accelerates too much"],
)
def test_a_plan_is_checked_independently(plan, code):
    limits = replace(LIMITS, joints=JOINTS)
    if code is None:
        assert check(REQUEST, CONTEXT, limits, MOTION, lambda _: plan).plan is plan
        return
    with pytest.raises(VimaError) as caught:
        check(REQUEST, CONTEXT, limits, MOTION, lambda _: plan)
    assert caught.value.code == code


numbers = st.floats(allow_nan=True, allow_infinity=True)
near = st.one_of(st.floats(-1.2, 1.2), numbers)
stamps = st.one_of(st.integers(98 * SECOND, 106 * SECOND), st.integers(-(2**62), 2**62))
poses = st.builds(Pose, st.tuples(near, near, near), st.tuples(near, near, near, near))


@pytest.mark.slow
@settings(max_examples=400)
@given(
    request=st.builds(
        Request,
        st.text(max_size=3),
        st.sampled_from(Primitive),
        poses,
        poses,
        stamps,
        st.text(max_size=2),
        st.tuples(stamps, stamps),
        st.lists(numbers, max_size=12).map(tuple),
    ),
    now=stamps,
    motion=st.builds(
        MotionParameters, *(st.floats(-1, 2, allow_nan=False) for _ in MotionParameters().__dict__)
    ),
    max_speed=st.floats(0.01, 2),
    max_tool_z=st.floats(0, 1),
)
def test_any_request_passes_within_the_limits_or_is_refused(
    request, now, motion, max_speed, max_tool_z
):
    limits = Limits(dry_run=False, max_speed=max_speed, max_tool_z=max_tool_z)
    done = outcome(request, ArmContext(now=now), limits, motion)
    if isinstance(done, VimaError):
        assert done.code in {code.value for code in GateCode}
        assert len(str(done)) > 15
        return
    for waypoint in done:
        x, y, z = waypoint.pose.position
        assert limits.workspace.contains(x, y)
        assert -1e-5 <= z <= max_tool_z + 1e-5
        assert 0 < waypoint.max_speed <= max_speed + 1e-5


def test_a_plan_that_no_controller_would_receive_is_refused_with_its_reason():
    context = replace(CONTEXT, no_controller="nothing subscribes to /joint_trajectory")
    with pytest.raises(VimaError, match="nothing subscribes to /joint_trajectory") as caught:
        check(REQUEST, context, LIMITS, MOTION)
    assert caught.value.code == GateCode.NO_CONTROLLER
    with pytest.raises(VimaError) as caught:
        check(REQUEST, context, replace(LIMITS, dry_run=True), MOTION)
    assert caught.value.code == GateCode.DRY_RUN, "what would be done can be looked at without it"
