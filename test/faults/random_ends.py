"""The suite ended by signals at random moments of its motions, and what the robot then did.

    ./vima exec python test/faults/random_ends.py --ends 50 --params-file tabletop --seed 1

prints a table; exit code 1 where the robot went on. The simulated robot runs in a process that is
not part of the suite. ``--command`` brings the suite up in another way, such as by `ros2 launch`.
"""

import argparse
import collections
import itertools
import os
import random
import shlex
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
from geometry_msgs.msg import Pose
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from sensor_msgs.msg import JointState
from std_srvs.srv import Trigger
from trajectory_msgs.msg import JointTrajectory
from visualization_msgs.msg import MarkerArray

from vima_msgs.msg import ArmCommand, ArmState, Heartbeat, PolicyAction, ToolCommand
from vima_ros.client.client import Client
from vima_ros.client.command_ends import ENDED
from vima_ros.client.node_processes import NodeProcesses
from vima_ros.geometry import Workspace
from vima_ros.nodes.common import action_conversions, conversions, qos
from vima_ros.nodes.common.ros_domain import isolate_ros_domain
from vima_ros.program import run_program

ORPHAN_TIMEOUT = 5.0  # for nodes to end after the program that started them [s]
REST_VELOCITY = 0.02  # of a joint [rad/s]
REST_DISTANCE = 1e-3  # of the tool tip between two reports at rest [m]
NODES = ["arm", "manager"]
# How the suite ends: a signal (or two) to the program that started it, which "ros2 launch" may be,
# or to a node; or a transition of the arm node.
WAYS = ("SIGINT program", "SIGTERM program", "SIGINT arm", "SIGTERM arm", "SIGINT manager")
WAYS += ("SIGTERM manager", "SIGINT twice program", "SIGKILL program", "deactivate", "shutdown")
TRANSITIONS = {
    "deactivate": Transition.TRANSITION_DEACTIVATE,
    "shutdown": Transition.TRANSITION_ACTIVE_SHUTDOWN,
}


def bring_up(folder: Path, params_file: str) -> None:
    """The suite's nodes by a program, until it is ended as all programs are."""
    with NodeProcesses(folder, params_file=params_file) as processes:
        processes.start(NODES, {"nodes": NODES[:1]})
        threading.Event().wait()


class Recorder:
    """All commands and the robot's motion, with the time of arrival [s, steady clock]."""

    def __init__(self, client: Client) -> None:
        self.received = collections.defaultdict(list)
        for kind, topic, profile in (
            (ArmCommand, "arm_command", qos.RELIABLE),
            (JointTrajectory, "joint_trajectory", qos.RELIABLE),
            (ToolCommand, "tool_command", qos.RELIABLE),
            (JointState, "joint_states", qos.SENSOR_DATA),
            (ArmState, "arm_state", qos.RELIABLE),
        ):
            client.node.create_subscription(kind, topic, self._take(topic), profile)

    def _take(self, topic: str):
        return lambda message: self.received[topic].append((time.monotonic(), message))

    def since(self, topic: str, moment: float) -> list:
        return [(t, m) for t, m in list(self.received[topic]) if t >= moment]


class Ends:
    """One end after the other, each with a suite of its own before the same robot."""

    def __init__(self, options: argparse.Namespace, folder: Path) -> None:
        self.options, self.folder = options, folder
        self.random = random.Random(options.seed)
        self.joints = options.params_file == "tabletop"
        self.rows, self.faults = [], []

    def run(self) -> None:
        robot = NodeProcesses(self.folder / "robot", params_file=self.options.params_file)
        with robot, Client("ends") as client:
            values = {"send_prompt": False, "camera_rate": 2.0, "nodes": ["tabletop"]}
            robot.start(["tabletop"], values)
            robot.start(["manager"], values)  # only to activate the robot
            client.wait_for_active(["tabletop"], check=robot.check_alive)
            robot.end("manager")
            self.client, self.recorder = client, Recorder(client)
            self.states = client.subscribe(ArmState, "arm_state")
            self.beats = client.subscribe(Heartbeat, "heartbeat")
            self.markers = client.subscribe(MarkerArray, "markers")
            self.actions = client.create_publisher(PolicyAction, "action")
            while len(self.rows) < self.options.ends:
                self.one_end(len(self.rows))

    def one_end(self, index: int) -> None:
        way = self.options.ways[index % len(self.options.ways)]
        logs = self.folder / f"suite{index}"
        logs.mkdir(exist_ok=True)
        own = [
            sys.executable,
            __file__,
            "--suite",
            str(logs),
            "--params-file",
            self.options.params_file,
        ]
        command = shlex.split(self.options.command) or own
        assert self.client.call(Trigger, "reset", Trigger.Request()).success
        before = self.beats.count
        with (logs / "program.log").open("w") as log:
            suite = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
            )
        try:
            self.client.wait_for_active(NODES)
            while not self._move_until_a_random_moment():
                pass  # it was over before
            pids = {
                b.node.rpartition("/")[2]: b.process_id
                for b in self.beats.since(before)
                if b.state == 3 and not b.node.endswith("/tabletop")
            }
            self._end(suite, pids, way)
            self._judge(index, suite, pids, way, logs)
        finally:
            suite.kill()
            suite.wait()

    def _move_until_a_random_moment(self) -> bool:
        """Whether a motion is under way now."""
        seen = self.markers.wait(lambda m: m.markers, 15, "markers", self.markers.count)
        action = PolicyAction(prompt_id="ends", step=len(self.rows))
        thing = self.random.choice([m for m in seen.markers if m.ns]).pose.position
        action.pose0 = self._pose(thing.x, thing.y)
        self.client.wait_until(lambda: self.actions.get_subscription_count() > 0, "the arm")
        # The arm refuses until it has received joint_states, and what is out of its reach.
        self.client.wait_until(lambda: self._begins(action), "motion", 60)
        begun = self.states.count
        threading.Event().wait(self.random.uniform(0.1, 4.5))
        mine = [m for m in self.states.since(begun) if m.judged]
        return not any(m.state in ENDED for m in mine)

    def _begins(self, action: PolicyAction) -> bool:
        ranges = zip(Workspace().low, Workspace().high, strict=True)
        action.pose1 = self._pose(*(self.random.uniform(*r) for r in ranges))
        action.observation_stamp = self.client.node.get_clock().now().to_msg()
        name, before = action_conversions.action_id(action), self.states.count
        self.actions.publish(action)
        answer = self.states.wait(
            lambda m: m.judged and m.command_id == name, 15, "an answer", before
        )
        return answer.state == ArmState.EXECUTING

    def _pose(self, x: float, y: float) -> Pose:
        pose = Pose()
        pose.position.x, pose.position.y, pose.orientation.w = x, y, 1.0
        return pose

    def _end(self, suite, pids, way) -> None:
        self.at = time.monotonic()
        if way in TRANSITIONS:
            request = ChangeState.Request(transition=Transition(id=TRANSITIONS[way]))
            self.client.wait_for_service(ChangeState, "arm/change_state")
            self.at = time.monotonic()
            self.client.call(ChangeState, "arm/change_state", request)
            return
        name, *twice, target = way.split()
        for _ in range(1 + len(twice)):
            os.kill(suite.pid if target == "program" else pids[target], signal.Signals[name])

    def _judge(self, index, suite, pids, way, logs) -> None:
        r, at, faults = self.recorder, self.at, []
        hold = self._wait_for_hold(at)
        if hold is None:
            faults.append("no hold")
            hold = at
        elif hold - at > self.options.hold_within:
            faults.append(f"held after {hold - at:.3f} s")
        rest = self._rest(at)
        if rest is None or rest - at > self.options.rest_within:
            faults.append("moves on")
        late = [t for t, m in r.since("arm_command", hold) if m.waypoints]
        late += [t for t, m in r.since("joint_trajectory", hold) if len(m.points) > 1]
        # Messages of two topics may overtake each other; their stamps are of one clock.
        stamps = [_stamp(m) for _, m in r.since("arm_command", at) if not m.waypoints]
        late += [t for t, m in r.since("tool_command", at) if stamps and _stamp(m) > stamps[0]]
        faults += [f"commanded {t - at:.3f} s after the signal" for t in late]
        if way.endswith("program"):
            code, signals = suite.wait(15), {"SIGINT": 130, "SIGTERM": 143, "SIGKILL": -9}
            expected = self.options.exit_codes or [signals[way.split()[0]]]
            faults += [] if code in expected else [f"exit code {code}"]
        suite.kill()
        deadline = time.monotonic() + ORPHAN_TIMEOUT
        while (left := [n for n, p in pids.items() if _lives(p)]) and time.monotonic() < deadline:
            threading.Event().wait(0.02)
        faults += [f"orphan: {name}" for name in left]
        for log in logs.glob("*.log"):
            if "Traceback" in log.read_text():
                faults.append(f"a traceback in {log.name}")
        self.rows.append((way, hold - at, (rest or np.inf) - at))
        self.faults += [f"end {index} ({way}): {f}" for f in faults]
        print(
            f"{index:4d} {way:20} held {1e3 * (hold - at):6.1f} ms, "
            f"at rest {1e3 * ((rest or np.inf) - at):6.0f} ms {'; '.join(faults)}",
            flush=True,
        )

    def _wait_for_hold(self, at: float) -> float | None:
        """When the robot received the first hold: by the topic that moves it."""
        topic = "joint_trajectory" if self.joints else "arm_command"

        def holds() -> list:
            found = self.recorder.since(topic, at)
            size = (lambda m: len(m.points) - 1) if self.joints else (lambda m: len(m.waypoints))
            return [t for t, m in found if size(m) == 0]

        deadline = at + 3.0
        while not holds() and time.monotonic() < deadline:
            threading.Event().wait(0.005)
        return min(holds(), default=None)

    def _rest(self, at: float) -> float | None:
        """When the robot came to rest, by a second of its reports after the time for that."""
        until = at + self.options.rest_within + 1.0
        threading.Event().wait(max(until - time.monotonic(), 0.0))
        if self.joints:
            moved = [
                t
                for t, m in self.recorder.since("joint_states", at)
                if max(map(abs, m.velocity)) > REST_VELOCITY
            ]
        else:
            own = [(t, m) for t, m in self.recorder.since("arm_state", at) if not m.judged]
            places = [(t, _place(m)) for t, m in own]
            moved = [
                t
                for (t, p), (_, q) in itertools.pairwise(places)
                if np.linalg.norm(p - q) > REST_DISTANCE
            ]
        return max(moved, default=at)

    def table(self) -> str:
        lines = ["| robot | ended by | times | hold p50 / longest [ms] | rest longest [ms] |"]
        lines += ["|---|---|---|---|---|"]
        groups = collections.defaultdict(list)
        for way, hold, rest in self.rows:
            groups[way].append((1e3 * hold, 1e3 * rest))
        for way, values in groups.items():
            holds, rests = zip(*values, strict=True)
            lines.append(
                f"| {self.options.params_file} | {way} | {len(values)} | "
                f"{statistics.median(holds):.1f} / {max(holds):.1f} | {max(rests):.0f} |"
            )
        return "\n".join([*lines, "", f"faults: {len(self.faults)}", *self.faults])


def _stamp(message: ArmCommand | ToolCommand) -> int:
    return conversions.stamp_to_ns(message.header.stamp)


def _place(message: ArmState) -> np.ndarray:
    p = message.tool_pose.position
    return np.array([p.x, p.y, p.z])


def _lives(pid: int) -> bool:
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ends", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--params-file", default="tabletop", choices=["tabletop", "free_gripper"])
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=WAYS, help="default: all")
    parser.add_argument("--command", default="", help="brings the suite up instead")
    parser.add_argument("--exit-codes", type=int, nargs="*", help="that the command may end with")
    parser.add_argument("--hold-within", type=float, default=0.2, help="of the signal [s]")
    parser.add_argument("--rest-within", type=float, default=0.5, help="of the signal [s]")
    parser.add_argument("--suite", type=Path, help="only bring the suite up, with logs here")
    options = parser.parse_args()
    if options.suite:
        run_program(lambda: lambda _: bring_up(options.suite, options.params_file))
    isolate_ros_domain()
    with tempfile.TemporaryDirectory(prefix="vima_ends_") as folder:
        ends = Ends(options, Path(folder))
        ends.run()
    print(ends.table())
    sys.exit(bool(ends.faults))


if __name__ == "__main__":
    main()
