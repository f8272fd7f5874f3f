"""Assets are captured, listed, named by prompts, deleted; they survive the prompt node."""

from pathlib import Path

import numpy as np
import pytest
from sensor_msgs.msg import Image

from vima_msgs.msg import Observation, Prompt, PromptAsset, PromptTokens
from vima_msgs.srv import CaptureAsset, DeleteAsset, GetScene, ListAssets, SetPrompt
from vima_ros.nodes.common import conversions, image_conversion, qos
from vima_ros.specs import VIEWS

Request = CaptureAsset.Request
OBJECT, SCENE = PromptAsset.KIND_OBJECT, PromptAsset.KIND_SCENE


@pytest.fixture
def library(suite):
    return Library(suite)


class Library:
    def __init__(self, suite):
        self.suite, self.client = suite, suite.client
        seen = self.client.subscribe(Observation, "observation")
        seen.wait(lambda m: bool(m.front.objects), 30, "objects")

    def scene(self):
        scene = self.client.call(GetScene, "get_scene", GetScene.Request())
        assert scene.success, scene.message
        return scene

    def capture(self, name, **fields):
        return self.client.call(CaptureAsset, "capture_asset", Request(name=name, **fields))

    def list(self):
        return self.client.call(ListAssets, "list_assets", ListAssets.Request()).assets

    def send(self, text, *assets, **fields):
        prompt = Prompt(text=text, assets=list(assets))
        return self.client.call(
            SetPrompt, "set_prompt", SetPrompt.Request(prompt=prompt, **fields)
        )

    def tokens(self, text):
        inbox = self.client.subscribe(PromptTokens, "prompt_tokens", qos.LATCHED)
        return inbox.wait(lambda m: m.text == text, 15, "prompt_tokens")


def by_box(o):
    return [int(v) for v in o.bbox]


def test_scene_labels_give_the_object_of_each_pixel(library):
    scene = library.scene()
    for view in VIEWS:
        labels = image_conversion.decode_mask(getattr(scene, f"{view}_labels"))
        objects = getattr(scene.observation, view).objects
        assert set(np.unique(labels)) - {0} == set(range(1, len(objects) + 1))
        for place, o in enumerate(objects, 1):
            rows, columns = np.nonzero(labels == place)
            assert int(columns.min() + (np.ptp(columns) // 2)) == o.bbox[0]
            assert np.ptp(rows) == o.bbox[2]


@pytest.mark.parametrize("how", ["id", "pixel", "box"])
def test_an_object_is_captured_as_the_policy_sees_it(library, how):
    scene = library.scene()
    chosen = scene.observation.top.objects[0]
    fields = {
        "id": {"select": Request.BY_TRACK_ID, "track_id": chosen.track_id},
        "pixel": {"select": Request.BY_PIXEL, "view": "top", "pixel": chosen.bbox[:2]},
        "box": {"select": Request.BY_BOX, "view": "top", "bbox": chosen.bbox},
    }[how]
    labels = image_conversion.decode_mask(scene.top_labels)
    if how == "pixel":  # of a bowl the centre may be somebody else's
        rows, columns = np.nonzero(labels == 1)
        fields["pixel"] = [int(columns[0]), int(rows[0])]
    answer = library.capture(f"by_{how}", kind=OBJECT, **fields)
    assert answer.success, answer.message
    assert answer.asset.top_count == 1
    text = f"Put the {{by_{how}}} aside."
    assert library.send(text).success
    image = library.tokens(text).images[0]
    now = {v: getattr(library.scene().observation, v).objects for v in VIEWS}
    for view in VIEWS:
        expected = [o for o in now[view] if o.track_id == chosen.track_id]
        got = getattr(image, view).objects
        assert [by_box(o) for o in got] == [by_box(o) for o in expected]
        for one, other in zip(got, expected, strict=True):
            assert np.array_equal(one.crop, other.crop)


def test_the_scene_is_captured_with_all_that_is_in_it(library):
    answer = library.capture("all", kind=SCENE)
    assert answer.success, answer.message
    observation = library.scene().observation
    assert answer.asset.front_count == len(observation.front.objects)
    assert answer.asset.top_count == len(observation.top.objects)


@pytest.mark.parametrize(
    ("fields", "code", "told"),
    [
        ({"name": "a b"}, "BAD_NAME", "'a b'"),
        ({"name": "../x"}, "BAD_NAME", "../x"),
        ({"kind": 9}, "BAD_KIND", "kind 9"),
        ({"select": 9, "view": "top"}, "BAD_KIND", "select 9"),
        ({"track_id": 4_000_000_000}, "UNKNOWN_TRACK", "valid: ["),
        ({"select": Request.BY_PIXEL, "view": "side"}, "BAD_VIEW", "front, top"),
        (
            {"select": Request.BY_PIXEL, "view": "top", "pixel": [0, 0]},
            "NO_OBJECT_AT_SELECTION",
            "nearest",
        ),
        (
            {"select": Request.BY_PIXEL, "view": "top", "pixel": [999, 0]},
            "NO_OBJECT_AT_SELECTION",
            "256",
        ),
        (
            {"select": Request.BY_BOX, "view": "front", "bbox": [1, 1, 1, 1]},
            "NO_OBJECT_AT_SELECTION",
            "box",
        ),
    ],
)
def test_an_invalid_capture_is_refused(library, fields, code, told):
    answer = library.capture(fields.pop("name", "bad"), **fields)
    assert (answer.success, answer.code) == (False, code)
    assert told in answer.message
    assert "bad" not in [asset.name for asset in library.list()]


def test_a_deleted_asset_is_unknown_to_the_next_prompt(library):
    assert library.capture("gone", kind=SCENE).success
    assert library.send("Look at {gone}.", check_only=True).success
    request = DeleteAsset.Request(name="gone")
    assert library.client.call(DeleteAsset, "delete_asset", request).success
    again = library.client.call(DeleteAsset, "delete_asset", request)
    assert (again.success, again.code) == (False, "UNKNOWN_PLACEHOLDER")
    refused = library.send("Look at {gone}.")
    assert refused.code == "UNKNOWN_PLACEHOLDER"
    assert "library holds" in refused.message


def test_an_attached_image_is_used_instead_of_the_asset_of_its_name(library):
    assert library.capture("block", kind=SCENE).success
    rgb = np.full((128, 256, 3), 255, np.uint8)
    rgb[40:71, 100:131] = (200, 30, 30)
    text = "Put the {block} there."
    attached = PromptAsset(name="block", kind=OBJECT, front=image_conversion.encode(rgb, "rgb8"))
    assert library.send(text, attached).success
    image = library.tokens(text).images[0]
    assert [by_box(o) for o in image.front.objects] == [[115, 55, 30, 30]]
    assert len(image.top.objects) == 0


def test_a_check_answers_with_a_preview_if_asked_and_begins_nothing(library):
    assert library.capture("shown", kind=SCENE).success
    before = library.client.subscribe(PromptTokens, "prompt_tokens")
    previews = library.client.subscribe(Image, "prompt_preview")
    answer = library.send("Look at {shown} only.", check_only=True)
    assert (answer.success, answer.prompt_id) == (True, "")
    assert (len(answer.preview.data), answer.preview.width) == (0, 0)
    answer = library.send("Look at {shown} only.", check_only=True, preview=True)
    previews.wait(lambda m: m == answer.preview, 15, "the same on prompt_preview")
    refused = library.send("Look at {moon}.", check_only=True, preview=True)
    assert (refused.success, len(refused.preview.data)) == (False, 0)
    assert image_conversion.decode_colour(answer.preview).shape[1] == 1024
    assert library.send("{shown} for real.").success
    before.wait(lambda m: m.text == "{shown} for real.", 15, "tokens")
    assert "Look at {shown} only." not in [m.text for m in before.messages]


def test_damaged_files_are_listed_and_the_node_lives(library):
    assert library.capture("bad", kind=SCENE).success
    facts = Path(library.suite.parameters["library"], "bad", "asset.yaml")
    for text in ("kind: object\nstamp_ns: " + "9" * 30, "[" * 9_000):
        facts.write_text(text)
        answer = library.client.call(ListAssets, "list_assets", ListAssets.Request())
        assert (answer.success, list(answer.unreadable)) == (True, ["bad"])
        assert library.send("Look at {bad}.", check_only=True).code == "LIBRARY_ERROR"
    request = DeleteAsset.Request(name="bad")
    assert library.client.call(DeleteAsset, "delete_asset", request).success


def test_an_unreadable_library_is_reported_and_the_node_continues(library):
    assert library.capture("there", kind=SCENE).success
    folder = Path(library.suite.parameters["library"])
    aside = folder.rename(folder.with_name("aside"))
    folder.write_text("no folder")
    try:
        answer = library.client.call(ListAssets, "list_assets", ListAssets.Request())
        assert (answer.success, answer.code) == (False, "LIBRARY_ERROR")
        assert library.capture("more", kind=SCENE).code == "LIBRARY_ERROR"
        assert library.send("Look at {there}.").code == "LIBRARY_ERROR"
    finally:
        folder.unlink()
        aside.rename(folder)
    assert "there" in [asset.name for asset in library.list()]


def test_the_library_outlives_the_prompt_node(library):
    assert library.capture("kept", kind=SCENE).success
    suite = library.suite
    suite.processes.kill("prompt")
    suite.processes.start(["prompt"], suite.parameters)
    suite.wait_until_up()
    assert "kept" in [asset.name for asset in library.list()]
    stamp = next(asset.stamp for asset in library.list() if asset.name == "kept")
    assert conversions.stamp_to_ns(stamp) > 0
    assert library.send("Look at {kept}.", check_only=True).success
