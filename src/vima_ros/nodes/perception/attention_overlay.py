"""Overlay of a decision's attention on the images that it was made on: ``debug/attention``."""

from __future__ import annotations

from collections import deque

import numpy as np
from sensor_msgs.msg import Image

from vima_msgs.msg import Attention
from vima_ros.nodes.common import image_conversion, qos
from vima_ros.nodes.common.attention_conversions import attention_from_message
from vima_ros.nodes.common.conversions import stamp_to_ns
from vima_ros.nodes.common.lifecycle_node import VimaNode
from vima_ros.perception.pipeline import PerceptionResult
from vima_ros.perception.visualization import draw_attention

MAX_KEPT = 64  # results whose decision may still come: two seconds at 30 Hz, 13 MB


class AttentionOverlay:
    """Draws each ``attention`` while somebody subscribes to ``debug/attention``."""

    def __init__(self, node: VimaNode) -> None:
        self._node = node
        self._frames: deque[tuple[int, dict[str, np.ndarray]]] = deque(maxlen=MAX_KEPT)
        self._publisher = node.create_publisher(Image, "debug/attention", qos.RELIABLE)
        node.create_subscription(Attention, "attention", self._on_attention, qos.RELIABLE)

    def keep(self, result: PerceptionResult) -> None:
        """Keep the policy frames of an observation; nothing without a subscriber."""
        if not self._publisher.get_subscription_count():
            self._frames.clear()
        elif result.observation is not None:
            self._frames.append((result.stamp, result.frames))

    def _on_attention(self, message: Attention) -> None:
        stamp = stamp_to_ns(message.observation_stamp)
        frames = next((kept for at, kept in reversed(self._frames) if at == stamp), None)
        if frames is not None:
            drawn = draw_attention(frames, attention_from_message(message))
            self._publisher.publish(
                image_conversion.encode(drawn, "rgb8", message.observation_stamp)
            )
