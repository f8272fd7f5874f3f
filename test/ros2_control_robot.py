"""A UR5e as ros2_control shows it to the arm node, for tests and test/cases.

It follows ``joint_trajectory``, publishes ``joint_states`` and ``arm_state``, obeys
``tool_command``. Its options are what drivers, controllers and wirings of all kinds do to that.
"""

from __future__ import annotations

import math
import threading
import time
from dataclasses import dataclass, field

import numpy as np
from builtin_interfaces.msg import Time
from geometry_msgs.msg import Pose
from rclpy.duration import Duration
from sensor_msgs.msg import JointState
from std_srvs.srv import Trigger
from trajectory_msgs.msg import JointTrajectory

from vima_msgs.msg import ArmCommand, ArmState, PolicyAction, ToolCommand
from vima_ros.client.client import Client
from vima_ros.client.command_ends import ENDED
from vima_ros.nodes.common import conversions, qos

NAMES = tuple(
    f"{name}_joint"
    for name in ("shoulder_pan", "shoulder_lift", "elbow", "wrist_1", "wrist_2", "wrist_3")
)
HOME = np.array([0.0, -np.pi / 2, np.pi / 2, -np.pi / 2, -np.pi / 2, 0.0])
STATE_PERIOD = 0.1  # of arm_state [s]
HOUR = 3600 * 10**9


@dataclass(frozen=True)
class Options:
    """What is odd about a robot.

    ``velocity``: reported, nan, or absent. ``stamp``: now, old (by an hour), zero, frozen, or
    whole (seconds). ``inactive``: the controller subscribes and does nothing. ``hold_delay``: from
    suction to ``holding`` [s]. ``error`` of what is reported against what was commanded, ``noise``
    of positions [rad] and ``velocity_noise`` [rad/s]. ``scale``: of all speeds. ``continuous``:
    its joints have no ends and are reported from -pi to pi, as some drivers do.
    """

    rate: float = 50.0
    start: np.ndarray = field(default_factory=HOME.copy)
    order: tuple[int, ...] = (0, 1, 2, 3, 4, 5)
    gripper: bool = False
    second_source: bool = False
    split: bool = False
    prefix: str = ""
    velocity: str = "reported"
    stamp: str = "now"
    inactive: bool = False
    subscribe: bool = True
    hold_delay: float = 0.1
    error: np.ndarray = field(default_factory=lambda: np.zeros(6))
    noise: float = 0.0
    velocity_noise: float = 0.0
    scale: float = 1.0
    continuous: bool = False


ALPHABETICAL = tuple(sorted(range(6), key=lambda i: NAMES[i]))


class Ros2ControlRobot:
    """A context manager: a node of its own that plays the robot until it is closed."""

    def __init__(self, namespace: str = "/vima", **options: object) -> None:
        self.options = Options(**options)  # type: ignore[arg-type]
        self.trajectories: list[JointTrajectory] = []
        self.tools: list[ToolCommand] = []
        self._joints, self._speeds = self.options.start.copy(), np.zeros(6)
        self._move: tuple | None = None
        self._suction_since: float | None = None
        self._noise = np.random.default_rng(0)
        self._lock, self._end = threading.Lock(), threading.Event()
        self.client = Client("robot", namespace)
        self._states = self.client.create_publisher(JointState, "joint_states")
        self._arm_states = self.client.create_publisher(ArmState, "arm_state")
        node = self.client.node
        if self.options.subscribe:
            node.create_subscription(
                JointTrajectory, "joint_trajectory", self._on_trajectory, qos.RELIABLE
            )
        node.create_subscription(ToolCommand, "tool_command", self._on_tool, qos.RELIABLE)
        self.commands = self.client.subscribe(ArmCommand, "arm_command")
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def __enter__(self) -> Ros2ControlRobot:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End what was started."""
        self._end.set()
        self._thread.join()
        self.client.close()

    @property
    def connected(self) -> bool:
        """Whether somebody listens to its joints."""
        return self._states.get_subscription_count() > 0

    @property
    def moved(self) -> bool:
        """Whether its joints have left where they started."""
        return bool(np.abs(self._joints - self.options.start).max() > 1e-6)

    def _on_trajectory(self, message: JointTrajectory) -> None:
        """As joint_trajectory_controller: what it is given replaces what it follows."""
        index = [message.joint_names.index(name) for name in NAMES]
        times = np.array(
            [Duration.from_msg(p.time_from_start).nanoseconds for p in message.points]
        )
        times = times / 1e9 / self.options.scale
        positions = np.array([[point.positions[i] for i in index] for point in message.points])
        speeds = np.array([[point.velocities[i] for i in index] for point in message.points])
        with self._lock:
            self.trajectories.append(message)
            if self.options.inactive:
                return
            if self.options.continuous:  # the controller begins at the nearest turn
                turns = np.round((positions[0] - self._joints) / (2 * np.pi))
                self._joints = self._joints + 2 * np.pi * turns
            if times[0] > 0:
                times = np.r_[0.0, times]
                positions = np.vstack([self._joints, positions])
                speeds = np.vstack([self._speeds / self.options.scale, speeds])
            self._move = time.monotonic(), times, positions, speeds * self.options.scale

    def _on_tool(self, message: ToolCommand) -> None:
        self.tools.append(message)
        since = self._suction_since or time.monotonic()
        self._suction_since = since if message.suction else None

    def _run(self) -> None:
        period, due, state_due = 1 / self.options.rate, time.monotonic(), 0.0
        while not self._end.wait(max(due - time.monotonic(), 0.0)):
            with self._lock:
                self._advance(time.monotonic())
            self._publish_joints()
            if due >= state_due:
                self._publish_state()
                state_due = due + STATE_PERIOD
            due += period

    def _advance(self, now: float) -> None:
        """Cubics between the points, as the controller interpolates."""
        if self._move is None:
            return
        begun, times, positions, speeds = self._move
        if now - begun >= times[-1]:
            self._joints, self._speeds, self._move = positions[-1], np.zeros(6), None
            return
        i = min(np.searchsorted(times, now - begun, side="right") - 1, len(times) - 2)
        h = times[i + 1] - times[i]
        u = (now - begun - times[i]) / h
        p, v = positions[i : i + 2], speeds[i : i + 2]
        self._joints = (
            (1 + 2 * u) * (1 - u) ** 2 * p[0]
            + u * (1 - u) ** 2 * h * v[0]
            + u * u * (3 - 2 * u) * p[1]
            + u * u * (u - 1) * h * v[1]
        )
        self._speeds = (
            6 * u * (u - 1) * (p[0] - p[1]) / h
            + (3 * u * u - 4 * u + 1) * v[0]
            + (3 * u * u - 2 * u) * v[1]
        )

    def _stamp(self) -> int:
        now = self.client.node.get_clock().now().nanoseconds
        return {
            "now": now,
            "old": now - HOUR,
            "zero": 0,
            "frozen": 7 * HOUR,
            "whole": now // 10**9 * 10**9,
        }[self.options.stamp]

    def _publish_joints(self) -> None:
        o = self.options
        positions = self._joints + o.error + o.noise * self._noise.standard_normal(6)
        if o.continuous:
            positions = (positions + np.pi) % (2 * np.pi) - np.pi
        speeds = self._speeds + o.velocity_noise * self._noise.standard_normal(6)
        joints = [(o.prefix + NAMES[i], positions[i], speeds[i]) for i in o.order]
        if o.gripper:
            joints.insert(2, ("finger_joint", 0.3, float("nan")))
        for part in (joints[:3], joints[3:]) if o.split else (joints,):
            message = JointState(name=[name for name, _, _ in part])
            message.position = [float(position) for _, position, _ in part]
            if o.velocity != "absent":
                message.velocity = [
                    float(speed) if o.velocity == "reported" else float("nan")
                    for _, _, speed in part
                ]
            message.header.stamp = conversions.ns_to_stamp(self._stamp())
            self._states.publish(message)
        if o.second_source:
            self._states.publish(JointState(name=["finger_joint"], position=[0.1]))

    def _publish_state(self) -> None:
        since = self._suction_since
        message = ArmState(state=ArmState.IDLE, code=ArmState.OK)
        message.holding = since is not None and time.monotonic() - since > self.options.hold_delay
        message.header.stamp = self.client.node.get_clock().now().to_msg()
        self._arm_states.publish(message)


# --- what tests do with it


def connect(client: Client, robot: Ros2ControlRobot) -> None:
    """Wait until the arm node, stopped or not, knows ``robot`` and no other; lift its stop."""
    o, node = robot.options, client.node
    client.wait_until(lambda: robot.connected, "the arm node", 40)
    states = client.subscribe(ArmState, "arm_state")
    states.wait(lambda m: not m.judged, 15, "the robot's arm_state")
    topic, expected = node.resolve_topic_name("joint_trajectory"), int(o.subscribe)
    client.wait_until(lambda: node.count_subscribers(topic) == expected, "only this robot", 40)
    if o.subscribe and not o.prefix:
        client.wait_until(lambda: _holds(client, robot), "a trajectory", 40)
    client.call(Trigger, "resume", Trigger.Request())
    robot.trajectories.clear()
    robot.tools.clear()


def _holds(client: Client, robot: Ros2ControlRobot) -> bool:
    """Stop the arm; whether the robot has ever been told to stay where it is."""
    client.call(Trigger, "stop", Trigger.Request())
    held = [m.points[0].positions for m in robot.trajectories]
    return any(np.allclose(h, robot.options.start + robot.options.error, atol=0.05) for h in held)


def at(x: float, y: float, yaw: float = 0.0) -> Pose:
    """A pose on the table [m, rad]."""
    pose = Pose()
    pose.position.x, pose.position.y = x, y
    pose.orientation.z, pose.orientation.w = math.sin(yaw / 2), math.cos(yaw / 2)
    return pose


def send_action(client: Client, prompt_id: str, stamp: Time | None = None) -> PolicyAction:
    """Publish one pick and place, decided on an observation of ``stamp`` (None: now)."""
    actions = client.create_publisher(PolicyAction, "action")
    client.wait_until(lambda: actions.get_subscription_count() > 0, "the arm node", 40)
    action = PolicyAction(prompt_id=prompt_id)
    action.observation_stamp = stamp or client.node.get_clock().now().to_msg()
    action.pose0, action.pose1 = at(0.5, -0.1), at(0.45, 0.2, 0.5)
    actions.publish(action)
    return action


def pick_and_place(client: Client, prompt_id: str, timeout: float = 40.0) -> ArmState:
    """The arm node's last word on one; raises VimaError (TIMEOUT) where there is none."""
    states = client.subscribe(ArmState, "arm_state")
    send_action(client, prompt_id)
    return states.wait(
        lambda m: m.judged and m.state in ENDED and m.command_id.startswith(f"{prompt_id}/"),
        timeout,
        "the motion's end",
    )
