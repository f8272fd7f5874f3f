"""Whether four corners given by a person can be corners of the table, and in which order."""

from __future__ import annotations

import numpy as np

from vima_ros.errors import VimaError

MIN_HEIGHT = 0.05  # of a triangle of three corners, in parts of its longest side
ORDER = "clockwise as the picture shows them, from the upper left one of the policy's view"


def check_quadrilateral(corners: np.ndarray, smallest: float, where: str) -> None:
    """Raises VimaError unless ``corners`` (4, 2), x right and y down, go clockwise around an area.

    Codes: TOO_SMALL (two corners nearer than ``smallest``), COLLINEAR (three on a line),
    WRONG_ORDER (the sides cross, or a corner lies between the others), MIRRORED (anticlockwise).
    """
    told = f"corners {where} {np.round(corners, 3).tolist()}"
    apart = np.linalg.norm(corners[:, None] - corners[None], axis=-1)[np.triu_indices(4, 1)]
    if apart.min() < smallest:
        raise VimaError(
            "TOO_SMALL", f"{told} are {apart.min():.3g} apart; valid: {smallest:.3g} or more"
        )
    for left_out in range(4):
        a, b, c = np.delete(corners, left_out, 0)
        longest = max(np.linalg.norm(b - a), np.linalg.norm(c - b), np.linalg.norm(a - c))
        if abs(_cross(b - a, c - a)) < MIN_HEIGHT * longest**2:
            raise VimaError("COLLINEAR", f"{told}: three are on a line; valid: none")
    sides = np.roll(corners, -1, 0) - corners
    turns = np.array(
        [
            _cross(side, following)
            for side, following in zip(sides, np.roll(sides, -1, 0), strict=True)
        ]
    )
    if (turns < 0).all():
        raise VimaError("MIRRORED", f"{told} go anticlockwise; valid: {ORDER}")
    if not (turns > 0).all():
        raise VimaError("WRONG_ORDER", f"{told} cross over; valid: {ORDER}")


def _cross(a: np.ndarray, b: np.ndarray) -> float:
    return float(a[0] * b[1] - a[1] * b[0])
