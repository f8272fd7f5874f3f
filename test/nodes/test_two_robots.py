"""Two robots in two namespaces at once: each does what its own prompt says, and nothing else."""

import pytest
from conftest import ALL_NODES, STALL_TOLERANT
from std_srvs.srv import Trigger

from vima_msgs.action import ExecutePrompt
from vima_msgs.msg import ArmCommand, ArmState, PolicyAction, Prompt, PromptAsset
from vima_msgs.srv import CaptureAsset
from vima_ros.client.client import Client
from vima_ros.client.execute_prompt import ExecutePromptGoal
from vima_ros.client.node_processes import NodeProcesses

SIDES = {"left": "put", "right": "rotate"}


class Side:
    def __init__(self, side, folder):
        self.side = side
        self.processes = NodeProcesses(folder, params_file="free_gripper", namespace=f"/{side}")
        parameters = {"scene": SIDES[side], "real_time_factor": 10.0, "max_failures": 50}
        parameters |= STALL_TOLERANT
        self.processes.start(ALL_NODES, {**parameters, "library": str(folder / "assets")})
        self.client = Client("user", f"/{side}")
        self.commands = self.client.subscribe(ArmCommand, "arm_command")
        self.actions = self.client.subscribe(PolicyAction, "action")
        self.states = self.client.subscribe(ArmState, "arm_state")
        self.episodes = self.client.subscribe_episodes()

    def wait_until_up(self):
        self.client.wait_for_active(ALL_NODES, 120, self.processes.check_alive)
        request = CaptureAsset.Request(name=self.side, kind=PromptAsset.KIND_SCENE)
        self.client.wait_until(
            lambda: self.client.call(CaptureAsset, "capture_asset", request).success, "a capture"
        )

    def go(self, steps):
        return ExecutePromptGoal(
            self.client, Prompt(text=f"Move the {{{self.side}}} there."), steps
        )


@pytest.fixture
def sides(tmp_path):
    running = {}
    try:
        for side in SIDES:
            running[side] = Side(side, tmp_path / side)
        for side in running.values():
            side.wait_until_up()
        yield running
    finally:
        for side in running.values():
            side.client.close()
            side.processes.stop()


@pytest.mark.slow
def test_two_robots_run_different_prompts_without_crosstalk(sides):
    left, right = sides["left"], sides["right"]
    goals = {side: sides[side].go(4) for side in sides}
    results = {side: goal.wait(120) for side, goal in goals.items()}
    assert {r.error_code for r in results.values()} == {ExecutePrompt.Result.STEP_LIMIT}
    for side, other in ((left, right), (right, left)):
        text = f"Move the {{{side.side}}} there."
        mine = {m.prompt_id for m in side.episodes.messages if m.text == text}
        assert len(mine) == 1
        assert {m.text for m in side.episodes.messages if m.prompt_id} == {text}
        assert {m.prompt_id for m in side.actions.messages} == mine
        assert {m.command_id.split("/")[0] for m in side.commands.messages} <= mine
        theirs = {m.prompt_id for m in other.actions.messages}
        assert not mine & theirs
    # Stop one: the other goes on.
    running = right.go(3)
    assert left.client.call(Trigger, "stop", Trigger.Request()).success
    left.states.wait(lambda m: m.judged and m.state == ArmState.STOPPED, 15, "STOPPED")
    assert running.wait(120).error_code == ExecutePrompt.Result.STEP_LIMIT
    assert not [m for m in right.states.messages if m.judged and m.state == ArmState.STOPPED]
