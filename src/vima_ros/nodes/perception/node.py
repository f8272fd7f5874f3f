"""The perception node: two camera views in, the objects of both out.

Camera callbacks only pair messages. A thread of its own (``_work``) looks at the newest pair and
hands what it saw to the executor's thread (``_hand_over``), which publishes it.
"""

from __future__ import annotations

import functools
import time
from collections import deque
from typing import Any

import cv2
from rclpy.lifecycle import LifecycleState, TransitionCallbackReturn
from sensor_msgs.msg import CameraInfo, Image

from vima_msgs.msg import Observation as ObservationMessage
from vima_msgs.msg import PerceptionStatus
from vima_ros.nodes.common import conversions, qos
from vima_ros.nodes.common.latest_only_worker import LatestOnlyWorker
from vima_ros.nodes.common.lifecycle_node import VimaNode
from vima_ros.nodes.common.main import run
from vima_ros.nodes.perception.frame_pairs import CameraNames, Pair, Pairs, camera_topics
from vima_ros.nodes.perception.pair_processing import look_at
from vima_ros.nodes.perception.parameters import PerceptionParameters
from vima_ros.nodes.perception.scene_service import SceneServer
from vima_ros.nodes.perception.status import debug_image, status_message
from vima_ros.perception.calibration.drift import DriftMonitor
from vima_ros.perception.camera_view import camera_views, load_calibrations, view_warnings
from vima_ros.perception.detectors.registry import make_detector
from vima_ros.perception.pipeline import Eyes, Seen
from vima_ros.perception.tracking.tracker import Tracker, TrackerSettings
from vima_ros.specs import VIEWS


class PerceptionNode(VimaNode):
    """Pairs frames by stamp, finds objects, publishes ``observation`` or says why not."""

    name = "perception"
    parameters_type = PerceptionParameters

    def __init__(self) -> None:
        super().__init__()
        self._worker: LatestOnlyWorker[Pair] | None = None
        self._results: deque[tuple[Pair, Seen, float]] = deque()
        self._ready = self.create_guard_condition(self.guard(self._hand_over))

    def configure(self) -> None:
        """Make the detector and create the handles."""
        p = self.parameters
        cv2.setNumThreads(1)  # for images this small, threads cost more than they bring
        calibrations = load_calibrations(p)
        self._detector = make_detector(p.detector, p.detector_settings)
        topics = camera_topics(p.compressed, self._detector.needs_mask)
        names = {key: self.resolve_topic_name(topic) for key, (_, topic) in topics.items()}
        self._views = camera_views(p, calibrations, names)
        self._card = self._detector.describe()
        tracker = Tracker(TrackerSettings()) if p.track and not self._detector.identifies else None
        self._eyes = Eyes(self._detector, self._views, tracker, p.rules)
        self._calibrated = {view: made.describe() for view, made in calibrations.items()}
        self._drift = DriftMonitor(calibrations, p.drift_period, p.drift_limit)
        self._said, self._warned = PerceptionStatus(), ""
        self.statistics.clear()
        self._observations = self.create_publisher(ObservationMessage, "observation", qos.RELIABLE)
        self._status = self.create_publisher(PerceptionStatus, "perception_status", qos.LATCHED)
        self._debug = {
            view: self.create_publisher(Image, f"debug/{view}", qos.SENSOR_DATA) for view in VIEWS
        }
        self._pairs = Pairs(names, p.sync_slop)
        self._names = CameraNames({"front": p.front_frame, "top": p.top_frame})
        self._scene = SceneServer(self)
        for key, (kind, topic) in topics.items():
            self.create_subscription(
                kind, topic, functools.partial(self._on_frame, key), qos.SENSOR_DATA
            )
        for view in VIEWS if p.undistort else ():
            on_info = self._views[view].on_camera_info
            self.create_subscription(CameraInfo, f"{view}/camera_info", on_info, qos.SENSOR_DATA)
        self.create_timer(1.0, self._report_unpaired, clock=self.steady_clock)

    # --- in the executor's thread, which nothing here keeps waiting

    def _on_frame(self, key: str, message: Any) -> None:
        if self._worker is None:
            return
        pair = self._pairs.add(key, message, self.now_ns())
        if pair is not None:
            self._worker.put(pair)

    def _hand_over(self) -> None:
        """Publish what the worker has seen, unless the clock has jumped since."""
        while self._results:
            pair, seen, done = self._results.popleft()
            if self.active and pair.epoch == self._pairs.epoch:
                seen.times["hand over"] = time.monotonic() - done
                self._publish(pair, seen)

    def _publish(self, pair: Pair, seen: Seen) -> None:
        self._scene.keep(seen, pair.headers())
        if seen.observation is not None:
            with seen.timed("publish"):
                self._observations.publish(
                    conversions.observation_to_message(seen.observation, pair.headers())
                )
            seen.times["total"] = (self.now_ns() - seen.stamp) / 1e9
            self.statistics.record_result(seen.times)
        self._say(seen)
        for view in VIEWS if seen.objects else ():
            if self._debug[view].get_subscription_count():
                header = pair.headers()[view]
                self._debug[view].publish(debug_image(seen, view, header))

    def _report_unpaired(self) -> None:
        why = self._pairs.why_none() if self.active else None
        if why:
            seen = Seen({"any": self.now_ns()}).refuse(why)
            self._scene.keep(seen, {})  # what was seen before is not what is seen now
            self._say(seen, calmly=self._pairs.starting)

    def _say(self, seen: Seen, calmly: bool = False) -> None:
        status = status_message(seen, self.parameters.detector, self._card)
        status.age = (self.now_ns() - seen.stamp) / 1e9
        status.warnings = [*self._drift.warnings, *view_warnings(self._views)]
        status.dropped_frames = self._worker.dropped if self._worker else 0
        if seen.code != PerceptionStatus.OK:
            self.statistics.record_refusal(seen.code, seen.message)
        if calmly and seen.code != self._said.code:
            self.get_logger().info(f"waiting for the cameras: {seen.message}")
        elif not calmly and seen.code not in (self._warned, PerceptionStatus.OK):
            self.get_logger().warning(f"{seen.code}: {seen.message}")
        self._warned = "" if calmly else seen.code
        for warning in set(status.warnings) - set(self._said.warnings):
            self.get_logger().warning(warning)
        self._said = status
        self._status.publish(status)

    # --- in the worker's thread

    def _work(self, pair: Pair) -> None:
        self._eyes.rules = self.parameters.rules
        needs_mask = self._detector.needs_mask
        seen, pictures, fault = look_at(
            pair, self._eyes, needs_mask, self.now_ns(), self._names.check
        )
        if fault:
            self.get_logger().error(f"unexpected error:\n{fault}")
        self._results.append((pair, seen, time.monotonic()))
        self._ready.trigger()
        if seen.frames:
            self.guard(self._drift.check)(pictures, time.monotonic())

    # --- lifecycle

    def after_activate(self) -> None:
        """Begin to look."""
        self._names.forget()
        self._pairs.begin()
        self._worker = LatestOnlyWorker(self.guard(self._work), "perception")

    def on_clock_jump_back(self) -> None:
        """Frames stamped before cannot be paired with what comes, nor be handed on."""
        self._pairs.clear()
        self._names.forget()
        if self._worker is not None:
            self._worker.clear()

    def _stop_looking(self) -> None:
        """End the worker; what it was at is not handed on."""
        if self._worker is not None:
            self._worker.close()
            self._worker = None
        self._results.clear()
        if self._configured:
            self._scene.forget()

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop looking, keep the handles."""
        self._stop_looking()
        self._pairs.clear()
        return super().on_deactivate(state)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """End for good."""
        self._stop_looking()
        return super().on_shutdown(state)

    def end(self) -> None:
        """Stop looking, then the heartbeat."""
        self._stop_looking()
        super().end()

    def diagnose(self) -> tuple[bool, str, dict[str, Any]]:
        """What was last seen and with what, and how long each stage takes."""
        s = self._said
        values = {
            "detector": self.parameters.detector,
            "card": self._card,
            "objects in front": s.front_count,
            "objects in top": s.top_count,
            "doubtful": s.low_score_count,
            "dropped frames": s.dropped_frames,
            "calibration": self._calibrated,
            "camera moved [px]": self._drift.moved,
        }
        sentence = "; ".join([f"{s.code} {s.message}".strip(), *s.warnings])
        return s.code in ("", s.OK) and not s.warnings, sentence, values


def main(args: list[str] | None = None) -> None:
    """``ros2 run vima_ros perception``."""
    run(PerceptionNode, args)
