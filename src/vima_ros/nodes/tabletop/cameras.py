"""Publishers of the simulated cameras and of the true poses of the objects."""

from __future__ import annotations

from builtin_interfaces.msg import Time
from sensor_msgs.msg import CameraInfo, Image
from visualization_msgs.msg import Marker, MarkerArray

from vima_ros.nodes.common import conversions, image_conversion, qos
from vima_ros.nodes.common.guarded_node import GuardedNode
from vima_ros.nodes.common.simulated_cameras import camera_info
from vima_ros.policy_frame import CAMERAS
from vima_ros.sim.tabletop import Tabletop
from vima_ros.specs import VIEWS

MESSAGE_TYPES = {"image_raw": Image, "mask": Image, "camera_info": CameraInfo}


class CameraPublisher:
    """Publisher of images, masks and ``markers``, rendered only if subscribed to.

    ``table_frame``: frame of the markers.
    """

    def __init__(self, node: GuardedNode, world: Tabletop, table_frame: str) -> None:
        self._node, self._world, self._table_frame = node, world, table_frame
        self._views = {
            view: {
                name: node.create_publisher(kind, f"{view}/{name}", qos.SENSOR_DATA)
                for name, kind in MESSAGE_TYPES.items()
            }
            for view in VIEWS
        }
        # A perspective view of the robot, for display.
        self._overview = node.create_publisher(Image, "overview/image_raw", qos.SENSOR_DATA)
        self._markers = node.create_publisher(MarkerArray, "markers", qos.RELIABLE)

    def publish(self) -> None:
        """Render and publish all images with one stamp: the simulation pauses meanwhile."""
        render = {"image_raw": self._world.render, "mask": self._world.render_mask}
        rendered = [
            (view, name, publisher, render[name](view))
            for view, publishers in self._views.items()
            for name, publisher in publishers.items()
            if name in render and publisher.get_subscription_count()
        ]
        subscribed = self._overview.get_subscription_count()
        overview = self._world.render_overview() if subscribed else None
        stamp = self._node.get_clock().now().to_msg()
        for view, name, publisher, image in rendered:
            encoding = "rgb8" if name == "image_raw" else "mono8"
            publisher.publish(image_conversion.encode(image, encoding, stamp, f"{view}_camera"))
        for view, publishers in self._views.items():
            camera = CAMERAS[view].over(self._world.scene.workspace)
            publishers["camera_info"].publish(camera_info(camera, stamp, f"{view}_camera"))
        if overview is not None:
            self._overview.publish(
                image_conversion.encode(overview, "rgb8", stamp, "overview_camera")
            )
        if self._markers.get_subscription_count():
            self._markers.publish(self._true_poses(stamp))

    def _true_poses(self, stamp: Time) -> MarkerArray:
        """Return the true pose of each object, for display, tests and oracles.

        No node of the suite uses them.
        """
        markers = MarkerArray()
        for index, item in enumerate(self._world.scene.objects):
            marker = Marker(ns=item.name, id=index, type=Marker.CUBE, action=Marker.ADD)
            marker.header.stamp = stamp
            marker.header.frame_id = self._table_frame
            marker.pose = conversions.pose_to_message(self._world.object_pose(item.name))
            marker.scale.x = marker.scale.y = marker.scale.z = 0.05
            marker.color.a = marker.color.g = 1.0
            markers.markers.append(marker)
        return markers
