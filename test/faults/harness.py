"""Real processes, faults into them, and an account of all motion that left."""

import signal
import threading

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from relay import TABLETOP, Relay
from std_srvs.srv import Trigger

from vima_msgs.msg import (
    ArmCommand,
    ArmState,
    PerceptionStatus,
    PolicyAction,
    Prompt,
    PromptAsset,
)
from vima_msgs.srv import CaptureAsset, SetPrompt
from vima_ros.client.client import Client
from vima_ros.client.execute_prompt import ExecutePromptGoal
from vima_ros.client.node_processes import NodeProcesses
from vima_ros.geometry import Workspace
from vima_ros.nodes.common import conversions, qos

NODES = ["tabletop", "perception", "prompt", "policy", "arm", "manager"]
PARAMETERS = {
    "real_time_factor": 10.0,
    "camera_rate": 10.0,
    "max_age": 1.0,
    "frozen_timeout": 0.4,
    "observation_timeout": 3.0,
    "pause_timeout": 4.0,
    "state_timeout": 2.0,  # above what a busy machine may take for a message
    "max_steps": 50,
    "checkpoint": "random",
    "max_failures": 50,  # what fails here is meant to
}
TEXT = "Put the {all} aside."
ALL = 10_000_000  # messages: what is judged at the end is everything


class FaultySuite:
    def __init__(self, folder):
        self.parameters = {**PARAMETERS, "library": str(folder / "assets")}
        self.processes = NodeProcesses(folder, params_file="free_gripper")
        for name in NODES:
            self.start(name)
        self.client = Client("faults")
        self.relay = Relay(self.client)
        self.commands = self.client.subscribe(ArmCommand, "arm_command", capacity=ALL)
        self.states = self.client.subscribe(ArmState, "arm_state", capacity=ALL)
        self.actions = self.client.subscribe(PolicyAction, "action")
        self.act = self.client.create_publisher(PolicyAction, "action")
        self.episodes = self.client.subscribe_episodes()
        self.seen = self.client.subscribe(PerceptionStatus, "perception_status", qos.LATCHED)
        self.diagnostics = self.client.subscribe(DiagnosticArray, "/diagnostics")
        self.prompts = self.client.create_publisher(Prompt, "prompt", qos.RELIABLE)

    def start(self, name):
        remap = TABLETOP if name == "tabletop" else None
        self.processes.start([name], self.parameters, remap)

    def wait_until_up(self):
        self.wait_for_manager()
        self.heal()

    def close(self):
        self.client.close()
        self.processes.stop()

    def heal(self):
        """No fault, no episode, no stop; the cameras show all."""
        self.relay.cameras = self.relay.robot = ""
        self.call(Trigger, "reset_episode")
        self.call(Trigger, "resume")
        before = self.seen.count
        self.seen.wait(lambda m: m.code == m.OK, 30, "an observation", before)
        request = CaptureAsset.Request(name="all", kind=PromptAsset.KIND_SCENE)
        self.client.wait_until(
            lambda: self.client.call(CaptureAsset, "capture_asset", request).success, "a capture"
        )

    def call(self, kind, name, request=None):
        return self.client.call(kind, name, request or kind.Request(), 30)

    def set_prompt(self, **fields):
        request = SetPrompt.Request(prompt=Prompt(text=TEXT), **fields)
        return self.call(SetPrompt, "set_prompt", request)

    def goal(self, stage="", max_steps=0, text=TEXT):
        """A goal that runs; returns once it is at ``stage``."""
        came = threading.Event()

        def note(feedback):
            if feedback.stage == stage:
                came.set()

        goal = ExecutePromptGoal(self.client, Prompt(text=text), max_steps, note)
        if stage:
            assert came.wait(60), f"the episode never came to {stage}"
        return goal

    def restart(self, name):
        """After a death; the arm stays stopped until somebody resumes it."""
        self.start(name)
        self.wait_for_manager()

    def wait_for_manager(self):
        """Until the manager, too, has heard that all are active."""
        self.client.wait_for_active(NODES, 120, self.processes.check_alive)
        self.diagnostics.wait(
            lambda m: any(
                s.name == "/vima/manager: nodes" and s.level == DiagnosticStatus.OK
                for s in m.status
            ),
            60,
            "the manager's good word",
            self.diagnostics.count,
        )

    def hang(self, name, seconds):
        """Let a process hang for a while."""
        self.processes.signal(name, signal.SIGSTOP)
        threading.Timer(seconds, self.processes.signal, (name, signal.SIGCONT)).start()

    def status(self, condition, what, after=0, timeout=30):
        return self.episodes.wait(condition, timeout, what, after)

    def check_commands(self):
        """No motion outside the workspace, and none between a stop and its resume."""
        assert violations(self.commands.messages, self.states.messages) == []


def violations(commands, states):
    """Commands that must never have left, as sentences."""
    space, found = Workspace(), []
    judged = [m for m in states if m.judged]
    stops = [(_ns(m), m.state == ArmState.STOPPED) for m in judged if _ends_or_begins(m)]
    for command in commands:
        for waypoint in command.waypoints:
            p = waypoint.pose.position
            if not (space.contains(p.x, p.y) and -1e-6 <= p.z <= 0.6):
                found.append(f"{command.command_id} leads to ({p.x}, {p.y}, {p.z})")
        before = [stopped for stamp, stopped in stops if stamp < _ns(command)]
        if command.waypoints and before and before[-1]:
            found.append(f"{command.command_id} left while the arm was stopped")
    return found


def _ends_or_begins(message):
    return message.state == ArmState.STOPPED or message.code == ArmState.RESUMED


def _ns(message):
    return conversions.stamp_to_ns(message.header.stamp)
