"""Drivers and controllers of all kinds below one arm node that commands joints.

test/cases/motion_cases.py runs more of them, each with an arm node of its own.
"""

from contextlib import contextmanager

import numpy as np
import pytest
from by_hand import bring_up
from robot_descriptions import ur5e_text, without_collision
from ros2_control_robot import Options, Ros2ControlRobot, connect, pick_and_place, send_action
from std_srvs.srv import Trigger

from vima_msgs.msg import ArmState
from vima_ros.client.client import Client
from vima_ros.client.node_processes import NodeProcesses

pytest.importorskip("pinocchio", reason="the joint-level arm needs pip install pin")

NAMESPACE = "/drivers"
PARAMETERS = {
    "urdf": "ur5e.urdf",
    "dry_run": False,
    "manager_timeout": 0.0,
    "max_speed": 2.0,
    "travel_speed": 2.0,
    "approach_speed": 1.0,
    "max_joint_acceleration": 30.0,
    "progress_timeout": 1.0,
    "start_timeout": 1.0,
}


class Cell:
    """The arm node and its robot, which is odd in one way after the other."""

    def __init__(self, processes, client, robot):
        self.processes, self.client, self.robot = processes, client, robot
        self.states, self.count = client.subscribe(ArmState, "arm_state"), 0

    def execute(self, **options):
        """The end of one pick and place by a robot of these options."""
        self.count += 1
        self.robot.options = Options(**options)
        self.client.call(Trigger, "resume", Trigger.Request())
        longer_than_a_joint_counts_as_known = self.states.count + 15
        self.states.wait(lambda m: True, 15, "time", longer_than_a_joint_counts_as_known)
        self.robot.trajectories.clear()
        self.robot.tools.clear()
        return pick_and_place(self.client, f"action{self.count}")

    def moving(self, **options):
        """Begin one at full speed; the number of arm_states before the first move was sent."""
        self.count += 1
        self.robot.options = Options(**options)
        self.client.call(Trigger, "resume", Trigger.Request())
        at_rest_by_then = self.states.count + 15
        self.states.wait(lambda m: True, 15, "time", at_rest_by_then)
        self.robot.trajectories.clear()
        before = self.states.count
        send_action(self.client, f"action{self.count}")
        self.client.wait_until(lambda: self.robot.trajectories, "a trajectory")
        return before

    def log(self):
        return self.processes.log("arm")


@contextmanager
def running(folder, urdf="ur5e.urdf", namespace=NAMESPACE, **options):
    """An arm node, and a robot that it is connected to."""
    with (
        NodeProcesses(folder, params_file="example", namespace=namespace) as processes,
        Client("test", namespace) as client,
        Ros2ControlRobot(namespace, **options) as robot,
    ):
        processes.start(["arm"], PARAMETERS | {"urdf": urdf})
        bring_up(client, "arm")
        connect(client, robot)
        yield Cell(processes, client, robot)


@pytest.fixture(scope="module")
def cell(tmp_path_factory):
    with running(tmp_path_factory.mktemp("logs")) as cell:
        yield cell


def test_without_a_subscribed_controller_nothing_is_sent(tmp_path):
    with running(tmp_path, subscribe=False) as cell:
        end = pick_and_place(cell.client, "nobody")
        robot = cell.robot
    assert (end.state, end.code) == (ArmState.REFUSED, "NO_CONTROLLER")
    assert f"{NAMESPACE}/joint_trajectory" in end.message
    remap = "-r joint_trajectory:=/joint_trajectory_controller/joint_trajectory"
    assert remap in end.message
    assert robot.tools == []
    assert not any(command.waypoints for command in robot.commands.messages)


@pytest.mark.parametrize(
    "options",
    [
        {"stamp": "zero"},
        {"stamp": "frozen", "split": True},
        {"stamp": "old", "velocity_noise": 0.01, "gripper": True, "second_source": True},
    ],
    ids=str,
)
def test_motions_are_executed_for_any_stamps_and_parts_of_joint_states(cell, options):
    end = cell.execute(**options)
    assert (end.state, end.code) == (ArmState.SUCCEEDED, ArmState.OK), end.message
    assert len(cell.robot.trajectories) == 6


@pytest.mark.slow
def test_missing_velocities_are_derived_and_that_is_logged_once(cell):
    for options in ({"velocity": "nan"}, {"velocity": "absent", "stamp": "zero", "split": True}):
        end = cell.execute(**options)
        assert (end.state, end.code) == (ArmState.SUCCEEDED, ArmState.OK), end.message
        assert len(cell.robot.trajectories) == 6
    assert cell.log().count("derived from positions") == 1


def test_joints_of_other_names_are_named_in_the_refusal(cell):
    end = cell.execute(prefix="ur5e_")
    assert (end.state, end.code) == (ArmState.REFUSED, "NOT_ACTIVE")
    assert "wrist_3_joint: not reported" in end.message
    assert "ur5e_wrist_3_joint" in end.message
    assert cell.robot.tools == []


def test_an_inactive_controller_has_not_started(cell):
    end = cell.execute(inactive=True)
    assert (end.state, end.code) == (ArmState.ABORTED, ArmState.NOT_STARTED)
    assert f"{NAMESPACE}/joint_trajectory" in end.message
    assert "ros2 control list_controllers" in end.message
    assert not any(tool.suction for tool in cell.robot.tools)
    held = lambda: len(cell.robot.trajectories[-1].points) == 1  # noqa: E731
    cell.client.wait_until(held, "a hold")
    assert cell.client.call(Trigger, "resume", Trigger.Request()).message.endswith(
        "was not stopped"
    )


def test_a_joint_that_stays_short_of_its_goal_is_named_with_its_distance(cell):
    end = cell.execute(error=np.array([0, 0.012, 0, 0, 0, 0]))
    assert (end.state, end.code) == (ArmState.ABORTED, ArmState.TIMEOUT)
    assert "shoulder_lift_joint is 12.0 mrad from the goal of move 1 of 6" in end.message
    assert not any(tool.suction for tool in cell.robot.tools)
    stopped = cell.client.call(Trigger, "resume", Trigger.Request()).message
    assert "shoulder_lift_joint is 12.0 mrad" in stopped


@pytest.mark.slow
def test_a_slow_robot_makes_progress(cell):
    """Each move takes several times as long as progress_timeout."""
    end = cell.execute(scale=0.15)
    assert (end.state, end.code) == (ArmState.SUCCEEDED, ArmState.OK), end.message


def test_a_robot_that_has_stopped_is_stopped_until_resume(cell):
    before = cell.moving()
    report = ArmState(state=ArmState.STOPPED, message="protective stop")
    report.header.stamp = cell.client.node.get_clock().now().to_msg()
    cell.client.create_publisher(ArmState, "arm_state").publish(report)
    stop = cell.states.wait(lambda m: m.judged and m.state == ArmState.STOPPED, 15, "stop", before)
    assert "the robot has stopped: protective stop" in stop.message
    held = lambda: len(cell.robot.trajectories[-1].points) == 1  # noqa: E731
    cell.client.wait_until(held, "a hold")
    assert pick_and_place(cell.client, "next").code == "STOPPED"


def test_silent_joints_are_held_at_their_extrapolated_positions(cell):
    """Not where they were last seen: the robot would go back there at once."""
    before = cell.moving()
    (move,) = cell.robot.trajectories
    cell.client.wait_until(lambda: cell.robot.moved, "motion")
    cell.robot.options = Options(prefix="other_")
    stop = cell.states.wait(lambda m: m.judged and m.state == ArmState.STOPPED, 15, "stop", before)
    assert "no usable joint_states" in stop.message
    cell.client.wait_until(lambda: len(cell.robot.trajectories) > 1, "a hold")
    (point,) = cell.robot.trajectories[-1].points
    assert point.time_from_start.sec >= 1
    start, goal = (np.array(move.points[i].positions) for i in (0, -1))
    assert np.abs(point.positions - goal).max() < 0.5 * np.abs(start - goal).max()


def test_a_stop_does_not_command_joints_whose_positions_are_unknown(cell):
    """Someone may have moved the arm since: to hold it would be to move it back."""
    cell.robot.options = Options(prefix="other_")
    longer_than_a_joint_counts_as_known = cell.states.count + 15
    cell.states.wait(lambda m: True, 15, "time", longer_than_a_joint_counts_as_known)
    cell.robot.trajectories.clear()
    commands = cell.robot.commands.count
    cell.client.call(Trigger, "stop", Trigger.Request())
    cell.robot.commands.wait(lambda m: not m.waypoints, 15, "stop", commands)
    cell.robot.options = Options()
    cell.client.call(Trigger, "resume", Trigger.Request())
    assert not any(len(m.points) == 1 for m in cell.robot.trajectories)


@pytest.mark.slow
def test_continuous_joints_move_through_the_wrap_around_of_their_reports(tmp_path):
    """An arm without collision shapes, too, which is logged."""
    urdf = tmp_path / "endless.urdf"
    urdf.write_text(without_collision(ur5e_text()).replace('"revolute"', '"continuous"'))
    start = np.array([0.0, -np.pi / 2, np.pi / 2, -np.pi / 2, -np.pi / 2, 2.8])
    odd = {"urdf": str(urdf), "continuous": True, "start": start}
    with running(tmp_path, namespace="/endless", **odd) as cell:
        end = pick_and_place(cell.client, "endless")
        sent = [point.positions[-1] for m in cell.robot.trajectories for point in m.points]
        log = cell.log()
    assert (end.state, end.code) == (ArmState.SUCCEEDED, ArmState.OK), end.message
    assert min(sent) < np.pi < max(sent), "on through pi, not back around"
    assert log.count("has no collision shapes") == 1
