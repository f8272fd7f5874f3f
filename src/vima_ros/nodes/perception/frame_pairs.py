"""Camera messages that belong together, with when each came; their pictures."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from sensor_msgs.msg import CompressedImage, Image

from vima_ros.errors import VimaError, add_view_to_errors
from vima_ros.nodes.common import conversions, image_conversion
from vima_ros.perception.frame_sync import StampSynchronizer
from vima_ros.specs import VIEWS

SILENCE = 1.0  # without frames, pairs or a stamp that advances [s]
START = 5.0  # so long cameras may take to come up before that is worth a warning [s]


def camera_topics(compressed: bool, with_masks: bool) -> dict[str, tuple[type, str]]:
    """{key: (message type, topic)} of what makes a pair; keys as in ``Pair.messages``."""
    image = (CompressedImage, "image_raw/compressed") if compressed else (Image, "image_raw")
    kinds = {"image": image} | ({"mask": (Image, "mask")} if with_masks else {})
    return {
        f"{view}/{kind}": (message, f"{view}/{topic}")
        for view in VIEWS
        for kind, (message, topic) in kinds.items()
    }


@dataclass(frozen=True, eq=False)
class Pair:
    """Messages of one moment, {"front/image": …}, and their stamps [ns].

    ``epoch``: what came before the clock jumped has a smaller one. ``complete``: when the last of
    them came, steady clock [s]. ``times``: stages so far [s].
    """

    messages: Mapping[str, Any]
    stamps: Mapping[str, int]
    epoch: int
    complete: float
    times: Mapping[str, float]

    def headers(self) -> dict[str, Any]:
        """The cameras' own, by view."""
        return {view: self.messages[f"{view}/image"].header for view in VIEWS}

    def pictures(self) -> dict[str, np.ndarray]:
        """RGB as the cameras give it, by view. Raises VimaError (BAD_IMAGE) naming the view."""
        return self._decoded("image", image_conversion.decode_colour)

    def masks(self) -> dict[str, np.ndarray]:
        """Instance ids by view. Raises VimaError (BAD_IMAGE) naming the view."""
        return self._decoded("mask", image_conversion.decode_mask)

    def _decoded(self, kind: str, decode: Callable) -> dict[str, np.ndarray]:
        decoded = {}
        for view in VIEWS:
            with add_view_to_errors(view):
                decoded[view] = decode(self.messages[f"{view}/{kind}"])
        return decoded


class CameraNames:
    """Which camera a view belongs to, by the frame_id of its images.

    ``expected`` by view; empty: the first that is named, from then on no other.
    """

    def __init__(self, expected: Mapping[str, str]) -> None:
        self._expected = dict(expected)
        self._learned: dict[str, str] = {}

    def check(self, pair: Pair) -> None:
        """Raises VimaError (WRONG_CAMERA) for images of another camera, as after a mix-up."""
        wrong = []
        for view, header in pair.headers().items():
            known = self._expected[view] or self._learned.setdefault(view, header.frame_id)
            if not known:
                del self._learned[view]
            elif header.frame_id != known:
                wrong.append(f"{view} view: from {header.frame_id!r}, valid: {known!r}")
        if wrong:
            raise VimaError(
                "WRONG_CAMERA", "; ".join(wrong) + " (are the cameras swapped, or remapped?)"
            )

    def forget(self) -> None:
        """Learn anew."""
        self._learned.clear()


class Pairs:
    """Pairs messages by stamp, and knows what keeps them from being paired.

    ``topics`` {key: name}, keys as in ``Pair.messages``; ``slop`` [s]. A stamp of 0 is none: what
    has it is in no pair.
    """

    def __init__(self, topics: Mapping[str, str], slop: float) -> None:
        self.epoch = 0
        self._topics, self._slop = dict(topics), slop
        self._joined = StampSynchronizer(list(topics), round(slop * 1e9))
        self.begin()

    def begin(self) -> None:
        """Wait for the first messages, from now on."""
        self._began = self._last_pair = time.monotonic()
        self._arrivals: dict[str, Arrivals] = {}

    def add(self, key: str, message: Any, now: int) -> Pair | None:
        """Take what came ``now`` [ns, node's clock]; the newest pair if there is one."""
        came = time.monotonic()
        stamp = conversions.stamp_to_ns(message.header.stamp)
        self._arrivals.setdefault(key, Arrivals()).add(stamp, came)
        if stamp == 0:
            return None
        found = self._joined.add(key, stamp, (message, came, (now - stamp) / 1e9))
        if found is None:
            return None
        self._last_pair = came
        waited = [(arrived, late) for _, (_, arrived, late) in found.values()]
        return Pair(
            messages={k: message for k, (_, (message, _, _)) in found.items()},
            stamps={view: found[f"{view}/image"][0] for view in VIEWS},
            epoch=self.epoch,
            complete=came,
            times={
                "shutter to arrival": max(late for _, late in waited),
                "partner": came - min(arrived for arrived, _ in waited),
            },
        )

    def clear(self) -> None:
        """Forget what waits; pairs made so far belong to the past."""
        self.epoch += 1
        self._joined.clear()

    def why_none(self) -> VimaError | None:
        """Why there has been no pair for a second; None if there has been one.

        NO_FRAMES: a topic is silent. BAD_STAMPS: frames come without a stamp, or with one that
        stands still. UNMATCHED_VIEWS: the stamps of both views are too far apart.
        """
        now = time.monotonic()
        if now - self._last_pair <= SILENCE:
            return None
        silent, frozen = {}, {}
        for key in self._topics:
            arrivals = self._arrivals.get(key)
            if arrivals is None or now - arrivals.last > SILENCE:
                since = self._began if arrivals is None else arrivals.last
                silent[key] = f"no frame for {now - since:.0f} s"
            elif arrivals.stamp == 0:
                frozen[key] = "stamp 0"
            elif now - arrivals.advanced > SILENCE:
                frozen[key] = f"stamp stands at {arrivals.stamp / 1e9:.3f} s"
        if silent:
            return VimaError("NO_FRAMES", self._list(silent))
        if frozen:
            return VimaError(
                "BAD_STAMPS", f"{self._list(frozen)}; valid: the time of each exposure"
            )
        newest = {key: f"at {self._arrivals[key].stamp / 1e9:.3f} s" for key in self._topics}
        return VimaError(
            "UNMATCHED_VIEWS",
            f"no frames within {self._slop:g} s of each other for {now - self._last_pair:.0f} s; "
            "newest: " + ", ".join(f"{key} {stamp}" for key, stamp in newest.items()),
        )

    @property
    def starting(self) -> bool:
        """Whether some camera may just not have come up yet."""
        waiting = len(self._arrivals) < len(self._topics)
        return waiting and time.monotonic() - self._began < START

    def _list(self, said: Mapping[str, str]) -> str:
        return "; ".join(
            f"{key.partition('/')[0]} view: {words} on {self._topics[key]}"
            for key, words in said.items()
        )


@dataclass
class Arrivals:
    """What came on one topic: the newest ``stamp`` [ns], and when [s, steady clock].

    ``last``: the newest message. ``advanced``: the newest whose stamp was later than the one
    before it, or the first.
    """

    stamp: int = -1
    last: float = 0.0
    advanced: float = 0.0

    def add(self, stamp: int, came: float) -> None:
        """Note a message."""
        if stamp > self.stamp or self.stamp < 0:
            self.advanced = came
        self.stamp, self.last = stamp, came
