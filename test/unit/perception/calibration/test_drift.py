"""Drift: a moved camera is found and measured; light, noise and an arm in the way are not one."""

import math
from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rendered_table import PinholeCamera, paste_board, table_texture

from vima_ros.errors import VimaError
from vima_ros.geometry import Workspace
from vima_ros.perception.calibration.calibration import workspace_corners
from vima_ros.perception.calibration.camera_model import CameraModel
from vima_ros.perception.calibration.charuco import Board, PlacedBoard
from vima_ros.perception.calibration.drift import DriftDetector, usable_patches
from vima_ros.perception.calibration.estimation import calibrate

CAMERA = PinholeCamera(d=(-0.2, 0.05, 0.001, 0, 0))
IMAGE = CAMERA.look_at(table_texture())
CORNERS = CAMERA.show(workspace_corners(Workspace()))
MADE = calibrate("front", IMAGE, CORNERS, camera_model=CameraModel(CAMERA.k, CAMERA.d))
MONITOR = DriftDetector(MADE)


def shifted(image, x, y):
    matrix = np.array([[1.0, 0, x], [0, 1, y]])
    return cv2.warpAffine(
        image, matrix, image.shape[1::-1], flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
    )


def noisy(image, sigma=3.0):
    noise = np.random.default_rng(0).normal(0, sigma, image.shape[:2])[..., None]
    return np.clip(image + noise, 0, 255).astype(np.uint8)


def covered(image, corners, value=128):
    """``image`` with an arm, a slanting bar, in front of these corners."""
    image = image.copy()
    for corner in corners:
        x, y = CORNERS[corner].round().astype(int)
        ends = (int(x) - 50, int(y) + 35), (int(x) + 50, int(y) - 35)
        cv2.line(image, *ends, (value, value, value), 36, cv2.LINE_AA)
    return image


def test_a_camera_in_its_place_has_not_moved():
    drift = MONITOR.check(IMAGE)
    assert not drift.moved
    assert drift.moved_px < 0.05
    assert (drift.seen, drift.total, drift.reference) == (4, 4, "corners")
    assert MONITOR.usable == 4


@pytest.mark.slow
@settings(max_examples=30)
@given(st.floats(-40, 40), st.floats(-40, 40))
def test_a_shift_is_measured(x, y):
    drift = MONITOR.check(noisy(shifted(IMAGE, x, y)))
    assert drift.seen >= 2
    assert drift.moved_px == pytest.approx(math.hypot(x, y), abs=0.15)
    if abs(math.hypot(x, y) - 2) > 0.3:
        assert drift.moved == (math.hypot(x, y) > 2)


def test_a_turned_camera_is_detected_and_reported_in_millimetres():
    moved = replace(CAMERA, target=(0.508, 0.0, 0.0))
    now = moved.show(workspace_corners(Workspace()))
    off = np.linalg.norm(now - CORNERS, axis=1)
    mm = 1e3 * np.linalg.norm(MADE.camera_to_table(now) - workspace_corners(Workspace()), axis=1)
    drift = MONITOR.check(noisy(moved.look_at(table_texture())))
    assert drift.moved
    assert drift.seen == 4
    assert off.min() - 0.3 < drift.moved_px < off.max() + 0.3
    assert mm.min() - 1 < drift.moved_mm < mm.max() + 1
    assert "px" in drift.message
    assert "mm" in drift.message


@pytest.mark.parametrize("way", [(1, 0), (-1, 0), (0, 1), (0, -1)])
def test_a_corner_at_the_rim_of_where_it_is_looked_for_is_not_found(way):
    reach = 640 // 8
    assert MONITOR.check(shifted(IMAGE, *np.multiply(way, reach))).seen == 0
    assert MONITOR.check(shifted(IMAGE, *np.multiply(way, reach - 2))).moved_px > reach - 3


def test_a_camera_that_only_rolls_is_found():
    matrix = cv2.getRotationMatrix2D((320, 260), 1.5, 1.0)
    drift = MONITOR.check(cv2.warpAffine(IMAGE, matrix, (640, 480), flags=cv2.INTER_CUBIC))
    assert drift.seen == 4
    assert drift.moved
    want = np.linalg.norm(CORNERS @ matrix[:, :2].T + matrix[:, 2] - CORNERS, axis=1)
    assert want.min() - 0.3 < drift.moved_px < want.max() + 0.3


def test_a_camera_that_moved_sideways_shows_near_corners_further_away_and_all_are_found():
    moves = np.array([[36.0, 0], [28, 0], [36, 0], [28, 0]])  # no similarity explains these
    there = (CORNERS + moves).astype(np.float32)
    matrix = cv2.getPerspectiveTransform(CORNERS.astype(np.float32), there)
    drift = MONITOR.check(cv2.warpPerspective(IMAGE, matrix, (640, 480), flags=cv2.INTER_CUBIC))
    assert drift.seen == 4
    assert drift.moved
    assert 28 < drift.moved_px < 36


LIGHT = {
    "darker": lambda p: p * 0.4,
    "brighter": lambda p: p * 1.1 + 20,
    "slanting": lambda p: p * np.linspace(0.6, 1.2, 640)[:, None],
    "gamma": lambda p: 255 * (p / 255) ** 0.6,
    "noise": lambda p: p + np.random.default_rng(1).normal(0, 10, p.shape),
    "reddish": lambda p: p * [1.0, 0.8, 0.6],
    "blurred": lambda p: cv2.GaussianBlur(p, (0, 0), 1.5),
}


@pytest.mark.parametrize("change", LIGHT)
def test_another_light_is_no_drift(change):
    drift = MONITOR.check(np.clip(LIGHT[change](IMAGE.astype(float)), 0, 255).astype(np.uint8))
    assert not drift.moved
    assert drift.moved_px < 0.5
    assert drift.seen == 4


@pytest.mark.slow
@pytest.mark.parametrize("hidden", [(0,), (3,), (0, 1), (0, 2), (2, 3)])
@pytest.mark.parametrize("value", [60, 128, 225])
def test_an_arm_before_one_or_two_corners_is_no_drift_and_hides_none(hidden, value):
    drift = MONITOR.check(noisy(covered(IMAGE, hidden, value)))
    assert not drift.moved
    assert drift.seen == 4 - len(hidden)
    moved = MONITOR.check(noisy(covered(shifted(IMAGE, 5, -4), hidden, value)))
    assert moved.moved
    assert moved.moved_px == pytest.approx(math.hypot(5, 4), abs=0.3)


def test_a_false_corner_is_outvoted():
    x, y = CORNERS[2].round().astype(int)
    image = covered(IMAGE, [2])
    patch = IMAGE[y - 18 : y + 19, x - 18 : x + 19]
    image[y - 38 : y - 1, x - 40 : x - 3] = patch  # 20 px higher, 22 px to the left
    drift = MONITOR.check(image)
    assert drift.seen == 3
    assert not drift.moved


@pytest.mark.parametrize("pair", [(0, 1), (2, 3), (0, 2)])
def test_two_corners_in_place_outvote_two_that_seem_to_have_moved_alike(pair):
    image = IMAGE.copy()
    for x, y in CORNERS[list(pair)].round().astype(int):
        patch = IMAGE[y - 20 : y + 21, x - 20 : x + 21]
        image[y - 17 : y + 24, x - 16 : x + 25] = patch  # 3 px lower, 4 px to the right
    drift = MONITOR.check(image)
    assert drift.seen == 2
    assert not drift.moved


def test_corners_that_disagree_tell_nothing():
    image = np.full_like(IMAGE, 128)
    for (x, y), (right, down) in zip(
        CORNERS.round().astype(int), [(20, -30), (-35, 0), (30, 30), (40, -10)], strict=True
    ):
        patch = IMAGE[y - 20 : y + 21, x - 20 : x + 21]
        image[y + down - 20 : y + down + 21, x + right - 20 : x + right + 21] = patch
    drift = MONITOR.check(image)
    assert drift.reference == "nothing"
    assert "4 of 4" in drift.message


@pytest.mark.parametrize("hidden", [(0, 1, 2), (0, 1, 2, 3)])
def test_with_one_corner_or_none_it_cannot_tell(hidden):
    drift = MONITOR.check(covered(IMAGE, hidden))
    assert drift.reference == "nothing"
    assert not drift.moved
    assert math.isnan(drift.moved_px)
    assert drift.seen < 2
    assert "cannot tell" in drift.message


def test_a_plain_table_or_an_edge_has_nothing_to_recognise():
    plain = noisy(np.full((480, 640, 3), 120, np.uint8), 2)
    edge = plain.copy()
    edge[:, :320] = 30
    across = np.array([[320.0, 100], [420, 100], [420, 300], [320, 300]])
    for image in (plain, edge):
        made = calibrate("top", image, across)
        assert not usable_patches(made.patches).any()
        assert DriftDetector(made).check(image).reference == "nothing"
    assert usable_patches(MADE.patches).all()


def with_board(placed=None):
    placed = placed or PlacedBoard(Board(0.047), 0.45, -0.05, 1.4)
    return placed, CAMERA.look_at(paste_board(table_texture(), placed))


@pytest.fixture(scope="module")
def board_monitor():
    placed, image = with_board()
    ids, pixels = placed.board.find(image)
    metres = placed.points[ids]
    lens = CameraModel(CAMERA.k, CAMERA.d)
    return DriftDetector(
        calibrate("front", image, pixels, metres, camera_model=lens, board=placed)
    ), image


@pytest.mark.slow
def test_a_board_in_view_decides(board_monitor):
    monitor, image = board_monitor
    drift = monitor.check(noisy(image))
    assert (drift.reference, drift.total) == ("board", 12)
    assert drift.seen > 8
    assert not drift.moved
    moved = monitor.check(shifted(image, 3.0, -4.0))
    assert moved.moved
    assert moved.moved_px == pytest.approx(5.0, abs=0.5)
    _, elsewhere = with_board(PlacedBoard(Board(0.047), 0.45, 0.0, 1.4))
    found = monitor.check(elsewhere)
    assert found.moved
    assert found.moved_mm == pytest.approx(50, abs=3)


def test_without_the_board_in_view_the_corners_decide(board_monitor):
    monitor, _ = board_monitor
    assert monitor.check(IMAGE).reference == "corners"
    assert not monitor.check(IMAGE).moved
    assert monitor.check(shifted(IMAGE, 6, 0)).moved


def test_a_limit_is_what_counts_as_moved():
    image = shifted(IMAGE, 4, 0)
    assert DriftDetector(MADE, 3.0).check(image).moved
    assert not DriftDetector(MADE, 5.0).check(image).moved
    for limit in (0.0, -1.0, math.nan):
        with pytest.raises(VimaError, match="limit"):
            DriftDetector(MADE, limit)


@pytest.mark.parametrize("image", [np.zeros((240, 320, 3), np.uint8), np.zeros((480, 640, 3))])
def test_another_image_is_refused(image):
    with pytest.raises(VimaError) as error:
        MONITOR.check(image)
    assert error.value.code == "BAD_IMAGE"
