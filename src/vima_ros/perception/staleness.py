"""Staleness check of camera images: too old, or the same image repeated under new stamps."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

import numpy as np

from vima_ros.errors import error_of_views

TILES = 8  # along each side of an image, in which changes are counted
MIN_NOISY_TILES = 0.5  # fraction of the tiles that noise changes; motion changes less
NOISE_HISTORY = 20  # latest image changes of a view, from which its noise is known
MIN_CHANGES = 5
MIN_NOISY_FRACTION = 0.9  # of the changes, which affect the whole image


class StalenessChecker:
    """Refuses stale and frozen images, each view checked on its own.

    Stale: older than ``max_age`` [s] when processed, or stamped as far ahead of the clock.
    Frozen: the same pixels under new stamps for longer than ``frozen_timeout`` [s], as from a
    driver that repeats its last image. This limit applies to a camera that has shown noise: whose
    image changed everywhere, nearly each time it changed. A simulated camera has no noise; motion
    changes a part of its image, and at rest it always looks the same. Without noise
    ``frozen_timeout_noiseless`` [s] applies, 0 = unlimited. Takes about 1 ms per megabyte.
    """

    def __init__(self) -> None:
        self._histories: dict[str, _ImageHistory] = {}

    def reset(self) -> None:
        """Forget all images."""
        self._histories.clear()

    def check_age(self, stamps: Mapping[str, int], now: int, max_age: float) -> None:
        """Raise VimaError (STALE) naming the views; ``stamps`` and ``now`` in ns.

        ``max_age`` 0 allows any. With a clock at 0, simulation time that has not started, no age
        is known.
        """
        if not max_age or now == 0:
            return
        ages = {view: (now - stamp) / 1e9 for view, stamp in stamps.items()}
        problems = [
            (view, _describe_age(age)) for view, age in ages.items() if not abs(age) <= max_age
        ]
        if problems:
            raise error_of_views(
                "STALE",
                problems,
                f"; valid: up to {max_age:g} s; if the camera is alive, compare its clock with "
                "this one",
            )

    def check_frozen(
        self,
        images: Mapping[str, np.ndarray],
        stamps: Mapping[str, int],
        frozen_timeout: float,
        frozen_timeout_noiseless: float,
    ) -> None:
        """Raise VimaError (FROZEN) naming the views; ``frozen_timeout`` 0 checks nothing."""
        if not frozen_timeout:
            self.reset()
            return
        problems = []
        for view, image in images.items():
            history = self._histories.setdefault(view, _ImageHistory(image, stamps[view]))
            history.update(image, stamps[view])
            limit = frozen_timeout if history.has_noise else frozen_timeout_noiseless
            seconds = (stamps[view] - history.since) / 1e9
            if limit and seconds > limit:
                noise = "" if history.has_noise else ", of a camera without noise"
                problem = f"the same pixels for {seconds:.1f} s{noise}; valid: up to {limit:g} s"
                problems.append((view, problem))
        if problems:
            raise error_of_views("FROZEN", problems)


class _ImageHistory:
    """The current image of one view, unchanged ``since`` a stamp [ns], and its past changes."""

    def __init__(self, image: np.ndarray, stamp: int) -> None:
        self.since = stamp
        self._image = image
        self._noisy_changes: deque[bool] = deque(
            maxlen=NOISE_HISTORY
        )  # of each change of the image

    @property
    def has_noise(self) -> bool:
        """True if nearly every change so far affected the whole image."""
        known = len(self._noisy_changes)
        return known >= MIN_CHANGES and sum(self._noisy_changes) >= MIN_NOISY_FRACTION * known

    def update(self, image: np.ndarray, stamp: int) -> None:
        """Add the next image; it is kept, so it must not be modified."""
        if image is self._image:
            return
        if image.shape == self._image.shape:
            changed = image != self._image
            if not changed.any():
                return
            self._noisy_changes.append(_changed_tile_fraction(changed) >= MIN_NOISY_TILES)
        self._image, self.since = image, stamp


def _changed_tile_fraction(changed: np.ndarray) -> float:
    """Return the fraction of TILES x TILES tiles of ``changed`` bool (h, w, 3) with any set."""
    height, width, channels = changed.shape
    rows, columns = (np.arange(min(TILES, n)) * n // min(TILES, n) for n in (height, width))
    strips = np.logical_or.reduceat(changed.reshape(height, -1), rows, axis=0)
    return float(np.logical_or.reduceat(strips, channels * columns, axis=1).mean())


def _describe_age(age: float) -> str:
    return f"{age:.2f} s old" if age > 0 else f"stamped {-age:.2f} s ahead of this clock"
