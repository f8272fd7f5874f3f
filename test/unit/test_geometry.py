import math

import numpy as np
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from vima_ros.errors import VimaError
from vima_ros.geometry import (
    Pose,
    Transform,
    Workspace,
    quaternion_from_yaw,
    yaw_from_quaternion,
)

angles = st.floats(-math.pi, math.pi)
components = st.floats(-2, 2)
points = st.floats(-5, 5)
workspaces = st.builds(
    lambda x, y, width, depth: Workspace((x, y), (x + width, y + depth)),
    points,
    points,
    st.floats(0.01, 3),
    st.floats(0.01, 3),
)


def apart(a, b):
    """The smallest angle between two angles."""
    return abs(math.remainder(a - b, 2 * math.pi))


def product(p, q):
    """The rotation by q, then by p; xyzw."""
    (px, py, pz, pw), (qx, qy, qz, qw) = p, q
    return np.array(
        [
            pw * qx + px * qw + py * qz - pz * qy,
            pw * qy - px * qz + py * qw + pz * qx,
            pw * qz + px * qy - py * qx + pz * qw,
            pw * qw - px * qx - py * qy - pz * qz,
        ]
    )


@given(st.floats(-30, 30))
def test_yaw_and_quaternion_are_inverse(yaw):
    quaternion = quaternion_from_yaw(yaw)
    assert np.linalg.norm(quaternion) == pytest.approx(1)
    assert apart(yaw_from_quaternion(quaternion), yaw) < 1e-9


def test_a_quarter_turn_to_the_left_is_positive():
    half = math.sqrt(0.5)
    np.testing.assert_allclose(quaternion_from_yaw(math.pi / 2), [0, 0, half, half], atol=1e-15)
    assert yaw_from_quaternion([0, 0, half, half]) == pytest.approx(math.pi / 2)


@given(st.tuples(*[components] * 4))
@example((0, 0, 1, 0))
@example((0, 0, -1, 0))
@example((0, 0, 1, -2.2e-16))
@example((0, 0, -1, 2.2e-16))
def test_yaw_lies_above_minus_pi_up_to_pi(quaternion):
    assume(math.hypot(*quaternion[2:]) > 1e-3)
    assert -math.pi < yaw_from_quaternion(quaternion) <= math.pi


@given(angles, st.floats(0.01, 100), st.sampled_from([-1, 1]))
def test_length_and_sign_of_a_quaternion_do_not_matter(yaw, length, sign):
    assert apart(yaw_from_quaternion(sign * length * quaternion_from_yaw(yaw)), yaw) < 1e-9


@given(angles, angles, st.floats(0, 3))
def test_a_tilt_does_not_change_the_yaw(yaw, axis, tilt):
    """Swing-twist: any turn about a horizontal axis, before or after the turn about z."""
    s = math.sin(tilt / 2)
    swing = [s * math.cos(axis), s * math.sin(axis), 0, math.cos(tilt / 2)]
    twist = quaternion_from_yaw(yaw)
    assert apart(yaw_from_quaternion(product(swing, twist)), yaw) < 1e-9
    assert apart(yaw_from_quaternion(product(twist, swing)), yaw) < 1e-9


@given(st.tuples(*[components] * 4))
def test_no_other_yaw_is_nearer(quaternion):
    """The angle between unit quaternions falls as the absolute dot product grows."""
    assume(math.hypot(*quaternion[2:]) > 1e-2)
    found = abs(quaternion_from_yaw(yaw_from_quaternion(quaternion)) @ np.array(quaternion))
    for other in np.linspace(-math.pi, math.pi, 73):
        assert abs(quaternion_from_yaw(other) @ np.array(quaternion)) <= found + 1e-9


@pytest.mark.parametrize(
    "quaternion",
    [
        (0, 0, 0, 0),
        (1, 0, 0, 0),
        (0.6, 0.8, 0, 0),
        (0, 0, math.nan, 1),
        (0, math.inf, 0, 1),
        (0, 0, 1),
    ],
)
def test_without_a_yaw_there_is_none(quaternion):
    with pytest.raises(VimaError) as caught:
        yaw_from_quaternion(np.array(quaternion, float))
    assert caught.value.code == "NOT_FINITE"
    assert str([float(q) for q in quaternion]) in str(caught.value)


def test_a_pose_is_a_read_only_copy():
    position, quaternion = np.ones(3), np.ones(4)
    pose = Pose(position, quaternion)
    position[0] = quaternion[0] = 9
    np.testing.assert_array_equal(pose.position, np.ones(3))
    np.testing.assert_array_equal(pose.quaternion, np.ones(4))
    for array in (pose.position, pose.quaternion):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0


@pytest.mark.parametrize(
    ("position", "quaternion", "got"), [((1, 2), (0, 0, 0, 1), "(2,)"), ((1, 2, 3), (1,), "(1,)")]
)
def test_a_pose_of_the_wrong_shape_is_refused(position, quaternion, got):
    with pytest.raises(VimaError) as caught:
        Pose(position, quaternion)
    assert caught.value.code == "INVALID_VALUE"
    assert got in str(caught.value)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_pose_is_finite_when_all_seven_numbers_are(bad):
    assert Pose(np.zeros(3), np.zeros(4)).is_finite
    for index in range(7):
        numbers = np.zeros(7)
        numbers[index] = bad
        assert not Pose(numbers[:3], numbers[3:]).is_finite


# --- rigid transforms

triples = st.tuples(points, points, points)
turns = st.tuples(*[st.floats(-7, 7)] * 3)
transforms = st.builds(Transform.from_xyz_rpy, triples, turns)
poses = st.builds(Pose, triples, st.tuples(*[components] * 4))


def about(axis, angle):
    """Rotation matrix (3, 3) about x (0), y (1) or z (2) [rad]."""
    i, j = (axis + 1) % 3, (axis + 2) % 3
    matrix = np.eye(3)
    matrix[i, i] = matrix[j, j] = math.cos(angle)
    matrix[i, j], matrix[j, i] = -math.sin(angle), math.sin(angle)
    return matrix


@given(triples, turns, triples)
def test_roll_pitch_and_yaw_turn_about_fixed_axes_in_this_order(xyz, rpy, point):
    """As the origin of a URDF joint."""
    moved = np.array(point)
    for axis in range(3):
        moved = about(axis, rpy[axis]) @ moved
    got = Transform.from_xyz_rpy(xyz, rpy).apply(np.array(point))
    np.testing.assert_allclose(got, moved + xyz, atol=1e-9)


@given(transforms, poses, st.lists(triples, min_size=1, max_size=4))
def test_a_transform_and_its_inverse_lead_back(transform, pose, there):
    back = transform.inverse().apply(transform.apply(np.array(there)))
    np.testing.assert_allclose(back, there, atol=1e-9)
    again = transform.inverse().apply_to_pose(transform.apply_to_pose(pose))
    np.testing.assert_allclose(again.position, pose.position, atol=1e-9)
    np.testing.assert_allclose(again.quaternion, pose.quaternion, atol=1e-9)


@given(transforms, transforms, poses)
def test_composed_transforms_act_one_after_the_other(a, b, pose):
    one, two = (a @ b).apply_to_pose(pose), a.apply_to_pose(b.apply_to_pose(pose))
    np.testing.assert_allclose(one.position, two.position, atol=1e-9)
    np.testing.assert_allclose(one.quaternion, two.quaternion, atol=1e-9)
    np.testing.assert_allclose((a @ b).apply(pose.position), two.position, atol=1e-9)


@given(transforms, turns)
def test_the_pose_of_a_frame_turns_with_the_transform(transform, rpy):
    turned = Transform.from_xyz_rpy((0, 0, 0), rpy)
    pose = transform.apply_to_pose(Pose((0, 0, 0), turned.quaternion))
    np.testing.assert_allclose(pose.position, transform.translation)
    got = Transform(quaternion=pose.quaternion).rotation
    np.testing.assert_allclose(got, transform.rotation @ turned.rotation, atol=1e-9)


@given(poses)
def test_the_identity_changes_nothing_at_all(pose):
    same = Transform().apply_to_pose(pose)
    np.testing.assert_array_equal(same.position, pose.position)
    np.testing.assert_array_equal(same.quaternion, pose.quaternion)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_pose_that_is_not_finite_stays_so_and_nothing_is_warned(bad):
    pose = Pose((bad, 0.0, 0.0), (0.0, 0.0, 0.0, 1.0))
    assert not Transform.from_xyz_rpy((1, 2, 3), (1, 2, 3)).apply_to_pose(pose).is_finite


@pytest.mark.parametrize(
    "make",
    [
        lambda: Transform.from_xyz_rpy((0, 0), (0, 0, 0)),
        lambda: Transform.from_xyz_rpy((0, 0, 0), (0, 0, 0, 0)),
        lambda: Transform.from_xyz_rpy((0, math.nan, 0), (0, 0, 0)),
        lambda: Transform((0, 0, 0), (0, 0, 0, 2)),
        lambda: Transform((0, 0, math.inf)),
    ],
)
def test_what_is_no_rigid_transform_is_refused(make):
    with pytest.raises(VimaError, match="valid: ") as caught:
        make()
    assert caught.value.code == "INVALID_VALUE"


@given(workspaces, points, points)
def test_clamp_gives_the_nearest_point_inside(workspace, x, y):
    near = workspace.clamp(x, y)
    assert workspace.contains(*near, tolerance=0)
    assert workspace.clamp(*near) == near
    if workspace.contains(x, y, tolerance=0):
        assert near == (x, y)
    (x0, y0), (x1, y1) = workspace.low, workspace.high
    for fx in (0, 0.3, 1):
        for fy in (0, 0.7, 1):
            other = x0 + fx * (x1 - x0), y0 + fy * (y1 - y0)
            assert math.dist(near, (x, y)) <= math.dist(other, (x, y)) + 1e-9


@given(workspaces, st.floats(0, 1), st.floats(0, 1))
def test_the_edge_belongs_to_the_workspace_and_a_little_tolerance(workspace, fx, fy):
    (x0, y0), (x1, y1) = workspace.low, workspace.high
    inside = (
        min(max(x0 + fx * (x1 - x0), x0), x1),
        min(max(y0 + fy * (y1 - y0), y0), y1),
    )
    assert workspace.contains(*inside, tolerance=0)
    for x, y in ((x0, y0), (x0, y1), (x1, y0), (x1, y1)):
        assert workspace.contains(x, y, tolerance=0)
    for edge, beyond in ((x0, -1), (x1, 1)):
        assert workspace.contains(edge + beyond * 9e-7, inside[1])
        assert not workspace.contains(edge + beyond * 1.1e-6, inside[1])
    for edge, beyond in ((y0, -1), (y1, 1)):
        assert workspace.contains(inside[0], edge + beyond * 9e-7)
        assert not workspace.contains(inside[0], edge + beyond * 1.1e-6)


@pytest.mark.parametrize("point", [(math.nan, 0), (0.5, math.nan), (math.inf, 0)])
def test_what_is_no_place_is_not_inside(point):
    assert not Workspace().contains(*point)


@pytest.mark.parametrize(
    ("low", "high"),
    [
        ((0.75, -0.5), (0.25, 0.5)),
        ((0.25, 0.5), (0.75, 0.5)),
        ((math.nan, 0), (1, 1)),
        ((0, 0), (1, math.nan)),
        ((0, 0, 0), (1, 1, 1)),
    ],
)
def test_an_impossible_workspace_is_refused(low, high):
    with pytest.raises(VimaError) as caught:
        Workspace(low, high)
    assert caught.value.code == "INVALID_VALUE"
    assert str(low) in str(caught.value)
    assert str(high) in str(caught.value)
