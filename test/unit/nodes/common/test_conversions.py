"""Values that a robot's author may leave out of a message."""

import math

import pytest

pytest.importorskip("vima_msgs.msg", reason="vima_msgs is not built")

from geometry_msgs.msg import Point, Pose, Quaternion

from vima_msgs.msg import ArmState
from vima_ros.nodes.common.conversions import tool_pose_from_message

TIP = Point(x=0.4, y=0.1, z=0.3)


@pytest.mark.parametrize(
    "pose",
    [
        ArmState().tool_pose,
        Pose(orientation=Quaternion(w=0.0)),
        Pose(orientation=Quaternion(x=1.0, w=0.0)),
        Pose(position=TIP, orientation=Quaternion(w=0.0)),
        Pose(position=Point(x=0.4, y=math.nan)),
        Pose(position=TIP, orientation=Quaternion(w=math.inf)),
    ],
)
def test_a_tool_pose_left_at_its_default_or_not_finite_is_unknown(pose):
    assert tool_pose_from_message(pose) is None


def test_any_other_tool_pose_is_known():
    pose = tool_pose_from_message(Pose(position=TIP))
    assert pose.position.tolist() == [0.4, 0.1, 0.3]
    assert pose.quaternion.tolist() == [0, 0, 0, 1]
    assert tool_pose_from_message(Pose(position=Point(z=-1e-9))) is not None
