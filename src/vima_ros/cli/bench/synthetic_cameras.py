"""Synthetic cameras that publish rendered frames and time the node's observations."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from sensor_msgs.msg import Image

from vima_msgs.msg import Observation, PerceptionStatus
from vima_ros.client.client import Client
from vima_ros.errors import VimaError
from vima_ros.nodes.common import conversions, image_conversion, qos
from vima_ros.specs import VIEWS
from vima_ros.training.evaluation.detector_frames import FIRST_EVALUATION_SEED, tabletop_frames

WIDTH, HEIGHT = 640, 480  # [px]
SCENES, NOISE_VARIANTS = 8, 3  # different frames, and noisy images of each
NOISE = 2  # grey levels a pixel may be off; a real camera never gives the same image twice
RESULT_TIMEOUT = 5.0  # a pair that led to nothing by then is lost [s]
PAUSE = 0.02  # between an answer and the next pair, for the node to say and draw what it does [s]

Images = dict[str, np.ndarray]  # uint8 RGB by view


def policy_frames() -> list[Images]:
    """Render frames of ``SCENES`` tasks. Raises VimaError (NO_RENDERER)."""
    frames = tabletop_frames(SCENES, FIRST_EVALUATION_SEED, (0.0,))
    scenes = [frame for frame in frames if not frame.is_prompt_image]
    return [dict(zip(VIEWS, frame.rgb, strict=True)) for frame in scenes]


def camera_images(frames: Sequence[Images]) -> list[Images]:
    """Convert frames to camera images of 640x480: centered, and with noise."""
    random = np.random.default_rng(0)
    pairs = []
    for _ in range(NOISE_VARIANTS):
        for frame in frames:
            pairs.append({view: _enlarged(image, random) for view, image in frame.items()})
    return pairs


def _enlarged(image: np.ndarray, random: np.random.Generator) -> np.ndarray:
    rows = WIDTH // 2  # the policy frame is twice as wide as it is high
    large = cv2.resize(image, (WIDTH, rows), interpolation=cv2.INTER_LINEAR)
    edge = (HEIGHT - rows) // 2
    large = cv2.copyMakeBorder(large, edge, edge, 0, 0, cv2.BORDER_REPLICATE).astype(np.int16)
    noise = random.integers(-NOISE, NOISE + 1, large.shape, np.int16)
    return np.clip(large + noise, 0, 255).astype(np.uint8)


@dataclass
class PairResults:
    """Results of pairs: latencies from shutter to observation [s], refusals by code, and losses.

    ``objects``: of both views, per observation. ``why``: message of the last refusal.
    """

    latencies: list[float] = field(default_factory=list)
    refused: dict[str, int] = field(default_factory=dict)
    lost: int = 0
    objects: list[int] = field(default_factory=list)
    why: str = ""


class Cameras:
    """Publisher of both cameras' images, in a process of its own."""

    def __init__(self, client: Client, pairs: Sequence[Images]) -> None:
        self._client = client
        self._publishers = {
            view: client.create_publisher(Image, f"{view}/image_raw", qos.SENSOR_DATA)
            for view in VIEWS
        }
        self._messages = [
            {
                view: image_conversion.encode(image, "rgb8", None, f"{view}_optical")
                for view, image in p.items()
            }
            for p in pairs
        ]
        self._shown = 0
        # Its lock guards the three below, which hold the pairs that are not counted yet.
        self._answered = threading.Condition()
        self._shutters: dict[int, float] = {}  # stamp [ns]: monotonic clock [s]
        self._seen: dict[int, tuple[float, int]] = {}  # stamp: latency [s], objects
        self._refused: dict[int, tuple[str, str]] = {}  # stamp: code, message
        node = client.node
        node.create_subscription(Observation, "observation", self._on_observation, qos.RELIABLE)
        node.create_subscription(
            PerceptionStatus, "perception_status", self._on_status, qos.LATCHED
        )

    def start_node(self) -> None:
        """Configure and activate the node, then publish pairs until one is answered.

        Raises VimaError (BENCH_FAILED, TIMEOUT); see the node's log.
        """
        for change in (Transition.TRANSITION_CONFIGURE, Transition.TRANSITION_ACTIVATE):
            request = ChangeState.Request(transition=Transition(id=change))
            if not self._client.call(ChangeState, "perception/change_state", request, 60).success:
                raise VimaError("BENCH_FAILED", "the perception node refused to start")
        self._client.wait_until(
            lambda: all(p.get_subscription_count() for p in self._publishers.values()),
            "subscriptions of perception",
        )
        self._client.wait_until(self._is_answered, "answer of perception")

    def one_by_one(
        self, count: int, results: PairResults, timeout: float = RESULT_TIMEOUT
    ) -> None:
        """Publish ``count`` pairs, each after the last one's result, and add the results."""
        for _ in range(count):
            stamp = self._show()
            self._wait(stamp, timeout)
            self._count(stamp, results)
            time.sleep(PAUSE)

    def steadily(self, rate: float, seconds: float) -> PairResults:
        """Publish pairs at ``rate`` [1/s] without waiting; unprocessed ones count as lost."""
        began, stamps = time.monotonic(), []
        for number in range(round(rate * seconds)):
            time.sleep(max(began + number / rate - time.monotonic(), 0.0))
            stamps.append(self._show())
        self._wait(stamps[-1], RESULT_TIMEOUT)
        results = PairResults()
        for stamp in stamps:
            self._count(stamp, results)
        return results

    def _is_answered(self) -> bool:
        results = PairResults()
        self.one_by_one(1, results, 0.5)
        return not results.lost

    def _wait(self, stamp: int, timeout: float) -> None:
        with self._answered:
            self._answered.wait_for(lambda: stamp in self._seen or stamp in self._refused, timeout)

    def _show(self) -> int:
        messages = self._messages[self._shown % len(self._messages)]
        self._shown += 1
        stamp = time.time_ns()
        for message in messages.values():
            message.header.stamp = conversions.ns_to_stamp(stamp)
        with self._answered:
            self._shutters[stamp] = time.monotonic()
        for view, message in messages.items():
            self._publishers[view].publish(message)
        return stamp

    def _count(self, stamp: int, results: PairResults) -> None:
        with self._answered:
            del self._shutters[stamp]  # from here on, an answer comes too late to count
            seen, refused = self._seen.pop(stamp, None), self._refused.pop(stamp, None)
        if seen is not None:
            latency, objects = seen
            results.latencies.append(latency)
            results.objects.append(objects)
        elif refused is not None:
            code, results.why = refused
            results.refused[code] = results.refused.get(code, 0) + 1
        else:
            results.lost += 1

    def _on_observation(self, message: Observation) -> None:
        now, stamp = time.monotonic(), conversions.stamp_to_ns(message.header.stamp)
        objects = len(message.front.objects) + len(message.top.objects)
        with self._answered:
            if stamp in self._shutters:
                self._seen[stamp] = now - self._shutters[stamp], objects
                self._answered.notify_all()

    def _on_status(self, message: PerceptionStatus) -> None:
        if message.code != PerceptionStatus.OK:
            stamp = conversions.stamp_to_ns(message.header.stamp)
            with self._answered:
                if stamp in self._shutters:
                    self._refused[stamp] = message.code, message.message
                    self._answered.notify_all()
