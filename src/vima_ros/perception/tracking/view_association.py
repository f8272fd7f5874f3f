"""Which object of the front view is which of the top view."""

from __future__ import annotations

import numpy as np
from scipy.optimize import linear_sum_assignment

from vima_ros.perception.tracking.appearance import AppearanceFeatures, colour_distances
from vima_ros.policy_frame import CAMERAS, ORIGIN_ROW

# A point of the table in row r of the top view is in row _ROW_OFFSET + _ROW_RATIO r of the front
# view; what lies above the table appears higher in the front view, at the same place in the top.
_FRONT, _TOP = CAMERAS["front"], CAMERAS["top"]
_FRONT_ROWS_PER_METRE = round(_FRONT.rows_per_metre, 1)  # to the precision of the measurement
_ROW_RATIO = _FRONT_ROWS_PER_METRE / _TOP.scale
_ROW_OFFSET = (
    ORIGIN_ROW
    + _FRONT_ROWS_PER_METRE * (_TOP.center_x - _FRONT.center_x)
    - _ROW_RATIO * ORIGIN_ROW
)

_LIFT = 20.0  # [rows] of front; what lies on or behind something is seen higher by up to that
_SINK = 4.0  # [rows] lower than on the table nothing can be; errors of the boxes are smaller
_ROW_WEIGHT, _COLOUR_WEIGHT, _KNOWN_WEIGHT = 0.5, 2.0, 1.0
_LIMIT = 2.2  # of cost; dearer pairs are two objects
_NEVER = 1e6


def linear_assignment(cost: np.ndarray, limit: float) -> list[tuple[int, int]]:
    """Pairs (row, column) of the least total ``cost`` (n, m), by Hungarian assignment.

    Two that are left apart cost ``limit``, so no pair is at or above it.
    """
    rows, columns = linear_sum_assignment(np.minimum(cost, limit))
    return [
        (i, j) for i, j in zip(rows.tolist(), columns.tolist(), strict=True) if cost[i, j] < limit
    ]


def associate_views(
    front: np.ndarray,
    top: np.ndarray,
    front_looks: AppearanceFeatures,
    top_looks: AppearanceFeatures,
    known: np.ndarray,
) -> list[tuple[int, int]]:
    """Pairs (index in front, index in top) of one object each; each index at most once.

    ``front`` (n, 4) and ``top`` (m, 4) are ``box_edges`` in the policy frames. ``known`` (n, m):
    how much is known of the two from before, 0 (nothing) to 1 (they were a pair, just here).
    """
    cost = (
        _column_cost(front, top)
        + _ROW_WEIGHT * _row_cost(front, top)
        + _COLOUR_WEIGHT * colour_distances(front_looks, top_looks)
        - _KNOWN_WEIGHT * known
    )
    return linear_assignment(cost, _LIMIT)


def _column_cost(front: np.ndarray, top: np.ndarray) -> np.ndarray:
    """0 = the same columns; columns that do not even touch are never one object."""
    both = np.minimum(front[:, None, 2], top[:, 2]) - np.maximum(front[:, None, 0], top[:, 0])
    union = np.maximum(front[:, None, 2], top[:, 2]) - np.minimum(front[:, None, 0], top[:, 0])
    return np.where(both > 0, 1.0 - both / union, _NEVER)


def _row_cost(front: np.ndarray, top: np.ndarray) -> np.ndarray:
    """0 = the near edges meet on the table, 1 = as far apart as they can be."""
    higher = _ROW_OFFSET + _ROW_RATIO * top[:, 3] - front[:, None, 3]
    return np.minimum(np.where(higher > 0, higher / _LIFT, -higher / _SINK), 1.0)
