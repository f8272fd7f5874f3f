import math
import os
import sys

import numpy as np
import pytest
import ur5e
from controller import in_between
from hypothesis import example, given, settings
from hypothesis import strategies as st

from vima_ros.arm.kinematics import ArmModel
from vima_ros.arm.primitives import MotionParameters, Waypoint, plan_waypoints
from vima_ros.arm.time_parameterization import JointLimits
from vima_ros.arm.trajectory_planning import plan_trajectory
from vima_ros.errors import VimaError
from vima_ros.geometry import Pose, Workspace, quaternion_from_yaw
from vima_ros.specs import Primitive

# VIMA_RANDOM_ACTIONS=2000 for the long check
RANDOM_ACTIONS = int(os.environ.get("VIMA_RANDOM_ACTIONS", "100"))
MODEL = ur5e.load()
LIMITS = JointLimits()
TURN = 2 * math.pi


def down(place, yaw=0.0):
    return Pose(place, quaternion_from_yaw(yaw))


def random_action(rng, low=(0.25, -0.5), high=(0.75, 0.5)):
    """Waypoints of a primitive between two poses; one pose in five in a corner or at an end."""
    places = np.zeros((2, 2))
    while math.dist(*places) < 2e-3:
        for place in places:
            place[:] = rng.uniform(low, high)
            if rng.random() < 0.2:
                place[:] = rng.choice([low[0], high[0]]), rng.choice([low[1], 0.0, high[1]])
    poses = [down((*place, 0.0), rng.uniform(-math.pi, math.pi)) for place in places]
    return plan_waypoints(Primitive(int(rng.integers(2))), *poses, Workspace(low, high))


def far_from_a_line(points, start, end):
    """Largest distance of points (m, 3) from the line [m]."""
    way, away = end - start, points - start
    length = np.linalg.norm(way)
    if length < 1e-9:
        return np.linalg.norm(away, axis=1).max()
    return np.linalg.norm(away - np.outer(away @ way, way) / length**2, axis=1).max()


class Watch:
    """Looks at every plan with its own kinematics, its own collision check and a fine clock."""

    def __init__(self):
        import pinocchio

        shapes = sys.modules.get("coal") or sys.modules["hppfcl"]  # what Pinocchio came with
        self.pin = pinocchio
        self.arm = pinocchio.buildModelFromUrdf(str(ur5e.URDF))
        self.data = self.arm.createData()
        self.shapes = pinocchio.buildGeomFromUrdf(self.arm, str(ur5e.URDF), pinocchio.COLLISION)
        below = pinocchio.SE3(np.eye(3), np.array([0, 0, -0.501 - ur5e.PEDESTAL]))
        table = self.shapes.addGeometryObject(
            pinocchio.GeometryObject(
                name="table",
                parent_joint=0,
                placement=below,
                collision_geometry=shapes.Box(4.0, 4.0, 1.0),
            )
        )
        parents = [shape.parentJoint for shape in self.shapes.geometryObjects]
        for i, a in enumerate(parents):
            for j, b in enumerate(parents[:i]):
                if abs(a - b) > 1 and not (table in (i, j) and max(a, b) == 1):
                    self.shapes.addCollisionPair(pinocchio.CollisionPair(j, i))
        self.touching = pinocchio.GeometryData(self.shapes)

    def touches(self, joints):
        """Whether links touch each other or the table at ``joints``."""
        return self.pin.computeCollisions(
            self.arm, self.data, self.shapes, self.touching, joints, True
        )

    def torques(self, joints, speeds, accelerations):
        return self.pin.rnea(self.arm, self.data, joints, speeds, accelerations)

    def check(self, plan, start, waypoints, straight=True):
        """Every promise of ``plan_trajectory``."""
        assert len(plan.segments) == len(waypoints)
        end = start
        for index, (segment, waypoint) in enumerate(zip(plan.segments, waypoints, strict=True)):
            assert segment.waypoint is waypoint
            timed = segment.times, segment.positions, segment.velocities
            assert segment.times[0] == 0
            assert (np.diff(segment.times) > 1e-4).all()
            np.testing.assert_allclose(segment.positions[0], end, atol=1e-9)
            assert not segment.velocities[[0, -1]].any()
            end = segment.positions[-1]
            goal = waypoint.pose
            _, _, z, w = goal.quaternion
            np.testing.assert_allclose(ur5e.tip(end)[:3, 3], goal.position, atol=1e-6)
            np.testing.assert_allclose(
                ur5e.tip(end)[:3, 0], [w * w - z * z, 2 * w * z, 0], atol=1e-6
            )
            self.check_between(segment, *in_between(*timed), straight=straight or index > 0)

    def check_between(self, segment, positions, velocities, accelerations, straight):
        assert (np.abs(positions).max(axis=(0, 1)) <= self.arm.upperPositionLimit).all()
        assert np.abs(velocities).max() <= math.pi
        assert np.abs(accelerations).max() <= LIMITS.max_acceleration
        fine = positions[:, ::5].reshape(-1, 6)
        tips = np.array([ur5e.tip(joints) for joints in fine])
        assert tips[:, 2, 3].min() >= -1e-6
        assert not any(self.touches(joints) for joints in fine)
        if straight:
            assert tips[:, 2, 2].max() < -1 + 1e-6  # straight down
        steps = np.linalg.norm(np.diff(tips[:, :3, 3], axis=0), axis=1)
        moments = (
            segment.times[:-1, None] + np.diff(segment.times)[:, None] * [0, 0.5, 1]
        ).ravel()
        moved = np.diff(moments) > 1e-6
        speed = steps[moved] / np.diff(moments)[moved]
        assert speed.max() <= 1.01 * segment.waypoint.max_speed


@pytest.fixture(scope="module")
def watch():
    return Watch()


@pytest.mark.slow
def test_random_actions_keep_every_limit_and_stay_above_the_table(watch):
    """One after the other, as in an episode; all of the workspace is reachable."""
    rng, joints = np.random.default_rng(7), MODEL.home
    for _ in range(RANDOM_ACTIONS):
        waypoints = random_action(rng)
        plan = plan_trajectory(waypoints, joints, MODEL)
        watch.check(plan, joints, waypoints)
        joints = plan.segments[-1].positions[-1]


@pytest.mark.slow
def test_random_actions_beyond_the_workspace_are_planned_or_refused_with_a_reason(watch):
    rng, refused = np.random.default_rng(8), 0
    for _ in range(30):
        waypoints = random_action(rng, (-0.2, -0.9), (1.0, 0.9))
        try:
            plan = plan_trajectory(waypoints, MODEL.home, MODEL)
        except VimaError as error:
            refusal, refused = error, refused + 1
        else:
            watch.check(plan, MODEL.home, waypoints, straight=False)
            continue
        place, reason = str(refusal).split(" degrees: ")
        assert refusal.code == "UNREACHABLE"
        assert place.startswith("waypoint ")
        assert reason
    assert 5 < refused < 30


def test_torques_stay_below_half_of_what_the_joints_have(watch):
    """The reason given for the acceleration limit."""
    rng, most = np.random.default_rng(9), np.zeros(6)
    for _ in range(10):
        for segment in plan_trajectory(random_action(rng), MODEL.home, MODEL).segments:
            timed = in_between(segment.times, segment.positions, segment.velocities, 2)
            for q, v, a in zip(*(part.reshape(-1, 6) for part in timed), strict=True):
                most = np.maximum(most, np.abs(watch.torques(q, v, a)))
    assert (most < 0.5 * np.array([150, 150, 150, 28, 28, 28])).all()


def test_the_same_request_gives_the_same_plan():
    waypoints = random_action(np.random.default_rng(3))
    plan_trajectory(random_action(np.random.default_rng(4)), MODEL.home, MODEL)
    plans = [
        plan_trajectory(waypoints, MODEL.home, arm)
        for arm in (MODEL, ArmModel.from_urdf(ur5e.URDF, table=ur5e.TABLE))
    ]
    for one, other in zip(*(plan.segments for plan in plans), strict=True):
        np.testing.assert_array_equal(one.times, other.times)
        np.testing.assert_array_equal(one.positions, other.positions)
        np.testing.assert_array_equal(one.velocities, other.velocities)


places = st.tuples(st.floats(0.25, 0.75), st.floats(-0.5, 0.5), st.floats(0, 0.32))
yaws = st.floats(-math.pi, math.pi)


@pytest.mark.slow
@given(places, yaws, places, yaws)
@example((0.25, 0.0, 0.0), 0.0, (0.25, 0.0, 0.0), 0.0)
@settings(max_examples=40)
def test_every_move_but_the_first_is_a_straight_line(start, yaw0, end, yaw1):
    joints = ur5e.elbow_up(*start, yaw0)
    waypoints = [Waypoint(down(p, y), False, 0.5) for p, y in ((start, yaw0), (end, yaw1))]
    segment = plan_trajectory(waypoints, joints, MODEL).segments[1]
    fine = in_between(segment.times, segment.positions, segment.velocities)[0].reshape(-1, 6)
    tips = np.array([ur5e.tip(joints) for joints in fine])
    assert far_from_a_line(tips[:, :3, 3], np.array(start), np.array(end)) < 1e-4
    turned = np.abs(np.unwrap(np.arctan2(tips[:, 1, 0], tips[:, 0, 0])) - yaw0)
    short = abs(math.remainder(yaw1 - yaw0, TURN))
    assert (turned - turned[0]).max() <= short + 1e-3


@pytest.mark.slow
@given(places, yaws)
@settings(max_examples=30)
def test_from_below_the_arm_rises_before_it_goes_across(start, yaw):
    joints = ur5e.elbow_up(start[0], start[1], start[2] / 2, yaw)
    waypoints = plan_waypoints(0, down((0.5, 0.2, 0)), down((0.6, -0.3, 0)), Workspace())
    first = plan_trajectory(waypoints, joints, MODEL).segments[0]
    tips = np.array([ur5e.tip(joints)[:3, 3] for joints in first.positions])
    low = tips[:, 2] < 0.32 - 1e-3
    assert low.any()
    assert np.abs(tips[low, :2] - start[:2]).max() < 1e-4


@pytest.mark.slow
@given(st.floats(-TURN + 0.1, TURN - 0.1), yaws, yaws)
@settings(max_examples=40)
def test_no_winding_of_the_wrist_ends_in_a_dead_end(wound, yaw0, yaw1):
    """Even right before a limit; each action leaves the wrist within its limits."""
    joints = np.array([*MODEL.home[:5], wound])
    pick = plan_waypoints(0, down((0.3, 0.4, 0), yaw0), down((0.3, -0.4, 0), yaw1), Workspace())
    for _ in range(3):
        plan = plan_trajectory(pick, joints, MODEL)
        joints = plan.segments[-1].positions[-1]
        assert max(np.abs(s.positions).max() for s in plan.segments) <= TURN


@pytest.mark.slow
@pytest.mark.parametrize(
    "joints",
    [
        (0, -math.pi / 2, 0, -math.pi / 2, 0, 0),  # straight up, as a UR5e is parked
        (1.0, -1.9, -1.2, -1.6, 1.6, 0.3),  # folded the other way
        (0.088, 0.0533, -0.9637, -0.6604, -1.5708, -1.4828),  # tool down, elbow down
        (3.0, -1.5, 1.5, -1.5, -1.5, 0),  # to the back
        (0.2, -1.5, 1.5, -1.2, -1.3, 2.0),  # the tool leans
    ],
)
def test_from_an_odd_posture_the_first_move_is_in_joint_space(watch, joints):
    joints = np.array(joints, float)
    waypoints = plan_waypoints(0, down((0.5, 0.2, 0)), down((0.6, -0.3, 0)), Workspace())
    plan = plan_trajectory(waypoints, joints, MODEL)
    watch.check(plan, joints, waypoints, straight=False)
    change = plan.segments[0].positions - joints
    np.testing.assert_allclose(
        change, np.outer(change @ change[-1], change[-1]) / sum(change[-1] ** 2), atol=1e-9
    )
    end = ur5e.elbow_up(0.6, -0.3, 0.32, 0)
    assert np.abs(np.sin(plan.segments[-1].positions[-1] - end)).max() < 1e-6


def test_the_elbow_comes_up_even_where_another_branch_would_do():
    """So what the arm does next does not depend on how it was found."""
    elbow_down = np.array([0.088, 0.0533, -0.9637, -0.6604, -1.5708, -1.4828])
    high = Waypoint(down((0.7, 0.1, 0.5)), False, 0.5)
    end = plan_trajectory([high], elbow_down, MODEL).segments[0].positions[-1]
    np.testing.assert_allclose(end, ur5e.elbow_up(0.7, 0.1, 0.5, 0), atol=1e-6)


@pytest.mark.parametrize(
    "start", [np.zeros(5), np.full(6, math.nan), np.array([7.0, *np.zeros(5)])]
)
def test_joints_that_are_no_numbers_are_refused(start):
    waypoints = plan_waypoints(0, down((0.5, 0.2, 0)), down((0.6, -0.3, 0)), Workspace())
    with pytest.raises(VimaError) as caught:
        plan_trajectory(waypoints, start, MODEL)
    assert caught.value.code == "UNREACHABLE"


def test_a_small_error_of_the_start_fades(watch):
    """Servo errors and a slight tilt neither jump nor stay."""
    off = np.array([0.004, -0.005, 0.006, 0.002, -0.004, 0.005])
    joints = ur5e.elbow_up(0.5, 0.1, 0.32, 0.4) + off
    waypoints = plan_waypoints(0, down((0.5, 0.2, 0)), down((0.6, -0.3, 0)), Workspace())
    plan = plan_trajectory(waypoints, joints, MODEL)
    watch.check(plan, joints, waypoints, straight=False)
    assert plan.duration < plan_trajectory(waypoints, MODEL.home, MODEL).duration + 1


@pytest.mark.parametrize("tilt", [-0.01, 0.01])
def test_a_tilt_of_the_start_fades_evenly_along_the_line(tilt):
    """Joint 5 of a UR5e alone tilts the tool; a straight line at one height leaves it alone."""
    start = MODEL.solve_ik(down((0.5, -0.2, 0.3)), MODEL.home)
    start[4] += tilt
    plan = plan_trajectory([Waypoint(down((0.5, 0.2, 0.3)), False, 0.5)], start, MODEL)
    change = np.diff(plan.segments[0].positions[:, 4])
    np.testing.assert_allclose(change, -tilt / len(change), rtol=1e-3)


def test_the_refusal_names_waypoint_position_and_reason():
    high = MotionParameters(travel_height=0.6)
    waypoints = plan_waypoints(0, down((0.5, 0, 0)), down((0.75, 0.5, 0)), Workspace(), high)
    with pytest.raises(VimaError) as caught:
        plan_trajectory(waypoints, MODEL.home, MODEL)
    message = str(caught.value)
    assert message.startswith(
        "waypoint 4 of 6 at (0.750, 0.500, 0.600) m in the table frame, yaw 0 degrees: "
    )
    assert "out of reach" in message or "singular" in message


def test_slower_joints_slow_the_move_instead_of_refusing_it():
    waypoints = plan_waypoints(0, down((0.5, 0.2, 0)), down((0.6, -0.3, 0)), Workspace())
    fast, slow = (
        plan_trajectory(waypoints, MODEL.home, MODEL, JointLimits(a)).duration for a in (4.0, 0.4)
    )
    assert fast < slow
