"""Whole images of the views, as a policy without objects reads them."""

from __future__ import annotations

from collections.abc import Mapping

import cv2
import numpy as np

from vima_ros.perception.detectors.instances import check_image
from vima_ros.specs import VIEW_IMAGE_SIZE, ViewImages


def view_image(frame_rgb: np.ndarray) -> np.ndarray:
    """Halve the policy frame uint8 (128, 256, 3): RGB (3, 64, 128), averaged over each pixel.

    Raises VimaError (INVALID_VALUE) for another image.
    """
    check_image(frame_rgb)
    rows, columns = VIEW_IMAGE_SIZE
    small = cv2.resize(frame_rgb, (columns, rows), interpolation=cv2.INTER_AREA)
    return small.transpose(2, 0, 1)


def view_images(frames: Mapping[str, np.ndarray]) -> ViewImages:
    """Return the whole images of both views, of {view: policy frame}; raises as ``view_image``."""
    return ViewImages(view_image(frames["front"]), view_image(frames["top"]))
