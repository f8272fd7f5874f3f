"""ChArUco board to print, on a sheet with its physical size."""

from __future__ import annotations

import math
import struct
import zlib

import cv2
import numpy as np

from vima_ros.errors import VimaError
from vima_ros.perception.calibration.charuco import Board

PAPERS = {  # [m] landscape
    "A4": (0.297, 0.210),  # ISO 216
    "A3": (0.420, 0.297),
    "Letter": (0.2794, 0.2159),  # ANSI/ASME Y14.1, size A: 11 x 8.5 in
    "Tabloid": (0.4318, 0.2794),  # size B: 17 x 11 in
}
MARGIN = 0.010  # [m] of the sheet, which few printers reach and where the legend stands


def max_square_size(squares: tuple[int, int], paper: str) -> float:
    """Return the maximum side [m] of squares, in whole millimetres, that fit a sheet."""
    sheet = _paper(paper)
    fits = min((side - 2 * MARGIN) / count for side, count in zip(sheet, squares, strict=True))
    return math.floor(fits * 1000 + 1e-9) / 1000


def _paper(paper: str) -> tuple[float, float]:
    if paper not in PAPERS:
        raise _bad(f"paper {paper!r}; valid: {', '.join(PAPERS)}")
    return PAPERS[paper]


def _bad(message: str) -> VimaError:
    return VimaError("BAD_BOARD", message)


def board_sheet_png(board: Board, paper: str = "A4", dpi: int = 300) -> bytes:
    """Return a PNG file of a landscape sheet with its physical size, to print at 100 %.

    Raises VimaError (BAD_BOARD) for a board that does not fit.
    """
    sheet = _paper(paper)
    if not 72 <= dpi <= 1200:
        raise _bad(f"{dpi} dpi; valid: 72 to 1200")
    if any(b + 2 * MARGIN > s + 1e-9 for b, s in zip(board.size, sheet, strict=True)):
        raise _bad(
            f"a board of {board.size[0]:.3f} x {board.size[1]:.3f} m; valid: {paper} less "
            f"{1e3 * MARGIN:.0f} mm on each side, with squares of up to "
            f"{max_square_size(board.squares, paper)} m"
        )
    pixels = round(board.square * dpi / 0.0254)  # of a square: a whole number, for sharp edges
    per_metre = pixels / board.square
    width, height = (round(side * per_metre) for side in sheet)
    canvas = np.full((height, width), 255, np.uint8)
    image = board.render(pixels)
    top, left = (height - image.shape[0]) // 2, (width - image.shape[1]) // 2
    canvas[top : top + image.shape[0], left : left + image.shape[1]] = image
    bottom = top + image.shape[0]
    _legend(canvas, board, (left, bottom), per_metre)
    return _with_resolution(cv2.imencode(".png", canvas)[1].tobytes(), round(per_metre))


def _legend(canvas: np.ndarray, board: Board, origin: tuple[int, int], per_metre: float) -> None:
    """Draw the origin, an arrow along x and a description below the board."""
    mm = per_metre / 1000
    x, y = origin[0], round(origin[1] + 2 * mm)
    thick = round(0.3 * mm)
    cv2.circle(canvas, (x, y), round(0.8 * mm), (0,), -1)
    cv2.arrowedLine(canvas, (x, y), (round(x + 15 * mm), y), (0,), thick, tipLength=0.15)
    columns, rows = board.squares
    text = (
        f"origin, x this way, y up: {columns} x {rows} squares, {board.dictionary}. Print at "
        f"100 %, then measure: {columns} squares are {1e3 * board.size[0]:g} mm."
    )
    place = (round(x + 18 * mm), round(y + 1.2 * mm))
    cv2.putText(canvas, text, place, cv2.FONT_HERSHEY_SIMPLEX, 2.6 * mm / 22, (0,), thick)


def _with_resolution(png: bytes, per_metre: int) -> bytes:
    """Insert a pHYs chunk (PNG specification, 11.3.4.3) right after the IHDR of ``png``."""
    body = b"pHYs" + struct.pack(">IIB", per_metre, per_metre, 1)
    chunk = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    end = 8 + 4 + 4 + 13 + 4  # signature; length, name, content and checksum of IHDR
    return png[:end] + chunk + png[end:]
