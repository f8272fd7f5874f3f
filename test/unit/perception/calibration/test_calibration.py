"""Calibration from known points: correct for any camera, with a true error estimate."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from rendered_table import PinholeCamera

from vima_ros.errors import VimaError
from vima_ros.geometry import Workspace
from vima_ros.perception.calibration.calibration import project, workspace_corners
from vima_ros.perception.calibration.camera_model import CameraModel
from vima_ros.perception.calibration.estimation import (
    calibrate,
    camera_pose,
    check_quadrilateral,
    cut_patches,
)
from vima_ros.perception.calibration.report import report, warnings
from vima_ros.policy_frame import VIMA_WORKSPACE, project_to_view, table_to_policy

VIEWS = ("front", "top")
BLANK = np.zeros((480, 640, 3), np.uint8)
CORNERS = workspace_corners(Workspace())
TABLE = np.stack(np.meshgrid(np.linspace(0.25, 0.75, 6), np.linspace(-0.5, 0.5, 9)), -1).reshape(
    -1, 2
)
BARREL = (-0.22, 0.06, 0.001, -0.001, 0.0)

places = st.builds(
    lambda x, y, z, roll, k1, tx: PinholeCamera(
        position=(x, y, z),
        target=(tx, 0.0, 0.0),
        roll=roll,
        focal=400.0,
        d=(k1, 0.05, 0.001, -0.001, 0),
    ),
    st.floats(0.9, 1.4),
    st.floats(-0.25, 0.25),
    st.floats(0.8, 1.2),
    st.floats(-3.1, 3.1),
    st.floats(-0.25, 0.1),
    st.floats(0.45, 0.55),
)


def lens_of(camera):
    return CameraModel(camera.k, camera.d)


@pytest.mark.parametrize("view", VIEWS)
def test_the_table_is_where_the_simulated_cameras_show_it(view):
    shown = project(table_to_policy(view, Workspace()), TABLE)
    rows_columns = project_to_view(view, np.column_stack([TABLE, np.zeros(len(TABLE))]))
    np.testing.assert_allclose(shown[:, ::-1], rows_columns, atol=1e-9)


@pytest.mark.parametrize("view", VIEWS)
def test_any_workspace_takes_the_place_of_vimas(view):
    other = Workspace((-0.2, 0.1), (0.1, 0.9))
    np.testing.assert_allclose(
        project(table_to_policy(view, other), workspace_corners(other)),
        project(table_to_policy(view, Workspace()), CORNERS),
    )


@pytest.mark.parametrize("view", VIEWS)
def test_the_corners_go_clockwise_from_the_upper_left(view):
    a, b, c, d = project(table_to_policy(view, Workspace()), CORNERS)
    assert a[0] < b[0]
    assert d[0] < c[0]
    assert a[1] < d[1]
    assert b[1] < c[1]


@pytest.mark.slow
@settings(max_examples=40)
@given(places, st.sampled_from(VIEWS))
def test_four_corners_recover_any_camera_and_lens(camera, view):
    shown = camera.show(CORNERS)
    assume(((shown >= 0) & (shown <= [639, 479])).all())
    got = calibrate(view, BLANK, shown, camera_model=lens_of(camera))
    want = project(table_to_policy(view, Workspace()), TABLE)
    shown_in_policy_frame = project(got.homography, got.camera_model.undistort(camera.show(TABLE)))
    np.testing.assert_allclose(shown_in_policy_frame, want, atol=0.01)
    np.testing.assert_allclose(got.camera_to_table(camera.show(TABLE)), TABLE, atol=1e-5)
    np.testing.assert_allclose(got.table_to_camera(TABLE), camera.show(TABLE), atol=0.01)
    assert got.fit.camera_px < 1e-4
    assert got.fit.rigid_px < 0.01
    assert got.method == "corners"


def test_many_points_recover_a_fisheye():
    camera = PinholeCamera(d=(0.03, -0.01, 0.002, 0.0), fisheye=True, focal=400.0)
    camera_model = CameraModel(camera.k, camera.d, "equidistant")
    got = calibrate("front", BLANK, camera.show(TABLE), TABLE, camera_model=camera_model)
    np.testing.assert_allclose(got.camera_to_table(camera.show(TABLE)), TABLE, atol=1e-5)


def test_ignoring_a_bent_lens_shows_in_the_error():
    camera = PinholeCamera(d=BARREL)
    got = calibrate("front", BLANK, camera.show(TABLE), TABLE)
    assert got.fit.camera_px > 1.0
    assert got.fit.camera_max_px > got.fit.camera_px
    assert got.fit.rigid_px is None


@pytest.mark.parametrize("with_lens", [True, False])
def test_the_error_is_that_of_the_points(with_lens):
    camera = PinholeCamera()
    noise = np.random.default_rng(1).normal(0, 0.5, (54, 2))
    camera_model = lens_of(camera) if with_lens else None
    fit = calibrate(
        "front", BLANK, camera.show(TABLE) + noise, TABLE, camera_model=camera_model
    ).fit
    assert fit.points == 54
    assert fit.camera_px == pytest.approx(np.sqrt((noise**2).sum(1).mean()), rel=0.1)
    # A table pixel is about 1.9 mm across and 2.9 mm along the line of sight here.
    assert 1.0 < fit.table_mm < 3.0
    assert fit.policy_px == pytest.approx(fit.table_mm / 4.5, rel=0.3)


@pytest.mark.slow
@pytest.mark.parametrize("with_lens", [True, False])
def test_the_error_expected_at_the_corners_is_the_error_there(with_lens):
    camera = PinholeCamera()
    camera_model = lens_of(camera) if with_lens else None
    part = np.stack(np.meshgrid(np.linspace(0.4, 0.6, 5), np.linspace(-0.1, 0.1, 5)), -1)
    part = part.reshape(-1, 2)
    rng, errors, expected = np.random.default_rng(2), [], []
    for _ in range(30):
        shown = camera.show(part) + rng.normal(0, 0.2, part.shape)
        got = calibrate("front", BLANK, shown, part, camera_model=camera_model)
        error = 1e3 * (got.camera_to_table(camera.show(CORNERS)) - CORNERS)
        errors.append(np.sqrt((error**2).sum(1).mean()))
        expected.append(got.fit.corners_mm)
    rms = np.sqrt(np.mean(np.square(errors)))
    assert np.median(expected) == pytest.approx(rms, rel=0.4)


def test_a_lens_makes_a_small_board_good_enough():
    camera = PinholeCamera()
    part = np.stack(np.meshgrid(np.linspace(0.4, 0.6, 5), np.linspace(-0.1, 0.1, 5)), -1)
    shown = camera.show(part.reshape(-1, 2)) + np.random.default_rng(3).normal(0, 0.2, (25, 2))
    free = calibrate("front", BLANK, shown, part.reshape(-1, 2))
    rigid = calibrate("front", BLANK, shown, part.reshape(-1, 2), camera_model=lens_of(camera))
    assert rigid.fit.corners_mm < 0.5 * free.fit.corners_mm


@pytest.mark.slow
@pytest.mark.parametrize("order", list(itertools.permutations(range(4))))
def test_only_clockwise_corners_are_taken(order):
    camera = PinholeCamera()
    shown = camera.show(CORNERS)[list(order)]
    steps = {(b - a) % 4 for a, b in itertools.pairwise((*order, order[0]))}
    if steps == {1}:
        calibration = calibrate("front", BLANK, shown, camera_model=lens_of(camera))
        said = " ".join(warnings(calibration))
        assert ("first corner the right one" in said) == (order[0] != 0)
        return
    with pytest.raises(VimaError, match="clockwise") as error:
        calibrate("front", BLANK, shown)
    assert error.value.code == ("MIRRORED" if steps == {3} else "WRONG_ORDER")


@pytest.mark.parametrize(
    ("corners", "code"),
    [
        ([[100, 100], [300, 100], [500, 100], [300, 300]], "COLLINEAR"),
        ([[100, 100], [300, 101], [500, 102], [300, 300]], "COLLINEAR"),
        ([[100, 100], [110, 100], [110, 110], [100, 110]], "TOO_SMALL"),
        ([[100, 100], [500, 100], [500, 400], [500, 401]], "TOO_SMALL"),
        ([[100, 100], [500, 100], [320, 200], [310, 400]], "WRONG_ORDER"),
        ([[100, 100], [700, 100], [500, 400], [100, 400]], "POINT_OUTSIDE_IMAGE"),
        ([[100, 100], [500, -2], [500, 400], [100, 400]], "POINT_OUTSIDE_IMAGE"),
        ([[100, 100], [500, 100], [500, 400]], "TOO_FEW_POINTS"),
        ([100, 100, 500, 100], "TOO_FEW_POINTS"),
        ([[100, 100], [500, 100], [np.nan, 400], [100, 400]], "INVALID_VALUE"),
    ],
)
def test_corners_that_are_none_are_refused(corners, code):
    with pytest.raises(VimaError) as error:
        calibrate("top", BLANK, np.array(corners, float), CORNERS[: len(corners)])
    assert error.value.code == code


def test_corners_swapped_on_the_table_are_refused():
    with pytest.raises(VimaError, match="on the table") as error:
        calibrate("front", BLANK, PinholeCamera().show(CORNERS), CORNERS[::-1])
    assert error.value.code == "MIRRORED"


def test_many_points_can_be_wrong_too():
    shown = PinholeCamera().show(TABLE)
    row = np.linspace(0, 1, 9)[:, None]
    for points, table, code in (
        ([639, 0] + shown * [-1, 1], TABLE, "MIRRORED"),
        (100 + 300 * row * [1, 0.5], row * [1, 0.5], "COLLINEAR"),
        (300 + 0.01 * shown, TABLE, "TOO_SMALL"),
    ):
        with pytest.raises(VimaError) as error:
            calibrate("front", BLANK, points, table)
        assert error.value.code == code


def test_a_workspace_beyond_the_horizon_is_refused():
    camera = PinholeCamera(position=(0.9, 0.0, 0.1), target=(0.5, 0.0, 0.0))
    near = np.array([[0.4, -0.1], [0.4, 0.1], [0.6, 0.1], [0.6, -0.1], [0.5, 0.0]])
    with pytest.raises(VimaError) as error:
        calibrate("front", BLANK, camera.show(near), near, workspace=Workspace((0.2, -1), (2, 1)))
    assert error.value.code == "BEYOND_HORIZON"


@settings(max_examples=25)
@given(places)
def test_the_camera_is_found_where_it_is(camera):
    camera_model = lens_of(camera)
    pose = camera_pose(TABLE, camera_model.undistort(camera.show(TABLE)), camera_model)
    np.testing.assert_allclose(pose.position, camera.position, atol=1e-4)
    np.testing.assert_allclose(pose.rotation, camera.rotation, atol=1e-4)


def said_about(camera, view="front", workspace=VIMA_WORKSPACE, camera_model=None):
    image = np.random.default_rng(0).integers(0, 255, (480, 640, 3)).astype(np.uint8)
    points = workspace_corners(workspace)
    got = calibrate(
        view, image, camera.show(points), workspace=workspace, camera_model=camera_model
    )
    return " ".join(warnings(got)), " ".join(report(got))


def test_a_good_calibration_leaves_no_doubt():
    camera = PinholeCamera()
    said, told = said_about(camera, camera_model=lens_of(camera))
    assert said == ""
    assert "looking 45 degrees down" in told
    assert "x 1.35" in told
    above = PinholeCamera(position=(0.5, 0.0, 1.0))
    said, told = said_about(above, "top", camera_model=lens_of(above))
    assert "degrees down" not in said
    assert "looking 90 degrees down" in told


@pytest.mark.parametrize(("size", "stretched"), [(0.3, False), (0.4, False), (0.45, True)])
def test_a_workspace_of_any_size_that_is_twice_as_wide_as_deep_is_not_stretched(size, stretched):
    camera = PinholeCamera()
    width = 0.6 if stretched else 2 * size
    workspace = Workspace((0.5 - size / 2, -width / 2), (0.5 + size / 2, width / 2))
    said = said_about(camera, camera_model=lens_of(camera), workspace=workspace)[0]
    assert ("stretched" in said) == stretched


@pytest.mark.slow
def test_warnings_name_their_reason():
    camera = PinholeCamera()
    camera_model = lens_of(camera)
    assert "no lens" in said_about(camera)[0]
    wrong = CameraModel(camera.k * [[2], [2], [1]], camera.d)
    assert "no camera with this lens" in said_about(camera, camera_model=wrong)[0]
    assert (
        "45 degrees down and VIMA's 90" in said_about(camera, "top", camera_model=camera_model)[0]
    )
    assert (
        "stretched"
        in said_about(
            camera, camera_model=camera_model, workspace=Workspace((0.3, -0.2), (0.7, 0.2))
        )[0]
    )
    behind = PinholeCamera(position=(-0.35, 0.0, 0.85), roll=np.pi)
    assert "lean the wrong way" in said_about(behind, camera_model=lens_of(behind))[0]
    close = PinholeCamera(position=(0.95, 0.0, 0.5))
    small = Workspace((0.4, -0.1), (0.6, 0.1))
    assert "outside" not in said_about(close, camera_model=lens_of(close), workspace=small)[0]
    near = PinholeCamera(focal=620.0, target=(0.8, 0.0, 0.0))
    assert (
        "16% of the policy's view lie outside" in said_about(near, camera_model=lens_of(near))[0]
    )


def test_patches_are_what_is_around_the_corners():
    image = np.random.default_rng(0).integers(0, 255, (480, 640, 3)).astype(np.uint8)
    image[...] = image[..., :1]
    corners = np.array([[100.4, 50.6], [3.0, 50.0], [500.0, 479.0], [np.nan, 5.0]])
    patches = cut_patches(image, corners)
    half = patches.shape[1] // 2
    np.testing.assert_array_equal(
        patches[0], image[51 - half : 52 + half, 100 - half : 101 + half, 0]
    )
    assert not patches[1:].any()


@pytest.mark.parametrize("size", range(3, 16))
def test_patches_have_an_odd_size(size):
    camera = PinholeCamera()
    calibration = calibrate("top", BLANK, camera.show(CORNERS))
    patches = np.zeros((4, size, size), np.uint8)
    if size % 2:
        assert replace(calibration, patches=patches).patches.shape == patches.shape
    else:
        with pytest.raises(VimaError, match="n odd"):
            replace(calibration, patches=patches)


@given(
    st.lists(st.tuples(st.integers(-60, 60), st.integers(-60, 60)), min_size=4, max_size=4),
    st.tuples(st.integers(-5000, 5000), st.integers(-5000, 5000)),
)
def test_whether_corners_are_taken_does_not_depend_on_where_they_are(corners, shift):
    square = np.array([[0, 0], [90, 0], [90, 90], [0, 90]])

    def refusal(corners):
        try:
            check_quadrilateral(corners.astype(float), 10.0, "here")
        except VimaError as error:
            return error.code
        return ""

    assert refusal(square + corners) == refusal(square + corners + np.array(shift))
    assert refusal(square + shift) == ""
