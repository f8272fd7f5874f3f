"""Publisher of the images with the objects found in them, for people: ``debug/front`` and top."""

from __future__ import annotations

from collections.abc import Mapping

from sensor_msgs.msg import Image
from std_msgs.msg import Header

from vima_ros.nodes.common import image_conversion, qos
from vima_ros.nodes.common.guarded_node import GuardedNode
from vima_ros.perception.pipeline import PerceptionResult
from vima_ros.perception.visualization import draw_objects
from vima_ros.specs import VIEWS


class DebugImages:
    """Publisher of each view's image, while somebody subscribes to it."""

    def __init__(self, node: GuardedNode) -> None:
        self._publishers = {
            view: node.create_publisher(Image, f"debug/{view}", qos.SENSOR_DATA) for view in VIEWS
        }

    @property
    def wanted(self) -> bool:
        """True while somebody subscribes to a view; may be read from any thread."""
        return any(each.get_subscription_count() for each in self._publishers.values())

    def publish(self, result: PerceptionResult, headers: Mapping[str, Header]) -> None:
        """Draw and publish the objects of a result, if they were looked for.

        ``headers``: of the camera's images, by view.
        """
        for view in VIEWS if result.objects else ():
            if self._publishers[view].get_subscription_count():
                self._publishers[view].publish(_draw(result, view, headers[view]))


def _draw(result: PerceptionResult, view: str, header: Header) -> Image:
    image = draw_objects(
        result.frames[view],
        result.objects[view],
        mask=result.labels(view),
        ages_s=result.ages,
        title=f"{result.code}  {view}  {1e3 * result.times['detect']:.0f} ms",
    )
    return image_conversion.encode(image, "rgb8", header.stamp, header.frame_id)
