"""The board: found to a fraction of a pixel where it lies, and printed in its true size."""

import math
import struct

import cv2
import numpy as np
import pytest
from rendered_boards import HeldBoard, single_markers, turn
from rendered_table import PinholeCamera, paste_board, table_texture

from vima_ros.errors import VimaError
from vima_ros.geometry import Workspace
from vima_ros.perception.calibration.board_search import FAMILIES, describe_layout, find_board
from vima_ros.perception.calibration.board_sheet import PAPERS, board_sheet_png, max_square_size
from vima_ros.perception.calibration.calibration import project, workspace_corners
from vima_ros.perception.calibration.camera_model import CameraModel
from vima_ros.perception.calibration.charuco import Board, PlacedBoard
from vima_ros.perception.calibration.estimation import calibrate
from vima_ros.policy_frame import table_to_policy

if not hasattr(getattr(cv2, "aruco", None), "CharucoDetector"):
    pytest.skip("OpenCV is older than 4.7: no ChArUco detector", allow_module_level=True)

BARREL = (-0.2, 0.06, 0.001, -0.001, 0.0)


def noisy(image, sigma=3.0):
    noise = np.random.default_rng(0).normal(0, sigma, image.shape[:2])[..., None]
    return np.clip(image + noise, 0, 255).astype(np.uint8)


def find(placed, image):
    """Corners of one board, in the image [px] and on the table [m]."""
    _, [(ids, pixels)] = find_board(placed.board, [image])
    return pixels, placed.points[ids]


@pytest.mark.slow
@pytest.mark.parametrize("yaw", [-2.5, -0.4, 0.0, 1.2, 1.6])
def test_its_corners_are_found_to_a_quarter_of_a_pixel(yaw):
    placed = PlacedBoard(Board(0.047), 0.5, 0.0, yaw)
    camera = PinholeCamera(d=BARREL)
    image = noisy(camera.look_at(paste_board(table_texture(), placed)))
    pixels, metres = find(placed, image)
    off = pixels - camera.show(metres)
    assert len(pixels) >= 11, "of 12 corners"
    assert np.sqrt((off**2).sum(1).mean()) < 0.25
    assert np.abs(off.mean(0)).max() < 0.1, "all to the same side"


@pytest.mark.slow
def test_a_calibration_from_it_puts_the_table_in_its_place():
    camera = PinholeCamera(d=BARREL)
    boards = [PlacedBoard(Board(0.047), 0.45, y, 1.4) for y in (-0.35, 0.2)]
    found = [find(b, noisy(camera.look_at(paste_board(table_texture(), b)))) for b in boards]
    pixels, metres = (np.concatenate(points) for points in zip(*found, strict=True))
    blank = np.zeros((480, 640, 3), np.uint8)
    got = calibrate(
        "front", blank, pixels, metres, camera_model=CameraModel(camera.k, BARREL), board=boards[1]
    )
    corners = workspace_corners(Workspace())
    shown = camera.show(corners)
    assert got.method == "charuco"
    assert got.fit.camera_px < 0.4
    assert np.abs(got.camera_to_table(shown) - corners).max() < 0.005, "metres"
    want = project(table_to_policy("front", Workspace()), corners)
    assert np.abs(project(got.homography, got.camera_model.undistort(shown)) - want).max() < 1.0
    np.testing.assert_allclose(got.corners, shown, atol=2.0)


@pytest.mark.slow
def test_part_of_it_is_enough_and_less_is_refused():
    placed = PlacedBoard(Board(0.047), 0.55, 0.1, 0.3)
    camera = PinholeCamera(focal=900.0)
    image = camera.look_at(paste_board(table_texture(), placed))
    middle = camera.show(placed.points).mean(0).astype(int)
    half = image.copy()
    half[:, middle[0] + 20 :] = 90
    pixels, metres = find(placed, half)
    assert 6 <= len(pixels) < 12
    assert np.median(np.abs(pixels - camera.show(metres)).max(1)) < 0.1
    blank = np.full_like(image, 90)
    for image in (blank, noisy(blank, 40)):
        with pytest.raises(VimaError, match="valid: at least 6 corners") as error:
            find(placed, image)
        assert error.value.code == "NO_BOARD"
        assert len(placed.board.find(image)[0]) == 0


def test_a_placed_board_has_its_corners_on_the_table_where_it_lies():
    placed = PlacedBoard(Board(0.05, (4, 3)), 0.3, -0.1, math.radians(90))
    # Along the base's y lies the board's x; the board's y points towards the robot.
    np.testing.assert_allclose(placed.points[0], [0.3 - 2 * 0.05, -0.1 + 0.05], atol=1e-12)
    np.testing.assert_allclose(placed.points[-1], [0.3 - 0.05, -0.1 + 3 * 0.05], atol=1e-12)
    assert placed.points.shape == (6, 2)


@pytest.mark.parametrize(
    ("paper", "dpi"), [("A4", 150), ("A3", 100), ("Letter", 150), ("Tabloid", 150)]
)
def test_the_sheet_has_the_boards_true_size(paper, dpi):
    board = Board(max_square_size((5, 4), paper))
    data = board_sheet_png(board, paper, dpi)
    assert data[37:41] == b"pHYs"
    across, down, unit = struct.unpack(">IIB", data[41:50])
    assert across == down
    assert unit == 1, "per metre"
    sheet = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE)
    assert sheet.shape[1] / across == pytest.approx(PAPERS[paper][0], abs=1e-4)
    assert across * 0.0254 == pytest.approx(dpi, rel=0.01)
    ids, found = board.find(sheet)
    assert ids.tolist() == list(range(12))
    steps = np.diff(found.reshape(3, 4, 2), axis=1)[..., 0] / across
    np.testing.assert_allclose(steps, board.square, atol=5e-5)
    origin = found[8] + [-board.square * across, board.square * across]  # its lower left corner
    ink = sheet[round(origin[1]) :, :].min(axis=0)
    assert abs(np.flatnonzero(ink < 128)[0] - origin[0]) < 0.002 * across, "the mark is there"


def test_the_largest_square_fits_and_a_larger_one_does_not():
    square = max_square_size((7, 5), "A4")
    assert square == 0.038
    board_sheet_png(Board(square, (7, 5)), "A4", 72)
    with pytest.raises(VimaError, match=r"0\.038") as error:
        board_sheet_png(Board(square + 0.001, (7, 5)), "A4")
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
        lambda: board_sheet_png(Board(0.04), "A5"),
        lambda: board_sheet_png(Board(0.04), dpi=5),
    ],
)
def test_a_board_that_cannot_be_is_refused(make):
    with pytest.raises(VimaError, match="valid") as error:
        make()
    assert error.value.code == "BAD_BOARD"


def test_an_opencv_without_the_detector_is_named(monkeypatch):
    monkeypatch.setattr(cv2, "aruco", None)
    with pytest.raises(VimaError, match=r"OpenCV 4\.7") as error:
        Board(0.0397).find(np.zeros((480, 640, 3), np.uint8))  # one that is not cached
    assert error.value.code == "NOT_INSTALLED"


# --- boards of OpenCV before 4.6


def seen(board, tilt=20.0, way=30.0, at=(320, 240), **options):
    camera = PinholeCamera(d=BARREL)
    held = HeldBoard(board, camera, turn(tilt, way), at, 2.2 * board.size[0])
    return held, held.image(**options)


@pytest.mark.slow
@pytest.mark.parametrize("squares", [(5, 4), (6, 4), (4, 6)])
@pytest.mark.parametrize("legacy", [False, True])
def test_both_layouts_are_found_and_named(squares, legacy):
    board = Board(0.04, squares, legacy=legacy)
    for asked in (Board(0.04, squares), Board(0.04, squares, legacy=True)):
        held, image = seen(board)
        found, [(ids, places)] = find_board(asked, [image])
        assert found == board
        assert ids.tolist() == list(range(len(board.points)))
        assert np.abs(places - held.corners[ids]).max() < 0.5
    assert ("before 4.6" in describe_layout(found)) == legacy


def test_an_odd_number_of_rows_has_one_layout():
    _, image = seen(Board(0.04, (5, 5), legacy=True))
    found, [(ids, _)] = find_board(Board(0.04, (5, 5)), [image])
    assert len(ids) == 16
    assert not found.legacy
    assert "same" in describe_layout(found)


def test_several_images_have_one_layout():
    legacy, other = Board(0.04, legacy=True), Board(0.04)
    images = [seen(legacy, way=way)[1] for way in (0, 90, 180)]
    hidden = images[1].copy()
    hidden[:, 330:] = 150  # too little of it to tell alone
    found, corners = find_board(other, [images[0], hidden, images[2]])
    assert found == legacy
    assert [len(ids) for ids, _ in corners][::2] == [12, 12]
    with pytest.raises(VimaError, match=r"image 2: .*layout of OpenCV 4\.6 and later") as error:
        find_board(other, [images[0], seen(other)[1], images[2]])
    assert error.value.code == "NO_BOARD"


# --- something else than the board


@pytest.mark.slow
@pytest.mark.parametrize(
    ("shown", "texture", "code", "words"),
    [
        (Board(0.04, dictionary="DICT_5X5_100"), None, "NO_BOARD",
         ("10 markers (ids 0, 1, 2", "DICT_5X5_50", "--dictionary", "valid", "DICT_4X4_50")),
        (Board(0.04, dictionary="DICT_6X6_250"), None, "NO_BOARD",
         ("10 markers", "--dictionary DICT_6X6_50 would fit")),
        (Board(0.03, (7, 5)), None, "NO_BOARD", ("17 markers", "--squares 7x5 would fit")),
        (Board(0.03, (6, 6), legacy=True), None, "NO_BOARD", ("18 mark", "--squares 6x6")),
        (Board(0.03, (4, 5)), None, "NO_BOARD", ("10 markers", "--squares 4x5 would fit")),
        (Board(0.03, (5, 6)), None, "BAD_BOARD", ("5 markers (ids 10, 11", "beyond 5 x 4")),
        (Board(0.04), single_markers(), "NO_BOARD",
         ("6 markers (ids 0, 1, 2, 3, 4, 5)", "too little of the chessboard")),
        (Board(0.04), np.full((240, 300), 255, np.uint8), "NO_BOARD", ("no ArUco marker",)),
    ],
    ids=[
        "5x5_100", "6x6_250", "7x5", "6x6_legacy", "4x5", "5x6", "markers_only", "blank",
    ],
)  # fmt: skip
def test_what_is_found_in_place_of_the_board_is_reported(shown, texture, code, words):
    _, image = seen(shown, texture=texture)
    with pytest.raises(VimaError) as error:
        find_board(Board(0.04), [image])
    assert error.value.code == code
    message = str(error.value)
    assert "\n" not in message
    for word in words:
        assert word in message, message


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_markers_of_every_family_are_named(family):
    _, image = seen(Board(0.04), texture=single_markers(family), tilt=0.0)
    bits = family.rsplit("_", 1)[0]
    with pytest.raises(VimaError, match=rf"6 markers \(ids .* of ({family}|its dict|{bits}_)"):
        find_board(Board(0.04, dictionary="DICT_4X4_50"), [image])


def test_markers_beyond_a_small_dictionary_are_still_of_it():
    _, image = seen(Board(0.04), texture=single_markers("DICT_4X4_1000", first=60), tilt=0.0)
    with pytest.raises(VimaError, match=r"60, 61.* of its dictionary, where the board has 0 to 9"):
        find_board(Board(0.04, dictionary="DICT_4X4_50"), [image])


def test_another_marker_beside_the_board_does_not_matter():
    _, image = seen(Board(0.04))
    dictionary = cv2.aruco.getPredefinedDictionary(cv2.aruco.DICT_4X4_50)
    image[10:70, 10:70] = 255
    image[20:60, 20:60] = cv2.aruco.generateImageMarker(dictionary, 33, 40)[..., None]
    assert len(find_board(Board(0.04), [image])[1][0][0]) == 12
