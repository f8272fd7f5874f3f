"""A camera model from images of a board, and a warning where they do not determine it."""

import math
from dataclasses import replace

import cv2
import numpy as np
import pytest
from rendered_boards import HeldBoard, random_camera, random_set, turn
from rendered_table import PinholeCamera

from vima_ros.errors import VimaError
from vima_ros.perception.calibration.camera_model import CameraModel
from vima_ros.perception.calibration.charuco import Board
from vima_ros.perception.calibration.intrinsics import estimate_intrinsics, fit_intrinsics
from vima_ros.perception.calibration.intrinsics_report import (
    check_determined,
    describe_intrinsics,
    intrinsics_warnings,
    missing_images,
)

if not hasattr(getattr(cv2, "aruco", None), "CharucoDetector"):
    pytest.skip("OpenCV is older than 4.7: no ChArUco detector", allow_module_level=True)

BARREL = (-0.2, 0.06, 0.001, -0.001, 0.0)
BOARD = Board(0.04)
CORNER_ERROR = 0.12  # [px]


def fit_of(held, rng, error=CORNER_ERROR, outliers=0.0):
    """The fit of corners with normal errors, and a part of them a pixel off."""
    points, places = [], []
    for one in held:
        off = rng.normal(0, error, one.corners.shape)
        wrong = rng.random(len(off)) < outliers
        off[wrong] += rng.normal(0, 1.5, (wrong.sum(), 2))
        points.append(one.board.points)
        places.append(one.corners + off)
    return fit_intrinsics(points, places, held[0].camera.size)


def off(fit, camera):
    """Part by which the focal length is off, of the worse axis."""
    return np.abs(fit.camera_model.k.diagonal()[:2] / camera.k.diagonal()[:2] - 1).max()


def said(fit):
    try:
        check_determined(fit)
    except VimaError as error:
        return str(error)
    return " ".join(intrinsics_warnings(fit))


@pytest.mark.slow
def test_a_lens_is_found_from_rendered_images():
    rng, camera = np.random.default_rng(4), PinholeCamera(d=BARREL)
    held = random_set("good", BOARD, camera, rng)[:8]
    legacy = Board(0.04, legacy=True)
    images = [h.image(texture=legacy.render(60), noise=3, rng=rng, samples=2) for h in held]
    board, fit = estimate_intrinsics(BOARD, images)
    assert board.legacy
    assert fit.size == (640, 480)
    assert fit.rms < 0.2
    assert len(fit.per_image) == 8
    assert off(fit, camera) < 0.005
    np.testing.assert_allclose(fit.camera_model.k[:2, 2], camera.k[:2, 2], atol=2.0)
    grid = np.stack(np.meshgrid([120, 320, 520], [90, 240, 390]), -1).reshape(-1, 2)
    want = CameraModel(camera.k, BARREL).undistort(grid)
    np.testing.assert_allclose(fit.camera_model.undistort(grid), want, atol=3.0)
    assert said(fit) == ""


def test_images_that_determine_no_lens_are_refused():
    blank = np.full((480, 640, 3), 90, np.uint8)
    for images, code in (
        ([blank] * 4, "TOO_FEW_POINTS"),
        ([blank] * 5, "NO_BOARD"),
        ([blank, *[blank[:100]] * 4], "BAD_IMAGE"),
    ):
        with pytest.raises(VimaError) as error:
            estimate_intrinsics(BOARD, images)
        assert error.value.code == code


@pytest.mark.slow
@pytest.mark.parametrize(
    "kind", ["one_way", "one_way_near", "parallel", "slight", "same_distance", "few", "same"]
)
def test_a_focal_length_that_is_two_percent_off_is_warned_of(kind):
    rng, missed, wrong = np.random.default_rng(7), 0, 0
    for _ in range(8):
        camera = random_camera(rng)
        try:
            fit = fit_of(random_set(kind, BOARD, camera, rng), rng)
        except VimaError:
            continue  # refused
        wrong += off(fit, camera) > 0.02
        missed += off(fit, camera) > 0.02 and not said(fit)
    assert missed == 0
    assert wrong > 0 or kind == "parallel", "else the sets are not poor"


@pytest.mark.slow
def test_good_images_are_not_warned_of():
    rng = np.random.default_rng(8)
    for _ in range(10):
        camera = random_camera(rng)
        fit = fit_of(random_set("good", BOARD, camera, rng), rng, outliers=0.03)
        assert off(fit, camera) < 0.02
        assert said(fit) == ""
        assert fit.left_out < 15


@pytest.mark.slow
def test_standard_deviations_are_those_of_repetition():
    """And are large where nothing is determined, which OpenCV's are not."""
    rng, camera = np.random.default_rng(9), PinholeCamera(d=BARREL)
    held = random_set("good", BOARD, camera, rng)
    fits = [fit_of(held, rng) for _ in range(20)]
    focal = np.array([fit.camera_model.k.diagonal()[:2] for fit in fits])
    center = np.array([fit.camera_model.k[:2, 2] for fit in fits])
    stated = np.median([fit.focal_std for fit in fits])
    assert (focal.std(0) / focal.mean(0)).max() == pytest.approx(stated, rel=0.35)
    stated = np.median([fit.center_std for fit in fits])
    assert center.std(0).max() == pytest.approx(stated, rel=0.35)
    flat = [HeldBoard(BOARD, camera, turn(0, 0, 30 * i), (320, 240), 0.4) for i in range(6)]
    assert fit_of(flat, rng).focal_std > 0.05


@pytest.mark.slow
@pytest.mark.parametrize(("way", "nearer"), list(enumerate(["upper", "right", "lower", "left"])))
def test_the_sides_to_tilt_are_named(way, nearer):
    rng, camera = np.random.default_rng(3), PinholeCamera(d=BARREL)
    held = [
        HeldBoard(BOARD, camera, turn(30 + i, 90 * way + i, 40 * i), (250 + 15 * i, 240), 0.5)
        for i in range(10)
    ]
    message = said(fit_of(held, rng))
    sides = message.split("with the ")[1].split(" side")[0].split(" and the ")
    assert {*sides, nearer} == {"upper", "right", "lower", "left"}
    assert nearer not in sides


def test_what_to_add_is_named():
    rng, camera = np.random.default_rng(5), PinholeCamera(d=BARREL)
    small = fit_of(random_set("middle", BOARD, camera, rng), rng, error=0.02)
    assert "of the image in all" in " ".join(intrinsics_warnings(small))
    assert "upper left, upper right, lower left, lower right" in "".join(missing_images(small))
    few = fit_of(random_set("good", BOARD, camera, rng)[:5], rng)
    assert "ten in all" in "".join(missing_images(few))
    lines = "\n".join(describe_intrinsics(few))
    assert "standard deviation" in lines
    assert math.isfinite(few.focal_std)


@pytest.fixture(scope="module")
def good_fit():
    rng, camera = np.random.default_rng(8), PinholeCamera(d=BARREL)
    return fit_of(random_set("good", BOARD, camera, rng), rng)


@pytest.mark.parametrize(("degrees", "enough"), [(4, False), (6, True), (9, True)])
def test_a_tilt_counts_from_five_degrees_on(good_fit, degrees, enough):
    way = np.linspace(0, 2 * np.pi, 72, endpoint=False)
    tilts = np.sin(np.radians(degrees)) * np.stack([np.cos(way), np.sin(way)], -1)
    warnings = " ".join(intrinsics_warnings(replace(good_fit, tilts=tilts)))
    assert ("not tilted to all sides" not in warnings) == enough


CORNERS_OF_AN_IMAGE = ["upper left", "upper right", "lower left", "lower right"]


@pytest.mark.parametrize("name", CORNERS_OF_AN_IMAGE)
def test_the_corner_of_the_image_without_the_board_is_named(good_fit, name):
    x, y = np.meshgrid(np.linspace(5, 635, 20), np.linspace(5, 475, 20))
    row, column = name.split()
    empty = ((y < 240) == (row == "upper")) & ((x < 320) == (column == "left"))
    corners = np.stack([x[~empty], y[~empty]], -1)
    told = "; ".join(missing_images(replace(good_fit, corners=corners)))
    assert f"at the image's {name}" in told
    assert sum(other in told for other in CORNERS_OF_AN_IMAGE) == 1


def test_a_board_that_covered_a_fifth_of_the_image_is_enough(good_fit):
    def warned(width, height):
        corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], float)
        fit = replace(good_fit, corners=corners, size=(640, 480))
        return "of the image in all" in " ".join(intrinsics_warnings(fit))

    assert not warned(256, 240)  # 0.2 of 640 x 480
    assert warned(256, 239)
