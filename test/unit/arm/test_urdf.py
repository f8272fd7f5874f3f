"""URDFs as users have them: planned with as they are meant, or refused with what is wrong."""

import math

import numpy as np
import pytest
import ur5e
from robot_descriptions import (
    ALL_JOINTS,
    limits,
    ur5e_text,
    with_gripper,
    with_mesh,
    with_mimic,
    with_type,
    without_collision,
    xacro,
)

pytest.importorskip("pinocchio", reason="the joint-level arm needs pip install pin")

from vima_ros.arm.joint_feedback import JointFeedback
from vima_ros.arm.kinematics import ArmModel
from vima_ros.arm.primitives import Waypoint
from vima_ros.arm.trajectory_planning import plan_trajectory
from vima_ros.errors import VimaError
from vima_ros.geometry import Pose, quaternion_from_yaw

TEXT = ur5e_text()
MODEL = ur5e.load()


def load(tmp_path, content, **options):
    path = tmp_path / "arm.urdf"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return ArmModel.from_urdf(path, table=ur5e.TABLE, **options)


def refusal(tmp_path, content, **options):
    with pytest.raises(VimaError) as caught:
        load(tmp_path, content, **options)
    assert caught.value.code == "BAD_ROBOT"
    message = str(caught.value)
    assert "valid" in message
    assert "\n" not in message
    return message


UTF16 = '<?xml version="1.0" encoding="UTF-16"?>' + TEXT
LATIN = '<?xml version="1.0" encoding="ISO-8859-1"?>' + TEXT.replace("light", "hell für")


@pytest.mark.parametrize(
    "content",
    [
        b"\xef\xbb\xbf" + TEXT.encode(),
        b'\xef\xbb\xbf<?xml version="1.0" encoding="utf-8"?>\r\n' + TEXT.encode(),
        UTF16.encode("utf-16"),
        LATIN.encode("latin-1"),
        "\n\n" + TEXT,
        limits(TEXT, "effort", "0"),
        limits(TEXT, "effort", None),
        TEXT.replace('name="ur5e"', 'name="ur5e" xmlns:xacro="http://www.ros.org/wiki/xacro"'),
    ],
    ids=[
        "bom",
        "bom_declared",
        "utf16",
        "latin1",
        "blank_lines",
        "effort_0",
        "no_effort",
        "xmlns",
    ],
)
def test_irrelevant_features_are_ignored(tmp_path, content):
    arm = load(tmp_path, content)
    assert arm.joint_names == ALL_JOINTS
    np.testing.assert_allclose(arm.tip_pose(arm.home).position, MODEL.tip_pose(arm.home).position)
    assert arm.warnings == ()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (limits(TEXT, "velocity", "0"), ", ".join(ALL_JOINTS) + ": no velocity limit above 0"),
        (limits(TEXT, "velocity", "-1"), "no velocity limit above 0"),
        (limits(TEXT, "velocity", None), "no velocity limit above 0"),
        (limits(TEXT, "velocity", "3,14"), "velocity is '3,14'"),
        (limits(TEXT, "velocity", "nan"), "velocity is 'nan'"),
        (limits(limits(TEXT, "lower", "0"), "upper", "0"), "from 0 to 0 rad"),
        (limits(TEXT, "lower", "7"), "shoulder_pan_joint may move from 7 to"),
        (TEXT.replace("<limit ", "<limits "), "shoulder_pan_joint has no <limit>"),
        (with_type(TEXT, "prismatic"), "wrist_3_joint is of type 'prismatic'"),
        (with_type(TEXT, "planar"), "wrist_3_joint is of type 'planar'"),
        (with_type(TEXT, "rotary"), "wrist_3_joint is of type 'rotary'"),
        (with_mimic(TEXT), "wrist_3_joint follows another joint"),
        (TEXT.replace('<axis xyz="0 0 1"/>', '<axis xyz="0 0 0"/>'), "has no axis"),
        (TEXT.replace('"wrist_3_joint"', '"wrist_2_joint"'), "two joints are named"),
        (TEXT.replace("</robot>", '<link name="lonely"/></robot>'), "base_link, lonely"),
        (xacro(TEXT), "`xacro arm.urdf -o robot.urdf`"),
        ('<robot name="a"><xacro:include filename="b"/></robot>', "a xacro file"),
        ("", "empty"),
        ("\ufeff \n", "empty"),
        (TEXT[:3000], "line 42"),
        ('<sdf version="1.7"><model name="a"/></sdf>', "SDF"),
        ("<mujoco/>", "MJCF"),
        ("<!DOCTYPE html><html><body><br></body></html>", "HTML"),
        ("version https://git-lfs.github.com/spec/v1\noid sha256:1\n", "git lfs pull"),
        ("robot: 1", "no XML"),
        ("<model/>", "<model>"),
        (with_mesh(TEXT, "package://no_such/meshes/a.stl"), "package://no_such/meshes/a.stl"),
        (with_mesh(TEXT, "meshes/a.stl"), "meshes/a.stl"),
        (with_mesh(TEXT, "file:///nowhere/a.stl"), "/nowhere/a.stl"),
    ],
)
def test_unsupported_features_are_refused_by_name(tmp_path, content, says):
    assert says in refusal(tmp_path, content)


STL = "solid a\n" + "".join(
    f"facet normal 0 0 0\nouter loop\n{v}endloop\nendfacet\n"
    for v in (
        "vertex 0 0 0\nvertex 0.01 0 0\nvertex 0 0.01 0\n",
        "vertex 0 0 0\nvertex 0 0.01 0\nvertex 0 0 0.01\n",
        "vertex 0 0 0\nvertex 0 0 0.01\nvertex 0.01 0 0\n",
        "vertex 0.01 0 0\nvertex 0 0 0.01\nvertex 0 0.01 0\n",
    )
) + "endsolid a\n"  # fmt: skip


@pytest.mark.parametrize("name", ["meshes/a.stl", "package://my_robot/urdf/meshes/a.stl"])
def test_meshes_beside_the_urdf_are_found(tmp_path, name):
    folder = tmp_path / "my_robot" / "urdf"
    (folder / "meshes").mkdir(parents=True)
    (folder / "meshes" / "a.stl").write_text(STL)
    assert load(folder, with_mesh(TEXT, name)).warnings == ()


@pytest.mark.parametrize(
    ("shape", "words"),
    [
        ('<geometry><capsule radius="0.1" length="0.2"/></geometry>', "capsule"),
        ("<geometry/>", "no shape"),
        ("", "no shape"),
        ('<geometry><box size="nan 0.1 0.1"/></geometry>', "'nan 0.1 0.1'"),
        ('<geometry><box size="0 0.1 0.1"/></geometry>', "above 0"),
        ('<geometry><sphere radius="-0.1"/></geometry>', "above 0"),
        ('<origin xyz="0 nan 0"/><geometry><sphere radius="0.1"/></geometry>', "'0 nan 0'"),
    ],
)
def test_a_collision_shape_that_would_not_be_checked_is_refused(tmp_path, shape, words):
    link = '<link name="forearm_link">'
    text = TEXT.replace(link, f"{link}<collision>{shape}</collision>")
    with pytest.raises(VimaError, match="collision") as refused:
        load(tmp_path, text)
    assert words in str(refused.value)


def test_an_arm_without_collision_shapes_gives_a_warning(tmp_path):
    (warning,) = load(tmp_path, without_collision(TEXT)).warnings
    assert "not checked for collisions" in warning
    one = TEXT.split('<link name="forearm_link">')
    half = one[0] + '<link name="forearm_link">' + without_collision(one[1])
    (warning,) = load(tmp_path, half).warnings
    assert "forearm_link" in warning
    assert "upper_arm_link" not in warning


def test_a_gripper_is_fixed_with_a_warning(tmp_path):
    arm = load(tmp_path, with_gripper(TEXT))
    assert arm.joint_names == ALL_JOINTS
    (warning,) = arm.warnings
    assert "finger_1_joint, finger_2_joint" in warning


def test_a_home_of_another_length_names_the_joints(tmp_path):
    assert ", ".join(ALL_JOINTS) in refusal(tmp_path, TEXT, home=(0.0,) * 7)


# --- continuous joints


def test_continuous_joints_have_no_limits_and_take_the_nearest_turn(tmp_path):
    arm = load(tmp_path, TEXT.replace('"revolute"', '"continuous"'))
    assert arm.continuous == set(ALL_JOINTS)
    assert np.isinf(arm.upper).all()
    goal = Pose((0.5, 0.1, 0.1), quaternion_from_yaw(0.0))
    joints = MODEL.solve_ik(goal, MODEL.home)
    for turns in (-7, 3):
        near = joints + 2 * math.pi * turns + 0.3
        np.testing.assert_allclose(arm.solve_ik(goal, near), near - 0.3, atol=1e-6)


def test_a_plan_goes_on_through_pi(tmp_path):
    arm = load(tmp_path, with_type(TEXT, "continuous"))
    start = np.array([*arm.home[:5], 6.2])
    here = arm.tip_pose(start)
    turned = Pose(here.position, quaternion_from_yaw(-6.2 - math.pi / 2 - 0.5))
    plan = plan_trajectory([Waypoint(turned, tool_on=False, max_speed=0.5)], start, arm)
    last = plan.segments[-1].positions[-1]
    assert last[5] > 2 * math.pi, "beyond where a revolute joint ends"
    assert np.abs(last - start).max() < math.pi


def test_reports_within_one_turn_are_unwrapped():
    names, feedback = ("pan", "wrist"), JointFeedback(("pan", "wrist"), {"wrist"})
    for tick in range(100):
        angle = 3.0 + 0.01 * tick
        wrapped = math.remainder(angle, 2 * math.pi)
        feedback.add(names, [angle, wrapped], [], tick / 50, tick / 50)
    np.testing.assert_allclose(feedback.positions, [3.99, 3.99])
    np.testing.assert_allclose(feedback.velocities, [0.5, 0.5], rtol=1e-6)
