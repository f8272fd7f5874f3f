"""What the simulated robots report on arm_state, without ROS processes."""

import copy
from types import SimpleNamespace

import pytest

pytest.importorskip("rclpy", reason="no ROS 2: run `make test`, which prepares it")
pytest.importorskip("vima_msgs", reason="vima_msgs is not built: run `make test`")

from vima_msgs.msg import ArmState
from vima_ros.geometry import Transform
from vima_ros.nodes.common import conversions
from vima_ros.nodes.tabletop.robot_interface import CartesianRobotInterface
from vima_ros.sim.scene import SCENES
from vima_ros.sim.tabletop import Tabletop

FRAMES = SimpleNamespace(base="base_link", base_from_table=Transform())


class FakeNode:
    """As much of the tabletop node as its robot needs; each reading of its clock takes 1 s."""

    active = True

    def __init__(self):
        self.now, self.published, self.timers = 0, [], []

    def create_publisher(self, kind, topic, profile):
        return SimpleNamespace(publish=lambda m: self.published.append(copy.deepcopy(m)))

    def create_subscription(self, *_):
        pass

    def create_timer(self, period, callback):
        self.timers.append(callback)

    def get_clock(self):
        self.now += 1_000_000_000
        stamp = conversions.ns_to_stamp(self.now)
        return SimpleNamespace(now=lambda: SimpleNamespace(to_msg=lambda: stamp))


def test_a_repeated_report_has_a_new_stamp_for_its_pose_and_the_same_since():
    node = FakeNode()
    with Tabletop(SCENES["put"]) as world:
        robot = CartesianRobotInterface(node, world, FRAMES)
        robot.change(ArmState.SUCCEEDED, ArmState.OK, "", "a/0")
        (repeat,) = node.timers
        for _ in range(3):
            world.advance(0.1)
            repeat()
        robot.change(ArmState.EXECUTING, ArmState.OK, "", "a/1")
    *repeated, changed = node.published
    stamps = [conversions.stamp_to_ns(m.header.stamp) for m in node.published]
    assert stamps == sorted(set(stamps))
    assert {conversions.since_ns(m) for m in repeated} == {1_000_000_000}
    assert conversions.since_ns(changed) > stamps[-2]
    assert all(m.header.frame_id == "base_link" for m in node.published)


def test_a_report_without_since_became_so_at_its_stamp():
    message = ArmState()
    assert conversions.since_ns(message) == 0
    message.header.stamp = conversions.ns_to_stamp(7)
    assert conversions.since_ns(message) == 7
    message.since = conversions.ns_to_stamp(5)
    assert conversions.since_ns(message) == 5
