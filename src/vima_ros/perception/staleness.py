"""Whether a picture shows the present: not too old, and not the same one again and again."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

import numpy as np

from vima_ros.errors import VimaError

TILES = 8  # along each side of an image, in which changes are counted
MIN_TILES = 0.5  # part of the tiles in which noise shows; what moves covers less
CHANGES = 20  # of a view's images, the newest, by which its noise is known
MIN_CHANGES = 5
NOISE_SHARE = 0.9  # of the changes that are all over the image


class Freshness:
    """Refuses stale and frozen pictures, each view judged for itself.

    Stale: older than ``max_age`` [s] when it is to be used, or stamped as much ahead of the clock.
    Frozen: the same pixels under new stamps for longer than ``frozen_after`` [s], as from a driver
    that repeats its last picture. That counts where a camera has shown noise before: where its
    images changed all over, nearly each time they did. A simulator has none; what moves there
    changes a part of the image, and at rest it always looks the same. Where no noise was seen,
    ``frozen_after_noiseless`` [s] counts, 0 = for ever. Takes about 1 ms per megabyte.
    """

    def __init__(self) -> None:
        self._shown: dict[str, _Shown] = {}

    def reset(self) -> None:
        """Forget what was shown."""
        self._shown.clear()

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
        self,
        images: Mapping[str, np.ndarray],
        stamps: Mapping[str, int],
        frozen_after: float,
        frozen_after_noiseless: float,
    ) -> None:
        """Raises VimaError (FROZEN) naming the views; ``frozen_after`` 0 looks at nothing."""
        if not frozen_after:
            self.reset()
            return
        said = []
        for view, image in images.items():
            shown = self._shown.setdefault(view, _Shown(image, stamps[view]))
            shown.update(image, stamps[view])
            limit = frozen_after if shown.has_noise else frozen_after_noiseless
            seconds = (stamps[view] - shown.since) / 1e9
            if limit and seconds > limit:
                noise = "" if shown.has_noise else ", of a camera without noise"
                said.append(
                    f"{view} view: the same pixels for {seconds:.1f} s{noise}; "
                    f"valid: up to {limit:g} s"
                )
        if said:
            raise VimaError("FROZEN", "; ".join(said))


class _Shown:
    """What one view shows, ``since`` when [ns], and whether its camera has noise."""

    def __init__(self, image: np.ndarray, stamp: int) -> None:
        self.since = stamp
        self._image = image
        self._all_over: deque[bool] = deque(maxlen=CHANGES)  # of each change of the image

    @property
    def has_noise(self) -> bool:
        """Whether nearly every change so far was all over the image."""
        known = len(self._all_over)
        return known >= MIN_CHANGES and sum(self._all_over) >= NOISE_SHARE * known

    def update(self, image: np.ndarray, stamp: int) -> None:
        """Take the next image; it is kept, so it must not be written to."""
        if image is self._image:
            return
        if image.shape == self._image.shape:
            changed = image != self._image
            if not changed.any():
                return
            self._all_over.append(_changed_tiles(changed) >= MIN_TILES)
        self._image, self.since = image, stamp


def _changed_tiles(changed: np.ndarray) -> float:
    """The part of TILES x TILES tiles of ``changed`` bool (h, w, 3) in which anything is set."""
    height, width, channels = changed.shape
    rows, columns = (np.arange(min(TILES, n)) * n // min(TILES, n) for n in (height, width))
    strips = np.logical_or.reduceat(changed.reshape(height, -1), rows, axis=0)
    return float(np.logical_or.reduceat(strips, channels * columns, axis=1).mean())


def _told(age: float) -> str:
    return f"{age:.2f} s old" if age > 0 else f"stamped {-age:.2f} s ahead of this clock"
