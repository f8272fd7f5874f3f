"""What must happen when something goes wrong; each test also checks all commands that left."""

import math
import resource

import pytest
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus

from vima_msgs.action import ExecutePrompt
from vima_msgs.msg import (
    ArmCommand,
    ArmState,
    EpisodeStatus,
    PerceptionStatus,
    PolicyAction,
    Prompt,
    PromptAsset,
)
from vima_msgs.srv import CaptureAsset, ListAssets
from vima_ros.client.client import Client

Result = ExecutePrompt.Result


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        ("frozen", PerceptionStatus.FROZEN),
        ("swapped", PerceptionStatus.WRONG_CAMERA),
        ("one dead", PerceptionStatus.NO_FRAMES),
        ("dark", PerceptionStatus.NO_FRAMES),
        ("out of step", PerceptionStatus.UNMATCHED_VIEWS),
        ("an hour behind", PerceptionStatus.STALE),
        ("an hour ahead", PerceptionStatus.STALE),
        ("truncated", PerceptionStatus.BAD_IMAGE),
    ],
)
def test_faulty_cameras_lead_to_no_motion_and_the_episode_ends_with_their_code(suite, fault, code):
    goal = suite.goal("moving")
    suite.relay.cameras = fault
    before = suite.seen.count
    suite.seen.wait(lambda m: m.code == code, 15, code, before)
    decided = suite.actions.count
    result = goal.wait(60)
    assert result.error_code == Result.NO_OBSERVATION, result.error_msg
    assert code in result.error_msg
    assert suite.actions.count <= decided + 1, "one may have been under way"
    suite.relay.cameras = ""
    assert suite.goal(max_steps=1).wait(60).error_code == Result.STEP_LIMIT, "and it sees again"


def test_a_robot_that_reports_success_without_motion_is_stopped(suite):
    suite.relay.robot = "lies"
    goal = suite.goal("moving")
    ended = suite.states.wait(
        lambda m: m.judged and m.code == ArmState.NOT_MOVED,
        15,
        "NOT_MOVED",
        suite.states.count - 5,
    )
    assert ended.state == ArmState.ABORTED
    result = goal.wait(60)
    assert result.error_code == Result.STOPPED
    last = suite.episodes.messages[-1]
    assert (last.code, last.executed) == (EpisodeStatus.STOPPED, 0)


def test_a_robot_that_does_not_start_is_given_up(suite):
    suite.relay.robot = "deaf"
    goal = suite.goal("moving", max_steps=1)
    result = goal.wait(60)
    assert result.error_code == Result.STEP_LIMIT
    assert "NOT_STARTED" in result.error_msg
    assert suite.episodes.messages[-1].executed == 0


def test_a_robot_that_falls_silent_while_moving_is_stopped(suite):
    goal = suite.goal("moving")
    before, commands = suite.states.count, suite.commands.count
    suite.relay.robot = "silent"
    stop = suite.commands.wait(lambda m: not m.waypoints, 15, "a stop", commands)
    assert not stop.waypoints
    told = suite.states.wait(lambda m: m.judged and m.state == ArmState.STOPPED, 15, "it", before)
    assert "arm_state" in told.message
    result = goal.wait(60)
    assert result.error_code == Result.STOPPED
    assert "arm_state" in result.error_msg


def test_a_tool_pose_that_is_no_number_is_unknown(suite):
    """As one that the robot left at its default: nothing follows from it."""
    suite.relay.robot = "nowhere"
    before = suite.states.count
    goal = suite.goal(max_steps=3)
    assert goal.wait(60).error_code == Result.STEP_LIMIT

    def ends() -> list[ArmState]:
        return [m for m in suite.states.since(before) if m.judged and m.state > m.EXECUTING]

    suite.client.wait_until(lambda: len(ends()) >= 3, "the word on three motions")
    assert ArmState.NOT_MOVED not in {m.code for m in ends()}


def test_a_prompt_sent_while_a_goal_runs_is_refused_and_changes_nothing(suite):
    goal = suite.goal("moving")
    running = suite.episodes.messages[-1].prompt_id
    answer = suite.set_prompt()
    assert answer.code == "BUSY"
    suite.prompts.publish(Prompt(text="Put the {all} elsewhere."))
    suite.status(lambda m: m.prompt_id == running and m.step >= 2, "it goes on")
    goal.cancel()
    assert goal.wait(30).error_code == Result.CANCELLED


def test_a_prompt_that_replaces_another_ends_it_and_waits_for_its_motion(suite):
    first = suite.set_prompt().prompt_id
    suite.status(lambda m: m.prompt_id == first and m.state == m.EXECUTING, "motion")
    second = suite.set_prompt().prompt_id
    ended = suite.status(lambda m: m.prompt_id == first and m.state >= m.FINISHED, "its end")
    assert ended.code == EpisodeStatus.REPLACED
    suite.status(lambda m: m.prompt_id == second and m.step >= 1, "the second moves")
    sent = [m.command_id.split("/")[0] for m in suite.commands.messages if m.waypoints]
    assert sent.index(second) > len(sent) - 1 - sent[::-1].index(first), "not both"


def test_two_clients_at_once_get_one_episode_and_one_refusal(suite):
    goals = [suite.goal(), suite.goal()]
    suite.status(lambda m: m.by_goal and m.state == m.EXECUTING, "motion", suite.episodes.count)
    goals[1].cancel()
    goals[0].cancel()
    codes = sorted(goal.wait(60).error_code for goal in goals)
    assert codes == [Result.BUSY, Result.CANCELLED]


def test_a_flood_of_prompts_gets_responses_and_each_episode_has_an_end(suite):
    before = suite.episodes.count
    ids = [suite.set_prompt().prompt_id for _ in range(60)]
    for _ in range(200):
        suite.prompts.publish(Prompt(text="{nothing} of the kind"))
    last = suite.set_prompt()
    assert last.success
    suite.status(lambda m: m.prompt_id == last.prompt_id and m.step >= 1, "the last one moves")
    ended = {m.prompt_id for m in suite.episodes.since(before) if m.state >= m.FINISHED}
    begun = {m.prompt_id for m in suite.episodes.since(before)} - {last.prompt_id}
    assert begun - {""} <= ended | {suite.episodes.messages[before - 1].prompt_id}
    assert set(ids) & begun
    suite.processes.check_alive()


def test_a_full_disk_is_reported_and_the_old_asset_stays(suite):
    pid = suite.processes.pid("prompt")
    request = CaptureAsset.Request(name="all", kind=PromptAsset.KIND_SCENE)
    whole = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    try:  # no file may grow beyond a kilobyte: as a full disk does to what is being written
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (1000, whole[1]))
        answer = suite.call(CaptureAsset, "capture_asset", request)
    finally:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, whole)
    assert (answer.success, answer.code) == (False, "LIBRARY_ERROR")
    listed = suite.call(ListAssets, "list_assets")
    assert [a.name for a in listed.assets] == ["all"]
    assert list(listed.unreadable) == []
    assert suite.set_prompt(check_only=True).success
    assert suite.call(CaptureAsset, "capture_asset", request).success


def hostile_actions(stamp):
    """Actions that nobody should carry out."""
    for x, y in ((math.nan, 0.0), (math.inf, 0.0), (0.2, 0.0), (0.5, 9.0), (1e300, 1e300)):
        action = PolicyAction(prompt_id="hostile", observation_stamp=stamp)
        action.pose0.position.x, action.pose0.position.y = x, y
        action.pose1.position.x = 0.5
        yield action
    yield PolicyAction(prompt_id="hostile", observation_stamp=stamp, primitive=7)
    old = PolicyAction(prompt_id="hostile")
    old.pose0.position.x = old.pose1.position.x = 0.5
    yield old
    wrong = PolicyAction(prompt_id="hostile", observation_stamp=stamp, step=99)
    wrong.header.frame_id = "moon"
    yield wrong


def test_hostile_actions_are_refused_each_with_its_code(suite):
    stamp = suite.seen.messages[-1].header.stamp
    for step, action in enumerate(hostile_actions(stamp)):
        action.step = step
        before = suite.states.count
        suite.act.publish(action)
        told = suite.states.wait(
            lambda m: m.judged and m.command_id.startswith("hostile/"), 15, "an answer", before
        )
        assert told.state == ArmState.REFUSED
        assert told.code in (
            "NOT_FINITE",
            "OUTSIDE_WORKSPACE",
            "STALE",
            "INVALID_VALUE",
            "WRONG_FRAME",
        )
    assert not [m for m in suite.commands.messages if m.command_id.startswith("hostile")]


def test_other_publishers_of_motion_are_reported(suite):
    diagnostics = suite.client.subscribe(DiagnosticArray, "/diagnostics")
    with Client("intruder") as client:
        client.create_publisher(ArmCommand, "arm_command")
        text = "others publish motion: arm_command by /vima/intruder"  # its name may come later
        diagnostics.wait(
            lambda m: any(
                s.name == "/vima/arm: motion topics"
                and (s.level, s.message) == (DiagnosticStatus.ERROR, text)
                for s in m.status
            ),
            15,
            text,
        )
