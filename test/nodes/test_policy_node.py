"""The policy node alone, with a checkpoint: what it says of it, and the limits it keeps."""

import numpy as np
import pytest
from by_hand import STEPS, bring_up
from diagnostic_msgs.msg import DiagnosticArray
from helpers import data
from outlines_of import outline
from rclpy.qos import DurabilityPolicy, QoSProfile

from vima_msgs.action import ExecutePrompt
from vima_msgs.msg import (
    ArmState,
    Attention,
    EpisodeHistory,
    EpisodeStatus,
    Object,
    Observation,
    PolicyAction,
    Prompt,
    PromptToken,
    PromptTokens,
    TaskStatus,
)
from vima_ros.client.client import Client
from vima_ros.client.execute_prompt import ExecutePromptGoal
from vima_ros.client.node_processes import NodeProcesses
from vima_ros.nodes.common import action_conversions, qos
from vima_ros.nodes.common.attention_conversions import attention_from_message
from vima_ros.outlines import clearances
from vima_ros.policy.picked_object import bin_pixels
from vima_ros.policy.tokenizer import T5, TokenizerIdentity, bundled_tokenizer


class PolicyOnly:
    """The node brought up by hand, its prompts and its answers."""

    def __init__(self, processes, client):
        self.client, self.log = client, lambda: processes.log("policy")
        self.episodes = client.subscribe_episodes()
        self.actions = client.subscribe(PolicyAction, "action")
        self.diagnostics = client.subscribe(DiagnosticArray, "/diagnostics")
        self.tokens = client.create_publisher(PromptTokens, "prompt_tokens", qos.LATCHED)
        self.seen = client.create_publisher(Observation, "observation")
        self.arm = client.create_publisher(ArmState, "arm_state")
        self.judge = client.create_publisher(TaskStatus, "task_status", qos.LATCHED)
        bring_up(client, "policy")
        client.wait_until(lambda: self.seen.get_subscription_count() > 0, "the policy node")
        assert "UNTRAINED" not in self.log()

    def prompt(self, name, words=1, tokenizer=T5):
        """The status that a prompt of ``words`` words leads to."""
        message = PromptTokens(prompt_id=name, text="words")
        message.tokenizer_sha256, message.vocabulary_size = tokenizer.sha256, tokenizer.words
        message.tokens = [PromptToken(kind=PromptToken.KIND_WORD, value=7, text="▁pick")] * words
        self.tokens.publish(message)
        return self.status(lambda m: m.prompt_id == name, 0)

    def decision(self, name):
        """The command id of what is decided on an observation of now."""
        before = self.actions.count
        assert self.observe(1).state == EpisodeStatus.EXECUTING
        action = self.actions.wait(lambda m: m.prompt_id == name, 30, "an action", before)
        return action_conversions.action_id(action)

    def arm_reports(self, state, command_id, code="OK"):
        """The status after the arm node's word."""
        before = self.episodes.count
        stamp = self.client.node.get_clock().now().to_msg()
        word = ArmState(judged=True, state=state, code=code, command_id=command_id)
        word.header.stamp = stamp
        self.arm.publish(word)
        return self.status(lambda m: True, before)

    def task_reports(self, outcome, command_id="", prompt="words"):
        self.judge.publish(TaskStatus(prompt=prompt, outcome=outcome, command_id=command_id))

    def observe(self, objects, outline=()):
        """The status after an observation of now, with so many objects in each view."""
        message = Observation()
        message.header.stamp = self.client.node.get_clock().now().to_msg()
        for view in (message.front, message.top):
            seen = Object(track_id=5, score=1.0, bbox=[9, 9, 5, 5], outline=outline)
            view.objects = [seen] * objects
        before = self.episodes.count
        self.seen.publish(message)
        return self.status(lambda m: m.state != EpisodeStatus.DECIDING, before)

    def status(self, condition, before):
        return self.episodes.wait(condition, 30, "episode", before)


@pytest.fixture(scope="module")
def node(tmp_path_factory):
    checkpoint = data("golden/vima.ckpt")
    folder = tmp_path_factory.mktemp("logs")
    with NodeProcesses(folder, params_file="example") as processes, Client("prompter") as client:
        processes.start(
            ["policy"],
            {
                "checkpoint": str(checkpoint),
                "vit_heads": 4,
                "dtype": "bfloat16",
                "pick": "grounded",
                "default_end_effector": "suction",
                "task_status_timeout": 60.0,
                "max_age": 60.0,  # an observation is sent once, to a machine that may be busy
            },
        )
        yield PolicyOnly(processes, client)


def test_diagnostics_describe_the_model(node):
    def model(message):
        return next((s for s in message.status if s.name.endswith("/policy: model")), None)

    message = node.diagnostics.wait(model, 30, "diagnostics")
    told = {value.key: value.value for value in model(message).values}
    assert len(told["sha256"]) == 64
    assert told["checkpoint"] == "vima.ckpt"
    assert told["dtype"] == "bfloat16"
    assert "vit_heads" in str(told)


def test_a_late_subscriber_gets_the_current_episode_and_its_history_in_one_message(node):
    deep = QoSProfile(depth=100, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    for turn in range(12):
        node.prompt(f"turn {turn}")
    with Client("late") as late:
        present = late.subscribe(EpisodeStatus, "episode", deep)
        history = late.subscribe(EpisodeHistory, "episode_history", deep)
        changes = late.subscribe_episodes()
        first = present.wait(lambda m: True, 30, "episode")
        assert (first.prompt_id, first.state) == ("turn 11", EpisodeStatus.OBSERVING)
        told = history.wait(lambda m: True, 30, "history").statuses
        assert len(told) == 20
        assert told[-1] == first
        ended = [m.prompt_id for m in told if m.code == EpisodeStatus.REPLACED]
        assert ended == [f"turn {turn}" for turn in range(1, 11)]
        changes.wait(lambda m: m == first, 30, "the present change")
        assert changes.messages == told
        node.prompt("after")
        changes.wait(lambda m: m.prompt_id == "after", 30, "the next prompt")
        new = changes.messages[len(told) :]
        assert [m.prompt_id for m in new] == ["turn 11", "after"]
        present.wait(lambda m: m.prompt_id == "after", 30, "episode")
        assert "turn 10" not in {m.prompt_id for m in present.messages}


def test_word_ids_of_another_tokenizer_are_refused(node):
    as_large = TokenizerIdentity("0" * 64, T5.words)
    for name, tokenizer in (("ours", bundled_tokenizer()), ("as large", as_large)):
        refused = node.prompt(name, tokenizer=tokenizer)
        assert refused.state == EpisodeStatus.FAILED
        assert refused.code == EpisodeStatus.WRONG_TOKENIZER
        assert str(tokenizer) in refused.message
        assert str(T5) in refused.message
    accepted = node.prompt("its own")
    assert accepted.state == EpisodeStatus.OBSERVING, accepted.message


def test_a_prompt_beyond_the_limit_ends_its_episode_with_it(node):
    ended = node.prompt("257 words", words=257)
    assert (ended.state, ended.code) == (EpisodeStatus.FAILED, EpisodeStatus.PROMPT_TOO_LONG)
    assert "at most 256" in ended.message
    assert node.prompt("256 words", words=256).state == EpisodeStatus.OBSERVING


def test_attention_is_published_only_where_it_is_asked_for(node):
    attentions = node.client.subscribe(Attention, "attention")
    node.prompt("attention", words=3)
    commands = []
    for asked in (False, True, False):
        node.client.set_parameter("policy", "publish_attention", asked)
        commands.append(node.decision("attention"))
        assert node.arm_reports(ArmState.SUCCEEDED, commands[-1]).state == EpisodeStatus.OBSERVING
    message = attentions.wait(lambda m: True, 30, "attention")
    action = next(m for m in node.actions.messages if m.prompt_id == "attention" and m.step == 1)
    assert (message.prompt_id, message.step) == ("attention", 1)
    assert message.observation_stamp == action.observation_stamp
    got = attention_from_message(message)
    assert [token.view for token in got.observed] == ["front", "top"]
    assert [token.text for token in got.prompt] == ["pick"] * 3
    np.testing.assert_allclose(got.objects.sum(-1), 1, atol=0.02)  # bfloat16
    assert attentions.count == 1


def test_a_pick_is_in_an_outline_or_the_log_has_the_reason(node):
    square = outline([(40, 30), (80, 30), (80, 70), (40, 70)])
    node.prompt("grounded")
    for numbers, track_id in ((square[:4].ravel().tolist(), 5), ((), 0)):
        before = node.actions.count
        assert node.observe(1, numbers).state == EpisodeStatus.EXECUTING
        action = node.actions.wait(lambda m: m.prompt_id == "grounded", 30, "an action", before)
        assert action.picked_track_id == track_id
        clear = clearances(square, bin_pixels()[action.bins[0], action.bins[1]][None])[0]
        assert (clear >= 2) == bool(track_id)
        node.arm_reports(ArmState.SUCCEEDED, action_conversions.action_id(action))
    node.client.wait_until(
        lambda: "pick by the bins alone: the observation has no outlines" in node.log(), "the log"
    )


def test_an_outline_that_is_none_ends_the_episode_with_what_is_valid(node):
    node.prompt("not an outline")
    ended = node.observe(1, [40, 30, 1, 80])
    assert (ended.state, ended.code) == (EpisodeStatus.FAILED, EpisodeStatus.POLICY_ERROR)
    assert "INVALID_VALUE: an outline of 4 numbers; valid: 3 for each" in ended.message


def test_an_unacknowledged_decision_is_sent_again(node):
    node.prompt("unheard")
    assert node.observe(1).state == EpisodeStatus.EXECUTING

    def sent():
        return [m for m in node.actions.messages if m.prompt_id == "unheard"]

    node.client.wait_until(lambda: len(sent()) > 1, "the same again")
    first, again = sent()[:2]
    assert first == again
    before = node.episodes.count
    answer = ArmState(
        judged=True, state=ArmState.REFUSED, command_id=action_conversions.action_id(first)
    )
    for code in ("DUPLICATE", "UNREACHABLE"):
        answer.code = code
        node.arm.publish(answer)
    told = node.status(lambda m: m.prompt_id == "unheard", before)
    assert (told.step, told.code) == (1, "UNREACHABLE"), "a copy uses up nothing"


def test_a_position_where_nothing_was_picked_is_not_tried_again(node):
    node.prompt("missed")
    picks = []
    for step in range(1, 6):  # beyond max_failures: a pick at nothing is no failure of the arm
        before = node.actions.count
        assert node.observe(1).state == EpisodeStatus.EXECUTING
        action = node.actions.wait(lambda m: m.prompt_id == "missed", 30, "an action", before)
        assert all(np.abs(action.bins[:2] - pick).max() > 1 for pick in picks)
        picks.append(np.array(action.bins[:2], int))
        told = node.episodes.count
        name = action_conversions.action_id(action)
        answer = ArmState(judged=True, state=ArmState.ABORTED, code="NOT_PICKED", command_id=name)
        node.arm.publish(answer)
        status = node.status(lambda m: m.step, told)
        assert (status.step, status.state) == (step, EpisodeStatus.OBSERVING)


@pytest.mark.parametrize("first", ["judge", "arm"])
def test_the_result_of_a_step_needs_the_reports_of_arm_and_task(node, first):
    node.task_reports(TaskStatus.RUNNING)
    name = f"first the {first}"
    node.prompt(name)
    try:
        command = node.decision(name)
        node.task_reports(TaskStatus.SUCCESS, "another/0/1")
        node.task_reports(TaskStatus.RUNNING, command)
        node.arm_reports(ArmState.EXECUTING, command)
        assert node.arm_reports(ArmState.SUCCEEDED, command).step == 1
        command = node.decision(name)  # at once: the judge's word was in before the arm's
        if first == "judge":
            node.task_reports(TaskStatus.SUCCESS, command)
        node.arm_reports(ArmState.EXECUTING, command)
        node.arm_reports(ArmState.SUCCEEDED, command)
        if first == "arm":
            node.task_reports(TaskStatus.SUCCESS, command)
        ended = node.status(lambda m: m.prompt_id == name and m.state > EpisodeStatus.PAUSED, 0)
        assert (ended.code, ended.step, ended.executed) == (EpisodeStatus.SUCCESS, 2, 2)
    finally:
        node.task_reports(TaskStatus.RUNNING, prompt="")


def test_a_history_beyond_the_limit_ends_the_episode_with_it(node):
    node.prompt("crowd")
    before = node.actions.count
    ended = node.observe(257)  # in each view: 514 tokens
    assert (ended.state, ended.code) == (EpisodeStatus.FAILED, EpisodeStatus.HISTORY_FULL)
    assert "514 tokens" in ended.message
    assert "at most 512" in ended.message
    assert node.actions.count == before
    node.prompt("after the crowd")
    assert node.observe(256).state == EpisodeStatus.EXECUTING
    assert node.actions.wait(lambda m: m.prompt_id == "after the crowd", 30, "an action", before)


@pytest.mark.slow
def test_a_goal_before_activation_ends_at_once_and_names_the_nodes_and_their_states(tmp_path):
    configure, activate = [dict([step]) for step in STEPS.items()]
    with (
        NodeProcesses(tmp_path, params_file="example", namespace="/early") as processes,
        Client("early", "/early") as client,
    ):
        processes.start(["policy", "arm"], {"checkpoint": "random"})
        bring_up(client, "policy", configure)

        def end(told):
            """Until the policy node has heard of the arm node, too."""
            result = ExecutePromptGoal(client, Prompt(text="Put the {a} aside.")).wait(30)
            assert result.steps == 0
            return told in result.error_msg and result.error_code

        early = ExecutePrompt.Result.NOT_ACTIVE
        client.wait_until(lambda: end("policy is not active, arm is unconfigured") == early, "it")
        bring_up(client, "policy", activate)
        client.wait_until(lambda: end("NOT_ACTIVE: arm is unconfigured;") == early, "the arm")
        bring_up(client, "arm", configure)
        client.wait_until(lambda: end("NOT_ACTIVE: arm is inactive;") == early, "its new state")
