"""Outlines from rings of points, for several tests."""

import numpy as np

from vima_ros.outlines import OUTLINE_SHAPE


def outline(*rings):
    """The outline, uint8 (64, 3), of rings of points x, y: around the object, around its holes."""
    made, start = np.zeros(OUTLINE_SHAPE, np.uint8), 0
    for number, ring in enumerate(rings, 1):
        for point in ring:
            made[start] = (*point, number)
            start += 1
    return made
