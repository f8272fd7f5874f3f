"""The detector for objects on a plain surface: no training, OpenCV only."""

from __future__ import annotations

import cv2
import numpy as np

from vima_ros.perception.detectors.base import Detector
from vima_ros.perception.detectors.instances import FRAME_SHAPE, Instances
from vima_ros.perception.detectors.plain_background.background import RIM, find_background

MIN_AREA = 12  # [px] smaller is speckle; VIMA's smallest block covers about 57
MAX_GAP_AREA = 8  # [px] pixels of background colour inside a texture, not a hole
FULL_CONTRAST = 3.0  # [tolerances of the background] at which the score reaches 1


class PlainBackgroundDetector(Detector):
    """Objects are what differs from a uniform table, and from uniform ground around it.

    Objects that touch in the image become one. Object order is by the centre of the box: row,
    then column. A score is the contrast of an object with the background (1 = its pixels differ
    by ``FULL_CONTRAST`` tolerances or more), no measure of whether it is
    whole. ``detect`` also raises VimaError (NO_UNIFORM_BACKGROUND), see ``find_background``.
    """

    min_score = 0.3

    def _find(self, image_rgb: np.ndarray, view: str, mask: np.ndarray | None) -> Instances:
        background = find_background(image_rgb)
        foreground = fill_holes(~background.mask, MAX_GAP_AREA)
        components: tuple = cv2.connectedComponentsWithStats(
            foreground.astype(np.uint8), connectivity=8
        )
        _, labels, stats, _ = components
        inner = labels[RIM:-RIM, RIM:-RIM].ravel().astype(np.intp)
        within = np.bincount(inner, minlength=len(stats)) > 0
        found = []  # (row, column) of the box centre, score, label
        for label, (x, y, width, height, area) in enumerate(stats):
            if label == 0 or area < MIN_AREA or not within[label]:
                continue
            centre = (y + (height - 1) / 2, x + (width - 1) / 2)
            contrast = background.contrast[labels == label].mean()
            found.append((centre, min(1.0, contrast / FULL_CONTRAST), label))
        found.sort(key=lambda entry: entry[0])
        instances = np.zeros(FRAME_SHAPE, np.uint16)
        for number, (_, _, label) in enumerate(found, 1):
            instances[labels == label] = number
        scores = np.array([score for _, score, _ in found], np.float32)
        return Instances(instances, np.arange(1, len(found) + 1), scores)


def fill_holes(mask: np.ndarray, max_area: int) -> np.ndarray:
    """Return ``mask`` (h, w) bool with the holes of at most ``max_area`` [px] filled."""
    outside = np.pad(~mask, 1, constant_values=True).astype(np.uint8)
    _, labels, stats, _ = cv2.connectedComponentsWithStats(outside, connectivity=4)
    open_ = stats[:, cv2.CC_STAT_AREA] > max_area
    open_[labels[0, 0]] = True
    open_[0] = False
    return ~open_[labels][1:-1, 1:-1]
