"""Objects that demonstrated actions are about: what is picked, and what that is placed on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vima_ros.sim.model.shapes import SHAPES
from vima_ros.training.policy.privileged_labels import NOTHING, SHAPE_NAMES

SAME_PLACE = 0.07  # an action this near to an object is about it [m]
MAX_STACK_DISTANCE = 0.04  # between objects that are on or in each other [m]


def find_action_objects(
    positions: np.ndarray, targets: np.ndarray, shapes: Sequence[int]
) -> tuple[np.ndarray, np.ndarray]:
    """Find the objects (T,) at the first and the second pose of T actions, or NOTHING.

    Of a stack it is the uppermost, which covers the others; what lies in a container is picked
    rather than that. ``positions`` (T, K, 3) of the objects, ``targets`` (T, 2, 2) x, y of both
    poses [m]; ``shapes`` (K,) as in ``PrivilegedLabels``.
    """
    liftable = np.array([i == NOTHING or SHAPES[SHAPE_NAMES[i]].movable for i in shapes], bool)
    free = np.tile(liftable, (len(targets), 1))  # (T, K)
    picked = _uppermost(_nearest(positions, targets[:, 0]), positions, free)
    rows = np.flatnonzero(picked != NOTHING)
    nearest = _nearest(positions, targets[:, 1], picked)
    free[rows, picked[rows]] = False
    onto_liftable = (nearest != NOTHING) & np.append(liftable, False)[nearest]
    return picked, np.where(onto_liftable, _uppermost(nearest, positions, free), nearest)


def _nearest(
    positions: np.ndarray, points: np.ndarray, other: np.ndarray | None = None
) -> np.ndarray:
    """Find the object (T,) at ``points`` (T, 2), other than ``other`` (T,)."""
    if not positions.shape[1]:
        return np.full(len(points), NOTHING)
    distances = np.linalg.norm(positions[..., :2] - points[:, None], axis=2)  # (T, K)
    if other is not None:
        rows = np.flatnonzero(other != NOTHING)
        distances[rows, other[rows]] = np.inf
    best = distances.argmin(1)
    return np.where(distances.min(1) < SAME_PLACE, best, NOTHING)


def _uppermost(objects: np.ndarray, positions: np.ndarray, free: np.ndarray) -> np.ndarray:
    """Find the uppermost (T,) of the stacks that ``objects`` (T,) are in.

    Of those that are ``free``, bool (T, K); where there is none, the object itself.
    """
    found = objects.copy()
    for step in np.flatnonzero(objects != NOTHING):
        here = positions[step]  # (K, 3)
        away = np.linalg.norm(here[:, :2] - here[objects[step], :2], axis=1)
        stack = free[step] & (away < MAX_STACK_DISTANCE)
        if stack.any():
            found[step] = np.where(stack, here[:, 2], -np.inf).argmax()
    return found
