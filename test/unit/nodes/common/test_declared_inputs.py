"""What perception and prompt node make of a policy's declarations, without ROS."""

from types import SimpleNamespace

import pytest

pytest.importorskip("rclpy", reason="no ROS 2: run `make test`, which prepares it")
pytest.importorskip("vima_msgs", reason="vima_msgs is not built: run `make test`")

from builtin_interfaces.msg import Time
from rclpy.qos import DurabilityPolicy

from vima_ros.nodes.common.policy_inputs import DeclaredInputs, InputsDeclaration
from vima_ros.policy.inputs import IMAGES, OBJECTS, PolicyInputs


class FakeNode:
    """Both ends of the topic."""

    def __init__(self):
        self.callbacks, self.logged = [], []
        self.log = SimpleNamespace(info=self.logged.append, error=self.logged.append)
        self.clock = SimpleNamespace(now=lambda: SimpleNamespace(to_msg=Time))

    def create_subscription(self, kind, topic, callback, profile):
        assert topic == "policy_inputs"
        assert profile.durability == DurabilityPolicy.TRANSIENT_LOCAL
        self.callbacks.append(callback)

    def create_publisher(self, kind, topic, profile):
        def publish(message):
            for callback in self.callbacks:
                callback(message)

        return SimpleNamespace(publish=publish)

    def get_logger(self):
        return self.log

    def get_clock(self):
        return self.clock


@pytest.fixture
def node():
    return FakeNode()


def test_until_a_policy_declares_anything_objects_are_sent(node):
    declared = DeclaredInputs(node)
    assert (declared.inputs, declared.whole_images) == (OBJECTS, False)
    assert (declared.max_prompt_tokens, declared.image_tokens) == (256, 0)


def test_the_latest_declaration_holds(node):
    declared = DeclaredInputs(node)
    gato = InputsDeclaration(node, IMAGES, 510, 16)
    words = PolicyInputs(prompt=("words",), observation="objects")
    vima = InputsDeclaration(node, words, 200, 0)
    gato.publish()
    assert declared.whole_images
    assert (declared.inputs, declared.max_prompt_tokens, declared.image_tokens) == (
        IMAGES,
        510,
        16,
    )
    vima.publish()
    assert not declared.whole_images
    assert (declared.inputs, declared.max_prompt_tokens, declared.image_tokens) == (words, 200, 0)
    gato.publish()  # activated again
    assert declared.whole_images


def test_a_declaration_that_cannot_be_served_is_logged_and_changes_nothing(node):
    declared = DeclaredInputs(node)
    declaration = InputsDeclaration(
        node, SimpleNamespace(prompt=(), observation="sounds", action="pose_pair"), 1, 1
    )
    declaration.publish()
    assert declared.inputs == OBJECTS
    assert declared.max_prompt_tokens == 256
    assert any("INVALID_VALUE" in line for line in node.logged)
