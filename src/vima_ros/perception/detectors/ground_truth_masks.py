"""Detector that returns given instance masks."""

from __future__ import annotations

import numpy as np

from vima_ros.perception.detectors.base import Detector
from vima_ros.perception.detectors.instances import Instances


class GroundTruthMaskDetector(Detector):
    """Returns the given instance mask, such as a simulator's.

    Object order is ascending id; every score is 1. The ids are taken to be the same in both views
    and over time.
    """

    needs_mask = True
    has_stable_ids = True

    def _find(self, image_rgb: np.ndarray, view: str, mask: np.ndarray | None) -> Instances:
        assert mask is not None  # ``detect`` has checked
        ids = np.unique(mask)
        ids = ids[ids > 0]
        return Instances(mask, ids, np.ones(len(ids), np.float32))
