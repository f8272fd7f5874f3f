"""Detection of a camera, or a table, that has moved since the calibration."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass

import cv2
import numpy as np

from vima_ros.errors import VimaError, add_view_to_errors
from vima_ros.perception.calibration.calibration import Calibration
from vima_ros.perception.calibration.charuco import MIN_CORNERS

MIN_SCORE = 0.85  # normalised cross-correlation from which a patch counts as found
MIN_CONTRAST = 6.0  # [levels] standard deviation; a camera's noise is below
MAX_SELF_SIMILARITY = 0.92  # of a shifted patch with itself; above: an edge or plain surface
AWAY_SHARE = 1 / 10  # of a patch's side: that far away it must not look like itself
SEARCH_SHARE = 1 / 8  # of the image's width, in which a patch is looked for on each side
PERSPECTIVE = 0.25  # of the longest shift, by which shifts differ when a camera moves
MAX_TURN = 0.05  # [rad], and part by which distances may grow, for what moved together
MIN_SEEN = 2  # reference corners; one alone may be something that looks like it
MIN_CONSECUTIVE_MOVED = 3  # checks; an arm crossing the reference moves on by then
UNVERIFIED_TIMEOUT = 30.0  # without any reference found, before a warning [s]


@dataclass(frozen=True)
class DriftResult:
    """Result of one check.

    ``reference``: ``board``, ``corners``, or ``nothing`` where too few are found; then ``moved``
    is False and the distances are NaN. ``moved_px`` in the camera's image, ``moved_mm`` on the
    table. ``seen`` of ``total`` board or table corners, without outliers.
    """

    moved: bool
    moved_px: float
    moved_mm: float
    seen: int
    total: int
    reference: str
    message: str


class DriftDetector:
    """Compares camera images with the calibration; stateless.

    The board, where one was used and is visible, is compared, else patches around the four
    reference corners. A corner hidden by the arm is left out; a change of light does not matter.
    ``limit_px``: what counts as moved [px of the camera].

    Raises VimaError: INVALID_VALUE for a limit that is not above 0, NOT_INSTALLED for a board
    where OpenCV is too old.
    """

    def __init__(self, calibration: Calibration, limit_px: float = 2.0) -> None:
        if not (math.isfinite(limit_px) and limit_px > 0):
            raise VimaError("INVALID_VALUE", f"limit {limit_px} px; valid: above 0")
        self._calibration = calibration
        self._limit = limit_px
        self._usable = usable_patches(calibration.patches)
        self._board_px = np.zeros((0, 2))
        if calibration.board is not None:
            self._board_px = calibration.table_to_camera(calibration.board.points)
            calibration.board.board.find(np.zeros((64, 64), np.uint8))

    @property
    def usable(self) -> int:
        """Number of the four reference corners that can be recognised."""
        return int(self._usable.sum())

    def check(self, image_rgb: np.ndarray) -> DriftResult:
        """Measure the drift in the camera's own image ``image_rgb``, uint8 (h, w, 3).

        Raises VimaError (BAD_IMAGE) for one of another size than at calibration.
        """
        if image_rgb.dtype != np.uint8 or image_rgb.shape != (*self._calibration.size[::-1], 3):
            raise VimaError(
                "BAD_IMAGE",
                f"image is {image_rgb.dtype} {image_rgb.shape}; valid: uint8 "
                f"{(*self._calibration.size[::-1], 3)}",
            )
        grey = cv2.cvtColor(image_rgb, cv2.COLOR_RGB2GRAY)
        return self._check_board(grey) or self._check_corners(grey)

    def _check_board(self, grey: np.ndarray) -> DriftResult | None:
        placed = self._calibration.board
        if placed is None:
            return None
        ids, found = placed.board.find(grey)
        if len(ids) < MIN_CORNERS:
            return None
        return self._measure(self._board_px[ids], found, len(self._board_px), "board")

    def _check_corners(self, grey: np.ndarray) -> DriftResult:
        corners, patches = self._calibration.corners, self._calibration.patches
        places = [
            _find(grey, patch, corner) if usable else None
            for patch, corner, usable in zip(patches, corners, self._usable, strict=True)
        ]
        seen = [place is not None for place in places]
        found = np.array([place for place in places if place is not None]).reshape(-1, 2)
        together = _consistent_points(corners[seen], found, self._limit)
        if len(together) >= MIN_SEEN:
            return self._measure(corners[seen][together], found[together], 4, "corners")
        return DriftResult(
            False,
            math.nan,
            math.nan,
            len(together),
            4,
            "nothing",
            f"cannot tell: {len(found)} of 4 reference corners seen and not two that agree, "
            f"{self.usable} recognisable",
        )

    def _measure(
        self, expected: np.ndarray, found: np.ndarray, total: int, reference: str
    ) -> DriftResult:
        """Compare positions by the lower median shift: a corner of a board may be wrong."""
        shifts = np.linalg.norm(found - expected, axis=1)
        on_table = [self._calibration.camera_to_table(points) for points in (expected, found)]
        middle = np.argsort(shifts)[(len(shifts) - 1) // 2]
        px, mm = float(shifts[middle]), 1e3 * float(np.linalg.norm(np.subtract(*on_table)[middle]))
        moved = px > self._limit
        subject = "the board" if reference == "board" else "the table's corners"
        verb = "moved" if moved else "in place, within"
        message = f"{subject} {verb} {px:.1f} px ({mm:.1f} mm), {len(found)} of {total} found"
        if moved:
            message += "; calibrate the camera again, or put it back"
        return DriftResult(moved, px, mm, len(found), total, reference, message)


class DriftMonitor:
    """Periodic check of all calibrated cameras.

    By view: ``warnings`` of the latest check, "CODE: sentence", which may be read in any thread;
    ``moved`` [px], NaN where nothing was found; ``calibrations``. ``period`` [s], 0: never;
    ``limit`` [px of the camera].
    """

    def __init__(
        self, calibrations: Mapping[str, Calibration], period: float, limit: float
    ) -> None:
        self.warnings: Mapping[str, str] = {}
        self.moved: dict[str, float] = {}  # [px], by view; nan: nothing found
        self._monitors = {
            view: DriftDetector(calibration, limit_px=limit)
            for view, calibration in calibrations.items()
            if period
        }
        self._period, self._due = period, -math.inf
        self._last_seen: dict[str, float] = {}
        self._consecutive_moved: dict[str, int] = {}  # looks that found it moved

    def check(self, images: Mapping[str, np.ndarray], now: float) -> None:
        """Check the cameras' images once per period; ``now`` [s], steady. Takes tens of ms."""
        if not self._monitors or now < self._due:
            return
        self._due = now + self._period
        warnings_now = {}
        for view, monitor in self._monitors.items():
            with add_view_to_errors(view):
                drift = monitor.check(images[view])
            self.moved[view] = round(drift.moved_px, 2)
            if drift.reference != "nothing":
                self._last_seen[view] = now
            self._consecutive_moved[view] = (
                self._consecutive_moved.get(view, 0) + 1 if drift.moved else 0
            )
            if self._consecutive_moved[view] >= MIN_CONSECUTIVE_MOVED:
                warnings_now[view] = f"CALIBRATION_MOVED: {view} view: {drift.message}"
            elif now - self._last_seen.setdefault(view, now) > UNVERIFIED_TIMEOUT:
                warnings_now[view] = f"CALIBRATION_UNVERIFIED: {view} view: {drift.message}"
        self.warnings = warnings_now


def usable_patches(patches: np.ndarray) -> np.ndarray:
    """Return which of ``patches`` (4, n, n) uint8 can be located: bool (4,).

    Not a plain surface, nor an edge, which looks the same all along itself.
    """
    return np.array([_is_distinct(patch) for patch in patches])


def _is_distinct(patch: np.ndarray) -> bool:
    if patch.std() < MIN_CONTRAST:
        return False
    away = max(3, round(AWAY_SHARE * len(patch)))
    rim = min(2 * away, len(patch) // 3)
    inner = patch[rim:-rim, rim:-rim]
    similarity = cv2.matchTemplate(patch, inner, cv2.TM_CCOEFF_NORMED)  # (2 rim + 1) squared
    shifted = np.abs(np.arange(len(similarity)) - rim) >= away
    return bool(similarity[shifted[:, None] | shifted].max() < MAX_SELF_SIMILARITY)


def _find(grey: np.ndarray, patch: np.ndarray, corner: np.ndarray) -> np.ndarray | None:
    """Locate the corner of ``patch``: (2,) [px]; None where it is not found."""
    reach = len(patch) // 2 + round(SEARCH_SHARE * grey.shape[1])
    nearest = np.rint(corner).astype(int)
    x0, y0 = np.maximum(nearest - reach, 0)
    x1, y1 = np.minimum(nearest + reach + 1, grey.shape[::-1])
    scores = cv2.matchTemplate(grey[y0:y1, x0:x1], patch, cv2.TM_CCOEFF_NORMED)
    _, score, _, (x, y) = cv2.minMaxLoc(scores)
    inside = 0 < x < scores.shape[1] - 1 and 0 < y < scores.shape[0] - 1
    if not (inside and score >= MIN_SCORE):  # at the rim it may be only the flank of a peak
        return None
    peak = np.array([x, y]) + _peak_offset(scores[y - 1 : y + 2, x - 1 : x + 2])
    # The patch was cut around the nearest pixel: what is left of the corner stays.
    return peak + len(patch) // 2 + [x0, y0] + (corner - nearest)


_Y, _X = (grid.ravel().astype(float) for grid in np.mgrid[-1:2, -1:2])
_QUADRATIC = np.linalg.pinv(np.column_stack([np.ones(9), _X, _Y, _X**2, _X * _Y, _Y**2]))


def _peak_offset(values: np.ndarray) -> np.ndarray:
    """Return the maximum (x, y) of a quadratic through 3 x 3 values, within a pixel.

    With its mixed term: the peak of a slanting corner is longest along neither axis.
    """
    _, x, y, xx, xy, yy = _QUADRATIC @ values.ravel()
    bend = np.array([[2 * xx, xy], [xy, 2 * yy]])
    if xx >= 0 or np.linalg.det(bend) <= 0:
        return np.zeros(2)
    return np.clip(-np.linalg.solve(bend, [x, y]), -1.0, 1.0)


def _consistent_points(expected: np.ndarray, found: np.ndarray, limit: float) -> np.ndarray:
    """Return the indices of consistent points (n, 2); fewer than 2: inconsistent.

    Two or more that are in place, within ``limit`` [px], are so by chance practically never. Else
    the largest set that moved together: three or four explained by a small rotation, scaling and
    shift, two by the same shift. A mistaken corner rarely agrees with the others.
    """
    in_place = np.flatnonzero(np.linalg.norm(found - expected, axis=1) <= limit)
    if len(in_place) >= MIN_SEEN:
        return in_place
    for size in range(len(found), MIN_SEEN - 1, -1):
        fits = []
        for subset in itertools.combinations(range(len(found)), size):
            chosen = list(subset)
            shifts = np.linalg.norm(found[chosen] - expected[chosen], axis=1)
            fits.append((_residual(expected[chosen], found[chosen]) / _tolerance(shifts), chosen))
        worst, chosen = min(fits)
        if worst <= 1.0:
            return np.array(chosen)
    return np.zeros(0, int)


def _tolerance(shifts: np.ndarray) -> float:
    """Return the tolerance [px] of points that moved together: near ones move more."""
    return float(1.0 + PERSPECTIVE * shifts.max())


def _residual(expected: np.ndarray, found: np.ndarray) -> float:
    """Return the maximum distance [px] from a small similarity, of two points from a shift."""
    source, target = (points @ [1, 1j] for points in (expected, found))
    turn = 1.0 + 0.0j
    if len(source) > 2:
        centred = source - source.mean()
        turn = np.vdot(centred, target) / np.vdot(centred, centred)  # least squares
    if abs(turn - 1.0) > MAX_TURN:
        return math.inf
    moved = turn * source
    return float(np.abs(moved - moved.mean() - (target - target.mean())).max())
