"""A goal from its client's side: how long it is waited for."""

import threading
from types import SimpleNamespace

import pytest

pytest.importorskip("rclpy", reason="no ROS 2: run `make test`, which prepares it")
pytest.importorskip("vima_msgs", reason="vima_msgs is not built: run `make test`")

from rclpy.task import Future

from vima_msgs.action import ExecutePrompt
from vima_msgs.msg import EpisodeStatus, Heartbeat, Prompt
from vima_ros.cli.send_prompt import EXIT, NAMES
from vima_ros.client.execute_prompt import ExecutePromptGoal
from vima_ros.client.message_buffer import CAPACITY, MessageBuffer
from vima_ros.errors import NodeDiedError, VimaError
from vima_ros.nodes.policy.execute_prompt_server import ERROR_CODES

UNCONFIGURED, INACTIVE, ACTIVE, FINALIZED = 1, 2, 3, 4
SUCCEEDED = 4  # action_msgs/GoalStatus


class PlayedClient:
    """A client whose goal is accepted at once; its heartbeats are what a test plays."""

    def __init__(self):
        self.node = SimpleNamespace(
            get_namespace=lambda: "/vima", resolve_service_name=lambda name: f"/vima/{name}"
        )
        self.beats, self.result = MessageBuffer(threading.Condition()), Future()
        self.destroyed, self.failure = [], None
        self.between_callbacks, self.sent = False, []

    def subscribe(self, kind, topic):
        return self.beats

    def wait_until(self, condition, what, timeout, hint):
        assert condition(), what

    def wait_until_matched(self, service):
        assert service == "/vima/execute_prompt/_action/send_goal"

    def run_in_executor(self, act):
        self.between_callbacks = True
        act()
        self.between_callbacks = False

    def check_spinning(self):
        if self.failure:
            raise self.failure

    def create_action_client(self, kind, name):
        handle = SimpleNamespace(get_result_async=lambda: self.result)
        return SimpleNamespace(
            server_is_ready=lambda: True,
            send_goal_async=lambda goal, feedback: self._send(handle),
            destroy=lambda: self.destroyed.append(name),
        )

    def _send(self, handle):
        self.sent.append(self.between_callbacks)
        return _Done(handle)

    def beat(self, state, instance="", name="policy"):
        self.beats.append(Heartbeat(node=f"/vima/{name}", state=state, instance_id=instance))


class _Done:
    """A future that is done: rclpy's own calls back by its executor only."""

    def __init__(self, value):
        self._value = value

    def add_done_callback(self, callback):
        callback(self)

    def result(self):
        return self._value


def test_a_policy_node_that_ends_in_order_ends_the_wait_at_once():
    client = PlayedClient()
    goal = ExecutePromptGoal(client, Prompt())
    client.beat(ACTIVE, "a")
    client.beat(FINALIZED, "x", "prompt")
    client.beat(FINALIZED, "a")
    with pytest.raises(VimaError, match="/vima/policy has ended") as error:
        goal.wait(2.0)
    assert error.value.code == "NODE_DIED"


def test_another_of_its_name_that_refuses_to_run_and_ends_is_no_death():
    client = PlayedClient()
    goal = ExecutePromptGoal(client, Prompt())
    client.beat(ACTIVE, "a")
    client.beat(FINALIZED, "second")
    client.beat(ACTIVE, "a")
    with pytest.raises(VimaError) as error:
        goal.wait(0.5)
    assert error.value.code == "TIMEOUT"


def test_a_policy_node_that_is_cleaned_up_sends_no_result_any_more():
    client = PlayedClient()
    goal = ExecutePromptGoal(client, Prompt())
    for state in (ACTIVE, INACTIVE, UNCONFIGURED):
        client.beat(state, "one")
    with pytest.raises(NodeDiedError, match="cleaned up"):
        goal.wait(1)


@pytest.mark.slow
def test_a_goal_that_nobody_has_waited_for_outlasts_the_heartbeats_that_are_kept():
    client = PlayedClient()
    goal = ExecutePromptGoal(client, Prompt())
    for _ in range(CAPACITY + 1):
        client.beat(ACTIVE, "one")
    client.beat(FINALIZED, "one")
    with pytest.raises(NodeDiedError):
        goal.wait()


def test_what_the_callback_of_feedback_raises_ends_the_wait():
    client = PlayedClient()
    goal = ExecutePromptGoal(client, Prompt())
    client.failure = BrokenPipeError()
    with pytest.raises(BrokenPipeError):
        goal.wait(10)


def test_every_result_has_an_exit_code_and_every_arm_end_its_own_result():
    assert set(EXIT) == set(NAMES) - {ExecutePrompt.Result.UNKNOWN}
    assert len(set(EXIT.values())) == len(EXIT)
    assert ERROR_CODES[EpisodeStatus.STOPPED] == ExecutePrompt.Result.STOPPED
    assert ERROR_CODES[EpisodeStatus.ARM_FAILED] == ExecutePrompt.Result.ARM_FAILED


def test_the_result_is_returned_when_it_comes():
    client = PlayedClient()
    client.result = _Later()
    goal = ExecutePromptGoal(client, Prompt())
    threading.Timer(0.05, client.result.settle).start()
    assert goal.wait(10.0) == "the result"
    assert goal.status == SUCCEEDED
    assert client.destroyed == ["execute_prompt"], "of a goal that has ended, nothing is left"
    assert goal.wait(10.0) == "the result"
    goal.close()
    assert len(client.destroyed) == 1


class _Later(_Done):
    def __init__(self):
        super().__init__(SimpleNamespace(result="the result", status=SUCCEEDED))
        self._callbacks = []

    def add_done_callback(self, callback):
        self._callbacks.append(callback)

    def settle(self):
        for callback in self._callbacks:
            callback(self)


def check_interrupted_and_cancellable(client):
    cancelled = []
    handle = SimpleNamespace(
        cancel_goal_async=lambda: cancelled.append(True), get_result_async=lambda: _Later()
    )
    client.create_action_client = lambda kind, name: SimpleNamespace(
        server_is_ready=lambda: True, send_goal_async=lambda goal, feedback: _Done(handle)
    )
    goal = ExecutePromptGoal(client, Prompt())
    with pytest.raises(KeyboardInterrupt):
        goal.wait()
    goal.cancel()
    assert cancelled == [True]


def test_a_goal_is_sent_between_two_callbacks_lest_its_response_overtake_it():
    client = PlayedClient()
    ExecutePromptGoal(client, Prompt())
    assert client.sent == [True]


def test_a_goal_whose_sending_was_interrupted_can_be_cancelled():
    class InterruptedClient(PlayedClient):
        def run_in_executor(self, act):
            act()
            raise KeyboardInterrupt

    check_interrupted_and_cancellable(InterruptedClient())


def test_an_interrupt_before_the_goal_is_accepted_is_raised_where_it_can_be_cancelled(monkeypatch):
    def interrupted(wait, timeout, describe):
        raise KeyboardInterrupt

    monkeypatch.setattr("vima_ros.client.execute_prompt.wait_with_progress", interrupted)
    check_interrupted_and_cancellable(PlayedClient())
