"""What was seen, as PerceptionStatus and as a picture for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sensor_msgs.msg import Image

from vima_msgs.msg import PerceptionStatus
from vima_ros.nodes.common import image_conversion
from vima_ros.nodes.common.conversions import ns_to_stamp
from vima_ros.perception.pipeline import Seen
from vima_ros.perception.visualization import draw_objects
from vima_ros.specs import VIEWS

STAGES = {  # field: stage of Seen.times
    "decode_time": "decode",
    "transform_time": "view",
    "detector_time": "detect",
    "crop_time": "crops",
    "tracking_time": "track",
}
LARGEST_COUNT = 65535  # uint16


def status_message(seen: Seen, backend: str, card: Mapping[str, Any]) -> PerceptionStatus:
    """All but ``age``, ``warnings`` and ``dropped_frames``; ``card`` is the detector's own."""
    status = PerceptionStatus(
        code=seen.code,
        message=seen.message,
        view=seen.view,
        backend=backend,
        weights=str(card.get("sha256", "")),
        low_score_count=min(seen.doubtful, LARGEST_COUNT),
        min_accepted_score=seen.min_accepted_score,
        detection_time=sum(seen.times.get(stage, 0.0) for stage in STAGES.values()),
        **{name: seen.times.get(stage, 0.0) for name, stage in STAGES.items()},
    )
    status.header.stamp = ns_to_stamp(seen.stamp)
    for view in VIEWS:
        setattr(status, f"{view}_stamp", ns_to_stamp(seen.stamps.get(view, 0)))
        count = len(seen.objects.get(view, ()))
        setattr(status, f"{view}_count", min(count, LARGEST_COUNT))
    return status


def debug_image(seen: Seen, view: str, header: Any) -> Image:
    """What was seen in ``view``, drawn; ``header`` is the camera's own."""
    picture = draw_objects(
        seen.frames[view],
        seen.objects[view],
        mask=seen.labels(view),
        ages_s=seen.ages,
        title=f"{seen.code}  {view}  {1e3 * seen.times['detect']:.0f} ms",
    )
    return image_conversion.encode(picture, "rgb8", header.stamp, header.frame_id)
