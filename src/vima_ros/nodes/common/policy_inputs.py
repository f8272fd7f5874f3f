"""Declaration of what the policy in use reads: from the policy node, to those who send it."""

from __future__ import annotations

from vima_msgs.msg import PolicyInputs as PolicyInputsMessage
from vima_ros.errors import VimaError
from vima_ros.nodes.common import qos
from vima_ros.nodes.common.guarded_node import GuardedNode
from vima_ros.policy.inputs import OBJECTS, PolicyInputs
from vima_ros.specs import MAX_PROMPT_TOKENS

TOPIC = "policy_inputs"


class DeclaredInputs:
    """Latest declaration of the policy node; objects, until there is one.

    It holds until the next, also while the policy node restarts or is gone. ``inputs``: the kinds
    that are read. ``max_prompt_tokens`` and ``image_tokens`` limit a prompt, as in
    vima_msgs/PolicyInputs. One that this suite cannot serve is logged, and changes nothing.
    """

    def __init__(self, node: GuardedNode) -> None:
        self._node = node
        self.inputs, self.max_prompt_tokens, self.image_tokens = OBJECTS, MAX_PROMPT_TOKENS, 0
        node.create_subscription(PolicyInputsMessage, TOPIC, self._on_declaration, qos.LATCHED)

    @property
    def whole_images(self) -> bool:
        """True if observations and prompts hold whole images, and no objects."""
        return self.inputs.observation == PolicyInputsMessage.IMAGES

    def _on_declaration(self, message: PolicyInputsMessage) -> None:
        try:
            inputs = PolicyInputs(tuple(message.prompt), message.observation, message.action)
        except VimaError as error:
            self._node.get_logger().error(f"policy_inputs: {error.code}: {error}")
            return
        if inputs != self.inputs:
            self._node.get_logger().info(f"the policy reads {inputs.observation}")
        self.inputs = inputs
        self.max_prompt_tokens = message.max_prompt_tokens
        self.image_tokens = message.image_tokens


class InputsDeclaration:
    """Publisher of what the policy in use reads; the arguments are as for ``DeclaredInputs``."""

    def __init__(
        self, node: GuardedNode, inputs: PolicyInputs, max_prompt_tokens: int, image_tokens: int
    ) -> None:
        self._node = node
        self._message = PolicyInputsMessage(
            prompt=list(inputs.prompt),
            observation=inputs.observation,
            action=inputs.action,
            max_prompt_tokens=max_prompt_tokens,
            image_tokens=image_tokens,
        )
        self._publisher = node.create_publisher(PolicyInputsMessage, TOPIC, qos.LATCHED)

    def publish(self) -> None:
        """Declare it, now: the latest declaration holds."""
        self._message.header.stamp = self._node.get_clock().now().to_msg()
        self._publisher.publish(self._message)
