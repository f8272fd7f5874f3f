"""Camera models: equal to OpenCV's, invertible, and one-to-one."""

import re
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from camera_infos import READINGS, P, differences
from camera_infos import info as driver_info
from hypothesis import given
from hypothesis import strategies as st

from vima_ros.errors import VimaError
from vima_ros.perception.calibration.camera_info import camera_info_yaml, read_camera_info
from vima_ros.perception.calibration.camera_model import CameraModel

K = np.array([[520.0, 0, 317], [0, 526, 244], [0, 0, 1]])
SIZE = (640, 480)
GRID = np.stack(np.meshgrid(np.linspace(0, 639, 17), np.linspace(0, 479, 13)), -1).reshape(-1, 2)


@st.composite
def lenses(draw):
    model = draw(st.sampled_from(["plumb_bob", "rational_polynomial", "equidistant"]))
    small = st.floats(-0.002, 0.002)
    if model == "equidistant":
        return CameraModel(K, [draw(st.floats(-0.05, 0.05)) for _ in range(4)], model)
    k1, k2 = draw(st.floats(-0.2, 0.3)), draw(st.floats(0.0, 0.1))
    d = [k1, k2, draw(small), draw(small), draw(st.floats(0, 0.02))]
    return CameraModel(K, d if model == "plumb_bob" else [*d, 0.01, 0.01, 0.01], model)


@pytest.mark.parametrize(
    ("model", "count"),
    [("plumb_bob", n) for n in (4, 5)]
    + [("rational_polynomial", n) for n in (8, 12, 14)]
    + [("equidistant", 4)],
)
def test_a_model_takes_the_numbers_of_coefficients_that_opencv_has(model, count):
    coefficients = [0.01] * count
    lens = CameraModel(K, coefficients, model)
    assert (lens.model, lens.d.tolist()) == (model, coefficients)


@given(lenses())
def test_undistorted_and_distorted_again_is_the_same(lens):
    np.testing.assert_allclose(lens.distort(lens.undistort(GRID)), GRID, atol=1e-6)


@given(lenses())
def test_it_distorts_as_opencv_projects(lens):
    rays = np.column_stack([(GRID - K[:2, 2]) / K[[0, 1], [0, 1]], np.ones(len(GRID))])
    zero = np.zeros(3)
    if lens.model == "equidistant":
        shown = cv2.fisheye.projectPoints(rays[:, None], zero, zero, K, lens.d)[0]
    else:
        shown = cv2.projectPoints(rays, zero, zero, K, lens.d)[0]
    np.testing.assert_allclose(lens.distort(GRID), shown.reshape(-1, 2), atol=1e-6)


def test_what_folds_back_into_the_image_is_not_shown():
    lens = CameraModel(K, [-0.35, 0.0, 0, 0, 0])
    far = np.array([[317.0 + 520 * 1.8, 244.0]])  # 61 degrees off the axis
    ray = np.array([[1.8, 0.0, 1.0]])
    folded = cv2.projectPoints(ray, np.zeros(3), np.zeros(3), K, lens.d)[0].ravel()
    assert 0 < folded[0] < 640, "the polynomial alone shows it in the image"
    assert np.isnan(lens.distort(far)).all()
    assert np.isfinite(lens.distort(GRID)).all()


@pytest.mark.parametrize(("degrees", "shown"), [(87.0, True), (87.2, False)])
def test_a_straight_lens_shows_up_to_87_degrees_from_its_axis(degrees, shown):
    point = K[:2, 2] + [K[0, 0] * np.tan(np.radians(degrees)), 0]
    assert np.isfinite(CameraModel(K, []).distort([point])).all() == shown


def test_coefficients_that_cannot_be_undone_are_refused():
    with pytest.raises(VimaError) as error:
        CameraModel(K, [-3.0, 0, 0, 0, 0]).undistort(GRID)
    assert error.value.code == "BAD_CAMERA_INFO"


def info(**fields):
    roi = fields.pop("roi", (0, 0, 0, 0))
    names = ("x_offset", "y_offset", "width", "height")
    told = {
        "width": 640,
        "height": 480,
        "k": K.ravel().tolist(),
        "d": [-0.2, 0.05, 0.0, 0.0, 0.0],
        "distortion_model": "plumb_bob",
        "binning_x": 0,
        "binning_y": 0,
        "roi": SimpleNamespace(**dict(zip(names, roi, strict=True))),
    }
    return SimpleNamespace(**(told | fields))


def test_camera_info_becomes_a_lens():
    lens = CameraModel.from_camera_info(info(), SIZE)
    assert lens.equals(CameraModel(K, [-0.2, 0.05, 0, 0, 0]))
    assert not lens.equals(CameraModel(K, [-0.21, 0.05, 0, 0, 0]))
    assert not lens.equals(CameraModel(K * [[1.01], [1], [1]], lens.d))
    assert not lens.equals(None)
    assert (
        CameraModel.from_camera_info(info(d=[], distortion_model=""), SIZE).d.tolist() == [0] * 4
    )


def test_an_uncalibrated_camera_has_none():
    assert CameraModel.from_camera_info(info(k=[0.0] * 9, d=[]), SIZE) is None


def test_binning_and_region_of_interest_move_the_camera_matrix():
    lens = CameraModel.from_camera_info(
        info(binning_x=2, binning_y=2, roi=(100, 40, 400, 200)), (200, 100)
    )
    np.testing.assert_allclose(lens.k, [[260, 0, 108.5], [0, 263, 102], [0, 0, 1]])


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"width": 1280}, "1280 x 480"),
        ({"binning_x": 2}, "320 x 480"),
        ({"distortion_model": "magic"}, "plumb_bob"),
        ({"d": [0.1, 0.2, 0.3]}, "3 coefficients"),
        ({"d": [np.nan] * 5}, "finite"),
        ({"k": [1.0] * 9}, "fx"),
        ({"k": [np.inf] * 9}, "finite"),
        ({"k": [1.0]}, "9 finite numbers"),
    ],
)
def test_camera_info_that_cannot_be_is_refused(fields, says):
    with pytest.raises(VimaError, match=says) as error:
        CameraModel.from_camera_info(info(**fields), SIZE)
    assert error.value.code == "BAD_CAMERA_INFO"


def test_the_file_that_drivers_read_is_read_back(tmp_path):
    path = tmp_path / "camera.yaml"
    lens = CameraModel(K, [-1e-5, 0.123456789012345, 0, 0, 0])
    path.write_text(camera_info_yaml(lens, SIZE, "front"))
    read = CameraModel.from_camera_info(read_camera_info(path), SIZE)
    np.testing.assert_array_equal(read.k, lens.k)
    np.testing.assert_array_equal(read.d, lens.d)


@pytest.mark.parametrize("text", [None, "a: [", "- 1", "image_width: many", ""])
def test_another_file_is_refused(tmp_path, text):
    path = tmp_path / "camera.yaml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(VimaError, match=r"camera\.yaml") as error:
        read_camera_info(path)
    assert error.value.code == "BAD_CAMERA_INFO"


@pytest.mark.parametrize("width", ["0", "-1", "65536", "640.5"])
def test_a_width_that_no_image_has_is_refused(width, tmp_path):
    path = tmp_path / "camera.yaml"
    text = camera_info_yaml(CameraModel(K, np.zeros(5)), SIZE, "front")
    path.write_text(re.sub("image_width: .*", f"image_width: {width}", text))
    with pytest.raises(VimaError, match=r"image_width is \[.*valid: a number of pixels"):
        read_camera_info(path)


@pytest.mark.parametrize("name", READINGS)
def test_camera_info_as_drivers_and_tools_give_it_is_read_or_refused_by_field(name, tmp_path):
    seen, wrong = differences(READINGS[name], tmp_path)
    assert not wrong, seen


def test_a_rectified_image_has_the_camera_matrix_of_p_and_no_distortion():
    lens = CameraModel.from_camera_info(driver_info(p=P), SIZE, rectified=True)
    np.testing.assert_array_equal(lens.k, [[500, 0, 310], [0, 500, 235], [0, 0, 1]])
    assert not lens.d.any()
    without = CameraModel.from_camera_info(driver_info(), SIZE, rectified=True)
    np.testing.assert_array_equal(without.k.ravel(), driver_info().k)


def test_zeros_behind_the_coefficients_are_no_other_lens():
    four, five = CameraModel(K, [0.1, 0, 0, 0]), CameraModel(K, [0.1, 0, 0, 0, 0])
    assert four.equals(five)
    assert five.equals(four)
