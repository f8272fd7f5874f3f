"""The detectors there are. A new backend is one file and one line in ``DETECTORS``."""

from __future__ import annotations

from vima_ros.errors import VimaError
from vima_ros.perception.instances import Detector, Instances
from vima_ros.perception.masks import MaskDetector
from vima_ros.perception.plain_background import PlainBackgroundDetector

__all__ = ["DETECTORS", "Detector", "Instances", "make_detector"]

DETECTORS: dict[str, type[Detector]] = {
    "masks": MaskDetector,
    "plain_background": PlainBackgroundDetector,
}


def make_detector(name: str) -> Detector:
    """The detector registered as ``name``; VimaError (UNKNOWN_DETECTOR) lists the valid names."""
    if name not in DETECTORS:
        raise VimaError(
            "UNKNOWN_DETECTOR", f"detector {name!r}; valid: {', '.join(sorted(DETECTORS))}"
        )
    return DETECTORS[name]()
