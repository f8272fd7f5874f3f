"""Outlines of objects from their masks."""

from __future__ import annotations

import cv2
import numpy as np

from vima_ros.outlines import OUTLINE_POINTS, OUTLINE_SHAPE

MIN_HOLE = 4.0  # area [px²]; a hole of one or two pixels is a fault of the mask
TOLERANCE = 0.5  # [px] distance by which an outline may leave the mask's edge
GROWTH = 1.5  # of the tolerance, until OUTLINE_POINTS suffice


def extract_outline(pixels: np.ndarray, left: int = 0, top: int = 0) -> np.ndarray:
    """Return the outline, uint8 (64, 3), of the largest connected part of a mask.

    ``pixels`` uint8 (h, w), 0 = background, a part of the image whose first pixel is at ``left``,
    ``top`` [px]. Pixels that touch at a corner are connected; the largest part is the one that
    encloses the largest area. The outline stays within TOLERANCE of the mask's edge, or within
    more where that needs too many points; holes of a lesser width are left out. Without pixels: no
    points.
    """
    outline = np.zeros(OUTLINE_SHAPE, np.uint8)
    contours, levels = cv2.findContours(
        pixels, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE, offset=(left, top)
    )
    if not contours:
        return outline
    areas, parents = [cv2.contourArea(contour) for contour in contours], levels[0, :, 3].tolist()
    outer = max((i for i, p in enumerate(parents) if p < 0), key=areas.__getitem__)
    holes = [i for i, p in enumerate(parents) if p == outer and areas[i] > MIN_HOLE]
    rings = [contours[i] for i in (outer, *sorted(holes, key=areas.__getitem__, reverse=True))]
    tolerance = TOLERANCE
    while sum(map(len, simplified := _simplified(rings, tolerance))) > OUTLINE_POINTS:
        tolerance *= GROWTH
    start = 0
    for number, ring in enumerate(simplified, 1):
        outline[start : start + len(ring), :2] = ring[:, 0]
        outline[start : start + len(ring), 2] = number
        start += len(ring)
    return outline


def _simplified(rings: list[np.ndarray], tolerance: float) -> list[np.ndarray]:
    """Return rings with fewer points; a hole that becomes a line or a point is left out."""
    outer, *holes = (cv2.approxPolyDP(ring, tolerance, True) for ring in rings)
    return [outer, *(hole for hole in holes if len(hole) > 2)]
