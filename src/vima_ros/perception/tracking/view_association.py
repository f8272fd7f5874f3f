"""Association of the objects of the front view with those of the top view."""

from __future__ import annotations

import numpy as np
from scipy.optimize import linear_sum_assignment

from vima_ros.perception.tracking.appearance import AppearanceFeatures, colour_distances
from vima_ros.policy_frame import CAMERAS, ORIGIN_ROW

# A point of the table in row r of the top view is in row ROW_OFFSET + ROW_RATIO r of the front
# view; what lies above the table appears higher in the front view, at the same place in the top.
_FRONT, _TOP = CAMERAS["front"], CAMERAS["top"]
ROW_RATIO = _FRONT.rows_per_metre / _TOP.rows_per_metre
ROW_OFFSET = ORIGIN_ROW * (1.0 - ROW_RATIO) + _FRONT.rows_per_metre * (
    _TOP.center_x - _FRONT.center_x
)

_MAX_ROWS_ABOVE = 20.0  # [px] an object on or behind another appears higher in front
_MAX_ROWS_BELOW = 4.0  # [px] nothing is below the table; covers errors of the boxes
_ROW_WEIGHT, _COLOUR_WEIGHT, _PRIOR_WEIGHT = 0.5, 2.0, 1.0
_MAX_COST = 2.2  # pairs of a higher cost are two objects
_NEVER = 1e6


def linear_assignment(cost: np.ndarray, limit: float) -> list[tuple[int, int]]:
    """Return the pairs (row, column) of minimum total ``cost`` (n, m), by Hungarian assignment.

    Two that stay unassigned cost ``limit``, so every pair costs less.
    """
    rows, columns = linear_sum_assignment(np.minimum(cost, limit))
    return [
        (i, j) for i, j in zip(rows.tolist(), columns.tolist(), strict=True) if cost[i, j] < limit
    ]


def associate_views(
    front: np.ndarray,
    top: np.ndarray,
    front_features: AppearanceFeatures,
    top_features: AppearanceFeatures,
    prior: np.ndarray,
) -> list[tuple[int, int]]:
    """Return pairs (index in front, index in top) of one object each; each index at most once.

    ``front`` (n, 4) and ``top`` (m, 4) are ``box_edges`` in the policy frames. ``prior`` (n, m):
    evidence from the past, 0 (none) to 1 (they were a pair in the same place).
    """
    cost = (
        _column_cost(front, top)
        + _ROW_WEIGHT * _row_cost(front, top)
        + _COLOUR_WEIGHT * colour_distances(front_features, top_features)
        - _PRIOR_WEIGHT * prior
    )
    return linear_assignment(cost, _MAX_COST)


def _column_cost(front: np.ndarray, top: np.ndarray) -> np.ndarray:
    """Return 0 for equal columns; columns without overlap are never one object."""
    both = np.minimum(front[:, None, 2], top[:, 2]) - np.maximum(front[:, None, 0], top[:, 0])
    union = np.maximum(front[:, None, 2], top[:, 2]) - np.minimum(front[:, None, 0], top[:, 0])
    return np.where(both > 0, 1.0 - both / union, _NEVER)


def _row_cost(front: np.ndarray, top: np.ndarray) -> np.ndarray:
    """Return 0 where the near edges meet on the table, 1 at the maximum distance."""
    higher = ROW_OFFSET + ROW_RATIO * top[:, 3] - front[:, None, 3]
    return np.minimum(
        np.where(higher > 0, higher / _MAX_ROWS_ABOVE, -higher / _MAX_ROWS_BELOW), 1.0
    )
