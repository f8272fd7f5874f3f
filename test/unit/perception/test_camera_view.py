"""Transform from camera to policy frame by parameters, calibration and camera_info."""

import weakref
from types import SimpleNamespace

import numpy as np
import pytest

from vima_ros.errors import VimaError
from vima_ros.geometry import Workspace
from vima_ros.perception import camera_view
from vima_ros.perception.camera_view import (
    CameraView,
    is_rectified,
    load_calibrations,
    view_warnings,
)
from vima_ros.perception.view_transform import to_policy_frame

IMAGE = np.random.default_rng(2).integers(0, 255, (480, 640, 3), np.uint8)


def info(distortion=0.0, focal=500.0, width=640):
    return SimpleNamespace(
        width=width,
        height=480,
        binning_x=0,
        binning_y=0,
        roi=SimpleNamespace(x_offset=0, y_offset=0, width=0, height=0),
        distortion_model="plumb_bob",
        k=[focal, 0.0, 319.5, 0.0, focal, 239.5, 0.0, 0.0, 1.0] if focal else [0.0] * 9,
        d=[distortion, 0.0, 0.0, 0.0, 0.0],
    )


def test_without_calibration_and_lens_it_is_the_region():
    view = CameraView((100, 100, 400, 200), None, undistort=False)
    view.on_camera_info(info(-0.4))  # not asked for
    assert (view.apply(IMAGE) == to_policy_frame(IMAGE, (100, 100, 400, 200))).all()
    ids = IMAGE[..., 0]
    want = to_policy_frame(ids, (100, 100, 400, 200), is_mask=True)
    assert (view.apply(ids, is_mask=True) == want).all()


def test_images_of_changing_sizes_are_each_taken_as_they_are(monkeypatch):
    kept, made = weakref.WeakSet(), camera_view.ViewTransform

    def keep(*args, **kwargs):
        transform = made(*args, **kwargs)
        kept.add(transform)
        return transform

    monkeypatch.setattr(camera_view, "ViewTransform", keep)
    view = CameraView(None, None, undistort=False)
    for width in (640, 300, 256, 400, 500, 600, 640):
        image = IMAGE[:, :width]
        assert (view.apply(image) == to_policy_frame(image)).all()
        assert 0 < len(kept) <= camera_view.MAX_MAPS


def test_a_changed_lens_counts_from_the_next_image_on():
    view = CameraView(None, None, undistort=True)
    view.on_camera_info(info(0.0))
    straight = view.apply(IMAGE)
    view.on_camera_info(info(-0.3))
    bent = view.apply(IMAGE)
    assert (straight != bent).any()
    view.on_camera_info(info(0.0))
    assert (view.apply(IMAGE) == straight).all()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("message", "code"),
    [
        (None, "NO_CAMERA_INFO"),
        (info(focal=0.0), "NO_CAMERA_INFO"),
        (info(width=320), "BAD_CAMERA_INFO"),
        (info(focal=float("nan")), "BAD_CAMERA_INFO"),
    ],
)
def test_undistortion_is_never_left_out_in_silence(message, code):
    view = CameraView(None, None, undistort=True)
    view.on_camera_info(message)
    with pytest.raises(VimaError, match="valid: ") as caught:
        view.apply(IMAGE)
    assert caught.value.code == code
    view.on_camera_info(info())
    view.apply(IMAGE)


@pytest.mark.parametrize("message", [None, info(-0.3), info(focal=0.0)])
def test_rectified_images_need_no_camera_info_and_are_not_undistorted_again(message):
    view = CameraView(None, None, undistort=True, rectified=True)
    view.on_camera_info(message)
    difference = view.apply(IMAGE).astype(int) - to_policy_frame(IMAGE)
    assert np.abs(difference).mean() < 20  # resampled, not bent
    if message is None:
        assert not difference.any()


@pytest.mark.parametrize(
    ("topic", "rectified"),
    [
        ("/vima/front/image_raw", False),
        ("/cam/image_rect", True),
        ("/cam/image_rect_color/compressed", True),
        ("/image_rectifier/image_raw", False),
    ],
)
def test_rectified_images_are_known_by_their_topic(topic, rectified):
    assert is_rectified(topic) is rectified


@pytest.mark.slow
def test_a_view_from_outside_the_image_is_warned_of_with_its_share():
    views = {name: CameraView(None, None, undistort=True) for name in ("front", "top")}
    for view, distortion in zip(views.values(), (0.0, 1.0), strict=True):
        view.on_camera_info(info(distortion))
        view.apply(IMAGE)
    (warning,) = view_warnings(views)
    assert warning.startswith("OUTSIDE_IMAGE: top view: ")
    assert "% of the policy's view lie outside" in warning
    views["top"].on_camera_info(info(0.0))
    views["top"].apply(IMAGE)
    assert view_warnings(views) == []


def test_a_region_and_a_calibration_exclude_each_other():
    calibration = SimpleNamespace(view="top")
    with pytest.raises(VimaError, match="valid: one of them") as caught:
        CameraView((0, 0, 256, 128), calibration, undistort=False)
    assert caught.value.code == "BAD_PARAMETER"


@pytest.fixture
def calibration(monkeypatch):
    """What every file holds."""
    calibration = SimpleNamespace(view="top", workspace=Workspace((0.25, -0.5), (0.75, 0.5)))
    monkeypatch.setattr(
        "vima_ros.perception.camera_view.load_calibration", lambda path: calibration
    )
    return calibration


def named(front="", top="", **parameters):
    paths = {"front": front, "top": top}
    workspace = Workspace((0.25, -0.5), (0.75, 0.5))
    return SimpleNamespace(**{"workspace": workspace, **parameters}, calibration=paths.get)


def test_a_calibration_of_another_workspace_is_refused(calibration):
    calibration.workspace = Workspace((0.25, -0.5), (0.75, 0.5 + 1e-9))  # rounded in its file
    assert load_calibrations(named(top="a.yaml")) == {"top": calibration}
    with pytest.raises(VimaError, match=r"top_calibration is a\.yaml") as caught:
        load_calibrations(named(top="a.yaml", workspace=Workspace((0.25, -0.5), (0.8, 0.5))))
    assert caught.value.code == "CONFIG_MISMATCH"
    assert "[0.25, -0.5], [0.75, 0.5" in str(caught.value)
    assert "workspace_min, workspace_max are [0.25, -0.5], [0.8, 0.5]; valid: " in str(
        caught.value
    )


def test_a_calibration_of_the_other_view_is_refused(calibration):
    assert load_calibrations(named()) == {}
    assert load_calibrations(named(top="a.yaml")) == {"top": calibration}
    with pytest.raises(
        VimaError, match=r"front_calibration is a\.yaml, of the top view"
    ) as caught:
        load_calibrations(named(front="a.yaml"))
    assert caught.value.code == "BAD_CALIBRATION"
