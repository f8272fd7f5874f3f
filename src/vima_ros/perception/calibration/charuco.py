"""A printed ChArUco board: its picture to print, its corners in a picture, a lens from several."""

from __future__ import annotations

import functools
import math
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from vima_ros.errors import VimaError
from vima_ros.perception.calibration.lens import Lens

PAPERS = {"A4": (0.297, 0.210), "A3": (0.420, 0.297)}  # [m] landscape (ISO 216)
MARGIN = 0.010  # [m] of the sheet, which few printers reach and where the legend stands
MARKER_SHARE = 0.75  # of a square's side; the white rim around a marker lets it be found
MIN_CORNERS = 6  # fewer tell too little
MIN_PICTURES = 5  # for a lens
LARGE = 1300  # [px] narrower pictures are searched at twice the size: markers of few pixels
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
    """A board of ``squares`` (columns, rows) with sides of ``square`` [m].

    Points on it are x to the right and y up from its lower left outer corner, as printed.
    ``marker``: the side of its markers [m], 0 = 3/4 of ``square``. The pattern is that of OpenCV
    4.6 and later. Raises VimaError (BAD_BOARD).
    """

    square: float
    squares: tuple[int, int] = (5, 4)
    marker: float = 0.0
    dictionary: str = "DICT_4X4_50"

    def __post_init__(self) -> None:
        columns, rows = squares = tuple(int(value) for value in self.squares)
        object.__setattr__(self, "squares", squares)
        object.__setattr__(self, "marker", self.marker or round(MARKER_SHARE * self.square, 6))
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
    def size(self) -> tuple[float, float]:
        """Width and height [m]."""
        return self.squares[0] * self.square, self.squares[1] * self.square

    @property
    def points(self) -> np.ndarray:
        """Where its inner corners are, (n, 2) [m], by id: rows from the top, left to right."""
        columns, rows = self.squares
        x, y = np.meshgrid(np.arange(1, columns), np.arange(rows - 1, 0, -1))
        return self.square * np.stack([x, y], -1).reshape(-1, 2).astype(np.float64)

    def find(self, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Ids (n,) int and places (n, 2) [px] of the corners seen in a uint8 RGB or grey picture.

        n may be 0. Raises VimaError (NOT_INSTALLED).
        """
        grey = image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
        scale = 2 if grey.shape[1] < LARGE else 1
        if scale > 1:
            grey = cv2.resize(grey, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
        corners, ids, _, _ = _detector(self).detectBoard(grey)
        if ids is None or corners is None or len(ids) < 2:
            return np.zeros(0, np.int64), np.zeros((0, 2))
        ids = ids.reshape(-1).astype(np.int64)
        found = _refine(grey, corners.reshape(-1, 2))
        agree = _agree(self.points[ids], found)
        return ids[agree], (found[agree] + 0.5) / scale - 0.5

    def picture(self, pixels_per_square: int, margin: int = 0) -> np.ndarray:
        """The board alone, uint8 (h, w), with a white rim of ``margin`` [px]."""
        size = tuple(count * pixels_per_square + 2 * margin for count in self.squares)
        return _board(self).generateImage(size, marginSize=margin)


def _bad(message: str) -> VimaError:
    return VimaError("BAD_BOARD", message)


@functools.lru_cache(maxsize=4)
def _board(board: Board) -> Any:
    aruco = _aruco()
    dictionary = aruco.getPredefinedDictionary(getattr(aruco, board.dictionary))
    return aruco.CharucoBoard(board.squares, board.square, board.marker, dictionary)


def _detector(board: Board) -> Any:
    """A new one each time: OpenCV does not say that two threads may share one."""
    aruco = _aruco()
    search, corners = aruco.DetectorParameters(), aruco.CharucoParameters()
    search.minMarkerPerimeterRate = 0.01  # of the picture's longer side: the board may be small
    corners.minMarkers = 1  # beside a corner; what that makes wrong is sorted out afterwards
    corners.tryRefineMarkers = True
    return aruco.CharucoDetector(_board(board), corners, search)


def _spacing(points: np.ndarray) -> float:
    """From a point to the nearest other, the median over ``points`` (n, 2) [px]."""
    apart = np.linalg.norm(points[:, None] - points[None], axis=-1)
    np.fill_diagonal(apart, np.inf)
    return float(np.median(apart.min(1)))


def _refine(grey: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """``corners`` (n, 2) [px] where the squares really meet: OpenCV's are half a pixel off."""
    reach = max(2, int(0.25 * _spacing(corners)))
    if min(grey.shape) < 2 * reach + 5:  # what OpenCV asks for
        return corners.astype(np.float64)
    criteria = (cv2.TERM_CRITERIA_COUNT + cv2.TERM_CRITERIA_EPS, 50, 1e-3)
    start = corners.reshape(-1, 1, 2).astype(np.float32)
    found = cv2.cornerSubPix(grey, start, (reach, reach), (-1, -1), criteria)
    return found[:, 0].astype(np.float64)


def _agree(points: np.ndarray, found: np.ndarray) -> np.ndarray:
    """Which corners are where the others say, to a part of a square: a lens bends the board."""
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
        """Where its inner corners are in the table frame, (n, 2) [m], by id."""
        c, s = math.cos(self.yaw), math.sin(self.yaw)
        return self.board.points @ np.array([[c, s], [-s, c]]) + [self.x, self.y]

    def find(self, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The corners seen, in the picture (n, 2) [px] and on the table (n, 2) [m].

        Raises VimaError (NO_BOARD) when fewer than ``MIN_CORNERS`` are.
        """
        ids, found = self.board.find(image)
        check_seen(len(ids), self.board)
        return found, self.points[ids]


def check_seen(count: int, board: Board) -> None:
    """Raises VimaError (NO_BOARD) when a picture shows only ``count`` corners of ``board``."""
    if count < MIN_CORNERS:
        columns, rows = board.squares
        raise VimaError(
            "NO_BOARD",
            f"{count} corners of the board are seen; valid: at least {MIN_CORNERS} of a board "
            f"of {columns} x {rows} squares with {board.dictionary}, in focus and evenly lit",
        )


def largest_square(squares: tuple[int, int], paper: str) -> float:
    """The side [m] of the largest squares of whole millimetres that fit a sheet."""
    sheet = _paper(paper)
    fits = min((side - 2 * MARGIN) / count for side, count in zip(sheet, squares, strict=True))
    return math.floor(fits * 1000 + 1e-9) / 1000


def _paper(paper: str) -> tuple[float, float]:
    if paper not in PAPERS:
        raise _bad(f"paper {paper!r}; valid: {', '.join(PAPERS)}")
    return PAPERS[paper]


def sheet_png(board: Board, paper: str = "A4", dpi: int = 300) -> bytes:
    """A PNG file of a whole landscape sheet, which knows its size: print it at 100 %.

    Raises VimaError (BAD_BOARD) for a board that does not fit.
    """
    sheet = _paper(paper)
    if not 72 <= dpi <= 1200:
        raise _bad(f"{dpi} dpi; valid: 72 to 1200")
    if any(b + 2 * MARGIN > s + 1e-9 for b, s in zip(board.size, sheet, strict=True)):
        raise _bad(
            f"a board of {board.size[0]:.3f} x {board.size[1]:.3f} m; valid: {paper} less "
            f"{1e3 * MARGIN:.0f} mm on each side, with squares of up to "
            f"{largest_square(board.squares, paper)} m"
        )
    pixels = round(board.square * dpi / 0.0254)  # of a square: a whole number, for sharp edges
    per_metre = pixels / board.square
    width, height = (round(side * per_metre) for side in sheet)
    canvas = np.full((height, width), 255, np.uint8)
    picture = board.picture(pixels)
    top, left = (height - picture.shape[0]) // 2, (width - picture.shape[1]) // 2
    canvas[top : top + picture.shape[0], left : left + picture.shape[1]] = picture
    bottom = top + picture.shape[0]
    _legend(canvas, board, (left, bottom), per_metre)
    return _with_resolution(cv2.imencode(".png", canvas)[1].tobytes(), round(per_metre))


def _legend(canvas: np.ndarray, board: Board, origin: tuple[int, int], per_metre: float) -> None:
    """The origin, an arrow along x and what the board is, below it."""
    mm = per_metre / 1000
    x, y = origin[0], round(origin[1] + 2 * mm)
    thick = max(1, round(0.3 * mm))
    cv2.circle(canvas, (x, y), round(0.8 * mm), (0,), -1)
    cv2.arrowedLine(canvas, (x, y), (round(x + 15 * mm), y), (0,), thick, tipLength=0.15)
    text = (
        f"origin, x this way, y up: {board.squares[0]} x {board.squares[1]} squares of "
        f"{1e3 * board.square:g} mm, {board.dictionary}. Print at 100 %, then measure a square."
    )
    place = (round(x + 18 * mm), round(y + 1.2 * mm))
    cv2.putText(canvas, text, place, cv2.FONT_HERSHEY_SIMPLEX, 2.6 * mm / 22, (0,), thick)


def _with_resolution(png: bytes, per_metre: int) -> bytes:
    """``png`` with a pHYs chunk (PNG specification, 11.3.4.3) right after its IHDR."""
    body = b"pHYs" + struct.pack(">IIB", per_metre, per_metre, 1)
    chunk = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    end = 8 + 4 + 4 + 13 + 4  # signature; length, name, content and checksum of IHDR
    return png[:end] + chunk + png[end:]


@dataclass(frozen=True)
class LensFit:
    """``rms`` [px] over all pictures, ``per_picture`` [px]; the reprojection error."""

    lens: Lens
    size: tuple[int, int]
    rms: float
    per_picture: tuple[float, ...]


def estimate_lens(board: Board, images: Sequence[np.ndarray]) -> LensFit:
    """The plumb_bob lens (k1, k2, p1, p2; k3 = 0) that explains pictures of ``board``.

    ``images`` (h, w, 3) uint8 RGB, all of one size, the board tilted and all over the picture.
    Raises VimaError: TOO_FEW_POINTS below ``MIN_PICTURES``, NO_BOARD naming the picture,
    BAD_IMAGE for different sizes, COLLINEAR where the pictures do not tell a lens.
    """
    if len(images) < MIN_PICTURES:
        raise VimaError(
            "TOO_FEW_POINTS", f"{len(images)} pictures; valid: {MIN_PICTURES} or more, tilted"
        )
    size = images[0].shape[1::-1]
    objects, places = [], []
    for number, image in enumerate(images, 1):
        if image.shape[1::-1] != size:
            raise VimaError(
                "BAD_IMAGE", f"picture {number} is {image.shape[1::-1]} px; valid: {size}"
            )
        ids, found = board.find(image)
        try:
            check_seen(len(ids), board)
        except VimaError as error:
            raise VimaError(error.code, f"picture {number}: {error}") from error
        points = np.column_stack([board.points[ids], np.zeros(len(ids))])
        objects.append(points.astype(np.float32))
        places.append(found.astype(np.float32)[:, None])
    try:
        rms, k, d, _, _, _, _, each = cv2.calibrateCameraExtended(
            objects, places, size, np.eye(3), np.zeros(5), flags=cv2.CALIB_FIX_K3
        )
        lens = Lens(k, d.ravel()[:5])
        lens.undistort(np.array([[0.0, 0.0], [size[0] - 1.0, size[1] - 1.0]]))
    except (cv2.error, VimaError) as error:
        raise VimaError(
            "COLLINEAR",
            f"the pictures do not tell a lens ({str(error).strip().splitlines()[-1]}); valid: "
            "pictures in which the board is tilted in different ways and reaches the rim",
        ) from error
    return LensFit(lens, tuple(size), float(rms), tuple(float(value) for value in each.ravel()))
