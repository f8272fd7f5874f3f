"""Latency from shutter to command by stage, and from a call of stop to the last command."""

from __future__ import annotations

import functools
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from std_srvs.srv import Trigger
from trajectory_msgs.msg import JointTrajectory

from vima_msgs.action import ExecutePrompt
from vima_msgs.msg import ArmCommand, ArmState, PerceptionStatus, PolicyAction, Prompt
from vima_ros.client.client import Client
from vima_ros.client.execute_prompt import ExecutePromptGoal
from vima_ros.client.node_processes import NodeProcesses
from vima_ros.client.running_suite import check_no_running_suite
from vima_ros.errors import VimaError
from vima_ros.nodes.common import action_conversions, conversions, qos
from vima_ros.nodes.common.node_names import SUITE
from vima_ros.nodes.common.prompt_conversions import asset_to_message
from vima_ros.nodes.common.ros_domain import isolate_ros_domain
from vima_ros.sim.rendering.prompt_renderer import render_prompt_images
from vima_ros.sim.scene import SCENES, Scene
from vima_ros.specs import AssetKind
from vima_ros.tables import format_table

PARAMETERS = {
    "detector": "onnx",
    "real_time_factor": 10.0,
    "camera_rate": 5.0,
    "max_failures": 500,
}
STOPS = 40
MAX_STATUSES = 1000  # of perception, per decision; more are an error
SCENE, OBJECTS = "put", ("red_block", "blue_bowl")  # the tabletop node's default scene
STAGES = {  # of a decision [s]
    "shutter to observation": "perception: transport, decoding, detector, crops, identities",
    "observation to decision": "transport, encoding, the policy",
    "decision to command": "transport, the gate, planning of the UR5e",
    "shutter to command": "all of it",
    "not computing": "all but perception's, the policy's and the gate's own work",
    "... to observation": "of it: two images between processes, two threads, one message built",
    "... to decision": "of it: the observation between processes, read; the episode's word",
    "... to command": "of it: the action between processes; the command built",
}


def run(decisions: int, out: Path, progress: Callable[[str], None]) -> dict[str, Any]:
    """Measure on the simulated UR5e, all nodes as processes. Raises VimaError."""
    isolate_ros_domain()
    with (
        NodeProcesses(out / "logs", params_file="tabletop") as processes,
        Client("bench_episode") as client,
    ):
        check_no_running_suite(client)
        processes.start(SUITE, PARAMETERS)
        client.wait_for_active(SUITE, check=processes.check_starting)
        progress(f"episode: {decisions} decisions in simulation")
        stages = _decisions(client, decisions)
        progress(f"episode: {STOPS} stops at random moments")
        return {"stages": stages, "stops": _stops(client)}


def _prompt() -> Prompt:
    """Make a prompt about two objects of the scene, each alone on white as in VIMA-Bench."""
    block, bowl = OBJECTS
    prompt = Prompt(text=f"Put the {{{block}}} into the {{{bowl}}}.")
    for name in OBJECTS:
        alone = Scene((SCENES[SCENE].object(name),))
        views = render_prompt_images(alone, AssetKind.OBJECT)
        prompt.assets.append(asset_to_message(name, AssetKind.OBJECT, views))
    return prompt


def _decisions(client: Client, count: int) -> dict[str, list[float]]:
    seen = client.subscribe(PerceptionStatus, "perception_status", capacity=MAX_STATUSES * count)
    actions = client.subscribe(PolicyAction, "action")
    commands = client.subscribe(ArmCommand, "arm_command")
    # An episode's first decision waits for its prompt to be read; it is left out.
    while sum(m.step > 0 for m in actions.messages) < count:
        left = count - sum(m.step > 0 for m in actions.messages)
        result = ExecutePromptGoal(client, _prompt(), min(left + 1, 12)).wait(600)
        if result.error_code != ExecutePrompt.Result.STEP_LIMIT:
            raise VimaError("NOT_MEASURED", f"an episode ended early: {result.error_msg}")
    looked = {conversions.stamp_to_ns(m.header.stamp): m for m in seen.messages}
    decided = {action_conversions.action_id(m): m for m in actions.messages}
    stages: dict[str, list[float]] = {name: [] for name in STAGES}
    for command in commands.messages:
        action = decided.get(command.command_id)
        shutter = conversions.stamp_to_ns(action.observation_stamp) if action else 0
        status = looked.get(shutter)
        if not command.waypoints or action is None or action.step == 0 or status is None:
            continue
        at_decision = (conversions.stamp_to_ns(action.header.stamp) - shutter) / 1e9
        at_command = (conversions.stamp_to_ns(command.header.stamp) - shutter) / 1e9
        spans = (status.age, at_decision - status.age, at_command - at_decision)
        computing = (status.detection_time, action.inference_time, command.planning_time)
        rest = [span - own for span, own in zip(spans, computing, strict=True)]
        values = (*spans, at_command, sum(rest), *rest)
        for name, value in zip(STAGES, values, strict=True):
            stages[name].append(value)
    return stages


def _stops(client: Client) -> list[float]:
    """Measure times from calls of stop to the last command that moves [s]; below 0: before it."""
    moving: list[tuple[float, str]] = []

    def note(topic: str, message: Any) -> None:
        if topic == "joint_trajectory" and len(message.points) == 1:
            return  # hold where you are
        if topic == "arm_command" and not message.waypoints:
            return
        moving.append((time.monotonic(), topic))

    for kind, topic in ((ArmCommand, "arm_command"), (JointTrajectory, "joint_trajectory")):
        client.node.create_subscription(kind, topic, functools.partial(note, topic), qos.RELIABLE)
    states = client.subscribe(ArmState, "arm_state")
    pick = random.Random(0)  # noqa: S311  # moments, not secrets
    latencies = []
    client.wait_for_service(Trigger, "stop")
    goal = ExecutePromptGoal(client, _prompt(), 500)
    for _ in range(STOPS):
        moving.clear()
        client.wait_until(lambda: bool(moving), "motion", 60)
        time.sleep(pick.uniform(0.0, 0.8))  # a random moment: of moving, looking or planning
        marks = states.count
        called = time.monotonic()
        client.call(Trigger, "stop", Trigger.Request())
        states.wait(lambda m: m.judged and m.state == ArmState.STOPPED, 10, "STOPPED", marks)
        client.call(Trigger, "resume", Trigger.Request())
        resumed = time.monotonic()
        late = [at for at, _ in moving if called < at < resumed - 0.001]
        latencies.append(max(late, default=called) - called)
    goal.cancel()
    goal.wait(60)
    return latencies


def show(results: dict[str, Any]) -> list[str]:
    """Return paragraphs and tables of the results of ``run``."""
    rows = []
    for name, what in STAGES.items():
        p50, p99 = 1e3 * np.percentile(results["stages"][name], (50, 99))
        rows.append([name, f"{p50:.1f}", f"{p99:.1f}", what])
    total = np.array(results["stages"]["shutter to command"])
    share = np.median(np.array(results["stages"]["not computing"]) / total)
    stops = 1e3 * np.array(results["stops"])
    return [
        f"{len(total)} decisions on the simulated UR5e, milliseconds. {100 * share:.0f} % of the "
        "way from shutter to command is not computing (median).",
        format_table(["stage", "p50", "p99", "holds"], rows),
        f"From the call of `stop` to the last command that moves anything, {len(stops)} times: "
        f"median {np.median(stops):.1f} ms, longest {stops.max():.1f} ms",
    ]
