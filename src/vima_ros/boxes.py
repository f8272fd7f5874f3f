"""Geometry of axis-aligned boxes in the policy frame."""

from __future__ import annotations

import numpy as np


def box_edges(boxes: np.ndarray) -> np.ndarray:
    """Return left, top, right, bottom (n, 4) [px], pixel edges, of policy ``boxes`` (n, 4).

    A policy box is x centre, y centre, height, width [px], the latter two max - min.
    """
    x, y, height, width = boxes.T
    left, top = x - width // 2, y - height // 2
    return np.stack([left, top, left + width + 1, top + height + 1], axis=1).astype(np.float64)


def iou(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return the intersection over union (len(a), len(b)) of boxes given by their edges."""
    low = np.maximum(a[:, None, :2], b[:, :2])
    high = np.minimum(a[:, None, 2:], b[:, 2:])
    intersection = np.clip(high - low, 0.0, None).prod(-1)
    return intersection / (_areas(a)[:, None] + _areas(b) - intersection)


def center_distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return the distances (len(a), len(b)) [px] of the centres of boxes given by their edges."""
    offset = (a[:, None, :2] + a[:, None, 2:] - b[:, :2] - b[:, 2:]) / 2
    return np.hypot(offset[..., 0], offset[..., 1])


def _areas(boxes: np.ndarray) -> np.ndarray:
    return (boxes[:, 2:] - boxes[:, :2]).prod(-1)
