"""Episodes, goals and steps of the policy node without ROS, and the orders that are rare."""

from contextlib import ExitStack
from types import SimpleNamespace

import pytest

pytest.importorskip("rclpy", reason="no ROS 2: run `make test`, which prepares it")
pytest.importorskip("vima_msgs", reason="vima_msgs is not built: run `make test`")

from rclpy.action import CancelResponse
from rclpy.task import Future

from vima_msgs.action import ExecutePrompt
from vima_msgs.msg import ArmState, EpisodeStatus, PolicyAction, Prompt, PromptTokens
from vima_msgs.srv import CancelMotion, SetPrompt, StepPolicy
from vima_ros.nodes.common.conversions import ns_to_stamp
from vima_ros.nodes.policy import execute_prompt_server
from vima_ros.nodes.policy.arm_client import ArmClient
from vima_ros.nodes.policy.decision import decide
from vima_ros.nodes.policy.episode_manager import EpisodeManager
from vima_ros.nodes.policy.execute_prompt_server import ExecutePromptServer
from vima_ros.nodes.policy.node import begin_or_hold
from vima_ros.nodes.policy.step_service import StepServer

Result = ExecutePrompt.Result
PARAMETERS = SimpleNamespace(
    node_timeout=1e9,
    max_steps=5,
    max_failures=3,
    max_age=1e9,
    response_timeout=5.0,
)


class FakeNode:
    """As much of a ROS node as the parts use; what they send is kept."""

    active, parameters = True, PARAMETERS
    steady_clock = reentrant_group = None

    def __init__(self):
        self.published, self.services, self.requests, self.logged = {}, {}, [], []
        self.now, self.resources = 0, ExitStack()

    def create_publisher(self, kind, topic, profile):
        return SimpleNamespace(publish=self.published.setdefault(topic, []).append)

    def create_client(self, kind, name):
        def call_async(request):
            self.requests.append((name, request, Future()))
            return self.requests[-1][2]

        return SimpleNamespace(service_is_ready=lambda: True, call_async=call_async)

    def create_service(self, kind, name, callback):
        self.services[name] = callback

    def create_timer(self, *_, **__):
        pass

    def subscribe_heartbeats(self, callback):
        pass

    def now_ns(self):
        self.now += 1
        return self.now

    def get_logger(self):
        return SimpleNamespace(info=lambda text: None, warning=self.logged.append)

    async def wait_for_response(self, future, timeout):
        return await future

    def answer(self, name, response):
        """Answer the oldest request to a service that is not answered yet."""
        future = next(f for n, _, f in self.requests if n == name and not f.done())
        future.set_result(response)

    def cancelled(self):
        return [request.prompt_id for name, request, _ in self.requests if name == "cancel_motion"]


class Goal:
    """A goal as rclpy hands it to the server."""

    def __init__(self, server):
        self.request = ExecutePrompt.Goal(prompt=Prompt(text="Go."))
        self.is_cancel_requested, self.ended, self.server = False, "", server
        self.running = Running(server.execute(self))

    def publish_feedback(self, feedback):
        pass

    def cancel(self):
        response = self.server.cancel(self)
        self.is_cancel_requested = response == CancelResponse.ACCEPT
        return response

    def succeed(self):
        self.ended = "succeeded"

    def abort(self):
        self.ended = "aborted"

    def canceled(self):
        self.ended = "canceled"


class Running:
    """A coroutine that an executor runs: it goes on when the test says so."""

    def __init__(self, coroutine):
        self.coroutine, self.result = coroutine, None
        self.go_on()

    def go_on(self):
        try:
            self.coroutine.send(None)
        except StopIteration as end:
            self.result = end.value
        return self.result


class Parts:
    """The parts as the policy node puts them together."""

    def __init__(self, monkeypatch):
        def serve(node, kind, name, execute, cancel_callback, callback_group):
            self.execute, self.cancel = execute, cancel_callback
            return SimpleNamespace(destroy=None)

        monkeypatch.setattr(execute_prompt_server, "ActionServer", serve)
        self.node = FakeNode()
        arm = ArmClient(self.node)
        self.episodes = EpisodeManager(self.node, arm, lambda prompt: None)
        self.goals = ExecutePromptServer(self.node, arm, self.episodes)
        StepServer(self.node, arm, self.episodes, lambda: self.goals.busy)

    def tokens(self, prompt_id, hold=True):
        message = PromptTokens(prompt_id=prompt_id, text=prompt_id, hold=hold)
        begin_or_hold(message, self.goals, self.episodes)

    def accept(self, prompt_id):
        self.node.answer("set_prompt", SetPrompt.Response(success=True, prompt_id=prompt_id))

    def step(self):
        return Running(self.node.services["step"](StepPolicy.Request(), StepPolicy.Response()))

    def decide(self):
        e, stamp = self.episodes.episode, self.node.now_ns()
        assert self.episodes.start_decision(stamp)
        self.episodes.on_decision(PolicyAction(prompt_id=e.prompt_id, step=e.step), stamp)

    def arm_reports(self, state, code="OK", message=""):
        command = self.episodes.episode.active_command_id
        report = ArmState(state=state, code=code, message=message, command_id=command)
        report.since = ns_to_stamp(self.node.now_ns())
        policy = SimpleNamespace(record=lambda _: None, miss=lambda _: None)
        self.episodes.on_arm_report(report, policy, None)


@pytest.fixture
def parts(monkeypatch):
    return Parts(monkeypatch)


@pytest.mark.parametrize("order", ["tokens first", "response first"])
def test_a_goal_begins_once_response_and_tokens_are_there_in_either_order(parts, order):
    goal = Goal(parts)
    steps = [lambda: parts.tokens("mine"), lambda: parts.accept("mine")]
    for step in steps if order == "tokens first" else reversed(steps):
        assert not parts.episodes.episode.running
        step()
        goal.running.go_on()
    assert (parts.episodes.episode.prompt_id, parts.episodes.episode.by_goal) == ("mine", True)


def test_tokens_of_another_prompt_do_not_displace_those_of_a_goal_that_begins(parts):
    goal = Goal(parts)
    parts.tokens("mine")
    parts.tokens("other", hold=False)
    parts.accept("mine")
    goal.running.go_on()
    assert parts.episodes.episode.prompt_id == "mine"
    assert [line for line in parts.node.logged if "other waits for step" in line]
    parts.episodes.end(EpisodeStatus.TASK_FAILED, "")
    goal.running.go_on()
    parts.node.answer("cancel_motion", CancelMotion.Response())
    assert goal.running.go_on().error_code == Result.TASK_FAILED
    assert parts.step().result is None
    assert parts.episodes.episode.prompt_id == "other"


def test_a_prompt_that_came_while_a_goal_was_refused_waits_for_step_and_is_reported(parts):
    goal = Goal(parts)
    parts.tokens("other", hold=False)
    parts.node.answer("set_prompt", SetPrompt.Response(code="NO_ASSET", message="none"))
    assert goal.running.go_on().error_code == Result.PROMPT_REFUSED
    assert [line for line in parts.node.logged if "other waits for step" in line]
    parts.step()
    assert parts.episodes.episode.prompt_id == "other"


def test_a_goal_whose_node_was_deactivated_meanwhile_begins_no_episode(parts):
    goal = Goal(parts)
    parts.node.active = False
    parts.accept("mine")
    parts.tokens("mine")
    result = goal.running.go_on()
    assert (result.error_code, goal.ended) == (Result.NOT_ACTIVE, "aborted")
    assert not parts.episodes.episode.running


def test_a_goal_cancelled_while_its_prompt_is_sent_makes_no_step_and_reports_none(parts):
    parts.tokens("earlier", hold=False)
    parts.decide()
    parts.arm_reports(ArmState.SUCCEEDED)
    parts.episodes.end(EpisodeStatus.SUCCESS, "")
    goal = Goal(parts)
    assert goal.cancel() == CancelResponse.ACCEPT
    parts.accept("mine")
    parts.tokens("mine")
    result = goal.running.go_on()
    assert (result.error_code, result.steps) == (Result.CANCELLED, 0)
    assert goal.ended == "canceled"
    assert parts.episodes.episode.prompt_id == "earlier"
    assert Goal(parts).cancel() == CancelResponse.ACCEPT
    assert goal.cancel() == CancelResponse.REJECT


def test_the_result_of_a_goal_waits_until_its_motion_is_cancelled_and_no_step_comes_between(parts):
    goal = Goal(parts)
    parts.accept("mine")
    parts.tokens("mine")
    goal.running.go_on()
    parts.decide()
    parts.arm_reports(ArmState.SUCCEEDED)
    parts.decide()
    parts.tokens("other")
    goal.cancel()
    between = parts.step().result
    assert (between.code, between.success) == ("BUSY", False)
    assert goal.running.go_on() is None
    assert parts.node.cancelled() == ["mine"]
    parts.node.answer("cancel_motion", CancelMotion.Response())
    result = goal.running.go_on()
    assert (result.error_code, result.steps) == (Result.CANCELLED, 1)


def test_a_step_while_a_goal_begins_does_not_begin_the_goals_prompt(parts):
    """Replaced by the goal's own episode, its prompt would be cancelled at the arm."""
    goal = Goal(parts)
    parts.accept("mine")
    parts.tokens("mine")
    assert parts.step().result.code == "BUSY"
    goal.running.go_on()
    assert parts.episodes.episode.by_goal
    assert parts.node.cancelled() == []


def test_a_step_returns_its_own_decision(parts):
    parts.tokens("first")
    step = parts.step()
    parts.decide()
    parts.arm_reports(ArmState.REFUSED, "UNREACHABLE", "too far")
    refused = step.go_on()
    assert (refused.code, refused.action.prompt_id) == ("UNREACHABLE", "first")
    step = parts.step()
    parts.decide()
    parts.arm_reports(ArmState.EXECUTING)
    made = step.go_on()
    assert (made.code, made.action.step) == ("OK", 1)


def test_a_step_that_was_replaced_does_not_return_the_decision_of_the_next_prompt(parts):
    parts.tokens("first")
    step = parts.step()
    parts.tokens("second", hold=False)
    parts.decide()
    result = step.go_on()
    assert (result.code, result.action.prompt_id) == (EpisodeStatus.REPLACED, "")


def test_a_step_that_was_not_made_returns_no_decision(parts):
    parts.tokens("first")
    first = parts.step()
    parts.decide()
    assert first.result is None
    busy = parts.step().result
    assert (busy.code, busy.action.prompt_id) == ("BUSY", "")


def test_an_unexpected_error_of_the_policy_ends_the_episode(parts):
    """No timeout would: a decision takes as long as it takes."""

    def infer():
        raise RuntimeError("out of memory")

    parts.tokens("first", hold=False)
    assert parts.episodes.start_decision(parts.node.now_ns())
    with pytest.raises(RuntimeError):
        decide(infer, parts.episodes)
    e = parts.episodes.episode
    assert (e.running, e.code) == (False, EpisodeStatus.POLICY_ERROR)
    assert "RuntimeError: out of memory" in e.message
