"""Prompts by topic and service into the running suite; bad ones are refused, and nothing dies."""

import numpy as np
import pytest
from rclpy.qos import DurabilityPolicy, QoSProfile
from sensor_msgs.msg import Image

from vima_msgs.msg import EpisodeStatus, Prompt, PromptAsset, PromptStatus, PromptTokens
from vima_msgs.srv import SetPrompt
from vima_ros.nodes.common import image_conversion, qos


def make_image(width=256, height=128, sides=(30, 30)) -> Image:
    """A red rectangle on white, as prompts show an object."""
    rgb = np.full((height, width, 3), 255, np.uint8)
    rgb[40 : 40 + sides[0], 100 : 100 + sides[1]] = (200, 30, 30)
    return image_conversion.encode(rgb, "rgb8")


def asset(name="block", **views) -> PromptAsset:
    return PromptAsset(name=name, **(views or {"front": make_image(), "top": make_image()}))


def good(text="Put the {block} aside.") -> Prompt:
    return Prompt(text=text, assets=[asset()])


def truncated() -> Image:
    image = make_image()
    image.data = image.data[:1000]
    return image


def strange_encoding() -> Image:
    image = make_image()
    image.encoding = "sparkle8"
    return image


def hundred_megapixels() -> Image:
    image = make_image()
    image.width, image.height = 10_000, 10_000
    return image


def wrong_mask() -> PromptAsset:
    small = image_conversion.encode(np.ones((64, 64), np.uint8), "mono8")
    return PromptAsset(name="block", front=make_image(), front_mask=small)


BAD = {
    "no text": (Prompt(text="  ", assets=[asset()]), "EMPTY_TEXT"),
    "over-long text": (good("Put the {block} " + "aside " * 300), "TEXT_TOO_LONG"),
    "too many tokens": (good("{block} " + "Ж" * 300), "PROMPT_TOO_LONG"),
    "unbalanced brace": (good("Put the {block aside."), "BAD_PLACEHOLDER"),
    "bad name": (good("Put the {red block} aside."), "BAD_PLACEHOLDER"),
    "glued to a word": (good("Put xx{block}xx aside."), "BAD_PLACEHOLDER"),
    "no image": (Prompt(text="Put it aside."), "NO_PLACEHOLDER"),
    "unknown placeholder": (good("Put the {block} into the {bowl}."), "UNKNOWN_PLACEHOLDER"),
    "missing placeholder": (
        Prompt(text="Put the {block} aside.", assets=[asset(), asset("bowl")]),
        "MISSING_PLACEHOLDER",
    ),
    "two of a name": (
        Prompt(text="Put the {block} aside.", assets=[asset(), asset()]),
        "DUPLICATE_ASSET",
    ),
    "unknown kind": (
        Prompt(
            text="Put the {block} aside.",
            assets=[PromptAsset(name="block", kind=7, front=make_image())],
        ),
        "BAD_KIND",
    ),
    "truncated image": (
        Prompt(text="Put the {block} aside.", assets=[asset(front=truncated())]),
        "BAD_IMAGE",
    ),
    "unknown encoding": (
        Prompt(text="Put the {block} aside.", assets=[asset(front=strange_encoding())]),
        "BAD_IMAGE",
    ),
    "hundred megapixels": (
        Prompt(text="Put the {block} aside.", assets=[asset(top=hundred_megapixels())]),
        "BAD_IMAGE",
    ),
    "wrong size": (
        Prompt(text="Put the {block} aside.", assets=[asset(front=make_image(200, 100))]),
        "WRONG_SIZE",
    ),
    "mask of another size": (
        Prompt(text="Put the {block} aside.", assets=[wrong_mask()]),
        "WRONG_SIZE",
    ),
    "nothing to be seen": (
        Prompt(text="Put the {block} aside.", assets=[asset(front=make_image(sides=(0, 0)))]),
        "NO_OBJECT",
    ),
    "no view at all": (
        Prompt(text="Put the {block} aside.", assets=[PromptAsset(name="block")]),
        "NO_OBJECT",
    ),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_prompt_is_refused_with_its_reason_and_the_node_lives_on(suite, kind):
    prompt, code = BAD[kind]
    answer = suite.client.call(SetPrompt, "set_prompt", SetPrompt.Request(prompt=prompt))
    assert (answer.success, answer.code, answer.prompt_id) == (False, code, "")
    assert len(answer.message) > 15
    suite.processes.check_alive()


def test_a_bad_prompt_by_topic_is_answered_on_prompt_status(suite):
    status = suite.client.subscribe(PromptStatus, "prompt_status", qos.LATCHED)
    publisher = suite.client.create_publisher(Prompt, "prompt", qos.LATCHED)
    publisher.publish(good("Put the {block} into the {cup}."))
    answer = status.wait(lambda m: "{cup}" in m.text, 15, "prompt_status")
    assert answer.code == PromptStatus.UNKNOWN_PLACEHOLDER
    assert "cup" in answer.message


def test_a_prompt_by_service_becomes_an_episode(suite):
    episodes = suite.client.subscribe_episodes()
    answer = suite.client.call(SetPrompt, "set_prompt", SetPrompt.Request(prompt=good()))
    assert answer.success, answer.message
    done = episodes.wait(
        lambda m: m.prompt_id == answer.prompt_id and m.state == EpisodeStatus.FINISHED,
        60,
        "end of the episode",
    )
    assert (done.code, done.step, done.text) == (EpisodeStatus.STEP_LIMIT, 1, good().text)


@pytest.mark.parametrize(
    "profile",
    [qos.LATCHED, QoSProfile(depth=1, durability=DurabilityPolicy.VOLATILE)],
    ids=["latched", "volatile, as `ros2 topic pub`"],
)
def test_a_prompt_by_topic_is_taken_once(suite, profile):
    tokens = suite.client.subscribe(PromptTokens, "prompt_tokens", qos.LATCHED)
    publisher = suite.client.create_publisher(Prompt, "prompt", profile)
    wanted = 1 if profile.durability == DurabilityPolicy.VOLATILE else 2
    suite.client.wait_until(
        lambda: publisher.get_subscription_count() >= wanted, "the prompt node's subscriptions"
    )
    text = f"Put the {{block}} there, profile {profile.durability}."
    publisher.publish(good(text))
    tokens.wait(lambda m: m.text == text, 15, "prompt_tokens")
    # A service call that follows is answered after whatever the topic still had to bring.
    suite.client.call(SetPrompt, "set_prompt", SetPrompt.Request(prompt=good("{block} end.")))
    tokens.wait(lambda m: m.text == "{block} end.", 15, "prompt_tokens")
    assert [m.text for m in tokens.messages].count(text) == 1


def test_a_latched_prompt_reaches_who_comes_later(suite):
    answer = suite.client.call(SetPrompt, "set_prompt", SetPrompt.Request(prompt=good()))
    late = suite.client.subscribe(PromptTokens, "prompt_tokens", qos.LATCHED)
    message = late.wait(lambda m: True, 15, "latched prompt_tokens")
    assert message.prompt_id == answer.prompt_id
    kinds = [(t.kind, t.value) for t in message.tokens]
    assert kinds.count((1, 0)) == 1
    assert [i.name for i in message.images] == ["block"]
    assert [len(i.front.objects) + len(i.top.objects) for i in message.images] == [2]
