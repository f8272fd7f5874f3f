"""A whole episode as a goal, by hand step by step, and every way in which it ends."""

import threading

import pytest
from action_msgs.msg import GoalStatus
from rcl_interfaces.srv import SetParameters
from rclpy.parameter import Parameter
from std_srvs.srv import Trigger

from vima_msgs.action import ExecutePrompt
from vima_msgs.msg import (
    ArmCommand,
    ArmState,
    EpisodeStatus,
    Prompt,
    PromptAsset,
    TaskStatus,
)
from vima_msgs.srv import CaptureAsset, SetPrompt, StepPolicy
from vima_ros.cli.oracle import OracleDriver
from vima_ros.client.execute_prompt import ExecutePromptGoal
from vima_ros.nodes.common import qos
from vima_ros.sim.tasks import find_task

Result = ExecutePrompt.Result
ENDED = (ArmState.SUCCEEDED, ArmState.ABORTED, ArmState.STOPPED)
TEXT = "Put the {all} aside."


@pytest.fixture
def arm(suite):
    arm = Robot(suite)
    yield arm
    arm.call(Trigger, "resume")
    arm.call(Trigger, "reset_episode")


class Robot:
    def __init__(self, suite):
        self.suite, self.client = suite, suite.client
        self.states = self.client.subscribe(ArmState, "arm_state")
        self.commands = self.client.subscribe(ArmCommand, "arm_command")
        self.episodes = self.client.subscribe_episodes()
        request = CaptureAsset.Request(name="all", kind=PromptAsset.KIND_SCENE)
        self.client.wait_until(
            lambda: self.client.call(CaptureAsset, "capture_asset", request).success, "a capture"
        )

    def call(self, kind, name):
        return self.client.call(kind, name, kind.Request(), 30)

    def goal(self, text=TEXT, max_steps=1, watch=None):
        return ExecutePromptGoal(
            self.client, Prompt(text=text), max_steps, watch or (lambda feedback: None)
        )

    def hold(self, text=TEXT):
        request = SetPrompt.Request(prompt=Prompt(text=text), hold=True)
        answer = self.client.call(SetPrompt, "set_prompt", request)
        assert answer.success, answer.message
        self.episodes.wait(
            lambda m: m.prompt_id == answer.prompt_id and m.waiting_for_step,
            15,
            "a waiting episode",
        )
        return answer.prompt_id

    def at_rest(self):
        """Whether the last word on motion was a stop, or the end of what was sent."""
        ended = {m.command_id for m in self.states.messages if m.judged and m.state in ENDED}
        return not self.commands.messages or (
            not self.commands.messages[-1].waypoints
            or self.commands.messages[-1].command_id in ended
        )


class AtStage:
    """Waits for an episode to be at a stage for the first time."""

    def __init__(self, stage):
        self.stage, self.came, self.stages = stage, threading.Event(), []

    def __call__(self, feedback):
        self.stages.append(feedback.stage)
        if feedback.stage == self.stage:
            self.came.set()


def test_a_goal_runs_to_its_step_limit_and_publishes_its_stages(arm):
    watch, before = AtStage("moving"), arm.episodes.count
    result = arm.goal(max_steps=2, watch=watch).wait(120)
    assert (result.error_code, result.steps) in ((Result.STEP_LIMIT, 2), (Result.NONE, 2))
    assert "2 decisions" in result.error_msg
    assert "checking" in watch.stages
    arm.episodes.wait(
        lambda m: (
            (m.state, m.code, m.by_goal)
            == (EpisodeStatus.FINISHED, EpisodeStatus.STEP_LIMIT, True)
        ),
        15,
        "STEP_LIMIT",
        before,
    )


def test_a_bad_prompt_ends_the_goal_with_the_prompt_nodes_reason(arm):
    result = arm.goal("Put the {moon} aside.").wait(30)
    assert result.error_code == Result.PROMPT_REFUSED
    assert "UNKNOWN_PLACEHOLDER" in result.error_msg
    assert "moon" in result.error_msg


def test_a_second_goal_and_other_prompts_are_refused_while_one_runs(arm):
    watch = AtStage("moving")
    first = arm.goal(max_steps=20, watch=watch)
    assert watch.came.wait(60), watch.stages
    second = arm.goal().wait(30)
    assert second.error_code == Result.BUSY
    assert TEXT in second.error_msg
    request = SetPrompt.Request(prompt=Prompt(text=TEXT))
    answer = arm.client.call(SetPrompt, "set_prompt", request)
    assert (answer.success, answer.code) == (False, "BUSY")
    first.cancel()
    assert first.wait(30).error_code == Result.CANCELLED


@pytest.mark.parametrize("stage", ["observing", "checking", "moving"])
def test_cancel_in_any_phase_stops_the_motion_and_leaves_a_clean_state(arm, stage):
    watch, before = AtStage(stage), arm.episodes.count
    goal = arm.goal(max_steps=20, watch=watch)
    assert watch.came.wait(60), watch.stages
    goal.cancel()
    result = goal.wait(30)
    assert goal.status == GoalStatus.STATUS_CANCELED
    assert result.error_code == Result.CANCELLED
    assert arm.at_rest()
    sent = len([m for m in arm.commands.messages if m.waypoints])
    status = arm.episodes.wait(
        lambda m: m.state == EpisodeStatus.FINISHED and m.code == EpisodeStatus.CANCELLED,
        15,
        "CANCELLED",
        before,
    )
    # Not latched: the next one runs, and the cancelled one has sent nothing more.
    cancelled = status.prompt_id
    assert arm.goal().wait(60).error_code in (Result.NONE, Result.STEP_LIMIT)
    later = [m.command_id for m in arm.commands.messages if m.waypoints][sent:]
    assert not [c for c in later if c.startswith(cancelled)]


def test_a_goal_cancelled_before_its_first_step_leaves_the_arm_at_rest(arm):
    goal = arm.goal(max_steps=20)
    goal.cancel()
    assert goal.wait(30).error_code == Result.CANCELLED
    assert arm.at_rest()


def test_a_stop_pauses_and_resume_continues(arm):
    watch = AtStage("moving")
    goal = arm.goal(max_steps=2, watch=watch)
    assert watch.came.wait(60)
    assert arm.call(Trigger, "stop").success
    arm.episodes.wait(lambda m: m.state == EpisodeStatus.PAUSED, 15, "PAUSED")
    assert arm.call(Trigger, "resume").success
    assert goal.wait(120).error_code == Result.STEP_LIMIT


def test_a_goal_or_prompt_to_a_stopped_arm_ends_at_once_with_the_reason(arm):
    assert arm.call(Trigger, "stop").success
    sent = arm.commands.count
    result = arm.goal().wait(30)
    assert (result.error_code, result.steps) == (Result.STOPPED, 0)
    assert "stop was called" in result.error_msg
    assert "call resume" in result.error_msg
    request = SetPrompt.Request(prompt=Prompt(text=TEXT))
    prompt_id = arm.client.call(SetPrompt, "set_prompt", request).prompt_id
    ended = arm.episodes.wait(
        lambda m: m.prompt_id == prompt_id and m.state > EpisodeStatus.PAUSED, 15, "its end"
    )
    assert (ended.state, ended.code) == (EpisodeStatus.FAILED, EpisodeStatus.STOPPED)
    assert "stop was called" in ended.message
    arm.hold()
    assert arm.call(StepPolicy, "step").code == EpisodeStatus.STOPPED
    assert not [m for m in arm.commands.since(sent) if m.waypoints]
    assert arm.call(Trigger, "resume").success
    assert arm.goal().wait(60).error_code == Result.STEP_LIMIT


def test_reset_ends_the_goal(arm):
    watch = AtStage("moving")
    goal = arm.goal(max_steps=20, watch=watch)
    assert watch.came.wait(60)
    assert arm.call(Trigger, "reset_episode").success
    assert goal.wait(30).error_code == Result.RESET
    assert arm.at_rest()


def test_a_prompt_that_no_goal_runs_gives_way_to_the_next(arm):
    request = SetPrompt.Request(prompt=Prompt(text=TEXT))
    first = arm.client.call(SetPrompt, "set_prompt", request).prompt_id
    arm.episodes.wait(lambda m: m.prompt_id == first, 15, "the first")
    second = arm.client.call(SetPrompt, "set_prompt", request).prompt_id
    ended = arm.episodes.wait(
        lambda m: m.prompt_id == first and m.state > EpisodeStatus.PAUSED, 30, "its end"
    )
    assert ended.code in (EpisodeStatus.REPLACED, EpisodeStatus.STEP_LIMIT)
    arm.episodes.wait(
        lambda m: m.prompt_id == second and m.state == EpisodeStatus.FINISHED, 60, "the second"
    )


def test_in_single_step_each_step_is_requested_and_answered_by_the_gate(arm):
    prompt_id = arm.hold()
    sent = len(arm.commands.messages)
    answer = arm.call(StepPolicy, "step")
    assert answer.action.prompt_id == prompt_id
    if answer.success:
        assert answer.code == "OK"
        command = arm.commands.wait(lambda m: bool(m.waypoints), 15, "a command", sent)
        assert command.command_id.startswith(prompt_id)
    else:
        assert answer.code in ("NOT_FINITE", "UNREACHABLE", "OUTSIDE_WORKSPACE")
    ended = arm.episodes.wait(
        lambda m: m.prompt_id == prompt_id and m.state == EpisodeStatus.FINISHED, 60, "its end"
    )
    assert ended.code == EpisodeStatus.STEP_LIMIT
    again = arm.call(StepPolicy, "step")
    assert (again.success, again.code) == (False, EpisodeStatus.STEP_LIMIT)
    assert "reset_episode" in again.message
    assert arm.call(Trigger, "reset_episode").success
    anew = arm.call(StepPolicy, "step")
    assert (anew.action.prompt_id, anew.action.step) == (prompt_id, 0)


def test_an_episode_that_decides_by_itself_takes_no_steps(arm):
    watch = AtStage("moving")
    goal = arm.goal(max_steps=20, watch=watch)
    assert watch.came.wait(60)
    assert arm.call(StepPolicy, "step").code == "BUSY"
    goal.cancel()
    goal.wait(30)


def test_success_of_the_task_ends_the_episode(arm):
    """The oracle acts in the policy's place; the task reports success."""
    task = find_task("visual_manipulation")
    quiet = SetParameters.Request(
        parameters=[Parameter("send_prompt", value=False).to_parameter_msg()]
    )
    arm.client.call(SetParameters, "tabletop/set_parameters", quiet)
    prompts = arm.client.subscribe(Prompt, "task_prompt", qos.LATCHED)
    driver = OracleDriver(arm.client)
    episode = task.sample(3, None)
    oracle = task.oracle(episode)
    status = driver.load(task.name, episode.level.value, 3)
    prompt = prompts.wait(lambda m: m.text == episode.prompt, 15, "the task's prompt")
    answer = arm.client.call(SetPrompt, "set_prompt", SetPrompt.Request(prompt=prompt, hold=True))
    assert answer.success, answer.message
    arm.episodes.wait(
        lambda m: m.prompt_id == answer.prompt_id and m.waiting_for_step, 15, "it waits"
    )
    while status.outcome == TaskStatus.RUNNING:
        status = driver.act(task, oracle.act(driver.world_state(episode, status)), status)
    assert status.outcome == TaskStatus.SUCCESS
    ended = arm.episodes.wait(
        lambda m: m.prompt_id == answer.prompt_id and m.state > EpisodeStatus.PAUSED, 15, "its end"
    )
    assert (ended.state, ended.code) == (EpisodeStatus.FINISHED, EpisodeStatus.SUCCESS)
