"""The joint-level arm in real processes: arm node and tabletop, trajectories in between."""

import math
import os
import subprocess
import sys

import numpy as np
import pytest
from ament_index_python.packages import get_package_prefix
from builtin_interfaces.msg import Duration
from geometry_msgs.msg import Pose
from rcl_interfaces.srv import SetParameters
from rclpy.parameter import Parameter
from sensor_msgs.msg import Image, JointState
from std_srvs.srv import Trigger
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint
from visualization_msgs.msg import MarkerArray

from vima_msgs.msg import (
    ArmCommand,
    ArmState,
    PolicyAction,
    Prompt,
    PromptAsset,
    TaskStatus,
    ToolCommand,
)
from vima_msgs.srv import GetTaskStatus, LoadTask
from vima_ros.arm.kinematics import UR5E_HOME
from vima_ros.cli.oracle import OracleDriver
from vima_ros.client.client import Client
from vima_ros.client.node_processes import NodeProcesses
from vima_ros.nodes.common import action_conversions, image_conversion, qos
from vima_ros.nodes.common.parameter_defaults import default_values
from vima_ros.sim.tasks import find_task

pytest.importorskip("pinocchio", reason="the joint-level arm needs pip install pin")

NODES = ["arm", "tabletop"]
ENDED = (ArmState.SUCCEEDED, ArmState.REFUSED, ArmState.ABORTED, ArmState.STOPPED)
PEDESTAL = 0.22  # base_link is so high above the table [m]
BEYOND = (0.75, 0.5)  # a corner of the workspace: not within reach at the height HIGH
HIGH = 0.6  # [m]


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    values = {"nodes": NODES, "camera_rate": 30.0, "real_time_factor": 10.0}
    with (
        NodeProcesses(tmp_path_factory.mktemp("logs"), params_file="tabletop") as processes,
        Client("test") as client,
    ):
        processes.start([*NODES, "manager"], values)
        client.wait_for_active(NODES, 120, processes.check_alive)
        yield client


@pytest.fixture(scope="module")
def cell(client):
    cell = Cell(client)
    for _ in range(100):  # until the arm node, too, has found the robot's joint_states
        code = cell.send_beyond_reach().code
        if code != "NOT_ACTIVE":
            break
    assert code == "UNREACHABLE"
    return cell


@pytest.fixture(autouse=True)
def put(cell):
    """Whatever became of the test before."""
    assert cell.client.call(Trigger, "resume", Trigger.Request()).success
    cell.stand("put", 0)


class Cell:
    """The running cell: what it says, and what one may tell it."""

    def __init__(self, client):
        self.client = client
        self.states = client.subscribe(ArmState, "arm_state")
        self.joints = client.subscribe(JointState, "joint_states")
        self.markers = client.subscribe(MarkerArray, "markers")
        self.tasks = client.subscribe(TaskStatus, "task_status", qos.LATCHED)
        self.sent = client.subscribe(JointTrajectory, "joint_trajectory")
        self.commands = client.subscribe(ArmCommand, "arm_command")
        self.actions = client.create_publisher(PolicyAction, "action")
        self.trajectories = client.create_publisher(JointTrajectory, "joint_trajectory")
        self.tools = client.create_publisher(ToolCommand, "tool_command")
        for publisher in (self.actions, self.trajectories, self.tools):
            client.wait_until(lambda p=publisher: p.get_subscription_count() > 0, "subscriber")

    def stand(self, scene, seed):
        """Set a scene up anew, by parameters."""
        self.set(task="", level="", scene=scene, seed=seed)
        before = self.states.count
        assert self.client.call(Trigger, "reset", Trigger.Request()).success
        text = f"scene {scene}, seed {seed}"
        self.states.wait(lambda m: m.message == text, 15, text, before)

    def send_beyond_reach(self):
        """What becomes of an action that the arm cannot execute."""
        assert self.set("arm", travel_height=HIGH)
        try:
            return self.send(self.action((0.5, 0.0), BEYOND))
        finally:
            assert self.set("arm", travel_height=default_values("arm")["travel_height"])

    def set(self, node="tabletop", **values):
        request = SetParameters.Request()
        request.parameters = [Parameter(k, value=v).to_parameter_msg() for k, v in values.items()]
        results = self.client.call(SetParameters, f"{node}/set_parameters", request).results
        return all(result.successful for result in results)

    def load(self, task, seed=0, level=""):
        return self.client.call(
            LoadTask, "load_task", LoadTask.Request(task=task, seed=seed, level=level)
        )

    def where(self, name):
        seen = self.markers.wait(
            lambda m: any(k.ns == name for k in m.markers), 15, name, self.markers.count
        )
        position = next(k.pose.position for k in seen.markers if k.ns == name)
        return position.x, position.y

    def posture(self):
        return list(self.joints.wait(lambda m: True, 15, "joints", self.joints.count).position)

    def at_rest(self):
        """The posture that ten messages running tell, from now on."""
        last = []

        def still(message):
            last.append(list(message.position))
            return len(last) > 9 and np.ptp(last[-10:], axis=0).max() < 1e-4

        return list(self.joints.wait(still, 15, "rest", self.joints.count).position)

    def next_state(self):
        """Of the robot, not the arm node's."""
        now = self.states.count
        return self.states.wait(lambda m: not m.judged, 15, "state", now)

    def action(self, pose0, pose1):
        seen = self.markers.wait(lambda m: True, 15, "markers", self.markers.count)
        stamp = seen.markers[0].header.stamp
        action = PolicyAction(prompt_id="test", observation_stamp=stamp)
        action.pose0, action.pose1 = at(*pose0), at(*pose1)
        return action

    def send(self, action):
        before = self.states.count
        self.actions.publish(action)
        return self.ended(action, before)

    def ended(self, action, before):
        wanted = action_conversions.action_id(action)
        return self.states.wait(
            lambda m: m.command_id == wanted and m.state in ENDED, 60, "the motion's end", before
        )

    def follow(self, names, *points):
        message = JointTrajectory(joint_names=names)
        for seconds, positions in points:
            message.points.append(
                JointTrajectoryPoint(
                    positions=positions,
                    velocities=[0.0] * len(positions),
                    time_from_start=Duration(sec=seconds),
                )
            )
        self.trajectories.publish(message)


def at(x, y, yaw=0.0) -> Pose:
    pose = Pose()
    pose.position.x, pose.position.y = x, y
    pose.orientation.z, pose.orientation.w = math.sin(yaw / 2), math.cos(yaw / 2)
    return pose


# --- commands, through the arm node


def test_the_object_is_carried_by_joint_trajectories(cell):
    sent, moved, before = cell.sent.count, cell.joints.count, cell.commands.count
    state = cell.send(cell.action(cell.where("red_block"), (0.35, -0.35, 1.0)))
    assert (state.state, state.code) == (ArmState.SUCCEEDED, ArmState.OK)
    assert math.dist(cell.where("red_block"), (0.35, -0.35)) < 0.005
    trajectories = cell.sent.since(sent)
    assert len(trajectories) == 6
    assert all(len(m.points) > 1 for m in trajectories)
    reported = cell.joints.since(moved)
    assert len({tuple(m.position) for m in reported}) > len(trajectories)  # on the way, too
    assert all(len(m.velocity) == 6 for m in reported)
    command = cell.commands.messages[before]
    heights = [waypoint.pose.position.z for waypoint in command.waypoints]
    assert command.header.frame_id == "base_link"
    assert heights == pytest.approx([z - PEDESTAL for z in [0.32, 0.002, 0.32] * 2])
    last, tool = command.waypoints[-1].pose.position, cell.next_state()
    assert tool.header.frame_id == "base_link"
    place = tool.tool_pose.position
    assert math.dist((place.x, place.y, place.z), (last.x, last.y, last.z)) < 0.002


def test_stop_in_mid_motion_holds_arm_and_object(cell):
    cell.client.wait_for_service(Trigger, "stop")
    before = cell.states.count
    action = cell.action(cell.where("red_block"), (0.35, 0.35))
    cell.actions.publish(action)
    cell.states.wait(
        lambda m: m.holding and m.tool_pose.position.z > 0.2 - PEDESTAL, 30, "lift", before
    )
    assert cell.client.call(Trigger, "stop", Trigger.Request()).success
    assert cell.ended(action, before).state == ArmState.STOPPED
    stopped = cell.at_rest()
    state = cell.next_state()
    assert state.holding
    assert state.tool_pose.position.z > 0.15 - PEDESTAL
    assert cell.next_state().holding
    assert cell.posture() == pytest.approx(stopped, abs=1e-3)
    assert cell.send(cell.action((0.5, 0.0), (0.4, 0.0))).code == "STOPPED"
    assert cell.client.call(Trigger, "resume", Trigger.Request()).success


def test_a_failed_pick_is_reported_and_changes_nothing(cell):
    before = cell.where("red_block")
    state = cell.send(cell.action((0.7, 0.45), (0.35, 0.0)))
    assert (state.state, state.code) == (ArmState.ABORTED, ArmState.NOT_PICKED)
    assert math.dist(cell.where("red_block"), before) < 0.001


def test_unreachable_actions_are_refused_before_any_motion(cell):
    sent, before = cell.sent.count, cell.at_rest()
    state = cell.send_beyond_reach()
    assert (state.state, state.code) == (ArmState.REFUSED, "UNREACHABLE")
    assert "waypoint" in state.message
    assert cell.posture() == pytest.approx(before, abs=1e-6)
    assert cell.sent.count == sent


def test_a_reset_ends_the_active_motion(cell):
    before = cell.states.count
    action = cell.action(cell.where("red_block"), (0.35, 0.35))
    cell.actions.publish(action)
    cell.states.wait(lambda m: m.holding, 30, "pick", before)
    cell.sent.wait(lambda m: True, 30, "a move that has just begun", cell.sent.count)
    assert cell.client.call(Trigger, "reset", Trigger.Request()).success
    assert (cell.ended(action, before).code) == ArmState.RESET
    cell.next_state()  # the joints of before are all here
    assert cell.at_rest() == pytest.approx(UR5E_HOME, abs=1e-3)
    state = cell.send(cell.action(cell.where("red_block"), (0.35, 0.35)))
    assert state.state == ArmState.SUCCEEDED


# --- trajectories, as anyone may send them


def test_a_trajectory_is_followed_in_any_order_of_joints(cell):
    names = list(cell.joints.wait(lambda m: True, 15, "joints", cell.joints.count).name)
    goal = [value + 0.1 for value in UR5E_HOME]
    order = [3, 0, 5, 1, 4, 2]
    cell.follow([names[i] for i in order], (1, [goal[i] for i in order]))
    cell.joints.wait(lambda m: list(m.position) == pytest.approx(goal, abs=1e-3), 15, "the goal")


def test_a_fault_is_reported_once_and_the_next_trajectory_is_followed(cell):
    names = list(cell.joints.wait(lambda m: True, 15, "joints", cell.joints.count).name)
    for trouble, code in (
        (lambda: cell.follow(names[:5], (1, [0.0] * 5)), ArmState.BAD_COMMAND),
        (lambda: cell.follow(names, (0, [0.0] * 6)), ArmState.BAD_COMMAND),
        (lambda: cell.follow(names, (1, [9.0, *UR5E_HOME[1:]])), ArmState.BAD_COMMAND),
        (lambda: cell.follow(names, (2, [0.0, 0.6, 0.0, 0.0, 0.0, 0.0])), ArmState.BLOCKED),
    ):
        before = cell.states.count
        trouble()
        said = cell.states.wait(lambda m: m.state == ArmState.ABORTED, 15, code, before)
        assert (said.code, said.command_id) == (code, "")
        assert "valid" in said.message
        later = [cell.next_state(), cell.next_state()]
        assert {m.state for m in later} == {ArmState.IDLE}
    cell.follow(names, (3, list(UR5E_HOME)))
    cell.joints.wait(lambda m: list(m.position) == pytest.approx(UR5E_HOME, abs=1e-3), 15, "home")


def test_people_can_watch_the_arm():
    with Client("eye") as eye:
        pictures = eye.subscribe(Image, "overview/image_raw", qos.SENSOR_DATA)
        picture = image_conversion.decode_colour(pictures.wait(lambda m: True, 30, "overview"))
    assert picture.shape == (480, 640, 3)
    assert picture.std() > 20


# --- tasks


@pytest.mark.parametrize("task", ["visual_manipulation", "rotate", "sweep_without_exceeding"])
def test_an_oracle_solves_a_task_and_success_is_reported(client, cell, task):
    status = OracleDriver(client).run(find_task(task), 0)
    assert status.outcome == TaskStatus.SUCCESS
    assert (status.task, status.level, status.seed) == (task, "train", 0)
    assert 1 <= status.steps <= status.step_limit
    answer = client.call(GetTaskStatus, "get_task_status", GetTaskStatus.Request())
    assert answer.success
    assert answer.status == status


def test_a_task_comes_with_its_prompt_and_images(client, cell):
    sent = client.subscribe(Prompt, "prompt", qos.LATCHED)
    assert cell.load("visual_manipulation", 3).success
    episode = find_task("visual_manipulation").sample(3)
    shown = client.subscribe(Prompt, "task_prompt", qos.LATCHED).wait(
        lambda m: m.text, 15, "prompt"
    )
    assert shown.text == episode.prompt
    assert [asset.name for asset in shown.assets] == list(episode.assets)
    for asset in shown.assets:
        assert asset.kind == PromptAsset.KIND_OBJECT
        for view in ("front", "top"):
            assert image_conversion.decode_colour(getattr(asset, view)).shape == (128, 256, 3)
            assert set(getattr(asset, f"{view}_mask").data) == {0, 1}
    assert sent.wait(lambda m: m.text == episode.prompt, 15, "prompt to the prompt node") == shown
    cell.set(send_prompt=False)
    assert cell.load("rotate", 3).success
    rotate = client.subscribe(Prompt, "task_prompt", qos.LATCHED)
    rotate.wait(lambda m: "otate" in m.text, 15, "prompt")
    cell.markers.wait(lambda m: True, 15, "pictures", cell.markers.count + 1)
    assert "otate" not in sent.messages[-1].text
    cell.set(send_prompt=True)


def test_failed_steps_count_up_to_the_limit(cell):
    assert cell.load("visual_manipulation", 5).success
    before = cell.tasks.count
    limit = find_task("visual_manipulation").step_limit
    for step in range(1, limit + 1):
        free = cell.action((0.26, 0.49), (0.5, 0.0))
        assert cell.send(free).code == ArmState.NOT_PICKED
        status = cell.tasks.wait(lambda m, n=step: m.steps == n, 15, f"step {step}", before)
        assert (status.outcome == TaskStatus.FAILURE) == (step == limit)
    assert f"not solved in {limit} steps" in status.reason
    assert cell.send_beyond_reach().state == ArmState.REFUSED  # no step


def test_reset_sets_the_same_task_up_again(client, cell):
    OracleDriver(client).run(find_task("rotate"), 7)
    before = cell.tasks.count
    answer = client.call(Trigger, "reset", Trigger.Request())
    assert (answer.success, answer.message) == (True, "task rotate, level train, seed 7")
    status = cell.tasks.wait(lambda m: m.steps == 0, 15, "the start", before)
    assert (status.task, status.seed, status.outcome) == ("rotate", 7, TaskStatus.RUNNING)
    for item in find_task("rotate").sample(7).scene.objects:
        assert cell.where(item.name) == pytest.approx(item.position_xy, abs=0.002)


@pytest.mark.parametrize(
    ("task", "seed", "level", "code"),
    [
        ("juggle", 0, "", "UNKNOWN_TASK"),
        ("", 0, "", "UNKNOWN_TASK"),
        ("rotate", 0, "hard", "UNKNOWN_LEVEL"),
        ("rotate", 0, "novel_task_generalization", "UNKNOWN_LEVEL"),
        ("rotate", 2**31, "", "INVALID_VALUE"),
    ],
)
def test_a_task_that_cannot_be_loaded_is_refused_and_changes_nothing(
    client, cell, task, seed, level, code
):
    answer = cell.load(task, seed, level)
    assert not answer.success
    assert answer.message.startswith(code)
    assert "valid" in answer.message
    assert cell.where("red_block") == pytest.approx((0.58, -0.25), abs=1e-3)
    status = client.call(GetTaskStatus, "get_task_status", GetTaskStatus.Request())
    assert not status.success
    assert "load_task" in status.message


def test_a_task_can_be_chosen_by_parameters(cell):
    before = cell.tasks.count
    assert not cell.set(task="juggle")
    assert cell.set(task="rotate", level="placement_generalization", seed=11)
    status = cell.tasks.wait(lambda m: m.seed == 11, 15, "task_status", before)
    assert (status.task, status.level) == ("rotate", "placement_generalization")


# --- programs


def program(name):
    return os.path.join(get_package_prefix("vima_ros"), "lib", "vima_ros", name)


def test_the_viewer_needs_a_display():
    env = {k: v for k, v in os.environ.items() if k not in ("DISPLAY", "WAYLAND_DISPLAY")}
    done = subprocess.run(
        [program("tabletop"), "--viewer"], env=env, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 2
    assert "NO_DISPLAY" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_the_oracle_program_solves_by_a_robot_without_joints_too(tmp_path):
    env = {k: v for k, v in os.environ.items() if k != "ROS_DOMAIN_ID"}  # one of its own
    words = [
        "--tasks",
        "rotate",
        "--seeds",
        "1",
        "--params-file",
        "free_gripper",
        "--out",
        str(tmp_path),
    ]
    done = subprocess.run(
        [sys.executable, program("oracle"), *words],
        env=env,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "rotate: 1/1 solved" in done.stdout
