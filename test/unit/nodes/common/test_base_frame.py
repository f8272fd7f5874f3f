import math
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="nodes need ROS 2")
pytest.importorskip("vima_msgs.msg", reason="vima_msgs is not built")

from vima_ros.arm.primitives import Waypoint
from vima_ros.errors import VimaError
from vima_ros.geometry import Pose, quaternion_from_yaw
from vima_ros.nodes.arm.configuration import build_limits, describe_limits
from vima_ros.nodes.arm.parameters import ArmParameters
from vima_ros.nodes.common.base_frame import Frames
from vima_ros.nodes.common.parameter_defaults import default_values

POSE = Pose((0.5, 0.2, 0.1), quaternion_from_yaw(0.3))


def frames(**changes):
    values = {"base_frame": "base_link", "table_frame": "table"}
    values |= {"table_xyz": [0.0, 0.0, -0.22], "table_rpy": [0.0, 0.0, math.pi / 2]}
    return Frames(SimpleNamespace(**(values | changes)))


def test_waypoints_go_to_the_base_and_back_with_all_else_they_say():
    waypoint = Waypoint(POSE, True, 0.3, 0.2, True)
    (moved,) = frames().waypoints_to_base([waypoint])
    np.testing.assert_allclose(moved.pose.position, [-0.2, 0.5, 0.1 - 0.22], atol=1e-12)
    turned = quaternion_from_yaw(0.3 + math.pi / 2)
    np.testing.assert_allclose(moved.pose.quaternion, turned, atol=1e-12)
    assert (moved.tool_on, moved.max_speed, moved.dwell, moved.until_contact) == (
        True,
        0.3,
        0.2,
        True,
    )
    for frame_id in ("base_link", ""):
        (back,) = frames().waypoints_to_table([moved], frame_id)
        np.testing.assert_allclose(back.pose.position, POSE.position, atol=1e-12)


@pytest.mark.parametrize("frame_id", ["table", "base", "/base_link", "Base_link"])
def test_a_command_in_another_frame_than_the_robots_is_refused(frame_id):
    with pytest.raises(VimaError, match=r"valid: 'base_link'") as caught:
        frames().waypoints_to_table([Waypoint(POSE, True, 0.3)], frame_id)
    assert caught.value.code == "WRONG_FRAME"
    assert repr(frame_id) in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"table_xyz": [0.0, 0.0]}, "table_xyz"),
        ({"table_rpy": [0.0, math.nan, 0.0]}, "table_rpy"),
        ({"table_frame": "base_link"}, "both 'base_link'"),
    ],
)
def test_parameters_that_make_no_frames_are_refused_by_name(changes, named):
    with pytest.raises(VimaError, match="valid: ") as caught:
        frames(**changes)
    assert caught.value.code == "BAD_PARAMETER"
    assert named in str(caught.value)


def test_one_frame_for_both_is_fine_where_they_are_the_same():
    one = frames(table_frame="base_link", table_xyz=[0.0] * 3, table_rpy=[0.0] * 3)
    assert one.pose_to_table(POSE, "base_link") is POSE


def test_the_pose_of_the_table_is_described_with_the_limits():
    values = default_values("arm") | {"table_xyz": [0.0, 0.1, -0.22]}
    parameters = ArmParameters(**values)
    limits = build_limits(parameters, None, np.zeros(3))
    described = describe_limits(parameters, limits)
    assert "table in base_link at (0, 0.1, -0.22) m, rotated by (0, 0, 0) rad" in described


def test_a_table_turned_by_degrees_is_refused():
    with pytest.raises(VimaError, match="radians") as refusal:
        frames(table_rpy=[0.0, 0.0, 180.0])
    assert refusal.value.code == "BAD_PARAMETER"
