"""Publisher of what decisions attended to."""

from __future__ import annotations

from vima_msgs.msg import Attention, PolicyAction, PromptToken, PromptTokens
from vima_ros.nodes.common import qos
from vima_ros.nodes.common.attention_conversions import attention_to_message
from vima_ros.nodes.common.lifecycle_node import VimaNode
from vima_ros.nodes.policy.parameters import PolicyParameters
from vima_ros.specs import Decision


class AttentionPublisher:
    """Publisher of ``attention``, its words as the prompt's message has them."""

    def __init__(self, node: VimaNode[PolicyParameters]) -> None:
        self._words: dict[int, str] = {}
        self._publisher = node.create_publisher(Attention, "attention", qos.RELIABLE)

    def begin(self, prompt: PromptTokens) -> None:
        """Take the words of an episode's prompt."""
        self._words = {t.value: t.text for t in prompt.tokens if t.kind == PromptToken.KIND_WORD}

    def publish(self, decision: Decision, action: PolicyAction) -> None:
        """Publish the attention of a decision, if it was asked for; ``action``: its message."""
        if decision.attention is not None:
            named = decision.attention.name_words(
                lambda word: self._words.get(word) or f"#{word}"  # of a sender without texts
            )
            self._publisher.publish(attention_to_message(named, action))
