"""Hostile actions and prompts into running nodes: each is answered, and nothing dies."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sensor_msgs.msg import Image

from vima_msgs.msg import ArmCommand, ArmState, PolicyAction, Prompt, PromptAsset
from vima_msgs.srv import SetPrompt
from vima_ros.geometry import Workspace
from vima_ros.nodes.common import action_conversions

calm = settings(
    max_examples=120,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
numbers = st.one_of(st.floats(-1.2, 1.2), st.floats(allow_nan=True, allow_infinity=True))
short = st.one_of(st.floats(0, 1, width=32), st.floats(width=32))


@st.composite
def actions(draw):
    action = PolicyAction(prompt_id=draw(st.text("ab/{}", max_size=4)))
    action.header.frame_id = draw(st.sampled_from(["", "table", "table", "base_link", "moon"]))
    action.primitive = draw(st.sampled_from([0, 0, 1, 2, 255]))
    for pose in (action.pose0, action.pose1):
        p, q = pose.position, pose.orientation
        p.x, p.y, p.z = draw(numbers), draw(numbers), draw(numbers)
        q.x, q.y, q.z, q.w = (draw(numbers) for _ in range(4))
    action.confidence = [draw(short) for _ in range(12)]
    for stamp in (action.observation_stamp, action.front_stamp, action.top_stamp):
        stamp.sec = draw(st.integers(-(2**31), 2**31 - 1))
        stamp.nanosec = draw(st.integers(0, 2**32 - 1))
    return action


@pytest.fixture(scope="module")
def arm(suite):
    arm = suite.client
    arm.states = arm.subscribe(ArmState, "arm_state")
    arm.commands = arm.subscribe(ArmCommand, "arm_command")
    arm.act = arm.create_publisher(PolicyAction, "action")
    arm.wait_until(lambda: arm.act.get_subscription_count() > 0, "the arm node")
    return arm


@calm
@given(action=actions(), fresh=st.booleans())
def test_any_action_is_answered_and_moves_only_where_it_may(suite, arm, action, fresh):
    if fresh:
        now = arm.node.get_clock().now().to_msg()
        action.observation_stamp = action.front_stamp = action.top_stamp = now
    before = arm.states.count
    arm.act.publish(action)
    told = arm.states.wait(
        lambda m: m.judged and m.command_id == action_conversions.action_id(action),
        15,
        "word",
        before,
    )
    assert told.code
    if told.state == ArmState.EXECUTING:
        arm.states.wait(lambda m: m.judged and m.state > ArmState.EXECUTING, 60, "end", before)
    space = Workspace()
    for command in arm.commands.messages:
        for waypoint in command.waypoints:
            p = waypoint.pose.position
            assert space.contains(p.x, p.y)
            assert 0.0 <= p.z <= 0.6
    suite.processes.check_alive()


@st.composite
def pictures(draw):
    size = draw(st.sampled_from([0, 7, 256 * 128, 256 * 128 * 2, 256 * 128 * 3]))
    fill = draw(st.integers(0, 255))
    return Image(
        width=draw(st.sampled_from([0, 1, 256, 2**32 - 1])),
        height=draw(st.sampled_from([0, 1, 128, 2**32 - 1])),
        step=draw(st.sampled_from([0, 256, 768, 2**32 - 1])),
        encoding=draw(st.sampled_from(["rgb8", "mono8", "mono16", "bayer_rggb8", "", "ä"])),
        is_bigendian=draw(st.integers(0, 255)),
        data=bytes([fill]) * size,
    )


pieces = st.lists(
    st.sampled_from(
        ["{a}", "{b}", "{", "}", " ", "put", "{" * 50, "\U0001f600", "\x7f", "x" * 99]
    ),
    max_size=12,
)
assets = st.lists(
    st.builds(
        PromptAsset,
        name=st.sampled_from(["a", "b", "", "ä", "a/../b"]),
        kind=st.integers(0, 255),
        front=pictures(),
        top=pictures(),
        front_mask=pictures(),
        top_mask=pictures(),
    ),
    max_size=3,
)


@calm
@given(text=pieces.map("".join), sent=assets, check=st.booleans(), hold=st.booleans())
def test_any_prompt_is_answered(suite, text, sent, check, hold):
    prompt = Prompt(text=text, assets=sent)
    request = SetPrompt.Request(prompt=prompt, check_only=check, hold=hold)
    answer = suite.client.call(SetPrompt, "set_prompt", request)
    assert answer.success == (answer.code == "OK")
    assert answer.success or len(answer.message) > 10
    suite.processes.check_alive()
