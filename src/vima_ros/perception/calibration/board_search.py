"""Search for a board in several images, and diagnosis of images in which it is not found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np

from vima_ros.errors import VimaError
from vima_ros.perception.calibration.calibration import project
from vima_ros.perception.calibration.charuco import (
    DICTIONARIES,
    MIN_CORNERS,
    Board,
    search_image,
    search_parameters,
)

Found = tuple[np.ndarray, np.ndarray]  # ids (n,), corners (n, 2) [px]

# The largest dictionary of each kind, which begins with the markers of the smaller ones.
FAMILIES = (
    *(f"DICT_{bits}X{bits}_1000" for bits in (4, 5, 6, 7)),
    "DICT_ARUCO_ORIGINAL",
    *(f"DICT_APRILTAG_{name}" for name in ("16h5", "25h9", "36h10", "36h11")),
    "DICT_ARUCO_MIP_36h12",
)
MIN_MARKERS = 2  # of another dictionary: a single one may be something that looks like it
MAX_SQUARES = 14  # along each side of a board that is tried in place of the one asked for


def find_board(
    board: Board, images: Sequence[np.ndarray], names: Sequence[str] = ()
) -> tuple[Board, list[Found]]:
    """Find ``board`` in uint8 RGB or grey images, in the layout in which most corners are found.

    ``names``: of the images, for errors.
    Returns the board in that layout, and for each image the ids (n,) and places (n, 2) [px] of its
    corners. Raises VimaError: NO_BOARD where an image shows fewer than ``MIN_CORNERS`` corners,
    BAD_BOARD where the board goes on beyond its squares, NOT_INSTALLED.
    """
    found = [board.find(image) for image in images]
    other, others = board.other_layout, found
    if other is not None:
        others = [other.find(image) for image in images]
        if _count(others) > _count(found):
            board, found, others = other, others, found
    for number, (image, (ids, places)) in enumerate(zip(images, found, strict=True), 1):
        where = f"{image_name(number, names)}: " if len(images) > 1 else ""
        if len(ids) >= MIN_CORNERS:
            _check_outline(board, image, places, ids, where)
        elif len(others[number - 1][0]) >= MIN_CORNERS:
            raise VimaError(
                "NO_BOARD",
                f"{where}a board in the layout of {_layout(not board.legacy)}, the others show "
                f"that of {_layout(board.legacy)}; valid: images of one board",
            )
        else:
            raise VimaError("NO_BOARD", f"{where}{explain_absence(board, image, len(ids))}")
    return board, found


def image_name(number: int, names: Sequence[str]) -> str:
    """Return the name of an image for errors; ``number`` counts from 1."""
    return names[number - 1] if names else f"image {number}"


def describe_layout(board: Board) -> str:
    """Describe the layout in which a board was found."""
    if board.other_layout is None:
        return "board found; with an odd number of rows all layouts are the same"
    return f"board found in the layout of {_layout(board.legacy)}"


def _layout(legacy: bool) -> str:
    return "OpenCV before 4.6 and of calib.io" if legacy else "OpenCV 4.6 and later"


def _count(found: Sequence[Found]) -> int:
    return sum(len(ids) for ids, _ in found)


def explain_absence(board: Board, image: np.ndarray, corners: int = 0) -> str:
    """Describe an image in which only ``corners`` corners of ``board`` are found."""
    columns, rows = board.squares
    valid = (
        f"valid: at least {MIN_CORNERS} corners of a board of {columns} x {rows} squares with "
        f"{board.dictionary}, in focus and evenly lit"
    )
    grey, _ = search_image(image)
    own = _markers(grey, board.dictionary, exact=False)
    found_markers = {name: _markers(grey, name, exact=True) for name in FAMILIES}
    family = max(found_markers, key=lambda name: len(found_markers[name][1]))
    ids = found_markers[family][1]
    bits = board.dictionary.rsplit("_", 1)[0]
    if len(ids) >= max(MIN_MARKERS, len(own[1]) + 1) and not family.startswith(bits):
        fits = _min_dictionary(family, int(ids.max()))
        remedy = f"--dictionary {fits} would fit" if fits in DICTIONARIES else "not supported"
        return (
            f"{corners} corners of the board are seen, but {_describe_markers(ids)} of {fits}: "
            f"{remedy}; {valid}"
        )
    if family.startswith(bits) and len(ids) > len(own[1]):
        own = found_markers[family]  # ids beyond those of the smaller dictionary
    if not len(own[1]):
        return f"no corner of the board and no ArUco marker is seen; {valid}"
    message = (
        f"{corners} corners of the board are seen, and {_describe_markers(own[1])} of its "
        "dictionary"
    )
    expected = columns * rows // 2
    if own[1].max() >= expected:
        message += f", where the board has 0 to {expected - 1}"
    if fitting := _fitting_board(board, grey, own):
        message += f": --squares {fitting.squares[0]}x{fitting.squares[1]} would fit"
    elif own[1].max() < expected:
        message += ": too little of the chessboard around them is seen"
    return f"{message}; {valid}"


def _markers(grey: np.ndarray, name: str, exact: bool) -> tuple[Sequence[np.ndarray], np.ndarray]:
    """Detect markers of a dictionary: corners and ids (n,); ``exact``: without bit errors."""
    aruco, parameters = cv2.aruco, search_parameters()
    if exact:
        parameters.errorCorrectionRate = 0.0
    if not hasattr(aruco, name):
        return (), np.zeros(0, int)
    dictionary = aruco.getPredefinedDictionary(getattr(aruco, name))
    corners, ids, _ = aruco.ArucoDetector(dictionary, parameters).detectMarkers(grey)
    return corners, np.zeros(0, int) if ids is None else ids.ravel()


def _min_dictionary(family: str, max_id: int) -> str:
    """Return the smallest dictionary of ``family`` with a marker ``max_id``."""
    sizes = [name for name in DICTIONARIES if name.startswith(family.rsplit("_", 1)[0] + "_")]
    return next((name for name in sizes if max_id < int(name.rsplit("_", 1)[1])), family)


def _describe_markers(ids: np.ndarray) -> str:
    """Describe markers, as in "3 markers (ids 1, 2, 9)"."""
    unique = sorted(set(ids.tolist()))
    shown = ", ".join(map(str, unique[:8])) + (f" … {unique[-1]}" if len(unique) > 8 else "")
    return f"{len(ids)} marker{'s' * (len(ids) > 1)} (ids {shown})"


def _fitting_board(
    board: Board, grey: np.ndarray, markers: tuple[Sequence[np.ndarray], np.ndarray]
) -> Board | None:
    """Return the board of other squares of which most corners are found, the smallest one."""
    corners, ids = markers
    best, max_count = None, MIN_CORNERS - 1
    for columns in range(3, MAX_SQUARES + 1):
        for rows in range(3, MAX_SQUARES + 1):
            dictionary = _min_dictionary(
                board.dictionary, max(int(ids.max()), columns * rows // 2 - 1)
            )
            if columns * rows // 2 <= ids.max() or dictionary not in DICTIONARIES:
                continue
            tried = replace(board, squares=(columns, rows), dictionary=dictionary)
            for layout in filter(None, (tried, tried.other_layout)):
                found_markers = layout.select(grey, corners, ids)[0]
                if len(found_markers) > max_count:
                    best, max_count = layout, len(found_markers)
    return best


def _check_outline(
    board: Board, image: np.ndarray, places: np.ndarray, ids: np.ndarray, where: str
) -> None:
    """Raise VimaError (BAD_BOARD) where markers of higher ids continue the board's pattern."""
    columns, rows = board.squares
    grey, scale = search_image(image)
    corners, marker_ids = _markers(grey, board.dictionary, exact=False)
    to_board, _ = cv2.findHomography(places, board.points[ids] / board.square, cv2.RANSAC, 0.1)
    more = []
    for marker, marker_id in zip(corners, marker_ids, strict=True):
        on_board = project(to_board, (marker[0] + 0.5) / scale - 0.5)  # (4, 2) [squares]
        middle, side = on_board.mean(0), np.linalg.norm(on_board[1] - on_board[0])
        fits = (
            np.abs(middle % 1 - 0.5).max() < 0.15
            and abs(side * board.square / board.marker - 1) < 0.2
        )
        if marker_id >= columns * rows // 2 and fits:
            more.append(marker_id)
    if len(more) >= MIN_MARKERS:
        raise VimaError(
            "BAD_BOARD",
            f"{where}{_describe_markers(np.array(more))} continue the board beyond "
            f"{columns} x {rows} squares; valid: --squares as on the print",
        )
