"""Pairing of camera messages by stamp, and the reason while no pair can be formed."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

from sensor_msgs.msg import CompressedImage, Image

from vima_ros.errors import VimaError, error_of_views
from vima_ros.nodes.common import conversions
from vima_ros.nodes.perception.image_pair import ImagePair
from vima_ros.perception.frame_sync import StampSynchronizer
from vima_ros.specs import VIEWS

SILENCE_TIMEOUT = 1.0  # without frames, pairs or a stamp that advances [s]
STARTUP_TIMEOUT = 5.0  # of cameras that come up, before that is worth a warning [s]


def camera_topics(use_compressed_images: bool, with_masks: bool) -> dict[str, tuple[type, str]]:
    """Return {key: (message type, topic)} of a pair; keys as in ``ImagePair.messages``."""
    image = (
        (CompressedImage, "image_raw/compressed")
        if use_compressed_images
        else (Image, "image_raw")
    )
    kinds = {"image": image} | ({"mask": (Image, "mask")} if with_masks else {})
    return {
        f"{view}/{kind}": (message, f"{view}/{topic}")
        for view in VIEWS
        for kind, (message, topic) in kinds.items()
    }


class PairSynchronizer:
    """Pairs messages by stamp, and reports why no pair can be formed.

    ``topics`` {key: name}, keys as in ``ImagePair.messages``; ``slop`` [s]: maximum difference of
    the stamps. A message with stamp 0 has no stamp and is in no pair. Per topic it keeps the
    arrivals of one message, and the 10 newest messages that wait for a pair: older ones are
    dropped, which PerceptionStatus reports where no pair is formed. All in the executor's thread.
    """

    def __init__(self, topics: Mapping[str, str], slop: float) -> None:
        self.epoch = 0
        self._topics, self._slop = dict(topics), slop
        self._synchronizer = StampSynchronizer(list(topics), round(slop * 1e9))
        self.restart()

    def restart(self) -> None:
        """Wait for the first messages, from now on."""
        self._started = self._last_pair = time.monotonic()
        self._arrivals: dict[str, TopicArrivals] = {}

    def add(self, key: str, message: Image | CompressedImage, now: int) -> ImagePair | None:
        """Add a message that arrived ``now`` [ns, node's clock]; return the new pair if any."""
        arrival = time.monotonic()
        stamp = conversions.stamp_to_ns(message.header.stamp)
        self._arrivals.setdefault(key, TopicArrivals()).add(stamp, arrival)
        if stamp == 0:
            return None
        found = self._synchronizer.add(key, stamp, (message, arrival, (now - stamp) / 1e9))
        if found is None:
            return None
        self._last_pair = arrival
        return ImagePair(
            messages={k: message for k, (_, (message, _, _)) in found.items()},
            stamps={view: found[f"{view}/image"][0] for view in VIEWS},
            epoch=self.epoch,
            complete=arrival,
            times={
                "shutter to arrival": max(delay for _, (_, _, delay) in found.values()),
                "pairing": arrival - min(arrived for _, (_, arrived, _) in found.values()),
            },
        )

    def clear(self) -> None:
        """Drop waiting messages after a jump of the clock; pairs so far have an older epoch."""
        self.epoch += 1
        self._synchronizer.clear()

    def unpaired_reason(self) -> VimaError | None:
        """Return why there has been no pair for a second, or None if there has been one.

        NO_FRAMES: a topic is silent. BAD_STAMPS: messages have no stamp, or one that does not
        advance. UNMATCHED_VIEWS: the stamps of the views are too far apart.
        """
        now = time.monotonic()
        if now - self._last_pair <= SILENCE_TIMEOUT:
            return None
        silent, frozen = {}, {}
        for key in self._topics:
            arrivals = self._arrivals.get(key)
            if arrivals is None or now - arrivals.last > SILENCE_TIMEOUT:
                since = self._started if arrivals is None else arrivals.last
                silent[key] = f"no frame for {now - since:.0f} s"
            elif arrivals.stamp == 0:
                frozen[key] = "stamp 0"
            elif now - arrivals.advanced > SILENCE_TIMEOUT:
                frozen[key] = f"stamp stays at {arrivals.stamp / 1e9:.3f} s"
        if silent:
            return error_of_views("NO_FRAMES", self._by_view(silent))
        if frozen:
            advice = "; valid: the time of each exposure"
            return error_of_views("BAD_STAMPS", self._by_view(frozen), advice)
        newest = {key: f"at {self._arrivals[key].stamp / 1e9:.3f} s" for key in self._topics}
        return VimaError(
            "UNMATCHED_VIEWS",
            f"no frames within {self._slop:g} s of each other for {now - self._last_pair:.0f} s; "
            "newest: " + ", ".join(f"{key} {stamp}" for key, stamp in newest.items()),
        )

    @property
    def starting(self) -> bool:
        """True while some camera may still be coming up."""
        waiting = len(self._arrivals) < len(self._topics)
        return waiting and time.monotonic() - self._started < STARTUP_TIMEOUT

    def _by_view(self, problems: Mapping[str, str]) -> list[tuple[str, str]]:
        return [
            (key.partition("/")[0], f"{problem} on {self._topics[key]}")
            for key, problem in problems.items()
        ]


@dataclass
class TopicArrivals:
    """Arrivals on one topic: the newest ``stamp`` [ns], and times of arrival [s, steady clock].

    ``last``: of the newest message. ``advanced``: of the newest message whose stamp was later than
    the one before it, or of the first.
    """

    stamp: int = -1
    last: float = 0.0
    advanced: float = 0.0

    def add(self, stamp: int, arrival: float) -> None:
        """Add a message."""
        if stamp > self.stamp or self.stamp < 0:
            self.advanced = arrival
        self.stamp, self.last = stamp, arrival
