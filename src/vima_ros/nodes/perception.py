"""The perception node: two camera views in, the objects of both out."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from sensor_msgs.msg import CompressedImage, Image

from vima_msgs.msg import Observation as ObservationMessage
from vima_msgs.msg import PerceptionStatus
from vima_ros.errors import VimaError
from vima_ros.nodes import conversions, images, qos
from vima_ros.nodes.base import VimaNode, run
from vima_ros.nodes.parameters import parameter
from vima_ros.perception.crops import extract_objects
from vima_ros.perception.detector import DETECTORS, make_detector
from vima_ros.perception.overlay import draw_objects
from vima_ros.perception.pairing import StampSynchronizer
from vima_ros.perception.view import to_policy_frame
from vima_ros.specs import VIEWS, Observation, ViewObjects


@dataclass(frozen=True)
class PerceptionParameters:
    """Read from config/perception.yaml."""

    detector: str = parameter(
        "who finds the objects", choices=tuple(sorted(DETECTORS)), read_only=True
    )
    compressed: bool = parameter("cameras publish CompressedImage", read_only=True)
    sync_slop: float = parameter(
        "largest stamp difference of a pair [s]", low=0, high=1, read_only=True
    )
    max_objects: int = parameter("more in one view are refused", low=1, high=64)
    min_score: float = parameter("objects below are left out", low=0, high=1)
    front_region: list[int] = parameter(
        "x, y, width, height of the front image that is the policy's view, 2:1 [px]; "
        "all 0: the largest centred 2:1 area",
        read_only=True,
    )
    top_region: list[int] = parameter("the same for the top image [px]", read_only=True)


class PerceptionNode(VimaNode):
    """Pairs frames by stamp, finds objects, publishes ``observation`` or says why not."""

    name = "perception"
    parameters_type = PerceptionParameters

    def configure(self) -> None:
        """Make the detector and create the handles."""
        p = self.parameters
        cv2.setNumThreads(1)  # for images this small, threads cost more than they bring
        self._detector = make_detector(p.detector)
        self._regions = {"front": _region(p.front_region), "top": _region(p.top_region)}
        kinds = ["image", "mask"] if self._detector.needs_mask else ["image"]
        keys = [f"{view}/{kind}" for view in VIEWS for kind in kinds]
        self._pairs = StampSynchronizer(keys, round(p.sync_slop * 1e9))
        self._last_set = time.monotonic()
        self._said = PerceptionStatus()
        self._observations = self.create_publisher(ObservationMessage, "observation", qos.RELIABLE)
        self._status = self.create_publisher(PerceptionStatus, "perception_status", qos.LATCHED)
        self._debug = {
            view: self.create_publisher(Image, f"debug/{view}", qos.CAMERA) for view in VIEWS
        }
        image_type, suffix = (CompressedImage, "/compressed") if p.compressed else (Image, "")
        for key in keys:
            is_image = key.endswith("/image")
            self.listen(
                image_type if is_image else Image,
                f"{key}_raw{suffix}" if is_image else key,
                lambda message, key=key: self._on_frame(key, message),
                qos.CAMERA,
            )
        self.every(1.0, self._report_unmatched, clock=self.steady_clock)

    def _on_frame(self, key: str, message: Any) -> None:
        if not self.active:
            return
        frames = self._pairs.add(key, conversions.stamp_to_ns(message.header.stamp), message)
        if frames is None:
            return
        self._last_set = time.monotonic()
        messages = {key: item for key, (_, item) in frames.items()}
        stamp = min(frames[f"{view}/image"][0] for view in VIEWS)
        try:
            self._perceive(messages, stamp)
        except VimaError as error:
            self._say(stamp, error.code, str(error))

    def _perceive(self, messages: dict[str, Any], stamp: int) -> None:
        began = time.monotonic()
        views, headers, self._doubtful = {}, {}, 0
        for view in VIEWS:
            try:
                views[view] = self._see(view, messages)
            except VimaError as error:
                raise VimaError(error.code, f"{view} view: {error}") from error
            headers[view] = messages[f"{view}/image"].header
        elapsed = time.monotonic() - began
        counts = {f"{view}_count": len(views[view]) for view in VIEWS}
        observation = Observation(**views, stamp=stamp)
        code, why = self._judge(views)
        if code == PerceptionStatus.OK:
            self._observations.publish(conversions.observation_to_message(observation, headers))
        self._say(stamp, code, why, detection_time=elapsed, **counts)

    def _see(self, view: str, messages: dict[str, Any]) -> ViewObjects:
        message = messages[f"{view}/image"]
        image = to_policy_frame(images.decode_colour(message), self._regions[view])
        mask = None
        if self._detector.needs_mask:
            ids = images.decode_mask(messages[f"{view}/mask"])
            mask = to_policy_frame(ids, self._regions[view], is_mask=True)
        found = extract_objects(image, self._detector.detect(image, view, mask))
        sure = found.scores >= self.parameters.min_score
        self._doubtful += np.count_nonzero(~sure)
        objects = ViewObjects(*(values[sure] for values in found.fields))
        if self._debug[view].get_subscription_count():
            picture = draw_objects(image, objects)
            header = message.header
            self._debug[view].publish(
                images.encode(picture, "rgb8", header.stamp, header.frame_id)
            )
        return objects

    def _judge(self, views: dict[str, ViewObjects]) -> tuple[str, str]:
        """A code and a reason; no object or only doubtful ones are never guessed around."""
        p = self.parameters
        for view, objects in views.items():
            if len(objects) > p.max_objects:
                return PerceptionStatus.TOO_MANY_OBJECTS, (
                    f"{len(objects)} objects in the {view} view; valid: up to {p.max_objects}"
                )
        if any(len(objects) for objects in views.values()):
            return PerceptionStatus.OK, ""
        if self._doubtful:
            return PerceptionStatus.LOW_SCORE, (
                f"{self._doubtful} objects, all with scores below {p.min_score}"
            )
        return PerceptionStatus.NO_OBJECT, "no object in either view"

    def _report_unmatched(self) -> None:
        if self.active and time.monotonic() - self._last_set > 1.0:
            newest = ", ".join(
                f"{key} {'none' if stamp is None else f'at {stamp / 1e9:.3f} s'}"
                for key, stamp in self._pairs.unmatched().items()
            )
            self._say(
                self.now_ns(),
                PerceptionStatus.UNMATCHED_VIEWS,
                f"no frames within {self.parameters.sync_slop} s of each other; newest: {newest}",
            )

    def _say(self, stamp: int, code: str, message: str, **fields: Any) -> None:
        status = PerceptionStatus(
            code=code, message=message, backend=self.parameters.detector, **fields
        )
        status.header.stamp = conversions.ns_to_stamp(stamp)
        if code not in (self._said.code, PerceptionStatus.OK):
            self.get_logger().warning(f"{code}: {message}")
        self._said = status
        self._status.publish(status)

    def clock_jumped_back(self) -> None:
        """Frames stamped before cannot be paired with what comes."""
        self._pairs.clear()

    def diagnose(self) -> tuple[bool, str, dict[str, Any]]:
        """What was last seen, and how long it took."""
        s = self._said
        values = {
            "detector": self.parameters.detector,
            "objects in front": s.front_count,
            "objects in top": s.top_count,
            "detection [ms]": round(1e3 * s.detection_time, 2),
        }
        return s.code in ("", PerceptionStatus.OK), f"{s.code} {s.message}".strip(), values


def _region(values: list[int]) -> tuple[int, int, int, int] | None:
    if len(values) != 4:
        raise VimaError(
            "BAD_PARAMETER", f"a region is {list(values)}; valid: x, y, width, height [px]"
        )
    return tuple(values) if any(values) else None


def main(args: list[str] | None = None) -> None:
    """``ros2 run vima_ros perception``."""
    run(PerceptionNode, args)
