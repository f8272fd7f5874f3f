"""Whether a picture shows the present: not too old, and not the same one again and again."""

from __future__ import annotations

import zlib
from collections.abc import Mapping

import numpy as np

from vima_ros.errors import VimaError


class Freshness:
    """Refuses stale and frozen pictures, each view judged for itself.

    Stale: older than ``max_age`` [s] when it is to be used, or stamped as much ahead of the clock.
    Frozen: the same pixels under new stamps for longer than ``frozen_after`` [s], as from a driver
    that repeats its last picture. Cameras have noise; a simulator has none, so there a table at
    rest always looks the same. Pixels are compared by their CRC-32: about 1 ms per megabyte.
    """

    def __init__(self) -> None:
        self._since: dict[str, tuple[object, int]] = {}  # view: what it shows, since when [ns]

    def reset(self) -> None:
        """Forget what was shown."""
        self._since.clear()

    def check_age(self, stamps: Mapping[str, int], now: int, max_age: float) -> None:
        """Raises VimaError (STALE) naming the views; ``stamps`` and ``now`` in ns.

        ``max_age`` 0 allows any. A clock at 0 (simulation time) has not started: it tells no age.
        """
        if not max_age or now == 0:
            return
        ages = {view: (now - stamp) / 1e9 for view, stamp in stamps.items()}
        said = [
            f"{view} view: {_told(age)}" for view, age in ages.items() if not abs(age) <= max_age
        ]
        if said:
            raise VimaError(
                "STALE",
                f"{'; '.join(said)}; valid: up to {max_age:g} s; if the camera is alive, compare "
                "its clock with this one",
            )

    def check_frozen(
        self, images: Mapping[str, np.ndarray], stamps: Mapping[str, int], frozen_after: float
    ) -> None:
        """Raises VimaError (FROZEN) naming the views; ``frozen_after`` 0 looks at nothing."""
        if not frozen_after:
            self.reset()
            return
        same = {view: self._unchanged(view, images[view], stamps[view]) for view in images}
        said = [
            f"{view} view: the same pixels for {seconds:.1f} s"
            for view, seconds in same.items()
            if seconds > frozen_after
        ]
        if said:
            raise VimaError("FROZEN", f"{'; '.join(said)}; valid: up to {frozen_after:g} s")

    def _unchanged(self, view: str, image: np.ndarray, stamp: int) -> float:
        """For how long ``view`` has shown exactly this [s]."""
        shown = image.shape, zlib.crc32(np.ascontiguousarray(image).data)
        before, since = self._since.get(view, (None, stamp))
        if shown != before:
            since = stamp
        self._since[view] = shown, since
        return (stamp - since) / 1e9


def _told(age: float) -> str:
    return f"{age:.2f} s old" if age > 0 else f"stamped {-age:.2f} s ahead of this clock"
