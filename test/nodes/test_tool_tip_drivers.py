"""Drivers of a robot moved by its tool tip: one blocks, one knows no pose, one is stuck."""

import pytest
from by_hand import bring_up
from rclpy.duration import Duration
from rclpy.time import Time
from ros2_control_robot import ENDED, send_action
from std_msgs.msg import Header

from vima_msgs.msg import ArmCommand, ArmState
from vima_ros.client.client import Client
from vima_ros.client.node_processes import NodeProcesses
from vima_ros.nodes.common import action_conversions, conversions

PERIOD = 0.1  # of arm_state [s]
LATE = Duration(seconds=0.3)  # of a report
PARAMETERS = {
    "dry_run": False,
    "manager_timeout": 0.0,
    "start_timeout": 1.0,
    "progress_timeout": 0.5,
    "state_timeout": 1.0,
    "suction_dwell": 0.0,
}


class Driver:
    """Publishes ``report`` of the command under way, at a steady rate, unless it ``blocks``."""

    def __init__(self, client):
        self.client, self.blocks = client, False
        self.report = ArmState(code=ArmState.OK)
        self.stamped = True
        self.commands = client.subscribe(ArmCommand, "arm_command")
        self.states = client.subscribe(ArmState, "arm_state")
        self.publisher = client.create_publisher(ArmState, "arm_state")
        client.node.create_timer(PERIOD, self.publish)

    def publish(self):
        if self.blocks:
            return
        if self.stamped:
            self.report.header.stamp = self.client.node.get_clock().now().to_msg()
        self.publisher.publish(self.report)

    def begin(self, prompt_id, observed=None, **report):
        """Send an action and be its robot: report EXECUTING; return the action."""
        before = self.commands.count
        action = send_action(self.client, prompt_id, observed)
        command = self.commands.wait(lambda m: m.waypoints, 15, "a command", before)
        self.become(ArmState.EXECUTING, command_id=command.command_id, **report)
        return action

    def become(self, state, **report):
        self.report = ArmState(state=state, code=ArmState.OK, **report)

    def end(self, action):
        wanted = action_conversions.action_id(action)
        return self.states.wait(
            lambda m: m.judged and m.command_id == wanted and m.state in ENDED,
            30,
            "the motion's end",
        )


@pytest.fixture
def driver(tmp_path):
    with (
        NodeProcesses(tmp_path, params_file="example", namespace="/driver") as processes,
        Client("robot", "/driver") as client,
    ):
        processes.start(["arm"], PARAMETERS)
        driver = Driver(client)
        bring_up(client, "arm")
        client.wait_until(lambda: driver.publisher.get_subscription_count() >= 2, "the arm node")
        yield driver


def test_a_tool_pose_left_at_its_default_is_unknown_throughout(driver):
    action = driver.begin("default")
    before = driver.states.count
    driver.states.wait(lambda m: not m.judged, 15, "longer than progress_timeout", before + 9)
    command_id = driver.report.command_id
    during, driver.stamped = driver.client.node.get_clock().now().to_msg(), False
    driver.become(ArmState.SUCCEEDED, command_id=command_id)
    end = driver.end(action)
    assert (end.state, end.code) == (ArmState.SUCCEEDED, ArmState.OK), end.message
    # The motion ended when that came, not at the zero of its stamp.
    assert driver.end(send_action(driver.client, "late", during)).code == "STALE"


@pytest.mark.parametrize("live", [True, False], ids=["since", "header alone"])
def test_the_end_of_a_motion_is_when_it_ended_not_when_it_was_reported(driver, live):
    """A driver that repeats its report: stamped anew beside its ``since``, or as it was."""
    action = driver.begin("repeats")
    now = driver.client.node.get_clock().now
    driver.blocks, driver.stamped = True, live
    ended, observed = now().to_msg(), now().to_msg()
    report = {"since": ended} if live else {"header": Header(stamp=ended)}
    driver.client.wait_until(lambda: now() > Time.from_msg(observed) + LATE, "later", 10)
    driver.become(ArmState.SUCCEEDED, command_id=driver.report.command_id, **report)
    driver.blocks = False
    end = driver.end(action)
    assert (end.code, end.since) == (ArmState.OK, ended)
    assert Time.from_msg(end.header.stamp) > Time.from_msg(observed) + LATE
    # Observed between the end and its report: no reason to look again.
    driver.begin("next", observed=observed)


def test_a_driver_that_blocks_in_mid_motion_is_stopped_by_the_name_of_the_parameter(driver):
    action = driver.begin("blocks")
    driver.states.wait(lambda m: m.state == m.EXECUTING and not m.judged, 15, "EXECUTING")
    driver.blocks = True
    end = driver.end(action)
    assert end.state == ArmState.STOPPED
    assert "no arm_state for 1." in end.message
    assert "state_timeout 1.0 s" in end.message


def test_a_tool_that_is_known_to_be_stuck_ends_the_motion(driver):
    pose = conversions.pose_to_message(conversions.Pose((0.4, 0.1, 0.3), (0, 0, 0, 1)))
    end = driver.end(driver.begin("stuck", tool_pose=pose))
    assert (end.state, end.code) == (ArmState.ABORTED, ArmState.TIMEOUT)
    assert "tool_pose" in end.message


def test_a_robot_that_does_not_begin_is_named_by_its_topic(driver):
    end = driver.end(send_action(driver.client, "deaf"))
    assert (end.state, end.code) == (ArmState.ABORTED, ArmState.NOT_STARTED)
    assert "/driver/arm_command" in end.message
    assert "subscribers: 1" in end.message
