"""The detector for objects on a plain surface: no training, OpenCV only."""

from __future__ import annotations

import cv2
import numpy as np

from vima_ros.perception.detectors.base import Detector
from vima_ros.perception.detectors.instances import FRAME_SHAPE, Instances
from vima_ros.perception.detectors.plain_background.background import RIM, find_background
from vima_ros.perception.detectors.plain_background.split_touching import (
    chroma,
    fill_holes,
    split_touching,
)

MIN_AREA = 12  # [px] smaller is speckle; VIMA's smallest block covers about 57
MAX_GAP_AREA = 8  # [px] pixels of background colour inside a texture, not a hole
FULL_CONTRAST = 3.0  # [tolerances of the background] from which an object is sure to be one


class PlainBackgroundDetector(Detector):
    """Objects are what differs from a uniform table, and from uniform ground around it.

    Objects that touch are told apart where they can be (see ``touching``). Object order is by
    the centre of the box: row, then column. A score says how clearly an object stands out from
    the background (1 = its pixels differ by ``FULL_CONTRAST`` tolerances or more), not that it
    is whole. ``detect`` also raises VimaError (NO_UNIFORM_BACKGROUND), see ``find_background``.
    """

    min_score = 0.3

    def _find(self, image_rgb: np.ndarray, view: str, mask: np.ndarray | None) -> Instances:
        background = find_background(image_rgb)
        foreground = fill_holes(~background.mask, MAX_GAP_AREA)
        _, labels, stats, _ = cv2.connectedComponentsWithStats(
            foreground.astype(np.uint8), connectivity=8
        )
        within = np.bincount(labels[RIM:-RIM, RIM:-RIM].ravel(), minlength=len(stats)) > 0
        colours = chroma(image_rgb)
        found = []  # (row, column) of the box centre, score, the window and its pixels
        for label, (x, y, width, height, area) in enumerate(stats):
            if label == 0 or area < MIN_AREA or not within[label]:
                continue
            window = np.s_[y : y + height, x : x + width]
            for piece in split_touching(labels[window] == label, colours[window]):
                left, top, piece_width, piece_height = cv2.boundingRect(piece.astype(np.uint8))
                centre = (y + top + (piece_height - 1) / 2, x + left + (piece_width - 1) / 2)
                contrast = background.contrast[window][piece].mean()
                found.append((centre, min(1.0, contrast / FULL_CONTRAST), window, piece))
        found.sort(key=lambda entry: entry[0])
        instances = np.zeros(FRAME_SHAPE, np.uint16)
        for number, (_, _, window, piece) in enumerate(found, 1):
            instances[window][piece] = number
        scores = np.array([score for _, score, _, _ in found], np.float32)
        return Instances(instances, np.arange(1, len(found) + 1), scores)
