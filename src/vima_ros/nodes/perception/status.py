"""Conversion of a perception result to a PerceptionStatus."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vima_msgs.msg import PerceptionStatus
from vima_ros.nodes.common import qos
from vima_ros.nodes.common.conversions import ns_to_stamp
from vima_ros.nodes.common.lifecycle_node import VimaNode
from vima_ros.perception.pipeline import PerceptionResult
from vima_ros.specs import VIEWS

STAGES = {  # field of the message: stage of PerceptionResult.times
    "decode_time": "decode",
    "transform_time": "view",
    "detector_time": "detect",
    "crop_time": "crops",
    "tracking_time": "track",
}
MAX_COUNT = 65535  # uint16


def status_message(
    result: PerceptionResult, backend: str, card: Mapping[str, Any]
) -> PerceptionStatus:
    """Convert a result, without ``age``, ``warnings`` and ``dropped_frames``.

    ``card``: the detector's description.
    """
    status = PerceptionStatus(
        code=result.code,
        message=result.message,
        view=result.view,
        backend=backend,
        weights=str(card.get("sha256", "")),
        low_score_count=min(result.low_score_count, MAX_COUNT),
        min_accepted_score=result.min_accepted_score,
        detection_time=sum(result.times.get(stage, 0.0) for stage in STAGES.values()),
        **{name: result.times.get(stage, 0.0) for name, stage in STAGES.items()},
    )
    status.header.stamp = ns_to_stamp(result.stamp)
    for view in VIEWS:
        setattr(status, f"{view}_stamp", ns_to_stamp(result.stamps.get(view, 0)))
        count = len(result.objects.get(view, ()))
        setattr(status, f"{view}_count", min(count, MAX_COUNT))
    return status


class StatusReporter:
    """Publishes ``perception_status`` and logs each change of its code or warnings.

    ``backend``: name of the detector; ``card``: its description.
    """

    def __init__(self, node: VimaNode, backend: str, card: Mapping[str, Any]) -> None:
        self.card = card
        self.latest = PerceptionStatus()
        self._node, self._backend = node, backend
        self._warned_code = ""
        self._publisher = node.create_publisher(PerceptionStatus, "perception_status", qos.LATCHED)

    def publish(
        self,
        result: PerceptionResult,
        observation: str,
        warnings: list[str],
        dropped_frames: int,
        starting: bool,
    ) -> None:
        """Publish the status of a result.

        ``observation``: what the policy reads. ``starting``: cameras may still be coming up.
        """
        status = status_message(result, self._backend, self.card)
        status.age = (self._node.now_ns() - result.stamp) / 1e9
        status.warnings, status.dropped_frames = warnings, dropped_frames
        status.observation = observation
        logger = self._node.get_logger()
        if result.code != PerceptionStatus.OK:
            self._node.statistics.record_refusal(result.code, result.message)
        if starting and result.code != self.latest.code:
            logger.info(f"waiting for the cameras: {result.message}")
        elif not starting and result.code not in (self._warned_code, PerceptionStatus.OK):
            logger.warning(f"{result.code}: {result.message}")
        self._warned_code = "" if starting else result.code
        for warning in set(warnings) - set(self.latest.warnings):
            logger.warning(warning)
        self.latest = status
        self._publisher.publish(status)
