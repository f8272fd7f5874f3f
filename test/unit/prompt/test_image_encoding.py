"""The one reading of prompt images, by masks or by detectors."""

import numpy as np
import pytest
import yaml

from vima_ros.errors import VimaError
from vima_ros.paths import config_path
from vima_ros.perception.detectors.registry import make_detector
from vima_ros.perception.view_images import view_image
from vima_ros.prompt.image_encoding import DETECTORS, PromptImageEncoder
from vima_ros.sim.recording import record
from vima_ros.specs import VIEWS, AssetKind
from vima_ros.training.data.demonstration import demonstration_of

WHITE = np.full((128, 256, 3), 255, np.uint8)


def image_and_mask():
    """Two grey objects on white, the second the larger."""
    rgb, mask = WHITE.copy(), np.zeros((128, 256), np.uint8)
    for number, (rows, columns) in enumerate([((20, 40), (20, 40)), ((60, 100), (100, 150))], 1):
        mask[slice(*rows), slice(*columns)] = number
    rgb[mask > 0] = 90
    return rgb, mask


@pytest.mark.parametrize("masked", [True, False])
@pytest.mark.parametrize(("kind", "count"), [(AssetKind.OBJECT, 1), (AssetKind.SCENE, 2)])
def test_of_one_object_the_largest_counts_and_of_a_scene_all(kind, count, masked):
    encoder = PromptImageEncoder(dict.fromkeys(AssetKind, make_detector("plain_background")))
    rgb, mask = image_and_mask()
    image = encoder.encode("a", kind, {"top": (rgb, mask if masked else None)})
    assert (len(image.front), len(image.top)) == (0, count)
    assert [124, 79, 39, 49] in image.top.boxes.tolist()


def test_an_image_without_objects_is_refused_by_name_and_can_be_read():
    encoder = PromptImageEncoder()
    views = dict.fromkeys(VIEWS, (WHITE, np.zeros((128, 256), np.uint8)))
    with pytest.raises(VimaError, match=r"image \{a\} shows no object") as refused:
        encoder.encode("a", AssetKind.SCENE, views)
    assert refused.value.code == "NO_OBJECT"
    assert len(encoder.read("a", AssetKind.SCENE, views).top) == 0


def test_without_mask_and_detector_an_image_is_refused_by_name():
    with pytest.raises(VimaError, match=r"image \{a\}, ") as refused:
        PromptImageEncoder().read("a", AssetKind.OBJECT, {"top": (WHITE, None)})
    assert refused.value.code == "NO_MASK"


def test_the_detectors_are_the_prompt_nodes():
    configured = yaml.safe_load(config_path("prompt.yaml").read_text())
    parameters = configured["/**/prompt"]["ros__parameters"]
    names = parameters["detector"], parameters["scene_detector"]
    assert names == (DETECTORS[AssetKind.OBJECT], DETECTORS[AssetKind.SCENE])


def test_a_demonstration_has_the_images_as_the_encoder_reads_them():
    recording = record("scene_understanding", None, 3)
    demonstration = demonstration_of(recording)
    assert demonstration.images
    for asset in recording.assets:
        pairs = zip(asset.images.rgb[0], asset.images.masks[0], strict=True)
        views = dict(zip(VIEWS, pairs, strict=True))
        expected = PromptImageEncoder().encode(asset.name, asset.kind, views)
        for view in VIEWS:
            got, wanted = (getattr(i, view) for i in (demonstration.images[asset.name], expected))
            for a, b in zip(got.fields, wanted.fields, strict=True):
                np.testing.assert_array_equal(a, b)


def on_table():
    """The two objects of ``image_and_mask`` on a grey table."""
    rgb, mask = image_and_mask()
    return np.where(mask[..., None] > 0, rgb, 60).astype(np.uint8), mask


def test_a_whole_image_of_one_object_is_the_object_alone_on_white():
    rgb, mask = on_table()
    image = PromptImageEncoder(whole_images=True).encode(
        "a", AssetKind.OBJECT, dict.fromkeys(VIEWS, (rgb, mask))
    )
    assert len(image.front) == len(image.top) == 0
    alone = np.where(mask[..., None] == 2, rgb, 255).astype(np.uint8)  # the larger
    for view in VIEWS:
        np.testing.assert_array_equal(getattr(image.images, view), view_image(alone))


def test_a_whole_image_of_a_scene_is_the_view_as_it_is_and_needs_no_mask():
    rgb, _ = on_table()
    views = {"front": (rgb, None), "top": (WHITE, None)}
    image = PromptImageEncoder(whole_images=True).encode("a", AssetKind.SCENE, views)
    np.testing.assert_array_equal(image.images.front, view_image(rgb))
    np.testing.assert_array_equal(image.images.top, view_image(WHITE))


@pytest.mark.parametrize("kind", AssetKind)
def test_whole_images_need_both_views(kind):
    with pytest.raises(VimaError, match=r"image \{a\}, no top view; valid: both") as refused:
        PromptImageEncoder(whole_images=True).encode("a", kind, {"front": on_table()})
    assert refused.value.code == "NO_IMAGES"


def test_an_object_has_to_be_visible_in_both_of_two_whole_images():
    views = {"front": on_table(), "top": (WHITE, np.zeros((128, 256), np.uint8))}
    with pytest.raises(VimaError, match=r"image \{a\} shows no object in the top view") as refused:
        PromptImageEncoder(whole_images=True).encode("a", AssetKind.OBJECT, views)
    assert refused.value.code == "NO_OBJECT"


def test_an_image_of_one_object_as_vima_bench_renders_it_is_left_as_it_is():
    asset = next(a for a in record("rotate", None, 3).assets if a.kind == AssetKind.OBJECT)
    pairs = zip(asset.images.rgb[0], asset.images.masks[0], strict=True)
    views = dict(zip(VIEWS, pairs, strict=True))
    image = PromptImageEncoder(whole_images=True).encode(asset.name, asset.kind, views)
    for view in VIEWS:
        np.testing.assert_array_equal(getattr(image.images, view), view_image(views[view][0]))
