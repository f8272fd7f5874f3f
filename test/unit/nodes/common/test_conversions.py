"""Messages to values and back, and what a robot's author may leave out of a message."""

import math

import numpy as np
import pytest

pytest.importorskip("vima_msgs.msg", reason="vima_msgs is not built")

from geometry_msgs.msg import Point, Pose, Quaternion
from hypothesis import given
from hypothesis import strategies as st
from outlines_of import outline
from rclpy.serialization import deserialize_message, serialize_message
from std_msgs.msg import Header

from vima_msgs import msg
from vima_msgs.msg import ArmState
from vima_ros.errors import VimaError
from vima_ros.nodes.common.conversions import (
    images_from_message,
    observation_from_message,
    observation_to_message,
    tool_pose_from_message,
)
from vima_ros.nodes.common.prompt_conversions import prompt_from_message, prompt_to_message
from vima_ros.specs import (
    VIEWS,
    AssetKind,
    EncodedPrompt,
    EndEffector,
    Observation,
    PromptImage,
    ViewImages,
    ViewObjects,
)

TIP = Point(x=0.4, y=0.1, z=0.3)


@pytest.mark.parametrize(
    "pose",
    [
        ArmState().tool_pose,
        Pose(orientation=Quaternion(w=0.0)),
        Pose(orientation=Quaternion(x=1.0, w=0.0)),
        Pose(position=TIP, orientation=Quaternion(w=0.0)),
        Pose(position=Point(x=0.4, y=math.nan)),
        Pose(position=TIP, orientation=Quaternion(w=math.inf)),
    ],
)
def test_a_tool_pose_left_at_its_default_or_not_finite_is_unknown(pose):
    assert tool_pose_from_message(pose) is None


def test_any_other_tool_pose_is_known():
    pose = tool_pose_from_message(Pose(position=TIP))
    assert pose.position.tolist() == [0.4, 0.1, 0.3]
    assert pose.quaternion.tolist() == [0, 0, 0, 1]
    assert tool_pose_from_message(Pose(position=Point(z=-1e-9))) is not None


RNG = np.random.default_rng(4)
NONE = ViewObjects.empty()


def whole_images():
    return ViewImages(*RNG.integers(0, 256, (2, 3, 64, 128), np.uint8))


def objects(count, outlines=None):
    crops = RNG.integers(0, 256, (count, 3, 32, 32), np.uint8)
    return ViewObjects(np.full((count, 4), 9), crops, np.ones(count), np.arange(count), outlines)


def assert_same_images(got, expected):
    for view in VIEWS:
        np.testing.assert_array_equal(getattr(got, view), getattr(expected, view))


def observation_message(*arguments, **options):
    observation = Observation(*arguments, stamp=5, **options)
    return observation_to_message(observation, dict.fromkeys(VIEWS, Header()))


def test_an_observation_of_whole_images_comes_back_as_it_was():
    images = whole_images()
    message = observation_message(NONE, NONE, images=images)
    got = observation_from_message(message, EndEffector.SPATULA)
    assert_same_images(got.images, images)
    assert (len(got.front), len(got.top), got.stamp) == (0, 0, 5)


rings = st.lists(st.tuples(st.integers(0, 255), st.integers(0, 127)), min_size=1, max_size=20)
outlines = st.lists(rings, max_size=3).map(lambda found: outline(*found))


@pytest.mark.slow
@given(st.lists(outlines, min_size=1, max_size=4), st.lists(outlines, max_size=4))
def test_outlines_come_back_as_they_were(front, top):
    seen = [objects(len(each), np.stack(each) if each else None) for each in (front, top)]
    sent = serialize_message(observation_message(*seen))
    got = observation_from_message(deserialize_message(sent, msg.Observation), EndEffector.SUCTION)
    for view, expected in zip(VIEWS, seen, strict=True):
        for values, wanted in zip(getattr(got, view).fields, expected.fields, strict=True):
            np.testing.assert_array_equal(values, wanted)


def test_an_outline_takes_three_bytes_a_point():
    square = outline([(9, 9), (30, 9), (30, 30), (9, 30)])
    sizes = [
        len(serialize_message(observation_message(objects(1, each[None]), NONE)))
        for each in (outline(), square)
    ]
    assert sizes[1] - sizes[0] == 12


@pytest.mark.parametrize(
    ("numbers", "reason"),
    [
        ([9, 9, 1, 7], "4 numbers; valid: 3 for each of up to 64 points"),
        ([9, 9, 1, 9, 20, 0], "behind an unused one"),
        ([9, 9, 2], "rings"),
        ([9, 200, 1], "y up to 200"),
    ],
)
def test_an_outline_that_is_none_is_refused(numbers, reason):
    message = observation_message(objects(1), NONE)
    message.front.objects[0].outline = numbers
    with pytest.raises(VimaError, match=reason) as refused:
        observation_from_message(message, EndEffector.SUCTION)
    assert refused.value.code == "INVALID_VALUE"


def test_an_observation_takes_no_more_bytes_than_what_is_read_of_it():
    sizes = {
        count: len(serialize_message(observation_message(objects(count), objects(count))))
        for count in (0, 4)
    }
    assert sizes[0] < 200, "no objects, and no whole images either"
    assert (sizes[4] - sizes[0]) / 8 == pytest.approx(3072 + 16, abs=8)
    whole = len(serialize_message(observation_message(NONE, NONE, images=whole_images())))
    assert whole - sizes[0] == pytest.approx(2 * 3 * 64 * 128, abs=16)


def test_a_prompt_of_whole_images_comes_back_as_it_was():
    images = [whole_images() for _ in range(2)]
    first, second = (
        PromptImage(name, AssetKind.SCENE, NONE, NONE, each)
        for name, each in zip("ab", images, strict=True)
    )
    prompt = EncodedPrompt((3, first, second, first, 1), "do {a} {b} {a}")
    message = prompt_to_message(prompt, "id", Header().stamp, {3: "▁do", 1: "</s>"}.__getitem__)
    assert len(message.images) == 2
    assert [token.text for token in message.tokens] == ["▁do", "", "", "", "</s>"]
    got = prompt_from_message(message)
    for index, expected in ((1, images[0]), (2, images[1]), (3, images[0])):
        assert_same_images(got.tokens[index].images, expected)


@pytest.mark.parametrize(("front", "top"), [(0, 24576), (24576, 24575), (1, 1)])
def test_whole_images_of_another_size_are_refused(front, top):
    message = msg.ViewImages(front=bytes(front), top=bytes(top))
    with pytest.raises(VimaError, match="valid: 24576 in each") as refused:
        images_from_message(message)
    assert refused.value.code == "INVALID_VALUE"
