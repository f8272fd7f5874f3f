import numpy as np
import pytest

from vima_ros.errors import VimaError
from vima_ros.perception.crops import extract_objects, square_crop
from vima_ros.perception.detectors.instances import Instances
from vima_ros.sim.rendering.prompt_renderer import render_prompt_images
from vima_ros.sim.tasks import TASKS
from vima_ros.specs import VIEWS, AssetKind
from vima_ros.training.policy.covered_objects import (
    find_covered,
    lower_half_box,
    lower_half_crop,
)
from vima_ros.training.policy.detection_noise import (
    NO_NOISE,
    DetectionNoise,
    add_covered_noise,
)
from vima_ros.training.policy.privileged_labels import NOTHING
from vima_ros.training.policy.visible_objects import VisibleObjects

ONE_ABOVE = np.array([[50, 40, 14, 18], [50, 54, 15, 18], [120, 54, 15, 18]])


def seen(scene):
    """Objects of both views of a prompt's scene, and the images."""
    views = render_prompt_images(scene, AssetKind.SCENE)
    count = len(scene.objects)
    ids = np.arange(1, count + 1)
    return [
        extract_objects(views[v].rgb, Instances(views[v].mask, ids, np.ones(count, np.float32)))
        for v in VIEWS
    ], [views[v].rgb for v in VIEWS]


def covered_in(scene):
    (front, top), _ = seen(scene)
    ids = front.track_ids.astype(int) - 1
    found = find_covered(front.boxes, ids, top.boxes, top.track_ids.astype(int) - 1)
    return {scene.objects[i].name for i in ids[found]}


def under_another(scene):
    return {
        item.name
        for item in scene.objects
        for other in scene.objects
        if item.position_xy == other.position_xy and item.base_height < other.base_height
    }


@pytest.mark.slow
def test_what_another_object_stands_on_is_found_and_nothing_else():
    right = frames = stacks = 0
    for seed in range(12):
        for asset in list(TASKS["follow_order"].sample(seed).assets.values())[1:]:
            wanted, found = under_another(asset.scene), covered_in(asset.scene)
            frames, right = frames + 1, right + (wanted == found)
            stacks += bool(wanted)
    assert stacks >= 8
    assert right >= 0.9 * frames


def test_nothing_is_covered_where_all_stand_on_the_table():
    for seed in range(4):
        (asset,) = TASKS["rearrange"].sample(seed).assets.values()
        assert covered_in(asset.scene) == set()


def test_the_half_is_cut_as_from_the_image():
    (asset,) = TASKS["rearrange"].sample(0).assets.values()
    (front, _), (image, _) = seen(asset.scene)
    for box, crop in zip(front.boxes.astype(int), front.crops, strict=True):
        x, y, height, width = lower_half_box(box)
        first, left = y - height // 2, x - width // 2
        whole_bottom = box[1] - box[2] // 2 + box[2]
        assert first + height == whole_bottom
        assert height + 1 == box[2] + 1 - (box[2] + 1) // 2
        wanted = square_crop(image[first : first + height + 1, left : left + width + 1])
        assert np.abs(lower_half_crop(crop, box).astype(int) - wanted).mean() < 20


def test_covered_objects_are_halved_or_missing_at_their_rates():
    front = VisibleObjects((0, 1, 2), ONE_ABOVE, (0, 1, 2), (NOTHING, 7, NOTHING))
    image = (front, VisibleObjects((0, 2), ONE_ABOVE[[0, 2]], (0, 2)))
    random, noise = np.random.default_rng(0), DetectionNoise()
    halved = missing = 0
    for _ in range(2000):
        found, top = add_covered_noise(image, random, noise)
        assert top is image[1]
        assert {0, 2} <= set(found.ids)
        missing += 1 not in found.ids
        if 7 in found.crops:
            halved += 1
            assert found.boxes[1].tolist() == [50, 58, 7, 18]
    assert halved / 2000 == pytest.approx(58 / 118, abs=0.03)
    assert missing / 2000 == pytest.approx(18 / 118, abs=0.03)
    assert add_covered_noise(image, random, NO_NOISE)[0].crops == front.crops


def test_boxes_say_what_covers_what():
    ids, from_above = np.arange(3), np.array([[48, 60, 17, 17], [118, 60, 17, 17]])
    covered = find_covered(ONE_ABOVE, ids, from_above, np.array([0, 2]))
    assert covered.tolist() == [False, True, False]
    behind = np.array([[48, 30, 17, 17], [48, 60, 17, 17], [118, 60, 17, 17]])
    assert not find_covered(ONE_ABOVE, ids, behind, ids).any()  # seen from above, it is behind
    unknown = np.full(3, NOTHING)
    assert not find_covered(ONE_ABOVE, unknown, behind, unknown).any()


def test_rates_beyond_all_are_refused():
    with pytest.raises(VimaError, match="at most 1 together") as caught:
        DetectionNoise(covered_half_rate=0.7, covered_miss_rate=0.4)
    assert caught.value.code == "BAD_CONFIG"
