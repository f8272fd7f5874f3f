"""Registry of detectors. A new backend is one file and one line in ``DETECTORS``."""

from __future__ import annotations

from importlib import import_module

from vima_ros.errors import VimaError
from vima_ros.perception.detectors.base import DEFAULT_SETTINGS, Detector, DetectorSettings
from vima_ros.perception.detectors.instances import Instances

__all__ = ["DETECTORS", "Detector", "DetectorSettings", "Instances", "make_detector"]

# By name: module and class. Imported when made, as each needs packages the others do not.
DETECTORS = {
    "onnx": ("onnx_runtime", "OnnxDetector"),
    "detectron2": ("detectron2_mask_rcnn", "Detectron2Detector"),
    "torchvision": ("torchvision_mask_rcnn", "TorchvisionDetector"),
    "ground_truth_masks": ("ground_truth_masks", "GroundTruthMaskDetector"),
    "plain_background": ("plain_background.detector", "PlainBackgroundDetector"),
}


def make_detector(name: str, settings: DetectorSettings = DEFAULT_SETTINGS) -> Detector:
    """Make the detector registered as ``name``.

    Raises VimaError: UNKNOWN_DETECTOR, whose message lists the valid names; INVALID_VALUE for
    unusable settings; NOT_INSTALLED, whose message names what to install; NO_WEIGHTS for
    a file that is missing; BAD_WEIGHTS for one that is another; BAD_DEVICE.
    """
    if name not in DETECTORS:
        raise VimaError(
            "UNKNOWN_DETECTOR", f"detector {name!r}; valid: {', '.join(sorted(DETECTORS))}"
        )
    module, kind = DETECTORS[name]
    detector: Detector = getattr(import_module(f"{__package__}.{module}"), kind)(settings)
    return detector
