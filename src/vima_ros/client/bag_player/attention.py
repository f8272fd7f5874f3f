"""Record of what the decisions of a replay attended to."""

from __future__ import annotations

from pathlib import Path

from sensor_msgs.msg import Image

from vima_msgs.msg import Attention
from vima_ros.client.client import Client
from vima_ros.errors import VimaError
from vima_ros.files import write_image
from vima_ros.nodes.common import image_conversion
from vima_ros.nodes.common.attention_conversions import attention_from_message
from vima_ros.nodes.common.conversions import stamp_to_ns
from vima_ros.nodes.common.node_names import POLICY
from vima_ros.replay.report import StepRecord

PARAMETER = "publish_attention"


class AttentionRecorder:
    """Recorder of attention and its overlay; a context manager that has the policy publish them.

    ``out``: folder of the images. ``timeout`` of each message [s]. Raises VimaError as the
    client's calls.
    """

    def __init__(self, client: Client, out: Path, timeout: float) -> None:
        self._client, self._out, self._timeout = client, out, timeout
        self._attentions = client.subscribe(Attention, "attention")
        self._overlays = client.subscribe(Image, "debug/attention", capacity=10)

    def __enter__(self) -> AttentionRecorder:
        (self._before,) = self._client.get_parameters(POLICY, PARAMETER)
        self._client.set_parameter(POLICY, PARAMETER, True)
        return self

    def __exit__(self, *_: object) -> None:
        self._client.set_parameter(POLICY, PARAMETER, self._before)

    def add_to(self, record: StepRecord) -> None:
        """Add the attention of a step's decision, if it has one, and write its overlay."""
        if not record.bins:
            return
        stamp, timeout = record.stamp_ns, self._timeout
        try:
            message = self._attentions.wait(
                lambda m: stamp_to_ns(m.observation_stamp) == stamp,
                timeout,
                "attention",
                quiet=True,
            )
            overlay = self._overlays.wait(
                lambda m: stamp_to_ns(m.header.stamp) == stamp, timeout, "overlay", quiet=True
            )
        except VimaError as error:
            record.message = f"{record.message} {error}".strip()
            return
        path = self._out / f"attention_{record.step:03d}.png"
        write_image(path, image_conversion.decode_colour(overlay))
        described = attention_from_message(message).describe()
        record.attention = {"image": path.name, **described}
