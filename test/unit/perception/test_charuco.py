"""The board: found to a fraction of a pixel where it lies, and printed in its true size."""

import math
import struct

import cv2
import numpy as np
import pytest
from rendered_table import PinholeCamera, paste_board, table_texture

from vima_ros.errors import VimaError
from vima_ros.geometry import Workspace
from vima_ros.perception.calibration import charuco
from vima_ros.perception.calibration.charuco import (
    Board,
    PlacedBoard,
    estimate_lens,
    largest_square,
    sheet_png,
)
from vima_ros.perception.calibration.fit import calibrate
from vima_ros.perception.calibration.lens import Lens
from vima_ros.perception.calibration.values import project, table_to_policy, workspace_corners

if not hasattr(getattr(cv2, "aruco", None), "CharucoDetector"):
    pytest.skip("OpenCV is older than 4.7: no ChArUco detector", allow_module_level=True)

BARREL = (-0.2, 0.06, 0.001, -0.001, 0.0)


def noisy(image, sigma=3.0):
    noise = np.random.default_rng(0).normal(0, sigma, image.shape[:2])[..., None]
    return np.clip(image + noise, 0, 255).astype(np.uint8)


@pytest.mark.parametrize("yaw", [-2.5, -0.4, 0.0, 1.2, 1.6])
def test_its_corners_are_found_to_a_third_of_a_pixel(yaw):
    placed = PlacedBoard(Board(0.047), 0.5, 0.0, yaw)
    camera = PinholeCamera(d=BARREL)
    image = noisy(camera.look_at(paste_board(table_texture(), placed)))
    pixels, metres = placed.find(image)
    off = pixels - camera.show(metres)
    assert len(pixels) >= 11, "of 12 corners"
    assert np.sqrt((off**2).sum(1).mean()) < 0.3
    assert np.abs(off.mean(0)).max() < 0.15, "all to the same side"


def test_a_calibration_from_it_puts_the_table_in_its_place():
    camera = PinholeCamera(d=BARREL)
    boards = [PlacedBoard(Board(0.047), 0.45, y, 1.4) for y in (-0.35, 0.2)]
    found = [b.find(noisy(camera.look_at(paste_board(table_texture(), b)))) for b in boards]
    pixels, metres = (np.concatenate(points) for points in zip(*found, strict=True))
    blank = np.zeros((480, 640, 3), np.uint8)
    got = calibrate("front", blank, pixels, metres, lens=Lens(camera.k, BARREL), board=boards[1])
    corners = workspace_corners(Workspace())
    shown = camera.show(corners)
    assert got.method == "charuco"
    assert got.fit.camera_px < 0.4
    assert np.abs(got.camera_to_table(shown) - corners).max() < 0.005, "metres"
    want = project(table_to_policy("front", Workspace()), corners)
    assert np.abs(got.camera_to_policy(shown) - want).max() < 1.0
    np.testing.assert_allclose(got.corners, shown, atol=2.0)


def test_part_of_it_is_enough_and_less_is_refused():
    placed = PlacedBoard(Board(0.047), 0.55, 0.1, 0.3)
    camera = PinholeCamera(focal=900.0)
    image = camera.look_at(paste_board(table_texture(), placed))
    middle = camera.show(placed.points).mean(0).astype(int)
    half = image.copy()
    half[:, middle[0] + 20 :] = 90
    pixels, metres = placed.find(half)
    assert 6 <= len(pixels) < 12
    assert np.abs(pixels - camera.show(metres)).max() < 0.6
    for picture in (np.full_like(image, 90), noisy(np.full_like(image, 90), 40)):
        with pytest.raises(VimaError, match="corners of the board") as error:
            placed.find(picture)
        assert error.value.code == "NO_BOARD"
        assert len(placed.board.find(picture)[0]) == 0


def test_its_place_on_the_table():
    placed = PlacedBoard(Board(0.05, (4, 3)), 0.3, -0.1, math.radians(90))
    # Along the base's y lies the board's x; the board's y points towards the robot.
    np.testing.assert_allclose(placed.points[0], [0.3 - 2 * 0.05, -0.1 + 0.05], atol=1e-12)
    np.testing.assert_allclose(placed.points[-1], [0.3 - 0.05, -0.1 + 3 * 0.05], atol=1e-12)
    assert placed.points.shape == (6, 2)


@pytest.mark.parametrize(("paper", "dpi"), [("A4", 150), ("A3", 100)])
def test_the_sheet_has_the_boards_true_size(paper, dpi):
    board = Board(largest_square((5, 4), paper))
    data = sheet_png(board, paper, dpi)
    assert data[37:41] == b"pHYs"
    across, down, unit = struct.unpack(">IIB", data[41:50])
    assert across == down
    assert unit == 1, "per metre"
    sheet = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE)
    assert sheet.shape[1] / across == pytest.approx(charuco.PAPERS[paper][0], abs=1e-4)
    assert across * 0.0254 == pytest.approx(dpi, rel=0.01)
    ids, found = board.find(sheet)
    assert ids.tolist() == list(range(12))
    steps = np.diff(found.reshape(3, 4, 2), axis=1)[..., 0] / across
    np.testing.assert_allclose(steps, board.square, atol=5e-5)
    origin = found[8] + [-board.square * across, board.square * across]  # its lower left corner
    ink = sheet[round(origin[1]) :, :].min(axis=0)
    assert abs(np.flatnonzero(ink < 128)[0] - origin[0]) < 0.002 * across, "the mark is there"


def test_the_largest_square_fits_and_a_larger_one_does_not():
    square = largest_square((7, 5), "A4")
    assert square == 0.038
    sheet_png(Board(square, (7, 5)), "A4", 72)
    with pytest.raises(VimaError, match=r"0\.038") as error:
        sheet_png(Board(square + 0.001, (7, 5)), "A4")
    assert error.value.code == "BAD_BOARD"


@pytest.mark.parametrize(
    "make",
    [
        lambda: Board(0.0),
        lambda: Board(math.nan),
        lambda: Board(0.04, (2, 4)),
        lambda: Board(0.04, (40, 40)),
        lambda: Board(0.04, marker=0.05),
        lambda: Board(0.04, dictionary="DICT_APRILTAG_16h5"),
        lambda: PlacedBoard(Board(0.04), math.nan, 0.0, 0.0),
        lambda: sheet_png(Board(0.04), "A5"),
        lambda: sheet_png(Board(0.04), dpi=5),
    ],
)
def test_a_board_that_cannot_be_is_refused(make):
    with pytest.raises(VimaError, match="valid") as error:
        make()
    assert error.value.code == "BAD_BOARD"


def test_an_opencv_without_the_detector_is_named(monkeypatch):
    monkeypatch.setattr(cv2, "aruco", None)
    charuco._board.cache_clear()
    with pytest.raises(VimaError, match=r"OpenCV 4\.7") as error:
        Board(0.04).find(np.zeros((480, 640, 3), np.uint8))
    assert error.value.code == "NOT_INSTALLED"


def tilted_pictures(count=8):
    """The board in front of one camera that goes around it."""
    placed = PlacedBoard(Board(0.069), 0.5, -0.15, 1.2)
    texture = paste_board(table_texture(), placed)
    pictures = []
    for angle in np.linspace(0.3, 5.6, count):
        position = (0.45 + 0.35 * math.cos(angle), 0.35 * math.sin(angle), 0.42)
        camera = PinholeCamera(position, (0.5, 0.03 * math.sin(3 * angle), 0.0), angle, d=BARREL)
        pictures.append(noisy(camera.look_at(texture), 1.0))
    return camera, pictures


def test_a_lens_is_found_from_pictures_of_the_board():
    camera, pictures = tilted_pictures()
    fit = estimate_lens(Board(0.069), pictures)
    assert fit.size == (640, 480)
    assert fit.rms < 0.4
    assert len(fit.per_picture) == len(pictures)
    np.testing.assert_allclose(fit.lens.k, camera.k, atol=8.0)
    grid = np.stack(np.meshgrid([120, 320, 520], [90, 240, 390]), -1).reshape(-1, 2)
    want = Lens(camera.k, BARREL).undistort(grid)
    rays = (want - camera.k[:2, 2]) / camera.k[[0, 1], [0, 1]]
    got = fit.lens.undistort(grid)
    got = (got - fit.lens.k[:2, 2]) / fit.lens.k[[0, 1], [0, 1]]
    off = got - rays
    assert np.abs(off).max() < 0.015, "15 mm off in a metre"
    assert np.abs(off - off.mean(0)).max() < 0.004, "and that by turning the camera"


def test_pictures_that_tell_no_lens_are_refused():
    blank = np.full((480, 640, 3), 90, np.uint8)
    for pictures, code in (
        ([blank] * 4, "TOO_FEW_POINTS"),
        ([blank] * 5, "NO_BOARD"),
        ([blank, *[blank[:100]] * 4], "NO_BOARD"),
    ):
        with pytest.raises(VimaError) as error:
            estimate_lens(Board(0.047), pictures)
        assert error.value.code == code
