import math
import sys

import numpy as np
import pytest
import ur5e
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from vima_ros.arm.kinematics import ArmModel
from vima_ros.errors import VimaError
from vima_ros.geometry import Pose, Transform, quaternion_from_yaw

MODEL = ur5e.load()
HOME = (0.0, -math.pi / 2, math.pi / 2, -math.pi / 2, -math.pi / 2, 0.0)
angles = st.floats(-2 * math.pi, 2 * math.pi)
postures = st.lists(angles, min_size=6, max_size=6).map(np.array)
places = st.tuples(st.floats(0.25, 0.75), st.floats(-0.5, 0.5), st.floats(0, 0.32))
yaws = st.floats(-math.pi, math.pi)


def down(place, yaw=0.0):
    return Pose(place, quaternion_from_yaw(yaw))


def apart(a, b):
    """Largest difference of joints, whole turns apart [rad]."""
    return np.abs(np.remainder(a - b + math.pi, 2 * math.pi) - math.pi).max()


def matrix(pose):
    """(4, 4) of a waypoint's pose: its turn from pointing straight down."""
    x, y, z, w = pose.quaternion
    turn = np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )
    result = np.eye(4)
    result[:3, :3], result[:3, 3] = turn @ np.diag([1, -1, -1]), pose.position
    return result


# --- the URDF


@given(postures)
def test_the_flange_is_where_the_published_table_has_it(joints):
    """In base_link, the URDF's root: no pedestal, no table, none of our own kinematics."""
    import pinocchio

    arm = pinocchio.buildModelFromUrdf(str(ur5e.URDF))
    data = arm.createData()
    pinocchio.framesForwardKinematics(arm, data, joints)
    base, flange = (data.oMf[arm.getFrameId(name)] for name in ("base_link", "tool0"))
    got, want = base.actInv(flange).homogeneous, ur5e.dh_frames(joints)[-1]
    assert math.dist(got[:3, 3], want[:3, 3]) < 1e-6  # [m]
    turned = pinocchio.log3(want[:3, :3].T @ got[:3, :3])
    assert np.linalg.norm(turned) < 1e-6  # [rad]


@given(postures)
def test_forward_kinematics_are_those_of_the_published_table(joints):
    np.testing.assert_allclose(matrix(MODEL.tip_pose(joints)), ur5e.tip(joints), atol=1e-9)


def test_masses_and_their_centres_are_those_of_the_published_table():
    import pinocchio

    arm = pinocchio.buildModelFromUrdf(str(ur5e.URDF))
    data, joints = arm.createData(), np.linspace(-1, 1.5, 6)
    pinocchio.forwardKinematics(arm, data, joints)
    tool, flange = 0.2, 0.06  # ours, on the last link
    for i, frame in enumerate(ur5e.dh_frames(joints)):
        inertia = arm.inertias[i + 1]
        mass, centre = ur5e.MASS[i], frame[:3, :3] @ ur5e.CENTRE[i] + frame[:3, 3]
        if i == 5:
            at_tool = frame[:3, 3] + flange * frame[:3, 2]
            centre = (mass * centre + tool * at_tool) / (mass + tool)
            mass += tool
        assert inertia.mass == pytest.approx(mass)
        np.testing.assert_allclose(data.oMi[i + 1].act(inertia.lever), centre, atol=1e-9)
        smallest, middle, largest = np.linalg.eigvalsh(inertia.inertia)
        assert smallest > 0
        assert largest <= smallest + middle + 1e-9  # else no body could have it


def test_limits_are_those_of_the_data_sheet():
    """Half of it for the elbow, which cannot go on through the upper arm."""
    range_of_elbow = [1, 1, 0.5, 1, 1, 1]
    assert MODEL.lower.tolist() == [-2 * math.pi * part for part in range_of_elbow]
    assert MODEL.upper.tolist() == [2 * math.pi * part for part in range_of_elbow]
    assert MODEL.max_velocity.tolist() == [math.pi] * 6
    names = ["shoulder_pan", "shoulder_lift", "elbow", "wrist_1", "wrist_2", "wrist_3"]
    assert MODEL.joint_names == tuple(f"{name}_joint" for name in names)


def test_home_points_the_tool_down_over_the_workspace():
    pose = MODEL.tip_pose(np.array(HOME))
    np.testing.assert_allclose(pose.position, [0.4919, 0.1333, 0.5879], atol=1e-9)
    np.testing.assert_allclose(pose.quaternion[:2], 0, atol=1e-9)


def test_a_longer_tool_moves_the_tip():
    longer = ArmModel.from_urdf(ur5e.URDF, "tool0", tool_length=0.2, table=ur5e.TABLE)
    place = longer.tip_pose(np.array(HOME)).position
    np.testing.assert_allclose(place, [0.4919, 0.1333, 0.5079], atol=1e-9)


# --- inverse kinematics


@given(places, yaws, st.tuples(*[st.floats(-0.2, 0.2)] * 3), st.floats(-math.pi, math.pi))
@settings(max_examples=40)
def test_a_rotated_and_tilted_table_is_reached_like_a_level_one(place, yaw, lean, turn):
    """The same joints, whatever frame the same place is stated in."""
    level = np.eye(4)
    level[:3, 3] = 0.0, 0.0, -ur5e.PEDESTAL
    tilted = Transform.from_xyz_rpy((*lean[:2], -ur5e.PEDESTAL - 0.3), (*lean[1:], turn))
    arm = ArmModel.from_urdf(ur5e.URDF, table=tilted)
    base = level @ matrix(down(place, yaw))
    there = tilted.inverse().apply_to_pose(ur5e.TABLE.apply_to_pose(down(place, yaw)))
    joints = arm.solve_ik_local(there, MODEL.solve_ik(down(place, yaw), MODEL.home))
    tip = ur5e.tip(joints)
    tip[2, 3] -= ur5e.PEDESTAL
    np.testing.assert_allclose(tip, base, atol=1e-8)
    np.testing.assert_allclose(matrix(arm.tip_pose(joints)), matrix(there), atol=1e-8)


def test_the_root_of_the_urdf_does_not_matter(tmp_path):
    """As ur_description's, which hangs base_link into a world."""
    world = """<link name="world"/><joint name="base_joint" type="fixed"><parent link="world"/>
      <child link="base_link"/><origin xyz="0.3 -2 0.7" rpy="0 0 1.5"/></joint></robot>"""
    rooted = tmp_path / "rooted.urdf"
    rooted.write_text(ur5e.URDF.read_text().replace("</robot>", world))
    arm = ArmModel.from_urdf(rooted, table=ur5e.TABLE)
    goal = down((0.5, 0.2, 0.1), 0.4)
    joints = arm.solve_ik(goal, arm.home)
    np.testing.assert_allclose(joints, MODEL.solve_ik(goal, MODEL.home), atol=1e-8)
    np.testing.assert_allclose(matrix(arm.tip_pose(joints)), ur5e.tip(joints), atol=1e-9)
    assert "below the table" in refusal(
        arm.check_posture, np.array([0, 0.3, 0.5, -2.37, -1.57, 0])
    )


def test_a_table_that_collides_with_the_arm_at_home_is_refused():
    with pytest.raises(VimaError, match=r"home: .*table") as caught:
        ArmModel.from_urdf(ur5e.URDF, table=Transform((0.0, 0.0, 0.45)))
    assert caught.value.code == "BAD_ROBOT"


@given(places, yaws, postures)
@example((0.25, 0.0, 0.0), 0.0, np.zeros(6))
@example((0.75, 0.5, 0.0), math.pi, np.zeros(6))
@example((0.75, -0.5, 0.32), -math.pi, np.zeros(6))
@example((0.26, 0.22, 0.01), 1.62, np.zeros(6))  # far to turn from home
@example((0.25, -0.5, 0.17), 1.33, np.zeros(6))
@example((0.31, -0.4, 0.2), 1.57, np.zeros(6))
def test_all_of_the_workspace_is_reached_with_the_elbow_up(place, yaw, seed):
    """And the same way, but for whole turns, wherever the arm was."""
    joints = MODEL.solve_ik(down(place, yaw), seed)
    assert apart(joints, ur5e.elbow_up(*place, yaw)) < 1e-6
    assert (np.abs(joints) <= MODEL.upper).all()
    np.testing.assert_allclose(matrix(MODEL.tip_pose(joints)), matrix(down(place, yaw)), atol=1e-8)
    for joint, was, high in zip(joints, seed, MODEL.upper, strict=True):
        nearer = was + math.remainder(joint - was, 2 * math.pi)
        assert joint == pytest.approx(nearer) or abs(nearer) > high


@given(places, yaws, st.lists(st.floats(-0.05, 0.05), min_size=6, max_size=6))
def test_local_ik_stays_on_the_branch_of_its_seed(place, yaw, off):
    """Forward and back from any start nearby."""
    joints = ur5e.elbow_up(*place, yaw)
    found = MODEL.solve_ik_local(MODEL.tip_pose(joints), joints + off)
    np.testing.assert_allclose(found, joints, atol=1e-6)


@given(places, yaws, st.lists(st.floats(-1, 1), min_size=6, max_size=6))
def test_joint_velocities_give_the_twist_of_the_tip(place, yaw, twist):
    joints = ur5e.elbow_up(*place, yaw)
    velocities, step = MODEL.joint_velocities(joints, np.array(twist)), 1e-6
    before, after = (ur5e.tip(joints + sign * step * velocities) for sign in (-1, 1))
    moved = (after - before) / (2 * step)
    np.testing.assert_allclose(moved[:3, 3], twist[:3], atol=1e-4)
    x, y, z = twist[3:]
    turned = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]]) @ ur5e.tip(joints)[:3, :3]
    np.testing.assert_allclose(moved[:3, :3], turned, atol=1e-4)
    assert MODEL.tip_speed(joints, velocities) == pytest.approx(
        np.linalg.norm(twist[:3]), abs=1e-6
    )


# --- refusals


def refusal(call, *args):
    with pytest.raises(VimaError) as caught:
        call(*args)
    assert caught.value.code == "UNREACHABLE"
    return str(caught.value)


def test_a_pose_behind_the_base_is_found_though_the_straight_way_there_is_out_of_reach():
    pose = down((-0.877, -0.031, 0.001), 2.83)
    found = MODEL.tip_pose(MODEL.solve_ik(pose, MODEL.home))
    np.testing.assert_allclose(found.position, pose.position, atol=1e-5)


@pytest.mark.slow
@given(
    st.tuples(st.floats(-1.5, 1.5), st.floats(-1.5, 1.5), st.floats(0, 1.2)),
    yaws,
)
def test_beyond_the_reach_of_the_links_is_refused(place, yaw):
    assume(math.hypot(*place[:2]) > 0.95 or math.hypot(*place[:2]) < 0.13)
    assert refusal(MODEL.solve_ik, down(place, yaw), MODEL.home)


def test_a_refusal_names_the_nearest_pose_found():
    message = refusal(MODEL.solve_ik, down((1.0, 0.0, 0.1)), MODEL.home)
    assert message.startswith("out of reach; the nearest pose found is (0.9")


def test_too_high_in_the_corner_is_refused():
    refusal(MODEL.solve_ik, down((0.75, 0.5, 0.40)), MODEL.home)


@pytest.mark.parametrize(
    ("joints", "reason"),
    [
        ((0, -math.pi / 2, 0.01, -math.pi / 2, -math.pi / 2, 0), "singular"),  # arm stretched
        ((0, -math.pi / 2, math.pi / 2, -math.pi / 2, 0, 0), "singular"),  # wrist aligned
        ((6.3, *HOME[1:]), "shoulder_pan_joint at 6.300 rad; valid: -6.283 to 6.283"),
        ((*HOME[:5], -6.3), "wrist_3_joint"),
        ((0, 0.3, 0.5, -math.pi / 2 - 0.8, -math.pi / 2, 0), "below the table"),
        ((0, 1.0, -2.2, 1.2, math.pi / 2, 0), "upper_arm_link would collide with the table"),
        (
            (0, -math.pi / 2, 2.9, -math.pi / 2, -math.pi / 2, 0),
            "would collide with shoulder_link",
        ),
    ],
)
def test_an_invalid_posture_is_refused_with_a_reason(joints, reason):
    assert reason in refusal(MODEL.check_posture, np.array(joints, float))


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"path": "nowhere.urdf"}, "nowhere.urdf"),
        ({"tip_frame": "hand"}, "tool_tip"),
        ({"base_frame": "base"}, "no frame 'base'; valid: base_link"),
        ({"base_frame": "forearm_link"}, "moves; valid: a link that is fixed"),
        ({"home": (0.0,) * 5}, "5 joints"),
        ({"home": (0.0,) * 6}, "home: "),  # stretched out
    ],
)
def test_a_robot_that_cannot_be_loaded_is_refused_with_what_is_valid(change, named):
    with pytest.raises(VimaError) as caught:
        ArmModel.from_urdf(**({"path": ur5e.URDF, "table": ur5e.TABLE} | change))
    assert caught.value.code == "BAD_ROBOT"
    assert named in str(caught.value)


def test_without_pinocchio_the_error_names_the_package_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "pinocchio", None)
    with pytest.raises(VimaError) as caught:
        ArmModel.from_urdf("ur5e.urdf")
    assert caught.value.code == "NOT_INSTALLED"
    assert "pip install pin" in str(caught.value)
