"""A person's yes before each motion: by service, by topic; a no; nobody there; cancelled."""

import pytest
from conftest import ALL_NODES, STALL_TOLERANT
from std_srvs.srv import Trigger

from vima_msgs.action import ExecutePrompt
from vima_msgs.msg import (
    ArmCommand,
    ArmState,
    Confirmation,
    ConfirmationRequest,
    Prompt,
    PromptAsset,
)
from vima_msgs.srv import CaptureAsset, ConfirmMotion
from vima_ros.client.client import Client
from vima_ros.client.execute_prompt import ExecutePromptGoal
from vima_ros.client.node_processes import NodeProcesses
from vima_ros.nodes.common import qos

Result = ExecutePrompt.Result


class Careful:
    """The suite with require_confirmation: true."""

    def __init__(self, folder):
        self.processes = NodeProcesses(folder, params_file="free_gripper", namespace="/careful")
        parameters = {
            "real_time_factor": 10.0,
            "require_confirmation": True,
            "confirmation_timeout": 4.0,
            **STALL_TOLERANT,
        }
        self.processes.start(ALL_NODES, {**parameters, "library": str(folder / "assets")})
        self.client = Client("person", "/careful")
        self.requests = self.client.subscribe(
            ConfirmationRequest, "confirmation_request", qos.LATCHED
        )
        self.commands = self.client.subscribe(ArmCommand, "arm_command")
        self.states = self.client.subscribe(ArmState, "arm_state")
        self.episodes = self.client.subscribe_episodes()
        self.answers = self.client.create_publisher(Confirmation, "confirmation")
        self.client.wait_for_active(ALL_NODES, 120, self.processes.check_alive)
        request = CaptureAsset.Request(name="all", kind=PromptAsset.KIND_SCENE)
        self.client.wait_until(
            lambda: self.client.call(CaptureAsset, "capture_asset", request).success, "a capture"
        )

    def ask(self, max_steps=1):
        """A goal, and the request that it leads to."""
        before = self.requests.count
        goal = ExecutePromptGoal(self.client, Prompt(text="Put the {all} aside."), max_steps)
        request = self.requests.wait(lambda m: bool(m.command_id), 60, "a request", before)
        return goal, request

    def answer(self, command_id, accept):
        request = ConfirmMotion.Request(command_id=command_id, accept=accept)
        return self.client.call(ConfirmMotion, "confirm", request)

    def sent(self, request):
        return [
            m for m in self.commands.messages if m.command_id == request.command_id and m.waypoints
        ]


@pytest.fixture(scope="module")
def careful(tmp_path_factory):
    running = Careful(tmp_path_factory.mktemp("logs"))
    yield running
    running.client.close()
    running.processes.stop()


@pytest.mark.parametrize("way", ["service", "topic"])
def test_nothing_moves_before_the_confirmation_and_the_published_motion_after_it(careful, way):
    goal, request = careful.ask()
    assert careful.sent(request) == []
    assert len(request.waypoints) == 6
    assert request.header.frame_id == "table"
    assert "pick_place from (" in request.text
    if way == "service":
        assert careful.answer(request.command_id, True).success
    else:
        careful.answers.publish(Confirmation(command_id=request.command_id, accept=True))
    assert goal.wait(60).error_code == Result.STEP_LIMIT
    assert careful.sent(request)[0].waypoints == request.waypoints
    asked = careful.requests.messages.index(request)
    careful.requests.wait(lambda m: m.command_id == "", 15, "the question's end", asked)


def test_a_refused_confirmation_ends_the_episode(careful):
    goal, request = careful.ask(5)
    assert careful.answer(request.command_id, False).success
    result = goal.wait(30)
    assert result.error_code == Result.REFUSED
    assert "NOT_CONFIRMED" in result.error_msg
    assert careful.sent(request) == []


def test_a_motion_that_nobody_confirms_is_refused_after_the_timeout(careful):
    goal, request = careful.ask(5)
    result = goal.wait(30)
    assert result.error_code == Result.REFUSED
    assert "nobody confirmed it within 4 s" in result.error_msg
    assert careful.sent(request) == []
    late = careful.answer(request.command_id, True)
    assert not late.success
    assert "no motion does" in late.message


def test_a_confirmation_of_another_command_moves_nothing(careful):
    goal, request = careful.ask(5)
    answer = careful.answer("something else", True)
    assert not answer.success
    assert request.command_id in answer.message
    goal.cancel()
    assert goal.wait(30).error_code == Result.CANCELLED
    assert careful.sent(request) == []


@pytest.mark.parametrize("by", ["cancel", "stop"])
def test_a_waiting_motion_is_discarded(careful, by):
    goal, request = careful.ask(5)
    if by == "cancel":
        goal.cancel()
        assert goal.wait(30).error_code == Result.CANCELLED
    else:
        assert careful.client.call(Trigger, "stop", Trigger.Request()).success
    assert not careful.answer(request.command_id, True).success
    if by == "stop":
        goal.cancel()
        goal.wait(30)
        assert careful.client.call(Trigger, "resume", Trigger.Request()).success
    assert careful.sent(request) == []
