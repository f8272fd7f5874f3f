import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rendered_table import ORIGIN, PER_METRE, PinholeCamera, table_texture

from vima_ros.errors import VimaError
from vima_ros.geometry import Workspace
from vima_ros.perception.calibration.calibration import (
    Calibration,
    CalibrationFit,
    project,
    workspace_corners,
)
from vima_ros.perception.calibration.camera_model import CameraModel
from vima_ros.perception.calibration.estimation import calibrate
from vima_ros.perception.view_transform import ViewTransform, draw_workspace, to_policy_frame
from vima_ros.policy_frame import table_to_policy

RNG = np.random.default_rng(0)


def make_image(width, height):
    return RNG.integers(0, 256, (height, width, 3)).astype(np.uint8)


def test_the_policy_frame_stays_as_it_is_and_is_a_copy():
    image = make_image(256, 128)
    mask = RNG.integers(0, 60000, (128, 256)).astype(np.uint16)
    for array, is_mask in ((image, False), (mask, True)):
        got = to_policy_frame(array, is_mask=is_mask)
        np.testing.assert_array_equal(got, array)
        assert not np.shares_memory(got, array)


@pytest.mark.slow
@given(st.integers(2, 400), st.integers(1, 300), st.booleans())
def test_every_size_gives_the_frame_and_a_plain_image_stays_plain(width, height, is_mask):
    shape = (height, width) if is_mask else (height, width, 3)
    got = to_policy_frame(np.full(shape, 77, np.uint8), is_mask=is_mask)
    assert got.shape == ((128, 256) if is_mask else (128, 256, 3))
    assert got.dtype == np.uint8
    assert (got == 77).all()


def test_a_larger_image_is_averaged_over_area():
    image = make_image(1024, 512)
    means = image.reshape(128, 4, 256, 4, 3).mean((1, 3))
    np.testing.assert_allclose(to_policy_frame(image), means, atol=0.51)


@given(st.integers(1, 5), st.sampled_from([np.uint8, np.uint16]))
def test_a_mask_keeps_ids_and_places(factor, dtype):
    ids = np.arange(128 * 256).reshape(128, 256) % np.iinfo(dtype).max
    mask = np.kron(ids, np.ones((factor, factor), int)).astype(dtype)
    np.testing.assert_array_equal(to_policy_frame(mask, is_mask=True), ids)


def test_a_mask_has_no_ids_between():
    mask = np.where(RNG.random((101, 333)) < 0.5, 0, 50000).astype(np.uint16)
    assert np.unique(to_policy_frame(mask, is_mask=True)).tolist() == [0, 50000]


@pytest.mark.parametrize(
    ("size", "region"),
    [
        ((640, 480), (0, 80, 640, 320)),
        ((800, 256), (144, 0, 512, 256)),
        ((641, 480), (0, 80, 640, 320)),
        ((333, 101), (65, 0, 202, 101)),
    ],
)
def test_the_default_region_is_the_largest_in_the_middle(size, region):
    image = make_image(*size)
    np.testing.assert_array_equal(to_policy_frame(image), to_policy_frame(image, region))


def test_a_region_selects_its_pixels():
    image = make_image(640, 480)
    got = to_policy_frame(image, (100, 50, 256, 128))
    np.testing.assert_array_equal(got, image[50:178, 100:356])


@pytest.mark.parametrize("region", [(0, 0, 257, 128), (0, 0, 254, 128), (0, 0, 256, 127)])
def test_a_pixel_off_two_to_one_is_tolerated(region):
    assert to_policy_frame(make_image(640, 480), region).shape == (128, 256, 3)


@pytest.mark.parametrize(
    "region",
    [
        (0, 0, 300, 128),
        (-1, 0, 256, 128),
        (0, -1, 256, 128),
        (385, 0, 256, 128),
        (0, 353, 256, 128),
        (0, 0, 0, 0),
        (0, 0, 1, 0),
        (0, 0, -256, -128),
        (0, 0, 256),
        (0.0, 0.0, 256.0, 128.0),
        "everything",
    ],
)
def test_a_region_that_cannot_be_is_refused(region):
    with pytest.raises(VimaError) as error:
        to_policy_frame(make_image(640, 480), region)
    assert error.value.code == "INVALID_REGION"


@pytest.mark.parametrize(("width", "height"), [(1, 10), (0, 0), (10, 0)])
def test_an_image_without_room_for_a_region_is_refused(width, height):
    with pytest.raises(VimaError) as error:
        to_policy_frame(np.zeros((height, width, 3), np.uint8))
    assert error.value.code == "INVALID_REGION"


@pytest.mark.parametrize(
    ("image", "is_mask"),
    [
        (np.zeros((128, 256), np.uint8), False),
        (np.zeros((128, 256, 4), np.uint8), False),
        (np.zeros((128, 256, 3), np.float32), False),
        (np.zeros((128, 256, 3), np.uint8), True),
        (np.zeros((128, 256), np.int32), True),
        ([[1, 2]], False),
    ],
)
def test_another_kind_of_array_is_refused(image, is_mask):
    with pytest.raises(VimaError) as error:
        to_policy_frame(image, is_mask=is_mask)
    assert error.value.code == "INVALID_VALUE"


def calibration_of(homography, size=(640, 480), camera_model=None):
    fit = CalibrationFit(4, 0, 0, 0, 0, None, 0)
    corners, patches = np.zeros((4, 2)), np.zeros((4, 17, 17), np.uint8)
    return Calibration("top", size, homography, corners, patches, fit, camera_model=camera_model)


def of_region(x, y, width, height):
    """The homography that shows a region as ``to_policy_frame`` does."""
    across, down = 256 / width, 128 / height
    to_first = [(0.5 - x) * across - 0.5, (0.5 - y) * down - 0.5]
    return np.array([[across, 0, to_first[0]], [0, down, to_first[1]], [0, 0, 1]])


def smooth(width, height, seed=0):
    """An image with structures of all sizes from a few pixels up."""
    rng = np.random.default_rng(seed)
    layers = [
        cv2.resize(rng.normal(0, 40, (3 + height // s, 3 + width // s, 3)), (width, height))
        for s in (4, 16, 64)
    ]
    return np.clip(128 + sum(layers), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("size", [(256, 128), (640, 480), (1000, 256)])
def test_without_anything_a_map_is_the_region(size):
    image, region = make_image(*size), (0, 0, 256, 128)
    mask = RNG.integers(0, 60000, size[::-1]).astype(np.uint16)
    for chosen in (None, region):
        view = ViewTransform(size, region=chosen)
        np.testing.assert_array_equal(view.apply(image), to_policy_frame(image, chosen))
        np.testing.assert_array_equal(
            view.apply(mask, is_mask=True), to_policy_frame(mask, chosen, is_mask=True)
        )
        assert view.coverage == 1.0


@pytest.mark.parametrize(
    ("size", "region"),
    [
        ((640, 480), (0, 80, 640, 320)),
        ((640, 480), (100, 50, 256, 128)),
        ((1280, 720), (0, 40, 1280, 640)),
        ((1920, 1080), (0, 60, 1920, 960)),
        ((1920, 1080), (301, 77, 1024, 512)),
        ((320, 240), (40, 30, 160, 80)),
    ],
)
def test_a_homography_that_is_a_region_averages_like_one(size, region):
    image = smooth(*size)
    view = ViewTransform(size, calibration=calibration_of(of_region(*region), size))
    off = view.apply(image).astype(float) - to_policy_frame(image, region)
    inner = off[1:-1, 1:-1]  # at the rim samples lie beyond the region
    assert np.sqrt((inner**2).mean()) < 2.5
    assert abs(off.mean()) < 0.3
    assert view.coverage == 1.0
    mask = RNG.integers(0, 60000, size[::-1]).astype(np.uint16)
    if region[2] != 1024:  # there every centre is as near to four pixels
        same = view.apply(mask, is_mask=True) == to_policy_frame(mask, region, is_mask=True)
        assert same.mean() > 0.99


@pytest.mark.parametrize("width", [640, 1280, 1920])
@pytest.mark.parametrize("vertical", [True, False])
def test_stripes_too_fine_to_show_become_grey(width, vertical):
    size = (width, width // 2)
    stripes = np.zeros((size[1], size[0], 3), np.uint8)
    if vertical:
        stripes[:, ::2] = 255
    else:
        stripes[::2] = 255
    view = ViewTransform(size, calibration=calibration_of(of_region(0, 0, *size), size))
    got = view.apply(stripes)[2:-2, 2:-2]
    assert abs(got.mean() - 127.5) < 3
    # A pixel that covers 2.5 stripes is not all grey; one sample a pixel would give 0 or 255.
    assert got.astype(float).std() < 40


def test_masks_keep_their_ids():
    camera = PinholeCamera(d=(-0.2, 0.05, 0, 0, 0))
    corners = workspace_corners(Workspace())
    blank = np.zeros((480, 640, 3), np.uint8)
    made = calibrate(
        "front", blank, camera.show(corners), camera_model=CameraModel(camera.k, camera.d)
    )
    mask = np.where(RNG.random((480, 640)) < 0.5, 7, 50000).astype(np.uint16)
    got = ViewTransform((640, 480), calibration=made).apply(mask, is_mask=True)
    assert set(np.unique(got).tolist()) == {7, 50000}
    assert got.dtype == np.uint16
    assert got.shape == (128, 256)


@pytest.mark.slow
@pytest.mark.parametrize("view", ["front", "top"])
@pytest.mark.parametrize(("size", "focal"), [((640, 480), 480.0), ((1280, 960), 960.0)])
def test_what_lies_on_the_table_is_where_vima_shows_it(view, size, focal):
    texture = table_texture()
    spots = np.array([[0.3, -0.4], [0.3, 0.4], [0.5, 0.0], [0.6, 0.3], [0.7, -0.45]])
    for x, y in ((spots - ORIGIN) * PER_METRE - 0.5).round(3):
        cv2.circle(texture, (round(y * 16), round(x * 16)), 16 * 36, (250,), -1, shift=4)
    camera = PinholeCamera(size=size, focal=focal, roll=0.4, d=(-0.2, 0.05, 0.001, 0, 0))
    image = camera.look_at(texture)
    made = calibrate(
        view,
        image,
        camera.show(workspace_corners(Workspace())),
        camera_model=CameraModel(camera.k, camera.d),
    )
    view_map = ViewTransform(size, calibration=made)
    frame, mask = view_map.apply(image), view_map.apply(image[..., 0], is_mask=True)
    for image_of_spots in (frame[..., 0], mask):
        for column, row in project(table_to_policy(view, Workspace()), spots):
            left, top = round(column) - 6, round(row) - 6
            patch = image_of_spots[top : top + 13, left : left + 13].astype(float)
            weight = np.clip(patch - 62, 0, None)
            rows, columns = np.mgrid[top : top + 13, left : left + 13]
            centre = [(weight * columns).sum(), (weight * rows).sum()] / weight.sum()
            assert np.abs(centre - [column, row]).max() < 0.25


def test_a_lens_without_a_calibration_straightens_the_region():
    camera = PinholeCamera(d=(-0.3, 0.08, 0, 0, 0))
    straight = PinholeCamera(d=(0.0,) * 5)
    view = ViewTransform(
        (640, 480), region=(20, 60, 600, 300), camera_model=CameraModel(camera.k, camera.d)
    )
    texture = cv2.GaussianBlur(table_texture(), (0, 0), 4)
    want = to_policy_frame(straight.look_at(texture), (20, 60, 600, 300)).astype(float)
    bent = to_policy_frame(camera.look_at(texture), (20, 60, 600, 300)).astype(float)
    off = np.abs(view.apply(camera.look_at(texture)) - want).mean()
    assert off < 0.8
    assert np.abs(bent - want).mean() > 5 * off


def test_what_lies_outside_the_image_is_reported_and_filled():
    half = ViewTransform((640, 480), calibration=calibration_of(of_region(-320, 80, 640, 320)))
    assert half.coverage == pytest.approx(0.5, abs=0.01)
    image, mask = np.full((480, 640, 3), 200, np.uint8), np.full((480, 640), 9, np.uint8)
    assert (half.apply(image) == 200).all()
    got = half.apply(mask, is_mask=True)
    assert not got[:, :127].any()
    assert (got[:, 129:] == 9).all()
    with pytest.raises(VimaError, match="sees nothing"):
        ViewTransform((640, 480), calibration=calibration_of(of_region(5000, 80, 640, 320)))


def test_beyond_the_horizon_nothing_is_visible():
    # Policy frame px to camera px with the horizon at row 96; below it the formula goes on and
    # gives places inside the image.
    depth = np.array([0, -1 / 96, 1.0])
    inverse = np.array([[2, 0, -256] + 320 * depth, [0, 0, 50] + 240 * depth, depth])
    beyond = inverse @ [128, 127, 1]
    assert (np.abs(beyond[:2] / beyond[2] - [320, 240]) < [320, 240]).all()
    view = ViewTransform((640, 480), calibration=calibration_of(np.linalg.inv(inverse)))
    mask = view.apply(np.full((480, 640), 9, np.uint8), is_mask=True)
    assert mask[:15].all()
    assert not mask[96:].any()
    assert view.coverage == pytest.approx((mask > 0).mean(), abs=0.01)
    assert (view.apply(np.full((480, 640, 3), 50, np.uint8)) == 50).all()


def test_a_lens_that_bends_nothing_changes_nothing():
    region, camera_model = (
        (21, 60, 600, 300),
        CameraModel([[500, 0, 320], [0, 510, 240], [0, 0, 1]], []),
    )
    view = ViewTransform((640, 480), region=region, camera_model=camera_model)
    mask = RNG.integers(0, 60000, (480, 640)).astype(np.uint16)
    same = view.apply(mask, is_mask=True) == to_policy_frame(mask, region, is_mask=True)
    assert same.mean() > 0.99


def test_another_camera_than_at_calibration_is_refused():
    camera_model = CameraModel([[500, 0, 320], [0, 500, 240], [0, 0, 1]], [0.1, 0, 0, 0, 0])
    other = CameraModel([[501, 0, 320], [0, 500, 240], [0, 0, 1]], [0.1, 0, 0, 0, 0])
    made = calibration_of(of_region(0, 80, 640, 320), camera_model=camera_model)
    ViewTransform((640, 480), calibration=made, camera_model=camera_model)
    for size, told in (((1280, 960), camera_model), ((640, 480), other)):
        with pytest.raises(VimaError) as error:
            ViewTransform(size, calibration=made, camera_model=told)
        assert error.value.code == "CALIBRATION_MISMATCH"
    with pytest.raises(VimaError) as error:
        ViewTransform((640, 480), calibration=made, region=(0, 0, 256, 128))
    assert error.value.code == "INVALID_VALUE"


def test_a_map_refuses_other_images():
    view = ViewTransform((640, 480), calibration=calibration_of(of_region(0, 80, 640, 320)))
    with pytest.raises(VimaError) as error:
        view.apply(make_image(320, 240))
    assert error.value.code == "BAD_IMAGE"
    with pytest.raises(VimaError) as error:
        view.apply(make_image(640, 480)[..., 0])
    assert error.value.code == "INVALID_VALUE"


def test_the_workspace_is_outlined():
    frame = np.full((128, 256, 3), 10, np.uint8)
    for view in ("front", "top"):
        drawn = draw_workspace(frame, view, 3)
        assert drawn.shape == (384, 768, 3)
        for column, row in project(
            table_to_policy(view, Workspace()), workspace_corners(Workspace())
        ):
            x, y = round((column + 0.5) * 3 - 0.5), round((row + 0.5) * 3 - 0.5)
            assert drawn[y - 1 : y + 2, x - 1 : x + 2].max() > 100
    assert (frame == 10).all()
