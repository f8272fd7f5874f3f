"""Printed ChArUco board and the detection of its corners in an image."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np

from vima_ros.errors import VimaError
from vima_ros.geometry import rotation_2d

MARKER_FRACTION = 0.75  # of a square's side; the white rim around a marker lets it be found
MIN_CORNERS = 6  # fewer are too inaccurate
MAX_UPSCALED_WIDTH = 1300  # [px] narrower images are enlarged twice: markers of few pixels
DICTIONARIES = tuple(
    f"DICT_{bits}X{bits}_{count}" for bits in (4, 5, 6, 7) for count in (50, 100, 250, 1000)
)


def _aruco() -> Any:
    if not hasattr(getattr(cv2, "aruco", None), "CharucoDetector"):
        raise VimaError(
            "NOT_INSTALLED",
            f"OpenCV {cv2.__version__} has no ChArUco detector; valid: OpenCV 4.7 or later "
            "(requirements/base.txt), or the four corners of the table instead of a board",
        )
    return cv2.aruco


@dataclass(frozen=True)
class Board:
    """ChArUco board of ``squares`` (columns, rows) with sides of ``square`` [m].

    Points on it are x to the right and y up from its lower left outer corner, as printed.
    ``marker``: the side of its markers [m], 0 = 3/4 of ``square``. ``legacy``: the layout of
    OpenCV before 4.6, and of calib.io's generator, whose upper left square is white where the
    number of rows is even; with an odd number both layouts are the same. Raises VimaError
    (BAD_BOARD).
    """

    square: float
    squares: tuple[int, int] = (5, 4)
    marker: float = 0.0
    dictionary: str = "DICT_4X4_50"
    legacy: bool = False

    def __post_init__(self) -> None:
        columns, rows = squares = tuple(int(value) for value in self.squares)
        object.__setattr__(self, "squares", squares)
        object.__setattr__(self, "marker", self.marker or round(MARKER_FRACTION * self.square, 6))
        if not (0.002 <= self.square <= 1 and 0.3 * self.square <= self.marker < self.square):
            raise _bad(
                f"squares of {self.square} m with markers of {self.marker} m; valid: 0.002 to 1 "
                "m, markers of 0.3 to below 1 of that"
            )
        if self.dictionary not in DICTIONARIES:
            raise _bad(f"dictionary {self.dictionary!r}; valid: {', '.join(DICTIONARIES)}")
        markers = int(self.dictionary.rsplit("_", 1)[1])
        if not (3 <= columns <= 40 and 3 <= rows <= 40 and columns * rows // 2 <= markers):
            raise _bad(
                f"{columns} x {rows} squares; valid: 3 to 40 each, with no more than {markers} "
                f"markers of {self.dictionary}"
            )

    @property
    def other_layout(self) -> Board | None:
        """The same board in the other layout; None where both are the same."""
        return None if self.squares[1] % 2 else replace(self, legacy=not self.legacy)

    @property
    def size(self) -> tuple[float, float]:
        """Width and height [m]."""
        return self.squares[0] * self.square, self.squares[1] * self.square

    @property
    def points(self) -> np.ndarray:
        """Positions of the inner corners, (n, 2) [m], by id: rows from the top, left to right."""
        columns, rows = self.squares
        x, y = np.meshgrid(np.arange(1, columns), np.arange(rows - 1, 0, -1))
        return self.square * np.stack([x, y], -1).reshape(-1, 2).astype(np.float64)

    def find(self, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Find the corners in a uint8 RGB or grey image: ids (n,) int and positions (n, 2) [px].

        n may be 0. Raises VimaError (NOT_INSTALLED).
        """
        grey, scale = search_image(image)
        for neighbours in (2, 1):
            ids, found = self.select(grey, neighbours=neighbours)
            if len(ids) >= MIN_CORNERS:
                break
        return ids, (found + 0.5) / scale - 0.5

    def select(
        self,
        grey: np.ndarray,
        markers: Sequence[np.ndarray] | None = None,
        marker_ids: np.ndarray | None = None,
        neighbours: int = 2,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Find the corners in a grey image, around given markers if there are any.

        ``neighbours``: of the two markers beside a corner, that many must be visible; corners with
        one may be the edge of what hides the other.
        """
        corners, ids, _, _ = detector(self, neighbours).detectBoard(
            grey, None, None, markers, marker_ids
        )
        if ids is None or corners is None or len(ids) < 2:
            return np.zeros(0, np.int64), np.zeros((0, 2))
        ids = ids.reshape(-1).astype(np.int64)
        found = corners.reshape(-1, 2).astype(np.float64) - _corner_offset()
        agree = _consistent_corners(self.points[ids], found)
        return ids[agree], found[agree]

    def render(self, pixels_per_square: int, margin: int = 0) -> np.ndarray:
        """Render the board, uint8 (h, w), with a white margin of ``margin`` [px]."""
        size = tuple(count * pixels_per_square + 2 * margin for count in self.squares)
        return _board(self).generateImage(size, marginSize=margin)


def _bad(message: str) -> VimaError:
    return VimaError("BAD_BOARD", message)


@functools.lru_cache(maxsize=4)
def _board(board: Board) -> Any:
    aruco = _aruco()
    dictionary = aruco.getPredefinedDictionary(getattr(aruco, board.dictionary))
    made = aruco.CharucoBoard(board.squares, board.square, board.marker, dictionary)
    made.setLegacyPattern(board.legacy)
    return made


def search_image(image: np.ndarray) -> tuple[np.ndarray, int]:
    """Return the uint8 grey image to search for markers, and its magnification."""
    grey = image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    if grey.shape[1] >= MAX_UPSCALED_WIDTH:
        return grey, 1
    return cv2.resize(grey, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC), 2


def search_parameters() -> Any:
    """Return OpenCV's parameters of the marker detection."""
    aruco = _aruco()
    search = aruco.DetectorParameters()
    search.minMarkerPerimeterRate = 0.01  # of the image's longer side: the board may be small
    search.cornerRefinementMethod = aruco.CORNER_REFINE_SUBPIX
    return search


def detector(board: Board, neighbours: int = 2) -> Any:
    """Make a new detector: OpenCV does not document that two threads may share one."""
    corners = _aruco().CharucoParameters()
    corners.minMarkers = neighbours
    corners.tryRefineMarkers = True
    return _aruco().CharucoDetector(_board(board), corners, search_parameters())


@functools.lru_cache(maxsize=1)
def _corner_offset() -> float:
    """Return the offset of corners reported by this OpenCV: 0 or 0.5 [px].

    Until 4.13 it added half a pixel (opencv/opencv, issue 25539).
    """
    board, side = Board(0.04), 40
    corners, ids, _, _ = detector(board).detectBoard(board.render(side, side))
    columns = np.array([[0, 1], [1, 0]])  # of the inner corners: those are at whole squares
    places = np.stack(np.divmod(ids.ravel(), board.squares[0] - 1), -1) @ columns
    off = corners.reshape(-1, 2) - (side * (places + 2) - 0.5)
    return float(np.round(2 * np.median(off)) / 2)


def _spacing(points: np.ndarray) -> float:
    """Return the median distance to the nearest neighbour of ``points`` (n, 2) [px]."""
    apart = np.linalg.norm(points[:, None] - points[None], axis=-1)
    np.fill_diagonal(apart, np.inf)
    return float(np.median(apart.min(1)))


def _consistent_corners(points: np.ndarray, found: np.ndarray) -> np.ndarray:
    """Return the corners consistent with the others: bool (n,)."""
    limit = max(1.0, 0.15 * _spacing(found))
    if len(points) < 4:
        return np.zeros(len(points), bool)
    matrix, agree = cv2.findHomography(points, found, cv2.RANSAC, limit)
    return np.zeros(len(points), bool) if matrix is None else agree.ravel() > 0


@dataclass(frozen=True)
class PlacedBoard:
    """``board`` flat on the table: its origin at ``x``, ``y`` [m] in the table frame.

    ``yaw`` [rad]: from the base's x axis to the board's, anticlockwise seen from above.
    """

    board: Board
    x: float
    y: float
    yaw: float

    def __post_init__(self) -> None:
        if not all(math.isfinite(value) for value in (self.x, self.y, self.yaw)):
            raise _bad(f"place {self.x}, {self.y}, {self.yaw}; valid: finite numbers")

    @property
    def points(self) -> np.ndarray:
        """Positions of the inner corners in the table frame, (n, 2) [m], by id."""
        return self.board.points @ rotation_2d(self.yaw).T + [self.x, self.y]
