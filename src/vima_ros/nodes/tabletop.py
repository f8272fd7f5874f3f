"""The tabletop node: a simulated robot with two cameras, in place of the real ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sensor_msgs.msg import CameraInfo, Image
from visualization_msgs.msg import Marker, MarkerArray

from vima_msgs.msg import ArmCommand, ArmState
from vima_ros.errors import VimaError
from vima_ros.nodes import conversions, images, qos
from vima_ros.nodes.base import VimaNode, run
from vima_ros.nodes.parameters import parameter
from vima_ros.sim.scene import SCENES, Scene, random_scene, scatter
from vima_ros.sim.tabletop import Tabletop
from vima_ros.sim.tool import Phase
from vima_ros.specs import POLICY_FRAME_HEIGHT, POLICY_FRAME_WIDTH, VIEWS

# VIMA-Bench's cameras, 1000 m away: focal length [px], principal point x, y [px]
INTRINSICS = {"front": (355555.0, 128.0, 63.0), "top": (250980.0, 128.0, 63.0)}
PHYSICS_PERIOD = 0.02  # [s]
STATE_PERIOD = 0.2  # arm_state is repeated this often [s]
ENDS = {Phase.SUCCEEDED: ArmState.SUCCEEDED, Phase.FAILED: ArmState.ABORTED}
LONGEST_STEP = 0.25  # physics falls behind rather than leap after a pause of the process [s]


@dataclass(frozen=True)
class TabletopParameters:
    """Read from config/tabletop.yaml."""

    scene: str = parameter(
        "what stands on the table; a change resets the world", choices=(*SCENES, "random")
    )
    seed: int = parameter(
        "0: places as the scene states them; else scattered by this seed; a change resets the "
        "world",
        low=0,
        high=2**31 - 1,
    )
    rate: float = parameter("pictures of both cameras [Hz]", low=0.1, high=30, read_only=True)
    real_time_factor: float = parameter(
        "simulated seconds a second of the node's clock", low=0.05, high=20
    )
    base_frame: str = parameter("frame of tool pose and markers", read_only=True)


class TabletopNode(VimaNode):
    """Publishes images, masks and ``arm_state``; carries out ``arm_command``."""

    name = "tabletop"
    parameters_type = TabletopParameters

    def configure(self) -> None:
        """Build the world and create the handles."""
        self._loaded = self._wanted()
        self._world = Tabletop(_make_scene(*self._loaded))
        self._report = ArmState(state=ArmState.IDLE, code=ArmState.OK, message=self._standing())
        self._advanced_at = self.now_ns()
        self._cameras = {
            view: {
                "image_raw": self.create_publisher(Image, f"{view}/image_raw", qos.CAMERA),
                "mask": self.create_publisher(Image, f"{view}/mask", qos.CAMERA),
                "camera_info": self.create_publisher(
                    CameraInfo, f"{view}/camera_info", qos.CAMERA
                ),
            }
            for view in VIEWS
        }
        self._arm_states = self.create_publisher(ArmState, "arm_state", qos.RELIABLE)
        self._markers = self.create_publisher(MarkerArray, "markers", qos.RELIABLE)
        self.listen(ArmCommand, "arm_command", self._on_command, qos.RELIABLE)
        self.every(PHYSICS_PERIOD, self._advance)
        self.every(1.0 / self.parameters.rate, self._take_pictures)
        self.every(STATE_PERIOD, self._publish_state)

    def _wanted(self) -> tuple[str, int]:
        return self.parameters.scene, self.parameters.seed

    def _standing(self) -> str:
        return "scene {}, seed {}".format(*self._loaded)

    def _on_command(self, message: ArmCommand) -> None:
        if not message.waypoints:
            self._world.stop()
            self._change(ArmState.STOPPED, "STOPPED", "told to stop", self._report.command_id)
            return
        try:
            if not self.active:
                raise VimaError("NOT_ACTIVE", "the robot is not active")
            self._world.start(conversions.waypoints_from_message(message))
        except VimaError as error:
            why = f"{error.code}: {error}"
            if self._report.state == ArmState.EXECUTING:  # what is under way goes on
                self.get_logger().error(f"refused {message.command_id}: {why}")
            else:
                self._change(ArmState.ABORTED, ArmState.BAD_COMMAND, why, message.command_id)
            return
        self._change(ArmState.EXECUTING, ArmState.OK, "", message.command_id)

    def _advance(self) -> None:
        """Let the world catch up with the clock, and tell of a motion's end."""
        now = self.now_ns()
        elapsed = min(max((now - self._advanced_at) / 1e9, 0.0), LONGEST_STEP)
        self._advanced_at = now
        if not self.active:
            return
        if self._loaded != self._wanted():
            self._reset()
        tool = self._world.advance(elapsed * self.parameters.real_time_factor)
        if self._report.state == ArmState.EXECUTING and tool.phase in ENDS:
            self._change(
                ENDS[tool.phase], tool.code or ArmState.OK, tool.message, self._report.command_id
            )

    def _reset(self) -> None:
        wanted = self._wanted()
        if self._report.state == ArmState.EXECUTING:
            why = "the world was reset"
            self._change(ArmState.ABORTED, ArmState.RESET, why, self._report.command_id)
        try:
            self._world.reset(_make_scene(*wanted))
            self.get_logger().info(f"reset to scene {wanted[0]}, seed {wanted[1]}")
        except VimaError as error:
            self.get_logger().error(f"scene {wanted} stays as it was: {error.code}: {error}")
        self._loaded = wanted
        self._change(ArmState.IDLE, ArmState.OK, self._standing())

    def _change(self, state: int, code: str, message: str, command_id: str = "") -> None:
        self._report = ArmState(state=state, code=code, message=message, command_id=command_id)
        self._report.header.stamp = self.get_clock().now().to_msg()
        self._report.header.frame_id = self.parameters.base_frame
        self._publish_state()

    def _publish_state(self) -> None:
        if not self.active:
            return
        tool = self._world.tool_state
        self._report.tool_pose = conversions.pose_to_message(tool.pose)
        self._report.holding = tool.holding is not None
        self._report.end_effector = int(self._world.scene.end_effector)
        self._arm_states.publish(self._report)

    def _take_pictures(self) -> None:
        """All pictures of one moment, all with the stamp of that moment."""
        if not self.active:
            return
        stamp = self.get_clock().now().to_msg()
        for view, publishers in self._cameras.items():
            frame = f"{view}_camera"
            publishers["camera_info"].publish(_camera_info(view, stamp, frame))
            publishers["mask"].publish(
                images.encode(self._world.render_mask(view), "mono8", stamp, frame)
            )
            publishers["image_raw"].publish(
                images.encode(self._world.render(view), "rgb8", stamp, frame)
            )
        if self._markers.get_subscription_count():
            self._markers.publish(self._true_poses(stamp))

    def _true_poses(self, stamp: Any) -> MarkerArray:
        """Where each object really is, for people and tests; no node of the suite listens."""
        markers = MarkerArray()
        for index, item in enumerate(self._world.scene.objects):
            marker = Marker(ns=item.name, id=index, type=Marker.CUBE, action=Marker.ADD)
            marker.header.stamp, marker.header.frame_id = stamp, self.parameters.base_frame
            marker.pose = conversions.pose_to_message(self._world.object_pose(item.name))
            marker.scale.x = marker.scale.y = marker.scale.z = 0.05
            marker.color.a = marker.color.g = 1.0
            markers.markers.append(marker)
        return markers

    def end(self) -> None:
        """Free the OpenGL contexts while OpenGL is still there."""
        super().end()
        if hasattr(self, "_world"):
            self._world.close()

    def diagnose(self) -> tuple[bool, str, dict[str, Any]]:
        """The scene, and what the tool does."""
        values = {"scene": self._loaded[0], "seed": self._loaded[1]}
        return True, f"{self._report.code} {self._report.message}".strip(), values


def _make_scene(name: str, seed: int) -> Scene:
    if name == "random":
        return random_scene(seed)
    return scatter(SCENES[name], seed) if seed else SCENES[name]


def _camera_info(view: str, stamp: Any, frame_id: str) -> CameraInfo:
    focal, x, y = INTRINSICS[view]
    info = CameraInfo(width=POLICY_FRAME_WIDTH, height=POLICY_FRAME_HEIGHT)
    info.header.stamp, info.header.frame_id = stamp, frame_id
    info.distortion_model, info.d = "plumb_bob", [0.0] * 5
    info.k = [focal, 0.0, x, 0.0, focal, y, 0.0, 0.0, 1.0]
    info.r = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]
    info.p = [focal, 0.0, x, 0.0, 0.0, focal, y, 0.0, 0.0, 0.0, 1.0, 0.0]
    return info


def main(args: list[str] | None = None) -> None:
    """``ros2 run vima_ros tabletop``."""
    run(TabletopNode, args)
