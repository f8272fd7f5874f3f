"""The perception node: camera images of two views in, what the policy in use reads of them out.

Camera callbacks only pair messages. A worker thread (``_work``) processes the newest pair and
queues the result for the executor's thread (``_publish_pending_results``), which publishes it.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Iterator

import cv2
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from vima_msgs.msg import Observation as ObservationMessage
from vima_ros.nodes.common import conversions, node_names, qos
from vima_ros.nodes.common.diagnostics import OK, STALE, WARN, FunctionStatus
from vima_ros.nodes.common.latest_only_worker import LatestOnlyWorker
from vima_ros.nodes.common.lifecycle_node import VimaNode
from vima_ros.nodes.common.main import run
from vima_ros.nodes.common.policy_inputs import DeclaredInputs
from vima_ros.nodes.perception.attention_overlay import AttentionOverlay
from vima_ros.nodes.perception.debug_images import DebugImages
from vima_ros.nodes.perception.image_pair import CameraFrameCheck, ImagePair
from vima_ros.nodes.perception.pair_processing import Demand, process_pair
from vima_ros.nodes.perception.pair_synchronizer import PairSynchronizer, camera_topics
from vima_ros.nodes.perception.parameters import PerceptionParameters
from vima_ros.nodes.perception.pending_results import PendingResults
from vima_ros.nodes.perception.scene_service import SceneService
from vima_ros.nodes.perception.status import StatusReporter
from vima_ros.perception.calibration.drift import DriftMonitor
from vima_ros.perception.camera_view import camera_views, load_calibrations, view_warnings
from vima_ros.perception.detectors.registry import make_detector
from vima_ros.perception.pipeline import PerceptionPipeline, PerceptionResult
from vima_ros.perception.tracking.tracker import Tracker, TrackerSettings
from vima_ros.specs import VIEWS


class PerceptionNode(VimaNode[PerceptionParameters]):
    """Pairs images by stamp, publishes ``observation`` or the reason for none.

    Of objects or whole images, as the policy declares; the detector runs where objects are read.
    """

    name = node_names.PERCEPTION
    parameters_type = PerceptionParameters

    def __init__(self) -> None:
        super().__init__()
        self._worker: LatestOnlyWorker[ImagePair] | None = None
        self._results = PendingResults()

    def configure(self) -> None:
        """Make the detector and create publishers, subscriptions and services."""
        p = self.parameters
        cv2.setNumThreads(1)  # threads cost more than they gain on images this small
        calibrations = load_calibrations(p)
        self._detector = make_detector(p.detector, p.detector_settings)
        topics = camera_topics(p.use_compressed_images, self._detector.needs_mask)
        names = {key: self.resolve_topic_name(topic) for key, (_, topic) in topics.items()}
        self._views = camera_views(p, calibrations, names)
        with_tracker = p.enable_tracking and not self._detector.has_stable_ids
        tracker = Tracker(TrackerSettings()) if with_tracker else None
        self._pipeline = PerceptionPipeline(self._detector, self._views, tracker, p.limits)
        self._calibrations = {view: c.describe() for view, c in calibrations.items()}
        self._drift = DriftMonitor(calibrations, p.drift_period, p.drift_limit)
        self.statistics.clear()
        self._observations = self.create_publisher(ObservationMessage, "observation", qos.RELIABLE)
        self._status = StatusReporter(self, p.detector, self._detector.describe())
        self._debug_images = DebugImages(self)
        self._attention = AttentionOverlay(self)
        self._declared = DeclaredInputs(self)
        self._synchronizer = PairSynchronizer(names, p.sync_slop)
        self._camera_check = CameraFrameCheck({"front": p.front_frame, "top": p.top_frame})
        self._scene_service = SceneService(self)
        self.resources.callback(self._stop_worker)
        for key, (kind, topic) in topics.items():
            self.create_subscription(
                kind, topic, functools.partial(self._on_frame, key), qos.SENSOR_DATA
            )
        for view in VIEWS if p.undistort else ():
            on_info = self._views[view].on_camera_info
            self.create_subscription(CameraInfo, f"{view}/camera_info", on_info, qos.SENSOR_DATA)
        self.create_timer(1.0, self._report_unpaired, clock=self.steady_clock)

    # --- executor thread, which must not block

    def _on_frame(self, key: str, message: Image | CompressedImage) -> None:
        if self._worker is None:
            return
        pair = self._synchronizer.add(key, message, self.now_ns())
        if pair is not None:
            self._worker.put(pair)

    def _publish_pending_results(self) -> None:
        """Publish the worker's results, unless the clock has jumped since."""
        for pair, result in self._results.take():
            if self.active and pair.epoch == self._synchronizer.epoch:
                self._publish(pair, result)

    def _publish(self, pair: ImagePair, result: PerceptionResult) -> None:
        self._scene_service.update(result, pair.headers())
        self._attention.keep(result)
        if result.observation is not None:
            with result.timed("publish"):
                self._observations.publish(
                    conversions.observation_to_message(result.observation, pair.headers())
                )
            result.times["total"] = (self.now_ns() - result.stamp) / 1e9
            self.statistics.record_result(result.times)
        self._report(result)
        self._debug_images.publish(result.scene or result, pair.headers())

    def _report_unpaired(self) -> None:
        if self.active and (reason := self._synchronizer.unpaired_reason()):
            result = PerceptionResult({"any": self.now_ns()}).refuse(reason)
            self._scene_service.update(result, {})  # the one before is not the present
            self._report(result, starting=self._synchronizer.starting)

    def _report(self, result: PerceptionResult, starting: bool = False) -> None:
        warnings = [*self._drift.warnings.values(), *view_warnings(self._views)]
        dropped = self._worker.dropped + self._results.dropped if self._worker else 0
        form = self._declared.inputs.observation
        self._status.publish(result, form, warnings, dropped, starting)

    # --- worker thread

    def _work(self, pair: ImagePair) -> None:
        self._pipeline.limits = self.parameters.limits
        objects = self._debug_images.wanted or self._scene_service.wanted
        demand = Demand(self._declared.whole_images, objects, self._detector.needs_mask)
        result, images, fault = process_pair(
            pair, self._pipeline, demand, self.now_ns(), self._camera_check.check
        )
        if fault:
            self.get_logger().error(f"unexpected error:\n{fault}")
        self._results.put(pair, result)
        if executor := self.executor:
            executor.create_task(self.guard(self._publish_pending_results))
        if result.frames:
            self.guard(self._drift.check)(images, time.monotonic())

    # --- lifecycle

    def activated(self) -> None:
        """Start the worker."""
        self._synchronizer.restart()
        self._results.dropped = 0
        self._worker = LatestOnlyWorker(self.guard(self._work), "perception")

    def on_clock_jump_back(self) -> None:
        """Drop messages and results stamped before the jump."""
        self._synchronizer.clear()
        if self._worker is not None:
            self._worker.clear()

    def _stop_worker(self) -> None:
        """Stop the worker; the result in progress is not published."""
        if self._worker is not None:
            self._worker.close()
            self._worker = None
        self._results.clear()
        self._scene_service.clear()

    def deactivated(self, how: str) -> None:
        """Stop the worker, keep publishers and subscriptions."""
        self._stop_worker()
        self._synchronizer.clear()

    def diagnose(self) -> Iterator[FunctionStatus]:
        """Summarize the latest status and the detector, and each camera with its calibration."""
        s = self._status.latest
        level = OK if s.code == s.OK else STALE if s.code in ("", s.NO_FRAMES) else WARN
        values = {
            "detector": self.parameters.detector,
            "card": self._status.card,
            "policy reads": self._declared.inputs.observation,
            "objects in front": s.front_count,
            "objects in top": s.top_count,
            "low scores": s.low_score_count,
            "dropped frames": s.dropped_frames,
        }
        yield FunctionStatus("detection", level, f"{s.code} {s.message}".strip(), values)
        for view in VIEWS:
            warnings = [
                w for w in (self._drift.warnings.get(view), self._views[view].warning) if w
            ]
            values = {"calibration": self._calibrations.get(view, "none")}
            if view in self._drift.moved:
                values["moved [px]"] = self._drift.moved[view]
            level, message = WARN if warnings else OK, "; ".join(warnings)
            yield FunctionStatus(f"{view} camera", level, message, values)


def main(args: list[str] | None = None) -> None:
    """Run the node: ``ros2 run vima_ros perception``."""
    run(PerceptionNode, args)
