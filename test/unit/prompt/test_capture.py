"""Selection of the object to capture, without ROS."""

import numpy as np
import pytest

from vima_ros.errors import VimaError
from vima_ros.prompt.capture import CapturedScene
from vima_ros.specs import AssetKind, ViewObjects

BOXES = np.array([[20, 20, 9, 9], [60, 40, 9, 19]])  # x, y, height, width [px]


def objects(track_ids):
    n = len(track_ids)
    return ViewObjects(
        BOXES[:n], np.zeros((n, 3, 32, 32), np.uint8), np.full(n, 0.9, np.float32), track_ids
    )


@pytest.fixture
def scene():
    labels = np.zeros((128, 256), np.uint16)
    labels[16:26, 16:26], labels[36:46, 51:71] = 1, 2
    image = np.zeros((128, 256, 3), np.uint8)
    found = {"front": objects(np.array([7, 8])), "top": objects(np.array([8]))}
    alone = np.where(labels == 1, 1, 0).astype(np.uint16)
    return CapturedScene(
        {"front": image, "top": image}, {"front": labels, "top": alone}, found, stamp=5
    )


def test_an_object_is_selected_by_id_pixel_or_box(scene):
    assert scene.track_with_id(8) == 8
    assert scene.track_at_pixel("front", 60, 40) == 8
    assert scene.track_at_pixel("top", 20, 20) == 8
    assert scene.track_in_box("front", [22, 20, 9, 9]) == 7


@pytest.mark.parametrize(
    ("select", "code", "match"),
    [
        (lambda s: s.track_with_id(9), "UNKNOWN_TRACK", r"valid: \[7, 8\]"),
        (lambda s: s.track_at_pixel("side", 0, 0), "BAD_VIEW", "front, top"),
        (lambda s: s.track_at_pixel("top", 300, 0), "NO_OBJECT_AT_SELECTION", "below 256, 128"),
        (lambda s: s.track_at_pixel("front", 0, 0), "NO_OBJECT_AT_SELECTION", "nearest is 7 at"),
        (lambda s: s.track_in_box("front", [90, 90, 9, 9]), "NO_OBJECT_AT_SELECTION", "is 8 at"),
    ],
)
def test_a_selection_of_nothing_is_refused(scene, select, code, match):
    with pytest.raises(VimaError, match=match) as caught:
        select(scene)
    assert caught.value.code == code


def test_a_box_in_an_empty_view_is_refused(scene):
    empty = CapturedScene(scene.images, scene.labels, {"top": ViewObjects.empty()}, 0)
    with pytest.raises(VimaError, match="no object in box"):
        empty.track_in_box("top", [20, 20, 9, 9])


def test_an_asset_of_an_object_holds_its_pixels_alone(scene):
    asset = scene.to_asset("block", 7)
    assert asset.kind == AssetKind.OBJECT
    assert list(asset.views) == ["front", "top"], "a policy may read both views whole"
    assert asset.counts() == {"front": 1, "top": 0}
    np.testing.assert_array_equal(asset.views["front"][1], scene.labels["front"] == 1)
    assert asset.origin["front_box"] == [20, 20, 9, 9]
    assert (asset.origin["track_id"], asset.origin["front_score"]) == (7, 0.9)


def test_an_asset_of_the_scene_holds_all(scene):
    asset = scene.to_asset("all", None)
    assert asset.kind == AssetKind.SCENE
    assert asset.views["front"][1].max() == 2
    assert asset.origin == {"observation_ns": 5}
